"""Opening PyTorch archives (.pth, .ckpt, .bin) without running what is in them. For conversion and inspection only.

The one place of the package that calls torch.load: always `weights_only=True`, never another way round. Releases before
torch 2.10 are refused because their restricted reader had holes (CVE-2025-32434, CVE-2026-24747).
"""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .tensor_files import MAX_TENSORS, Checkpoint, PathLike, WeightsError, container_of, file_size

OLDEST_TORCH = (2, 10)
MAX_PICKLE_BYTES = 16 << 20  # the list of names and shapes: 0.3 MB in the released file
MAX_RECORDS = 4 * MAX_TENSORS

# Where training programs put the weights, in the order of preference.
_WRAPPERS = ("state_dict", "model", "module", "model_state_dict", "params", "ema", "model_ema", "ema_state_dict")


class Inert:
    """Stands in for what training programs leave beside the weights: takes anything, does nothing."""

    def __new__(cls, *_: Any) -> Inert:
        return super().__new__(cls)

    def __init__(self, *_: Any):
        pass

    def __setstate__(self, _: Any) -> None:
        pass


# Names in the published Stable Diffusion checkpoints whose values nobody needs.
_IGNORED = (
    "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.dtype",
    "numpy.dtypes.Float64DType",
    "numpy.dtypes.Float32DType",
    "numpy.dtypes.Int64DType",
    "_codecs.encode",
)


def open_pickle(path: PathLike) -> Checkpoint:
    """The tensors of a PyTorch archive, mapped from the file. Raises WeightsError; no code of the file ever runs."""
    _check_torch()
    _check_archive(path)
    try:
        with torch.serialization.safe_globals([(Inert, name) for name in _IGNORED]):
            content = torch.load(os.fspath(path), map_location="cpu", mmap=True, weights_only=True)
    except Exception as error:  # a hostile stream of instructions can raise anything; nothing of it is kept
        raise WeightsError(f"{path}: {_reason(error)}") from None
    try:
        tensors, extras = _unwrap(content)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error
    return Checkpoint(Path(path), "PyTorch archive", tensors, {}, extras)


def _check_torch() -> None:
    version = tuple(int(number) for number in re.findall(r"\d+", torch.__version__)[:2])
    if version < OLDEST_TORCH:
        raise WeightsError(
            f"PyTorch archives are opened with torch 2.10 or newer only, this is {torch.__version__} "
            'with known holes: pip install "torch>=2.10", or convert the file on another machine'
        )


def _check_archive(path: PathLike) -> None:
    """Refuse everything but a plain archive of today's torch.save, before torch looks at it."""
    file_size(path)
    if os.fspath(path).lower().endswith(".safetensors"):
        raise WeightsError(f"{path}: named .safetensors, but is a zip archive: not opened")
    try:
        with open(path, "rb") as file:
            start = file.read(64)
        if not zipfile.is_zipfile(path) or not start.startswith(b"PK\x03\x04"):
            raise WeightsError(f"{path}: not a PyTorch archive{_what_else(start)}")
        with zipfile.ZipFile(path) as archive:
            records = archive.infolist()
    except WeightsError:
        raise
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
        raise WeightsError(f"{path}: the archive is broken: {error}") from error
    pickles = [r for r in records if r.filename.endswith("data.pkl") and r.filename.count("/") == 1]
    if any(r.filename.endswith("/constants.pkl") for r in records):
        raise WeightsError(f"{path}: a TorchScript program, not weights")
    if len(pickles) != 1:
        raise WeightsError(f"{path}: a zip archive, but not of torch.save: {len(pickles)} data.pkl in it, expected one")
    if len(records) > MAX_RECORDS or pickles[0].file_size > MAX_PICKLE_BYTES:
        raise WeightsError(
            f"{path}: {len(records):,} records and a list of {pickles[0].file_size:,} bytes: too large for weights"
        )
    if any(r.compress_type != zipfile.ZIP_STORED or r.flag_bits & 1 for r in records):
        raise WeightsError(f"{path}: compressed or encrypted records: torch.save writes none")


def _what_else(start: bytes) -> str:
    if start.startswith((b"\x80\x02", b"\x80\x04")) or b"././@LongLink" in start:
        return (
            " of today's format but an older one, which is not opened; where you trust it: "
            'python -c "import torch; torch.save(torch.load(OLD, weights_only=True), NEW)"'
        )
    meaning = container_of(start)
    return f" but {meaning}" if meaning else ""


def _reason(error: Exception) -> str:
    refused = re.search(r"GLOBAL (\S+)", str(error))
    if refused:
        return f"refused: it asks to run {refused[1][:100]}, which weights do not need. Nothing of it was run"
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    return f"cannot be opened safely, and is not opened otherwise: {first[:200]}"


def _unwrap(content: Any) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The dictionary of tensors inside, and what lies beside it."""
    if not isinstance(content, Mapping):
        raise WeightsError(f"expected a dictionary of tensors, got {type(content).__name__}")
    chosen = next((name for name in _WRAPPERS if isinstance(content.get(name), Mapping)), None)
    inner = content if chosen is None else content[chosen]
    beside = {k: v for k, v in content.items() if chosen is not None and k != chosen}
    beside |= {k: v for k, v in inner.items() if not isinstance(v, Tensor)}
    tensors = {name: _plain(name, tensor) for name, tensor in inner.items() if isinstance(tensor, Tensor)}
    if not tensors:
        raise WeightsError(f"no tensors in it, only {', '.join(str(k)[:40] for k in list(beside)[:8]) or 'nothing'}")
    if len(tensors) > MAX_TENSORS:
        raise WeightsError(f"{len(tensors):,} tensors, at most {MAX_TENSORS:,} are read")
    wrapper = () if chosen in (None, "state_dict") else (f"weights under {chosen!r}",)
    return tensors, wrapper + tuple(_brief(name, value) for name, value in beside.items())


def _plain(name: Any, tensor: Tensor) -> Tensor:
    if not isinstance(name, str) or not name.isprintable():
        raise WeightsError(f"a tensor is named {str(name)[:80]!a}: expected a printable name")
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
        raise WeightsError(f"{name}: expected a dense tensor, got {tensor.layout} on {tensor.device}")
    if tensor.numel() * tensor.itemsize > tensor.untyped_storage().nbytes():
        raise WeightsError(f"{name}: claims {list(tensor.shape)}, more numbers than the file holds for it")
    return tensor.detach()


def _brief(name: Any, value: Any) -> str:
    shown = f" = {value}" if isinstance(value, (int, float)) else f" ({type(value).__name__})"
    return f"{str(name)[:60]}{shown[:60]}"
