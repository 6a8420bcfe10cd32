"""What a run must have in common with its checkpoint, so that going on is the same as never having stopped."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from .config import TrainConfig
from .feed import Data
from .initial import weights_sha256

# What changes nothing about the numbers, or only how long they go on.
FREE = {"run": ("steps", "device", "timeout"), "data": ("workers", "folder"), "start": ("weights", "required")}
NOT_COMPARED = ("save", "watch")
# Keys of data.settings that name files: what is in the files is part of the data set's fingerprint.
BY_CONTENT = ("pool", "vae")


def fingerprint(config: TrainConfig, data: Data, world: int) -> dict[str, Any]:
    """Facts for the checkpoint."""
    return {
        "processes": world,
        "data set": data.fingerprint,
        "start": weights_sha256(config.start.weights),
        "config": asdict(config),
    }


def check_same(wanted: dict[str, Any], found: dict[str, Any], path: Path) -> None:
    """Raises ValueError naming the first thing in which the run and its checkpoint differ."""
    for name in ("processes", "data set", "start"):
        _same(name, wanted[name], found.get(name), path)
    for section, values in wanted["config"].items():
        if section in NOT_COMPARED:
            continue
        for key, value in values.items():
            if key not in FREE.get(section, ()):
                theirs = found["config"].get(section, {}).get(key)
                if (section, key) == ("data", "settings"):
                    value, theirs = _without_files(value), _without_files(theirs)
                _same(f"{section}.{key}", value, theirs, path)
    steps = wanted["config"]["run"]["steps"], found["config"]["run"]["steps"]
    if wanted["config"]["optimiser"]["schedule"] != "constant":
        _same("run.steps (the schedule depends on it)", *steps, path)


def _without_files(settings: Any) -> Any:
    return {k: v for k, v in settings.items() if k not in BY_CONTENT} if isinstance(settings, dict) else settings


def _same(name: str, wanted: Any, found: Any, path: Path) -> None:
    # JSON knows lists only
    wanted = list(wanted) if isinstance(wanted, tuple) else wanted
    if wanted != found:
        raise ValueError(
            f"{path}: {name}: the run has {wanted!r}, the checkpoint {found!r}; resuming would not be exact. Go on "
            "with what the checkpoint has, or export it and start a new run from the exported file"
        )
