"""Checkpoints on disk, each whole or not there at all.

A checkpoint is a folder `step-00001000` of safetensors files, one JSON file and a manifest with the size and sha256 of
each. It is written under another name, flushed, and renamed. A crash at any moment leaves the checkpoint before.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from animatex_core.atomic_file import OutputError, write_failure

LOG = logging.getLogger(__name__)
MANIFEST, STATE = "manifest.json", "state.json"
_NAME = re.compile(r"step-(\d{8,})")
_PARTIAL, _ASIDE = ".partial-", "broken-"
PIECE = 1 << 22
DISK_RESERVE = 16 << 20


@dataclass(frozen=True)
class Saved:
    """What a checkpoint holds: groups of tensors by name, and numbers and texts for JSON."""

    tensors: Mapping[str, Mapping[str, Tensor]]
    state: Mapping[str, Any]


class BrokenCheckpoint(ValueError):
    """A checkpoint that is not what its manifest says."""


class Checkpoints:
    """The checkpoints of a run, in one folder."""

    def __init__(self, folder: Path, keep: int):
        self.folder, self.keep = folder, keep

    def steps(self) -> list[int]:
        """The steps of the checkpoints, the newest first."""
        if not self.folder.is_dir():
            return []
        found = [_NAME.fullmatch(path.name) for path in self.folder.iterdir()]
        return sorted((int(match[1]) for match in found if match), reverse=True)

    def path(self, step: int) -> Path:
        """The folder of a step's checkpoint."""
        return self.folder / f"step-{step:08d}"

    def save(self, step: int, saved: Saved) -> Path:
        """Write a checkpoint, then remove the oldest ones beyond `keep`. One of this step that is there stays.

        Raises OutputError when it cannot be written; what was there stays.
        """
        if self.path(step).exists():
            return self.path(step)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._remove_leftovers()
            self._check_room(saved)
            self._write(step, saved)
        except OSError as error:
            raise OutputError(
                f"{self.path(step)}: {write_failure(error)}; earlier checkpoints are untouched"
            ) from error
        self._prune(step)
        return self.path(step)

    def newest(self) -> tuple[int, Saved] | None:
        """The newest checkpoint that is complete; a broken one is set aside with a warning.

        Raises BrokenCheckpoint when all were broken, and OSError where the machine cannot read one now.
        """
        told = None
        for step in self.steps():
            try:
                return step, self.read(step)
            except BrokenCheckpoint as error:
                aside = self.folder / f"{_ASIDE}{self.path(step).name}-{secrets.token_hex(4)}"
                told = error
                LOG.warning("%s; it is set aside as %s, going back to the one before", error, aside.name)
                self.path(step).rename(aside)
        if told is not None:
            raise BrokenCheckpoint(
                f"{told}; no complete checkpoint is left; train --resume, once more, begins anew"
            ) from told
        return None

    def read(self, step: int) -> Saved:
        """A checkpoint, checked against its manifest.

        Raises BrokenCheckpoint, and OSError where the machine cannot read it now.
        """
        path = self.path(step)
        try:
            verify(path)
            state = json.loads((path / STATE).read_text())
            return Saved({file.stem: load_file(file) for file in sorted(path.glob("*.safetensors"))}, state)
        except (FileNotFoundError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise error if isinstance(error, BrokenCheckpoint) else BrokenCheckpoint(f"{path}: {error}") from error

    def _write(self, step: int, saved: Saved) -> None:
        temporary = self.folder / f"{_PARTIAL}{self.path(step).name}-{secrets.token_hex(4)}"
        temporary.mkdir()
        try:
            manifest = {}
            for name, tensors in saved.tensors.items():
                manifest |= write_file(temporary / f"{name}.safetensors", save(dict(tensors)))
            manifest |= write_file(temporary / STATE, json.dumps(saved.state).encode())
            write_file(temporary / MANIFEST, json.dumps(manifest).encode())
            flush_folder(temporary)
            os.rename(temporary, self.path(step))
            flush_folder(self.folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _check_room(self, saved: Saved) -> None:
        """Before anything is written: half a checkpoint helps nobody and the disk is full then."""
        needed = sum(t.nbytes for tensors in saved.tensors.values() for t in tensors.values()) + DISK_RESERVE
        free = shutil.disk_usage(self.folder).free
        if free < needed:
            raise OutputError(
                f"{self.folder}: a checkpoint needs {needed / 1e9:.2f} GB, the disk has {free / 1e9:.2f} GB left; "
                "earlier checkpoints are untouched"
            )

    def _remove_leftovers(self) -> None:
        """What a killed process left unfinished."""
        for path in self.folder.glob(f"{_PARTIAL}*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _prune(self, written: int) -> None:
        """Keep the one just written and the newest others; a folder vanishes by one rename."""
        others = [step for step in self.steps() if step != written]
        for step in others[self.keep - 1 :]:
            doomed = self.folder / f"{_PARTIAL}doomed-{secrets.token_hex(4)}"
            self.path(step).rename(doomed)
            shutil.rmtree(doomed, ignore_errors=True)


def verify(path: Path) -> None:
    """Raises BrokenCheckpoint naming the file that is missing or not what the manifest says."""
    try:
        manifest = json.loads((path / MANIFEST).read_text())
        files = dict(manifest)
    except (FileNotFoundError, TypeError, ValueError) as error:
        raise BrokenCheckpoint(f"{path / MANIFEST}: cannot be read ({error})") from error
    for name, facts in files.items():
        file = path / name
        if not file.is_file():
            raise BrokenCheckpoint(f"{file}: is missing")
        if file.stat().st_size != facts["bytes"]:
            raise BrokenCheckpoint(f"{file}: has {file.stat().st_size} bytes, expected {facts['bytes']}")
        if sha256(file) != facts["sha256"]:
            raise BrokenCheckpoint(f"{file}: its contents have changed (sha256)")


def sha256(path: Path) -> str:
    """Of a file's contents."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(PIECE):
            digest.update(piece)
    return digest.hexdigest()


def write_file(path: Path, contents: bytes) -> dict[str, dict[str, Any]]:
    """Write and flush a file; returns its line of the manifest."""
    view = memoryview(contents)
    with open(path, "wb") as file:
        for start in range(0, len(view), PIECE):
            file.write(view[start : start + PIECE])
        file.flush()
        os.fsync(file.fileno())
    return {path.name: {"bytes": len(contents), "sha256": hashlib.sha256(contents).hexdigest()}}


def flush_folder(path: Path) -> None:
    """Make the names in a folder last, where the system can (Windows cannot open a folder)."""
    if os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
