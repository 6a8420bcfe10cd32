"""Muon (Jordan et al. 2024): momentum made orthogonal for weights that are matrices, AdamW for everything else.

A gradient of a matrix has a few large directions that hide the rest. Here those down to a hundredth of the largest move
at about one length, smaller ones up to some 480 times (3.4445^5) as far as they would, and a step learns more. A
convolution counts as the matrix that multiplies its patches. The scale is Liu et al.'s (2025, section 2.2),
so that rates and weight decay of AdamW serve here.

torch.optim.Muon takes weights of two axes alone, so no convolution, and one matrix after the other: here all of a shape
go at once, which for a network of many small ones takes two thirds of the time.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

MATRICES, MOMENTUM = "matrices", "momentum"
LENGTH = 0.2  # of AdamW's usual update, root mean square
ITERATIONS = 5
QUINTIC = (3.4445, -4.7750, 2.0315)  # Newton-Schulz, Jordan et al.: steep at 0, within 0.7 and 1.2 at the end


class Muon(torch.optim.AdamW):
    """AdamW, but for groups with `matrices` true: those hold weights of two or more axes."""

    def __init__(self, groups: Iterable[dict[str, Any]], **options: Any):
        super().__init__(groups, **options)
        # With fused kernels a GradScaler would leave it to them to skip a step with infinities, which matrices do not
        # pass through; without this it skips the whole step itself.
        self._step_supports_amp_scaling = False

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """One step. The gradients of matrices are used up: they are None afterwards. There is no closure."""
        for group in self.param_groups:
            if group.get(MATRICES):
                weights = [weight for weight in group["params"] if weight.grad is not None]
                for same in _by_shape(weights):
                    self._step_matrices(same, group)
        super().step()

    def _step_matrices(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        """Weights of one shape at once: many small products cost little more than one."""
        ahead = torch.stack([self._look_ahead(weight, group["betas"][0]) for weight in weights])
        scale = LENGTH * max(ahead.shape[1:]) ** 0.5
        for weight, update in zip(weights, orthogonal(ahead), strict=True):
            weight.mul_(1 - group["lr"] * group["weight_decay"])
            weight.add_(update.view_as(weight), alpha=-group["lr"] * scale)
            weight.grad = None

    def _look_ahead(self, weight: Tensor, beta: float) -> Tensor:
        """Nesterov's: the gradient, moved towards the momentum after this step; a matrix."""
        assert weight.grad is not None
        state = self.state[weight]
        if MOMENTUM not in state:
            state[MOMENTUM] = torch.zeros_like(weight)
        momentum = state[MOMENTUM].lerp_(weight.grad, 1 - beta)
        return weight.grad.lerp(momentum, beta).flatten(1)


def orthogonal(matrices: Tensor) -> Tensor:
    """Near the matrices [k, m, n] with the same directions and singular values of 1, worked out in bfloat16.

    0.7 to 1.2 where a singular value was above a hundredth of the largest, less where it was below.
    """
    a, b, c = QUINTIC
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = (matrices.mT if tall else matrices).bfloat16()
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(ITERATIONS):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).to(matrices.dtype)


def _by_shape(weights: Iterable[Tensor]) -> Iterable[list[Tensor]]:
    shapes: dict[torch.Size, list[Tensor]] = {}
    for weight in weights:
        shapes.setdefault(weight.shape, []).append(weight)
    return shapes.values()
