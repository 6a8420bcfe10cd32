"""Where layers and attention come from: a host can inject its own (weight casting, offloading, other kernels)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from .normalise import GroupNorm

# Scaled dot-product attention: query, key, value [N, heads, length, head width] -> the shape of the query.
AttentionFunction = Callable[[Tensor, Tensor, Tensor], Tensor]

# Fused kernels launch one grid cell per batch row and fail beyond 65,535; the temporal modules have 6,144 rows a sample
# at 96x64 latents.
MAX_ATTENTION_ROWS = 1 << 15

# Numbers in the widest tensor of a chunk. The largest of the released network would take 1.66 GB in fp16 (the first
# temporal feed-forward); on a CPU chunks that stay in its cache are also faster.
CHUNK_NUMBERS = 1 << 27
CHUNK_NUMBERS_CPU = 1 << 20


# Up to these lengths a CPU's fused kernel is slower than two products: it spends its time on setting up, and where
# gradients flow in half precision its backward pass takes up to six times as long (384 queries, 4 keys).
SHORT_CPU, SHORT_CPU_LEARNING_HALF = 32, 512


def fused_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """PyTorch's fused attention over [N, heads, length, head width], any N."""
    if query.device.type == "cpu":
        learning = query.requires_grad and query.dtype != torch.float32
        short = SHORT_CPU_LEARNING_HALF if learning else SHORT_CPU
        if max(query.shape[2], key.shape[2]) <= short:
            return plain_attention(query, key, value)
    if query.shape[0] <= MAX_ATTENTION_ROWS:
        return functional.scaled_dot_product_attention(query, key, value)
    rows = zip(*(t.split(MAX_ATTENTION_ROWS) for t in (query, key, value)), strict=True)
    return torch.cat([functional.scaled_dot_product_attention(q, k, v) for q, k, v in rows])


def plain_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(width)) v of [N, heads, length, width] as two batched products."""
    q, k, v = (x.flatten(0, 1) for x in (query, key, value))
    weights = torch.bmm(q * q.shape[-1] ** -0.5, k.transpose(1, 2)).softmax(dim=-1)
    return torch.bmm(weights, v).view_as(query)


class Operations:
    """PyTorch's own layers."""

    Linear, Conv2d, LayerNorm = nn.Linear, nn.Conv2d, nn.LayerNorm
    GroupNorm = GroupNorm


@dataclass(frozen=True)
class Layers:
    """A maker of layers: `operations` has Linear, Conv2d, GroupNorm, LayerNorm with the signatures of torch.nn."""

    operations: Any = Operations
    attention: AttentionFunction = fused_attention
    dtype: torch.dtype | None = None
    device: torch.device | str | None = None

    def linear(self, inputs: int, outputs: int, bias: bool = True) -> nn.Module:
        """[..., inputs] -> [..., outputs]."""
        return self.operations.Linear(inputs, outputs, bias=bias, dtype=self.dtype, device=self.device)

    def conv(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Module:
        """A square convolution that keeps the size (divided by the stride)."""
        return self.operations.Conv2d(
            inputs, outputs, kernel, stride=stride, padding=kernel // 2, dtype=self.dtype, device=self.device
        )

    def conv_over_time(self, channels: int) -> nn.Module:
        """Kernel 3 over the first of two axes: a (3, 1, 1) convolution over [N, C, frames, pixels]."""
        return self.operations.Conv2d(channels, channels, (3, 1), padding=(1, 0), dtype=self.dtype, device=self.device)

    def group_norm(self, groups: int, channels: int, eps: float = 1e-5) -> nn.Module:
        """Normalisation over channel groups and all positions of a sample."""
        return self.operations.GroupNorm(groups, channels, eps=eps, dtype=self.dtype, device=self.device)

    def layer_norm(self, width: int) -> nn.Module:
        """Normalisation over the last axis."""
        return self.operations.LayerNorm(width, dtype=self.dtype, device=self.device)

    def parameter(self, *shape: int) -> nn.Parameter:
        """A bare parameter, zero until it is loaded or trained; its owner casts it to the input at use."""
        return nn.Parameter(torch.zeros(shape, dtype=self.dtype, device=self.device))


def heads_of(x: Tensor, heads: int) -> Tensor:
    """[N, length, heads * width] -> [N, heads, length, width], a view."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """[N, heads, length, width] -> [N, length, heads * width]."""
    return x.transpose(1, 2).flatten(2)


def silu(fresh: Tensor) -> Tensor:
    """SiLU of a tensor that nobody else holds: in place when no gradient flows."""
    return functional.silu(fresh, inplace=not fresh.requires_grad)


def in_chunks(function: Callable[[Tensor], Tensor], rows: Tensor, numbers_per_row: int) -> Tensor:
    """A function of independent rows [n, ...] that keeps their shape, applied to some of them at a time.

    numbers_per_row is the width of the function's widest tensor. Where gradients are recorded everything is kept
    anyway, and it runs in one go.
    """
    budget = CHUNK_NUMBERS_CPU if rows.device.type == "cpu" else CHUNK_NUMBERS
    step = max(1, budget // numbers_per_row)
    if torch.is_grad_enabled() or rows.shape[0] <= step:
        return function(rows)
    out = rows.new_empty(rows.shape)
    for chunk, target in zip(rows.split(step), out.split(step), strict=True):
        target.copy_(function(chunk))
    return out
