"""The Implicit Pose Indicator (section 3.3): pose queries read the CLIP features of the driving frames.

The queries come from the driver's own keypoints (`PoseQuery`), are added to a learned query, and a stack of attention
layers (`MotionReader`) lets them read one CLIP feature per frame. Frame 0 is the reference. The result is a few motion
tokens per frame for the UNet's motion attention.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from .config import IPIConfig
from .layers import Layers, heads_of, merge_heads, silu


class EncoderLayer(nn.Module):
    """A post-norm transformer layer over the frames."""

    def __init__(self, config: IPIConfig, layers: Layers):
        super().__init__()
        width = config.width
        self.heads, self.attend = config.query_heads, layers.attention
        self.query_key_value = layers.linear(width, 3 * width)
        self.out = layers.linear(width, width)
        self.norm1 = layers.layer_norm(width)
        self.up = layers.linear(width, config.query_feed_forward)
        self.down = layers.linear(config.query_feed_forward, width)
        self.norm2 = layers.layer_norm(width)

    def forward(self, x: Tensor) -> Tensor:
        """[b, f, width] -> the same shape."""
        query, key, value = (heads_of(t, self.heads) for t in self.query_key_value(x).chunk(3, dim=-1))
        x = self.norm1(self.out(merge_heads(self.attend(query, key, value))) + x)
        return self.norm2(self.down(functional.relu(self.up(x))) + x)


class PoseQuery(nn.Module):
    """Keypoints -> queries, with a sinusoid of the frame's position in the clip."""

    positions: Tensor

    def __init__(self, config: IPIConfig, layers: Layers):
        super().__init__()
        width = config.width
        self.tokens = config.tokens
        self.lift1 = layers.linear(2 * config.keypoints, width // 2)
        self.lift2 = layers.linear(width // 2, width)
        self.register_buffer("positions", position_table(config.positions, width, layers))
        self.layers = nn.ModuleList(EncoderLayer(config, layers) for _ in range(config.query_layers))
        self.enter = layers.linear(width, width)
        self.leave = layers.linear(width, width * config.tokens)

    def forward(self, keypoints: Tensor) -> Tensor:
        """[b, f, 2, keypoints], x row then y row, in 0..1 or -1 where absent -> [(b f), tokens, width]."""
        x = self.lift2(self.lift1(keypoints.flatten(2)))
        x = x + self._positions(x)
        for layer in self.layers:
            x = layer(x)
        return self.leave(silu(self.enter(x))).flatten(0, 1).unflatten(-1, (self.tokens, -1))

    def _positions(self, x: Tensor) -> Tensor:
        frames = x.shape[1]
        if frames <= self.positions.shape[1]:
            return self.positions[:, :frames].to(x)
        return position_table(frames, x.shape[2]).to(x)


class ReaderLayer(nn.Module):
    """Queries attend to what they read, the frame's CLIP feature, and to themselves; then a feed-forward."""

    def __init__(self, config: IPIConfig, layers: Layers):
        super().__init__()
        width, inner = config.width, config.reader_heads * config.reader_head_width
        self.heads, self.attend = config.reader_heads, layers.attention
        self.feature_norm = layers.layer_norm(width)
        self.query_norm = layers.layer_norm(width)
        self.query = layers.linear(width, inner, bias=False)
        self.key_value = layers.linear(width, 2 * inner, bias=False)
        self.out = layers.linear(inner, width, bias=False)
        self.feed_norm = layers.layer_norm(width)
        self.up = layers.linear(width, config.reader_feed_forward * width, bias=False)
        self.down = layers.linear(config.reader_feed_forward * width, width, bias=False)

    def forward(self, queries: Tensor, feature: Tensor) -> Tensor:
        """queries [n, tokens, width], feature [n, 1 or more, width] -> [n, tokens, width]."""
        normed = self.query_norm(queries)
        source = torch.cat([self.feature_norm(feature), normed], dim=1)
        query, key, value = (
            heads_of(t, self.heads) for t in (self.query(normed), *self.key_value(source).chunk(2, dim=-1))
        )
        queries = self.out(merge_heads(self.attend(query, key, value))) + queries
        return self.down(functional.gelu(self.up(self.feed_norm(queries)))) + queries


class MotionReader(nn.Module):
    """A stack of reader layers around the learned query."""

    def __init__(self, config: IPIConfig, context_width: int, layers: Layers):
        super().__init__()
        self.from_clip = config.query == "clip"
        self.learned_query = None
        if config.query != "pose":
            self.learned_query = layers.parameter(1, config.tokens, config.width)
        self.enter = layers.linear(config.clip_width, config.width)
        self.layers = nn.ModuleList(ReaderLayer(config, layers) for _ in range(config.reader_layers))
        self.leave = layers.linear(config.width, context_width)
        self.norm = layers.layer_norm(context_width)

    def forward(self, features: Tensor, poses: Tensor | None, alpha: float) -> Tensor:
        """features [n, 1, clip width], poses [n, tokens, width] -> motion tokens [n, tokens, context width].

        Without poses the learned query reads alone.
        """
        source = self.enter(features)
        queries = source.new_zeros(1, 1, 1) if poses is None else poses
        if self.from_clip:
            source, queries = queries, source
        if self.learned_query is not None:
            queries = queries + alpha * self.learned_query.to(queries)
        queries = queries.expand(features.shape[0], -1, -1)
        for layer in self.layers:
            queries = layer(queries, source)
        return self.norm(self.leave(queries))


class ImplicitPoseIndicator(nn.Module):
    """Keypoints and CLIP features of the reference and the driving frames -> motion tokens."""

    def __init__(self, config: IPIConfig, context_width: int, alpha: float, layers: Layers):
        super().__init__()
        self.config, self.alpha = config, alpha
        self.query = None if config.query == "learned" else PoseQuery(config, layers)
        self.reader = MotionReader(config, context_width, layers)

    def forward(self, keypoints: Tensor, features: Tensor) -> Tensor:
        """keypoints [b, f+1, 2, 18], features [b, f+1, clip width] -> [(b (f+1)), tokens, context width]."""
        poses = None if self.query is None else self.query(keypoints)
        return self.reader(features.flatten(0, 1).unsqueeze(1), poses, self.alpha)


def position_table(positions: int, width: int, layers: Layers | None = None) -> Tensor:
    """Sines on even columns, cosines on odd ones, wavelengths 2 pi to 20000 pi -> [1, positions, width]."""
    columns = torch.arange(width, dtype=torch.float64) // 2
    angles = torch.outer(
        torch.arange(positions, dtype=torch.float64), torch.exp(columns * (-2 * math.log(10000) / width))
    )
    angles[:, 0::2] = angles[:, 0::2].sin()
    angles[:, 1::2] = angles[:, 1::2].cos()
    dtype = torch.float32 if layers is None else layers.dtype or torch.get_default_dtype()
    return angles[None].to(dtype=dtype, device=None if layers is None else layers.device)
