"""The released files -> one .safetensors, and back to the released names.

Everything is read from mapped files and written tensor by tensor, so a checkpoint of 7 GB needs little memory.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from importlib import metadata as packages
from pathlib import Path

import torch
from torch import Tensor

from .config import AnimateXConfig
from .identify import FileReport, describe, open_checkpoint
from .inventory import POSITIONS, empty_model, families
from .keymap import key_map, to_ours, to_released
from .layers import Layers
from .mini_vision import mini_stored
from .network_files import (
    FORMAT,
    FORMAT_VERSION,
    Network,
    embedded_config,
    find_network,
    network_config,
    network_difference,
)
from .prompt import HOLDERS, empty_prompt, text_tower
from .tensor_files import Checkpoint, PathLike, WeightsError, open_safetensors
from .tensor_writer import Cast, write_tensors
from .vae import tiny_tensors
from .vae_names import vae_tensors
from .vision import vision_tower
from .weights import MismatchError, load_state

DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
# Small, and not to lose a digit: kept in full whatever the dtype of the rest.
FULL = ("empty_prompt", POSITIONS)
HASHED_AT_ONCE = 1 << 22
Progress = Callable[[str, int, int], None]
Finder = Callable[[Mapping[str, Tensor]], dict[str, Tensor] | None]
LICENSES = {"animate-x": "Apache-2.0 (the model; bundled parts as their sources)", "uni-animate": "that of its source"}


def convert(
    model_path: PathLike,
    out: PathLike,
    *,
    text: PathLike | None = None,
    vae: PathLike | None = None,
    clip: PathLike | None = None,
    dtype: str = "fp16",
    bundle_vae: bool = False,
    bundle_clip: bool = False,
    drop_unexpected: bool = False,
    progress: Progress | None = None,
) -> FileReport:
    """Turn an Animate-X or UniAnimate checkpoint (.pth, .safetensors, or one of ours) into one file of ours.

    text: a file with the text tower, or a converted file, for the context of the empty prompt; without it the other
        files are searched. vae, clip: files whose VAE or CLIP vision tower is bundled.
    bundle_vae, bundle_clip: bundle one also where it lies in another of the given files.
    dtype: fp16, bf16 or fp32. drop_unexpected: leave out tensors that the network has no place for.
    progress: called with what is done, bytes done and bytes in all; sources are read for their sha256 first.
    Returns what was written. Raises ValueError, with nothing left behind: another model, missing or misshapen
    tensors, numbers that are not finite or do not fit the dtype, no text tower, no room on the disk.
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, got {dtype!r}")
    given = {"model": model_path, "text": text, "vae": vae, "clip": clip}
    paths = {role: Path(path) for role, path in given.items() if path is not None}
    _check_out(Path(out), paths.values())
    files = {role: open_checkpoint(path) for role, path in paths.items()}
    network, config, dropped = _network(files["model"], drop_unexpected)
    casts = _network_casts(files["model"], network, config, DTYPES[dtype])
    prompt, prompt_source = _prompt(files, network, config)
    casts["empty_prompt"] = Cast(prompt, torch.float32, prompt_source)
    if vae is not None or bundle_vae:
        casts |= _bundle("vae", _vae_of, files, DTYPES[dtype])
    if clip is not None or bundle_clip:
        casts |= _bundle("clip_vision", _vision_of, files, DTYPES[dtype])
    facts = _metadata(network, config, DTYPES[dtype], prompt_source)
    if not network.released:
        facts = {
            **files["model"].metadata,
            **facts,
            "license": files["model"].metadata.get("license", facts["license"]),
        }
    steps = _Steps(progress, sum(p.stat().st_size for p in set(paths.values())) + sum(c.bytes for c in casts.values()))
    facts["source_sha256"] = json.dumps(_hashes(paths.values(), steps))
    write_tensors(out, casts, facts, lambda written: steps("writing", written))
    report = describe(open_safetensors(out))
    return replace(report, notes=report.notes + _leftovers(files["model"], network, dropped))


def export(path: PathLike, out: PathLike) -> FileReport:
    """Write a model file with the names and shapes of the released checkpoint, in the dtypes that it has.

    Returns what was written. Raises WeightsError when the file is not one of ours or not complete.
    """
    _check_out(Path(out), [Path(path)])
    state, config, facts = load_state(path)
    casts = {
        released: Cast(to_released(name, state[name]), state[name].dtype, f"{path}: {name}")
        for name, released in key_map(list(state), config).items()
    }
    kept = {key: facts[key] for key in ("license", "variant", "temporal") if key in facts}
    write_tensors(out, casts, {**kept, "config": config.to_json(), "exported_with": _version()})
    return describe(open_safetensors(out))


def bundle(
    out: Path, vae: PathLike | None, clip: PathLike | None, dtype: str
) -> tuple[dict[str, Cast], dict[str, str]]:
    """VAE and image tower of files, to be written beside a network into `out`, and their sha256 for the metadata.

    Raises WeightsError: `out` is one of the files, or one holds no such network.
    """
    paths = {role: Path(path) for role, path in (("vae", vae), ("clip", clip)) if path is not None}
    _check_out(out, paths.values())
    files = {role: open_checkpoint(path) for role, path in paths.items()}
    casts: dict[str, Cast] = {}
    for part, find in (("vae", _vae_of), ("clip_vision", _vision_of)):
        if part.partition("_")[0] in files:
            casts |= _bundle(part, find, files, DTYPES[dtype])
    steps = _Steps(None, 0)
    return casts, {"source_sha256": json.dumps(_hashes(paths.values(), steps))} if paths else {}


def _check_out(out: Path, sources: Iterable[Path]) -> None:
    if out.suffix.lower() != ".safetensors":
        raise WeightsError(f"{out}: the name of the new file must end in .safetensors")
    for source in sources:
        if out.exists() and source.exists() and os.path.samefile(out, source):
            raise WeightsError(f"{out}: is a source of the conversion: give the new file another name")


def _network(checkpoint: Checkpoint, drop: bool) -> tuple[Network, AnimateXConfig, tuple[str, ...]]:
    """The network of the checkpoint, its configuration, and the tensors to leave out."""
    network = find_network(checkpoint.shapes)
    if network is None:
        report = describe(checkpoint)
        raise WeightsError(f"{checkpoint.path}: no Animate-X or UniAnimate model but {report.title}. {report.advice}")
    try:
        config = network_config(network, checkpoint.metadata, embedded_config(checkpoint))
        difference = network_difference(network, config)
    except WeightsError as error:
        raise WeightsError(f"{checkpoint.path}: {error}") from error
    dropped = difference.unexpected if drop else ()
    difference = replace(difference, unexpected=() if drop else difference.unexpected)
    if difference:
        message = f"{checkpoint.path}: no complete {network.variant} model: {'; '.join(difference.lines())}"
        if difference.unexpected and not (difference.missing or difference.misshapen):
            message += ". To leave the unexpected ones out: --drop-unexpected"
        raise MismatchError(message, difference)
    return network, config, dropped


def _network_casts(
    checkpoint: Checkpoint, network: Network, config: AnimateXConfig, dtype: torch.dtype
) -> dict[str, Cast]:
    """Our names -> tensors of the checkpoint in our shapes."""
    ours = list(empty_model(config, Layers(), len(network.shapes)).state_dict())
    pairs = key_map(ours, config) if network.released else {name: name for name in ours if name != "empty_prompt"}
    casts = {}
    for name, there in pairs.items():
        tensor = checkpoint.tensors[network.prefix + there]
        source = f"{checkpoint.path}: {network.prefix}{there}"
        if not tensor.is_floating_point():
            raise WeightsError(f"{source}: expected floating-point numbers, found {tensor.dtype}")
        tensor = to_ours(name, tensor) if network.released else tensor
        casts[name] = Cast(tensor, torch.float32 if name in FULL else dtype, source)
    return casts


def _prompt(files: Mapping[str, Checkpoint], network: Network, config: AnimateXConfig) -> tuple[Tensor, str]:
    """The context of the empty prompt, and where it is from."""
    shape = (1, config.conditions.text_tokens, config.unet.context_width)
    searched = [files["text"]] if "text" in files else list(files.values())
    for file in searched:
        kept = _kept_prompt(file)
        if kept is not None and tuple(kept.shape) == shape:
            return kept, f"kept from {file.path.name}"
        tower = text_tower(file.tensors)
        if tower is None:
            continue
        try:
            return empty_prompt(tower, *shape[1:]), f"computed from {file.path.name}"
        except WeightsError as error:
            raise WeightsError(f"{file.path}: {error}") from error
    where = ", ".join(str(file.path) for file in searched)
    raise WeightsError(
        f"{where}: no text tower in it, which the context of the empty prompt is computed from. "
        f"Give a file that holds one as --text: {HOLDERS}; or a model that was converted before"
    )


def _kept_prompt(file: Checkpoint) -> Tensor | None:
    network = find_network(file.shapes)
    return None if network is None or network.released else file.tensors.get(f"{network.prefix}empty_prompt")


def _vae_of(tensors: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    return vae_tensors(tensors) or tiny_tensors(tensors)


def _vision_of(tensors: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    return mini_stored(tensors) or vision_tower(tensors)


def _bundle(part: str, find: Finder, files: Mapping[str, Checkpoint], dtype: torch.dtype) -> dict[str, Cast]:
    """A model to put beside the network, from the file that was given for it or any other that holds one."""
    role = part.partition("_")[0]
    for file in [files[role]] if role in files else files.values():
        tensors = find(file.tensors)
        if tensors:
            return {f"{part}.{name}": _part_cast(f"{file.path}: {name}", t, dtype) for name, t in tensors.items()}
    where = ", ".join(str(file.path) for file in files.values())
    raise WeightsError(f"{where}: no {part.replace('_', ' ')} to bundle: give a file that holds one as --{role}")


def _part_cast(source: str, tensor: Tensor, dtype: torch.dtype) -> Cast:
    """Single numbers, 8-bit weights and their scales stay as they are."""
    if tensor.dtype == torch.int8 or source.endswith(".scale"):
        return Cast(tensor, tensor.dtype, source)
    if not tensor.is_floating_point():
        raise WeightsError(f"{source}: expected floating-point numbers, found {tensor.dtype}")
    return Cast(tensor, dtype if tensor.numel() > 1 else torch.float32, source)


def _metadata(network: Network, config: AnimateXConfig, dtype: torch.dtype, prompt: str) -> dict[str, str]:
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "config": config.to_json(),
        "variant": network.variant,
        "temporal": config.unet.temporal,
        "dtype": str(dtype).removeprefix("torch."),
        "empty_prompt": prompt,
        "license": LICENSES[network.variant],
        "converted_with": _version(),
    }


def _version() -> str:
    try:
        return f"animate-x {packages.version('animate-x')}"
    except packages.PackageNotFoundError:
        return "animate-x (not installed, run from its source)"


class _Steps:
    """Adds up the bytes of reading and writing for whoever shows the progress."""

    def __init__(self, show: Progress | None, total: int):
        self.show, self.total, self.done = show, total, 0

    def __call__(self, what: str, more: int) -> None:
        self.done += more
        if self.show is not None:
            self.show(what, self.done, self.total)


def _hashes(paths: Iterable[Path], steps: _Steps) -> dict[str, str]:
    """File name (with its folder where two have the same) -> sha256."""
    found: dict[str, str] = {}
    for path in dict.fromkeys(paths):
        found[f"{path.parent.name}/{path.name}" if path.name in found else path.name] = _hash(path, steps)
    return found


def _hash(path: Path, steps: _Steps) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(HASHED_AT_ONCE):
            digest.update(chunk)
            steps(f"reading {path.name}", len(chunk))
    return digest.hexdigest()


def _leftovers(checkpoint: Checkpoint, network: Network, dropped: tuple[str, ...]) -> tuple[str, ...]:
    """What of the source is not in the new file, in words."""
    notes = []
    if dropped:
        notes.append(f"left out {len(dropped):,} unexpected tensors: {families(dropped)}")
    if network.beside and network.released:
        notes.append(f"left out {len(network.beside):,} tensors beside the network: {families(network.beside)}")
    if checkpoint.extras:
        notes.append(f"left out what lay beside the tensors: {', '.join(checkpoint.extras[:12])}")
    return tuple(notes)
