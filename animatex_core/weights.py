"""Loading a model file: memory-mapped, strict, and either whole or not at all."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from .config import AnimateXConfig
from .identify import describe, open_mapped
from .inventory import POSITIONS, Difference, empty_model
from .ipi import position_table
from .layers import Layers
from .model import AnimateX
from .network_files import BUNDLES, embedded_config, find_network, network_config, network_difference
from .tensor_files import PathLike, WeightsError

__all__ = ["LoadedState", "WeightsError", "extremes", "load_model", "load_part", "load_state"]

LOG = logging.getLogger(__name__)
SCANNED_AT_ONCE = 1 << 20  # numbers: a chunk that stays in the cache


class LoadedState(NamedTuple):
    """Our tensor names -> tensors (views of the mapped file), the configuration, and the file's metadata."""

    state: dict[str, Tensor]
    config: AnimateXConfig
    metadata: Mapping[str, str]


class MismatchError(WeightsError):
    """A model file that is not complete; `difference` has the full lists."""

    def __init__(self, message: str, difference: Difference):
        super().__init__(message)
        self.difference = difference


def load_model(
    path: PathLike,
    *,
    layers: Layers | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
    check_finite: bool = True,
) -> AnimateX:
    """The model of a converted file, or of one that ComfyUI saved; for inference, without gradients.

    On the CPU and in the dtype of the file (dtype=None) the weights stay in the mapped file: nothing is copied. A file
    of 8-bit weights needs a dtype here, unless the layers cast by themselves.
    Raises WeightsError: another model, missing or misshapen tensors (all of them listed), or numbers that are not
    finite (check_finite=False leaves that scan out).
    """
    state, config, _ = load_state(path, check_finite=check_finite)
    model = empty_model(config, layers or Layers(), len(state))
    target = dtype or _weight_dtype(state)
    for name in list(state):
        wanted = target if name in ("empty_prompt", POSITIONS) and dtype is None else dtype
        state[name] = state[name].to(device=device, dtype=wanted)
    model.load_state_dict(state, strict=True, assign=True)
    return model.requires_grad_(False).train(False)


def load_state(path: PathLike, *, check_finite: bool = True) -> LoadedState:
    """The checked tensors of a model file, as they are in it. Raises WeightsError like `load_model`."""
    checkpoint = open_mapped(path)
    network = find_network(checkpoint.shapes)
    if network is None or network.released:
        report = describe(checkpoint)
        raise WeightsError(f"{path}: no converted Animate-X model but {report.title}. {report.advice}".rstrip(". "))
    try:
        config = network_config(network, checkpoint.metadata, embedded_config(checkpoint))
        difference = network_difference(network, config)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error
    if difference:
        message = f"{path}: not a complete {network.variant} model: " + "; ".join(difference.lines())
        raise MismatchError(message, difference)
    state = {name: checkpoint.tensors[network.prefix + name] for name in network.shapes}
    _check_numbers(path, state, check_finite)
    _fit_positions(path, state, config)
    return LoadedState(state, config, checkpoint.metadata)


def load_part(path: PathLike, part: str) -> dict[str, Tensor]:
    """A bundled model ("vae" or "clip_vision") by its own names; empty when the file holds none."""
    if part not in BUNDLES:
        raise ValueError(f"part must be one of {', '.join(BUNDLES)}, got {part!r}")
    prefix = f"{part}."
    tensors = open_mapped(path).tensors
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def extremes(name: str, tensor: Tensor) -> tuple[float, float]:
    """Smallest and largest number of a tensor. Raises WeightsError naming it when one is NaN or infinite."""
    flat = tensor.flatten()
    if not flat.numel():
        return 0.0, 0.0
    if flat.dtype in (torch.float8_e4m3fn, torch.float8_e5m2):
        flat = flat.to(torch.float16)
    lowest, highest = 0.0, 0.0
    for chunk in flat.split(SCANNED_AT_ONCE):
        low, high = (float(number) for number in chunk.aminmax())
        # Either extreme is NaN where one number is.
        if not (low >= -torch.finfo(torch.float64).max and high <= torch.finfo(torch.float64).max):
            bad = torch.isfinite(flat).logical_not()
            first = int(bad.nonzero()[0])
            what = f"the first is {flat[first].item()} at position {first:,}"
            raise WeightsError(f"{name}: {int(bad.sum()):,} of {flat.numel():,} numbers are not finite, {what}")
        lowest, highest = min(low, lowest), max(high, highest)
    return lowest, highest


def _check_numbers(path: PathLike, state: Mapping[str, Tensor], scan: bool) -> None:
    nothing = True
    for name, tensor in state.items():
        if not tensor.is_floating_point():
            raise WeightsError(f"{path}: {name}: expected floating-point numbers, found {tensor.dtype}")
        if scan:
            try:
                nothing = extremes(name, tensor) == (0.0, 0.0) and nothing
            except WeightsError as error:
                raise WeightsError(f"{path}: {error}") from error
    if scan and nothing:
        raise WeightsError(f"{path}: every number of the model is zero")


def _fit_positions(path: PathLike, state: dict[str, Tensor], config: AnimateXConfig) -> None:
    if config.ipi is None or POSITIONS not in state or state[POSITIONS].shape[1] == config.ipi.positions:
        return
    length = state[POSITIONS].shape[1]
    LOG.info("%s: table of %d positions rebuilt for %d", path, length, config.ipi.positions)
    state[POSITIONS] = position_table(config.ipi.positions, config.ipi.width).to(state[POSITIONS].dtype)


def _weight_dtype(state: Mapping[str, Tensor]) -> torch.dtype:
    """The dtype that the buffers take beside weights of the file's dtype: never below 16 bits."""
    dtype = state["unet.entrance.weight"].dtype
    return dtype if dtype.itemsize >= 2 else torch.float16
