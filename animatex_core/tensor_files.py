"""Reading .safetensors from strangers: every promise of the header is checked before the file is mapped.

The library refuses most broken files too, but accepts headers of 100 MB and any number of tensors, and its messages do
not name the file. Nothing is read into memory here: the tensors are views of the mapped file.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

MAX_HEADER_BYTES = 8 << 20  # the released model needs 0.3 MB
MAX_TENSORS = 20_000
MAX_NAME = 1024
PathLike = str | os.PathLike[str]

DTYPES = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "I16": torch.int16,
    "I32": torch.int32,
    "I64": torch.int64,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
}

# How files begin that are often mistaken for .safetensors.
_BEGINNINGS = (
    (b"PK\x03\x04", "a zip archive (what torch.save writes)"),
    (b"\x80\x02", "a bare pickle"),
    (b"\x80\x04", "a bare pickle"),
    (b"GGUF", "a GGUF file"),
    (b"version https://git-lfs", "a Git LFS pointer: the real file was never downloaded"),
    (b"<!doctype html", "a web page: the download failed"),
    (b"<html", "a web page: the download failed"),
)


class WeightsError(ValueError):
    """A file of weights that cannot be used. The message names the file, what was expected and what was found."""


@dataclass(frozen=True)
class Entry:
    """One tensor of a header; offsets are bytes after the header."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True)
class Header:
    """What a .safetensors file says it holds, checked against its size."""

    entries: dict[str, Entry]
    metadata: dict[str, str]


@dataclass(frozen=True)
class Checkpoint:
    """An opened file: tensors are views of the mapped file, read from the disk when they are used."""

    path: Path
    container: str  # "safetensors" or "PyTorch archive"
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str] = field(default_factory=dict)
    extras: tuple[str, ...] = ()  # what lies beside the tensors of a PyTorch archive, in words

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name -> shape."""
        return {name: tuple(tensor.shape) for name, tensor in self.tensors.items()}


def open_safetensors(path: PathLike) -> Checkpoint:
    """Check the header, then map the file. Raises WeightsError naming the file and the cause."""
    header = read_header(path)
    try:
        with safe_open(os.fspath(path), framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in header.entries}
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{path}: cannot be mapped: {error}") from error
    return Checkpoint(Path(path), "safetensors", tensors, header.metadata)


def read_header(path: PathLike) -> Header:
    """Read and check the header alone. Raises WeightsError naming the file and the cause."""
    size = file_size(path)
    try:
        with open(path, "rb") as file:
            start = file.read(64)
            length = int.from_bytes(start[:8], "little")
            reason = _refuse_length(start, length, size)
            if reason:
                raise WeightsError(f"{path}: {reason}")
            file.seek(8)
            text = file.read(length)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror or error}") from error
    try:
        return _parse(text, size - 8 - length)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error


def file_size(path: PathLike) -> int:
    """Bytes of a regular file. Raises WeightsError when there is none."""
    try:
        if not os.path.isfile(path):
            raise WeightsError(f"{path}: {'a folder, not a file' if os.path.isdir(path) else 'no such file'}")
        return os.path.getsize(path)
    except (OSError, ValueError) as error:
        if isinstance(error, WeightsError):
            raise
        raise WeightsError(f"{path}: cannot be read: {error}") from error


def container_of(start: bytes) -> str | None:
    """What the first bytes of a file look like when they are not .safetensors, in words."""
    if start[8:9] == b"{":
        return None
    lowered = start.lstrip().lower()
    for beginning, meaning in _BEGINNINGS:
        if start.startswith(beginning) or lowered.startswith(beginning):
            return meaning
    return None


def _refuse_length(start: bytes, length: int, size: int) -> str | None:
    looks_like = container_of(start)
    if looks_like and (length > MAX_HEADER_BYTES or 8 + length > size or start[8:9] != b"{"):
        return f"not a .safetensors file but {looks_like}"
    if size < 10:
        return f"not a .safetensors file: {size} bytes are too few for a header"
    if length > MAX_HEADER_BYTES:
        return (
            f"not a .safetensors file, or a hostile one: its header would have {length:,} bytes, "
            f"at most {MAX_HEADER_BYTES:,} are read"
        )
    if 8 + length > size:
        return f"truncated: the header has {length:,} bytes, the whole file {size:,}"
    return None


def _parse(text: bytes, data_bytes: int) -> Header:
    try:
        parsed = json.loads(text.decode("utf-8"), object_pairs_hook=_without_duplicates, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        if isinstance(error, WeightsError):
            raise
        cause = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise WeightsError(f"the header is not valid JSON: {cause[:200]}") from error
    if not isinstance(parsed, dict):
        raise WeightsError(f"the header must be a JSON object, got {type(parsed).__name__}")
    metadata = _metadata(parsed.pop("__metadata__", {}))
    if len(parsed) > MAX_TENSORS:
        raise WeightsError(f"{len(parsed):,} tensors in the header, at most {MAX_TENSORS:,} are read")
    entries = {name: _entry(name, value) for name, value in parsed.items()}
    _check_offsets(entries, data_bytes)
    return Header(entries, metadata)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))
        raise WeightsError(f"the header names {twice[:MAX_NAME]!a} twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _metadata(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        raise WeightsError("__metadata__ of the header must map strings to strings")
    return value


def _entry(name: str, value: Any) -> Entry:
    if len(name) > MAX_NAME or not name.isprintable():
        raise WeightsError(f"a tensor is named {name[:80]!a}: not a printable name of at most {MAX_NAME} characters")
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        raise WeightsError(f"{name}: expected an object with dtype, shape and data_offsets")
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise WeightsError(f"{name}: unknown dtype {str(dtype)[:40]!a}")
    if not _sizes(shape) or len(shape) > 16:
        raise WeightsError(f"{name}: shape must be a list of sizes, got {str(shape)[:80]}")
    if not _sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise WeightsError(f"{name}: data_offsets must be [start, end], got {str(offsets)[:80]}")
    expected = math.prod(shape) * DTYPES[dtype].itemsize
    if offsets[1] - offsets[0] != expected:
        raise WeightsError(
            f"{name}: {dtype} {shape} needs {expected:,} bytes, data_offsets give {offsets[1] - offsets[0]:,}"
        )
    return Entry(DTYPES[dtype], tuple(shape), offsets[0], offsets[1])


def _sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(v) is int and 0 <= v < 1 << 62 for v in value)


def _check_offsets(entries: dict[str, Entry], data_bytes: int) -> None:
    position = 0
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].start, item[1].end)):
        if entry.start != position:
            what = "overlaps the tensor before it" if entry.start < position else "leaves a hole before it"
            raise WeightsError(f"{name}: starts at byte {entry.start:,}, expected {position:,}: it {what}")
        position = entry.end
    if position > data_bytes:
        raise WeightsError(f"truncated: the header promises {position:,} bytes of tensors, the file has {data_bytes:,}")
    if position < data_bytes:
        raise WeightsError(f"{data_bytes - position:,} bytes after the last tensor belong to nothing")
