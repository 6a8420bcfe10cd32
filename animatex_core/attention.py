"""Attention, feed-forward, and the transformer block that space, motion and time share.

Every branch returns a fresh tensor, to which its owner adds the input in place; autograd needs neither of the two.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from .config import UNetConfig
from .layers import Layers, heads_of, in_chunks, merge_heads


class Attention(nn.Module):
    """Multi-head attention. Without a context the tokens attend to themselves."""

    def __init__(self, width: int, heads: int, head_width: int, context_width: int | None, layers: Layers):
        super().__init__()
        self.heads = heads
        self.attend = layers.attention
        inner = heads * head_width
        self.query = layers.linear(width, inner, bias=False)
        self.key = layers.linear(context_width or width, inner, bias=False)
        self.value = layers.linear(context_width or width, inner, bias=False)
        self.out = layers.linear(inner, width)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """x [n, length, width], context [n, m, context width] -> [n, length, width]."""
        source = x if context is None else context
        query, key, value = (heads_of(t, self.heads) for t in (self.query(x), self.key(source), self.value(source)))
        return self.out(merge_heads(self.attend(query, key, value)))


class FeedForward(nn.Module):
    """GEGLU: value * gelu(gate), both from one linear layer."""

    def __init__(self, width: int, multiple: int, layers: Layers):
        super().__init__()
        self.up = layers.linear(width, 2 * multiple * width)
        self.down = layers.linear(multiple * width, width)
        self.hidden = 2 * multiple * width

    def forward(self, x: Tensor) -> Tensor:
        """[n, length, width] -> the same, a chunk of rows at a time."""
        return in_chunks(self._rows, x.flatten(0, 1), self.hidden).view_as(x)

    def _rows(self, x: Tensor) -> Tensor:
        value, gate = self.up(x).chunk(2, dim=-1)
        return self.down(functional.gelu(gate).mul(value))


class TransformerBlock(nn.Module):
    """Pre-norm self-attention, attention to the context (or again to itself), feed-forward."""

    def __init__(self, width: int, heads: int, config: UNetConfig, context_width: int | None, layers: Layers):
        super().__init__()
        self.self_norm = layers.layer_norm(width)
        self.self_attention = Attention(width, heads, width // heads, None, layers)
        self.cross_norm = layers.layer_norm(width)
        self.cross_attention = Attention(width, heads, width // heads, context_width, layers)
        self.feed_norm = layers.layer_norm(width)
        self.feed_forward = FeedForward(width, config.feed_forward, layers)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """x [n, length, width]; context [b, m, context width] with b a divisor of n, or None.

        A context with fewer rows is shared by n / b consecutive ones: their tokens are read as one long sequence, so
        keys and values of the context are computed once.
        """
        x = self.self_attention(self.self_norm(x)).add_(x)
        queries = self.cross_norm(x)
        if context is not None:
            queries = queries.reshape(context.shape[0], -1, x.shape[-1])
        x = self.cross_attention(queries, context).view_as(x).add_(x)
        return self.feed_forward(self.feed_norm(x)).add_(x)
