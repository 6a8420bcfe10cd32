"""Clips on disk: one .safetensors a clip, written whole or not at all, read at random through a memory map.

A clip is a shard of its own because a sample is drawn, not streamed: whatever is read follows from (epoch, batch),
and no state of a reader has to be kept to resume. The index lists the clips in a fixed order and is written last.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from animatex_core.atomic_file import naming_errors, replacing
from animatex_core.choices import FitMode

INDEX, CLIPS, FORMAT = "index.json", "clips", 1


class DatasetError(ValueError):
    """A data set that cannot be used: the message names the file and the cause."""


@dataclass(frozen=True, kw_only=True)
class ClipRecord:
    """What the index says of a clip. width, height: of its pictures; canvas: of the video and the poses, pixels."""

    clip: str
    video: str
    start: int  # frame of the video, after thinning to fps
    frames: int
    width: int
    height: int
    canvas: tuple[int, int]
    fps: float
    fit: FitMode
    store: str  # "latents" or "frames"
    people: float  # share of frames with a person
    bytes: int
    source: str = ""
    licence: str = ""
    consent: str = ""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height: the bucket it is in."""
        return (self.width, self.height)


@dataclass(frozen=True)
class Index:
    """A prepared data set. settings: those of its preparation; skipped: name and reason of what was left out."""

    clips: tuple[ClipRecord, ...]
    settings: dict[str, Any]
    skipped: tuple[tuple[str, str], ...]

    @cached_property
    def fingerprint(self) -> str:
        """Changes with any clip, its order or the way it was prepared."""
        told = [[c.clip, c.frames, c.width, c.height] for c in self.clips]
        return hashlib.sha256(json.dumps([FORMAT, told], sort_keys=True).encode()).hexdigest()


def clip_path(folder: Path, clip: str) -> Path:
    """Where a clip lies."""
    return folder / CLIPS / f"{clip}.safetensors"


def write_clip(folder: Path, clip: str, tensors: Mapping[str, Tensor]) -> int:
    """Write a clip; one that is there is replaced. Returns its bytes. Raises OutputError when it cannot be written."""
    path = clip_path(folder, clip)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, overwrite=True) as temporary, naming_errors(path):
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary)
    return path.stat().st_size


class ClipFile:
    """A clip's tensors; parts are read, not the whole."""

    def __init__(self, folder: Path, record: ClipRecord):
        self.path = clip_path(folder, record.clip)
        if not self.path.is_file() or self.path.stat().st_size != record.bytes:
            found = f"{self.path.stat().st_size:,} bytes" if self.path.is_file() else "no such file"
            raise DatasetError(f"{self.path}: expected {record.bytes:,} bytes, found {found}: run prepare again")

    def holds(self, name: str) -> bool:
        """Whether there is such a tensor. Raises DatasetError naming the file."""
        return name in self._names

    @cached_property
    def _names(self) -> frozenset[str]:
        try:
            with safe_open(self.path, "pt") as file:
                return frozenset(file.keys())
        except (SafetensorError, OSError) as error:
            raise DatasetError(f"{self.path}: {error}") from error

    def read(self, name: str, span: slice | None = None) -> Tensor:
        """A tensor, or the frames that `span` picks of it. Raises DatasetError naming the file."""
        try:
            with safe_open(self.path, "pt") as file:
                if span is None:
                    return file.get_tensor(name)
                return file.get_slice(name)[span.start : span.stop][:: span.step or 1]
        except (SafetensorError, OSError) as error:
            raise DatasetError(f"{self.path}: {name}: {error}") from error


def write_json(path: Path, document: Any) -> None:
    """Write JSON whole or not at all."""
    with replacing(path, overwrite=True) as temporary, naming_errors(path):
        temporary.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n")


def write_index(folder: Path, index: Index) -> None:
    """Write the index, which makes the data set what it is."""
    clips = [asdict(record) for record in index.clips]
    write_json(
        folder / INDEX,
        {"format": FORMAT, "settings": index.settings, "clips": clips, "skipped": list(index.skipped)},
    )


def read_index(folder: Path) -> Index:
    """Read a prepared data set's index. Raises DatasetError: none there, of another format, or damaged."""
    path = folder / INDEX
    if not path.is_file():
        raise DatasetError(f"{path}: no such file; write a data set with: animate-x-train prepare VIDEOS {folder}")
    try:
        document = json.loads(path.read_text())
        if document.get("format") != FORMAT:
            raise DatasetError(f"{path}: format {document.get('format')!r}, expected {FORMAT}: prepare it again")
        clips = tuple(record_of(values) for values in document["clips"])
        return Index(clips, document["settings"], tuple((name, why) for name, why in document["skipped"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(f"{path}: the index is damaged: {error}") from error


def record_of(values: Mapping[str, Any]) -> ClipRecord:
    """A record from JSON."""
    known = {f.name for f in fields(ClipRecord)}
    if set(values) - known:
        raise ValueError(f"unknown fields {', '.join(sorted(set(values) - known))}")
    return ClipRecord(**{**values, "canvas": tuple(values["canvas"])})
