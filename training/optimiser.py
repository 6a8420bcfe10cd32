"""What learns and how fast: freezing by patterns, AdamW or Muon with two learning rates, warm-up, clipping."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from .config import OptimiserSettings, RunSettings, TrainableSettings
from .lora import add_lora
from .muon import MATRICES, Muon

IPI = "ipi."
HALVES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_trainable(network: nn.Module, settings: TrainableSettings, run: RunSettings) -> None:
    """Mark what learns, adding adapters when there is a rank; layers that do not learn take `run.frozen_precision`.

    Raises ValueError when a pattern matches nothing or nothing is left to learn.
    """
    if settings.lora_rank:
        add_lora(network, settings.lora_layers, settings.lora_rank, settings.lora_alpha, run.seed)
    else:
        _freeze(network, settings)
    if not any(p.requires_grad for p in network.parameters()):
        raise ValueError("trainable: every parameter is frozen")
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):  # norms are small, and exact in float32
            for own in module.parameters(recurse=False):
                if not own.requires_grad:
                    own.data = own.data.to(HALVES[run.frozen_precision])


def _freeze(network: nn.Module, settings: TrainableSettings) -> None:
    names = [name for name, _ in network.named_parameters()]
    for key in ("train", "freeze"):
        for pattern in getattr(settings, key):
            if not any(fnmatchcase(name, pattern) for name in names):
                raise ValueError(f"trainable.{key}: {pattern!r} matches no parameter; one is {names[0]}")
    for name, parameter in network.named_parameters():
        learns = any(fnmatchcase(name, p) for p in settings.train)
        parameter.requires_grad_(learns and not any(fnmatchcase(name, p) for p in settings.freeze))


def trainable(network: nn.Module) -> dict[str, nn.Parameter]:
    """Names and parameters that learn."""
    return {name: p for name, p in network.named_parameters() if p.requires_grad}


def make_optimiser(network: nn.Module, settings: OptimiserSettings) -> torch.optim.Optimizer:
    """The optimiser over what learns: the IPI in one group, the rest in another."""
    own = trainable(network)
    ipi, rest = ({n: p for n, p in own.items() if n.startswith(IPI) is inside} for inside in (True, False))
    groups = [*_group(rest, settings.rate, settings.kind), *_group(ipi, settings.ipi_rate, settings.kind)]
    common: dict[str, Any] = {
        "betas": (settings.beta1, settings.beta2),
        "eps": settings.epsilon,
        "weight_decay": settings.weight_decay,
    }
    if settings.kind == "adamw8bit":
        return _eight_bit(groups, common)
    if settings.kind == "muon":
        return Muon(groups, fused=settings.fused, **common)
    return torch.optim.AdamW(groups, fused=settings.fused, **common)


def _group(own: Mapping[str, nn.Parameter], rate: float, kind: str) -> list[dict[str, Any]]:
    """What learns at one rate; for Muon in two groups, the second of weights that multiply."""
    rates = {"lr": rate, "rate": rate}
    if kind != "muon":
        return [{"params": list(own.values()), **rates}] if own else []
    parts = ([p for n, p in own.items() if _multiplies(n, p) is matrices] for matrices in (False, True))
    return [{"params": part, MATRICES: number == 1, **rates} for number, part in enumerate(parts) if part]


def _multiplies(name: str, parameter: nn.Parameter) -> bool:
    """Whether it is the matrix of a linear layer, a convolution or an adapter, and no learned token or filter."""
    return parameter.ndim > 1 and name.endswith((".weight", ".lora_down", ".lora_up"))


def _eight_bit(groups: list[dict[str, Any]], common: dict[str, Any]) -> torch.optim.Optimizer:
    try:
        from bitsandbytes.optim import AdamW8bit  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ImportError('optimiser.kind "adamw8bit" needs bitsandbytes: pip install bitsandbytes') from error
    return AdamW8bit(groups, **common)


def set_rates(optimiser: torch.optim.Optimizer, settings: OptimiserSettings, step: int, steps: int) -> float:
    """Set the learning rates of step 0, 1, ...; returns the share of the full ones."""
    share = min(1.0, (step + 1) / settings.warmup) if settings.warmup else 1.0
    if settings.schedule == "cosine":
        share *= 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps)))
    for group in optimiser.param_groups:
        group["lr"] = group["rate"] * share
    return share


@torch.no_grad()
def clip_gradients(parameters: Iterable[nn.Parameter], largest: float) -> float:
    """Scale gradients down to a norm of `largest` (0: leave them); returns their norm before, over all processes."""
    grads = [p.grad for p in parameters if p.grad is not None]
    norm = nn.utils.get_total_norm(grads)
    norm = norm.full_tensor() if isinstance(norm, DTensor) else norm
    if largest and torch.isfinite(norm):
        _scale(grads, float((largest / (norm + 1e-6)).clamp(max=1.0)))
    return float(norm)


def _scale(grads: list[Tensor], factor: float) -> None:
    if factor < 1:
        for grad in grads:
            grad.mul_(factor)
