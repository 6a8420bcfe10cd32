"""A training configuration from TOML: a preset, a file, and `section.key=value` of the command line, in this order."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

from animatex_core.config import CONFIGS, AnimateXConfig

from .augment import read_settings
from .config import ModelSettings, TrainConfig

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pyright: ignore[reportMissingImports]

PRESETS = Path(__file__).parent / "presets"


def read_config(path: str | Path, changes: Iterable[str] = ()) -> TrainConfig:
    """A file, or the name of a preset; `changes` are `section.key=value` with the value as in TOML.

    A file may name a preset that it starts from: `preset = "lora"`. Raises ValueError naming file, key, what was
    expected and what was found.
    """
    source = _find(path)
    values = _with_preset(source, _read(source))
    for change in changes:
        _apply(values, change)
    return config_from(values, str(source))


def config_from(values: Mapping[str, Any], source: str) -> TrainConfig:
    """Nested values -> a configuration. Raises ValueError naming the source and the key."""
    try:
        config = _build(TrainConfig, values, "")
        network_config(config.model)
        read_settings(config.data.settings)
        return config
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error


def network_config(model: ModelSettings) -> AnimateXConfig:
    """The network that the settings describe. Raises ValueError for an unknown or impossible width."""
    base = asdict(CONFIGS[model.base])
    base["unet"] |= model.unet
    base["conditions"] |= model.conditions
    base["alpha"] = model.alpha
    if base["unet"]["motion_attention"] == "none" or (base["ipi"] is None and not model.ipi):
        base["ipi"] = None
    else:
        base["ipi"] = (base["ipi"] or asdict(CONFIGS["released"])["ipi"]) | model.ipi
    return AnimateXConfig.from_json(json.dumps(base))


def preset_names() -> list[str]:
    """The names that `read_config` knows."""
    return sorted(path.stem for path in PRESETS.glob("*.toml"))


def _find(path: str | Path) -> Path:
    if str(path) in preset_names():
        return PRESETS / f"{path}.toml"
    if not Path(path).is_file():
        raise ValueError(f"{path}: no such file, and none of the presets {', '.join(preset_names())}")
    return Path(path)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not TOML: {error}") from error


def _with_preset(source: Path, values: dict[str, Any]) -> dict[str, Any]:
    """The preset's values under the file's own."""
    preset = values.pop("preset", None)
    if preset is None:
        return values
    if preset not in preset_names():
        raise ValueError(f"{source}: preset: expected one of {', '.join(preset_names())}, got {preset!r}")
    return _merged(_with_preset(PRESETS, _read(PRESETS / f"{preset}.toml")), values)


def _merged(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    sections = [k for k in under.keys() & over.keys() if isinstance(under[k], dict) and isinstance(over[k], dict)]
    return {**under, **over, **{k: _merged(under[k], over[k]) for k in sections}}


def _apply(values: dict[str, Any], change: str) -> None:
    key, equals, text = change.partition("=")
    if not equals or not key.strip():
        raise ValueError(f"{change!r}: expected section.key=value")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text  # a bare word is a string
    *sections, last = key.strip().split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise ValueError(f"{change!r}: {section} is no section")
    values[last] = value


def _build(kind: type, values: Any, where: str) -> Any:
    if not isinstance(values, dict):
        raise ValueError(f"{where}: expected a section, got {values!r}")
    known, hints = [f.name for f in fields(kind)], get_type_hints(kind)
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ValueError(f"{where or 'top level'}: unknown key {', '.join(unknown)}; known are {', '.join(known)}")
    dotted = {name: f"{where}.{name}" if where else name for name in values}
    return kind(**{name: _value(hints[name], value, dotted[name]) for name, value in values.items()})


def _value(kind: Any, value: Any, where: str) -> Any:
    if is_dataclass(kind) and isinstance(kind, type):
        return _build(kind, value, where)
    if isinstance(value, dict) or str(kind).startswith("dict"):
        if not (isinstance(value, dict) and str(kind).startswith("dict")):
            raise ValueError(f"{where}: expected {_words(kind)}, got {value!r}")
        return value
    if str(kind).startswith("tuple"):
        return _tuple(int if "int" in str(kind) else str, value, where)
    wanted = kind if isinstance(kind, type) else str
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not wanted:
        raise ValueError(f"{where}: expected {_words(wanted)}, got {value!r}")
    return value


def _tuple(kind: type, value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list) or any(type(item) is not kind for item in value):
        raise ValueError(f"{where}: expected a list, each {_words(kind)}, got {value!r}")
    return tuple(value)


def _words(kind: Any) -> str:
    words = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    return words.get(kind, "a section")
