"""Writing .safetensors one tensor at a time: memory stays small however large the file, and a failure leaves nothing.

The library's own writer wants all tensors in memory. Here each is cast in pieces on its way to the file.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from .atomic_file import naming_errors, replacing
from .tensor_files import DTYPES, MAX_HEADER_BYTES, PathLike, WeightsError

NUMBERS_AT_ONCE = 1 << 22
DISK_RESERVE = 16 << 20
_NAMES = {dtype: name for name, dtype in DTYPES.items()}


@dataclass(frozen=True)
class Cast:
    """A tensor to write, the dtype to write it in, and where it is from, for messages."""

    tensor: Tensor
    dtype: torch.dtype
    source: str

    @property
    def bytes(self) -> int:
        """Its size in the file."""
        return self.tensor.numel() * self.dtype.itemsize


def write_tensors(
    out: PathLike, casts: Mapping[str, Cast], metadata: Mapping[str, str], step: Callable[[int], None] | None = None
) -> None:
    """Write a .safetensors file, whole or not at all; one that is there is replaced.

    step: called with the bytes of every piece once it is written.
    Raises WeightsError: the disk has no room, or a number is not finite or does not fit the dtype (its source is
    named); OutputError: the system cannot write.
    """
    out = Path(out)
    names = sorted(casts, key=lambda name: (-casts[name].dtype.itemsize, name))
    header = _header({name: casts[name] for name in names}, metadata)
    total = sum(cast.bytes for cast in casts.values())
    _check_room(out, len(header) + total)
    with replacing(out, overwrite=True) as temporary, naming_errors(out), open(temporary, "xb") as file:
        file.write(header)
        for name in names:
            for piece in _pieces(casts[name]):
                written = file.write(piece)
                if step is not None:
                    step(written)


def _header(casts: Mapping[str, Cast], metadata: Mapping[str, str]) -> bytes:
    """Length and JSON, padded so that the tensors start at a multiple of 8."""
    fields: dict[str, object] = {"__metadata__": dict(metadata)}
    position = 0
    for name, cast in casts.items():
        end = position + cast.bytes
        fields[name] = {"dtype": _NAMES[cast.dtype], "shape": list(cast.tensor.shape), "data_offsets": [position, end]}
        position = end
    text = json.dumps(fields, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > MAX_HEADER_BYTES:
        raise WeightsError(f"the header would have {len(text):,} bytes, at most {MAX_HEADER_BYTES:,} can be read back")
    return len(text).to_bytes(8, "little") + text


def _check_room(out: Path, needed: int) -> None:
    if not out.parent.is_dir():
        raise WeightsError(f"{out}: there is no folder {out.parent}")
    if out.is_dir():
        raise WeightsError(f"{out}: is a folder, expected the name of a file")
    free = shutil.disk_usage(out.parent).free
    if free < needed + DISK_RESERVE:
        raise WeightsError(f"{out}: needs {needed / 1e9:.2f} GB, the disk has {free / 1e9:.2f} GB left")


def _pieces(cast: Cast) -> Iterator[bytes]:
    """The bytes of a tensor in its dtype, checked on the way."""
    for piece in cast.tensor.flatten().split(NUMBERS_AT_ONCE):
        if piece.is_floating_point() and piece.numel():
            _check_range(cast.source, piece, cast.dtype)
        yield piece.to(cast.dtype).contiguous().view(torch.uint8).numpy().tobytes()


def _check_range(source: str, piece: Tensor, dtype: torch.dtype) -> None:
    numbers = piece.to(torch.float16) if piece.dtype.itemsize == 1 else piece  # torch has no extremes of 8-bit numbers
    low, high = (float(extreme) for extreme in numbers.aminmax())
    largest = max(-low, high)
    if not largest < float("inf"):  # also where an extreme is NaN
        bad = numbers[torch.isfinite(numbers).logical_not()][0].item()
        raise WeightsError(f"{source}: holds {bad}: the weights are broken")
    if dtype != piece.dtype and not torch.isfinite(torch.tensor(largest, dtype=torch.float64).to(dtype)):
        raise WeightsError(
            f"{source}: its largest number {largest:g} does not fit {str(dtype).removeprefix('torch.')} "
            f"(at most {torch.finfo(dtype).max:g}): convert to bf16 or fp32"
        )
