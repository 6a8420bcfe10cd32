"""Low-rank adapters (Hu et al. 2022) on any linear layer or convolution, kept in the names that ComfyUI loads.

y = layer(x) + alpha / rank * up(down(x)). Down is random, up is zero: a new adapter changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

PREFIX = "diffusion_model."


class AdaptedLinear(nn.Linear):
    """A linear layer with an adapter; its own weight stays where it was, under the same name."""

    lora_down: nn.Parameter
    lora_up: nn.Parameter
    lora_scale: float

    def adapt(self, rank: int, alpha: float) -> None:
        """Add the adapter."""
        shape = (rank, self.in_features), (self.out_features, rank)
        _add(self, shape, alpha)

    def forward(self, input: Tensor) -> Tensor:
        """[..., inputs] -> [..., outputs]."""
        linear = nn.functional.linear
        return super().forward(input) + linear(linear(input, self.lora_down), self.lora_up) * self.lora_scale


class AdaptedConv(nn.Conv2d):
    """A convolution with an adapter: down has its kernel, up is 1x1."""

    lora_down: nn.Parameter
    lora_up: nn.Parameter
    lora_scale: float

    def adapt(self, rank: int, alpha: float) -> None:
        """Add the adapter."""
        shape = (rank, *self.weight.shape[1:]), (self.out_channels, rank, 1, 1)
        _add(self, shape, alpha)

    def forward(self, input: Tensor) -> Tensor:
        """[n, c, h, w] -> [n, outputs, h', w']."""
        down = self._conv_forward(input, self.lora_down, None)
        return super().forward(input) + nn.functional.conv2d(down, self.lora_up) * self.lora_scale


Adapted = AdaptedLinear | AdaptedConv


def _add(layer: Any, shapes: tuple[tuple[int, ...], tuple[int, ...]], alpha: float) -> None:
    device = layer.weight.device
    layer.lora_down = nn.Parameter(torch.empty(shapes[0], device=device))
    layer.lora_up = nn.Parameter(torch.zeros(shapes[1], device=device))
    nn.init.kaiming_uniform_(layer.lora_down, a=math.sqrt(5))
    layer.lora_scale = alpha / shapes[0][0]


def add_lora(network: nn.Module, patterns: Sequence[str], rank: int, alpha: float, seed: int) -> list[str]:
    """Adapt the layers whose names match a pattern; everything but the adapters is frozen.

    alpha 0 stands for the rank. Returns the names. Raises ValueError when a pattern matches no layer.
    """
    layers: dict[str, Any] = {n: m for n, m in network.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)}
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in layers):
            raise ValueError(f"trainable.lora_layers: {pattern!r} matches no layer; one is {next(iter(layers), '-')}")
    network.requires_grad_(False)
    chosen = [name for name in layers if any(fnmatchcase(name, pattern) for pattern in patterns)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for name in chosen:
            # The class changes and nothing else: names, hooks and weights stay.
            layers[name].__class__ = _adapted(layers[name])
            layers[name].adapt(rank, alpha or rank)
    return chosen


def _adapted(layer: nn.Module) -> type[nn.Module]:
    return AdaptedLinear if isinstance(layer, nn.Linear) else AdaptedConv


def adapters(network: nn.Module) -> Iterator[tuple[str, Any]]:
    """Names and layers that have an adapter."""
    for name, module in network.named_modules():
        if isinstance(module, Adapted):
            yield name, module


def lora_file(parameters: dict[str, Tensor], alpha: float) -> dict[str, Tensor]:
    """Tensors `<layer>.lora_up`, `<layer>.lora_down` -> those of a LoRA file for ComfyUI's own loader."""
    state = {}
    for name, tensor in parameters.items():
        layer, _, kind = name.rpartition(".")
        if kind not in ("lora_up", "lora_down"):
            raise ValueError(f"{name}: not of an adapter")
        state[f"{PREFIX}{layer}.{kind}.weight"] = tensor
        state[f"{PREFIX}{layer}.alpha"] = torch.tensor(float(alpha))
    return state


def merged(state: dict[str, Tensor], parameters: dict[str, Tensor], alpha: float) -> dict[str, Tensor]:
    """The network's tensors with the adapters worked into the weights."""
    state = dict(state)
    for name, down in parameters.items():
        layer, _, kind = name.rpartition(".")
        if kind != "lora_down":
            continue
        up, weight = parameters[f"{layer}.lora_up"], state[f"{layer}.weight"]
        change = up.float().flatten(1) @ down.float().flatten(1) * (alpha / down.shape[0])
        state[f"{layer}.weight"] = weight.float() + change.view_as(weight)
    return state
