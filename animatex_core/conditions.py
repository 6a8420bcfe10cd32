"""What does not depend on time: pose pictures, reference picture, reference latent, image tokens.

Source: section 3.2 of the paper and the released configuration. All of it is computed once for a run, or once for
each distinct window of frames.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .config import ConditionConfig
from .layers import Layers, heads_of, merge_heads, silu

# The first layer of a picture stack has 32 channels at full picture size: few frames at a time keep it small.
FRAMES_AT_A_TIME = 4


class PixelTransformer(nn.Module):
    """The frames of one pixel attend to each other: pre-norm attention, then a feed-forward without a norm."""

    def __init__(self, width: int, config: ConditionConfig, layers: Layers):
        super().__init__()
        self.heads, self.attend = config.heads, layers.attention
        inner = width * config.heads
        self.norm = layers.layer_norm(width)
        self.query_key_value = layers.linear(width, 3 * inner, bias=False)
        self.out = layers.linear(inner, width)
        self.up = layers.linear(width, config.feed_forward * width)
        self.down = layers.linear(config.feed_forward * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[b, c, f, h, w] -> the same shape."""
        batch, _, _, height, width = x.shape
        pixels = x.permute(0, 3, 4, 2, 1).flatten(0, 2)  # [(b h w), f, c]
        query, key, value = (heads_of(t, self.heads) for t in self.query_key_value(self.norm(pixels)).chunk(3, dim=-1))
        pixels = self.out(merge_heads(self.attend(query, key, value))).add_(pixels)
        pixels = self.down(functional.gelu(self.up(pixels))).add_(pixels)
        return pixels.unflatten(0, (batch, height, width)).permute(0, 4, 3, 1, 2)


class PictureEncoder(nn.Module):
    """Pictures of 8 times the latent size -> features of latent size."""

    def __init__(self, outputs: int, config: ConditionConfig, layers: Layers):
        super().__init__()
        self.conv1 = layers.conv(3, config.stem)
        self.conv2 = layers.conv(config.stem, config.stem, stride=2)
        self.conv3 = layers.conv(config.stem, outputs, stride=2)
        self.over_time = PixelTransformer(outputs, config, layers)

    def forward(self, pictures: Tensor) -> Tensor:
        """[b, 3, f, 8h, 8w] in 0..1 -> [b, outputs, f, h, w]."""
        frames = pictures.transpose(1, 2).flatten(0, 1)
        features = torch.cat([self._stack(chunk) for chunk in frames.split(FRAMES_AT_A_TIME)])
        return self.over_time(features.unflatten(0, (pictures.shape[0], -1)).transpose(1, 2))

    def _stack(self, frames: Tensor) -> Tensor:
        frames = frames.contiguous(memory_format=torch.channels_last)
        half = functional.avg_pool2d(silu(self.conv1(frames)), 2)
        return self.conv3(silu(self.conv2(half)))


class LatentEncoder(nn.Module):
    """A VAE latent -> features of the same size (the paper's way in for the reference)."""

    def __init__(self, inputs: int, outputs: int, config: ConditionConfig, layers: Layers):
        super().__init__()
        self.conv1 = layers.conv(inputs, config.stem)
        self.conv2 = layers.conv(config.stem, config.stem)
        self.conv3 = layers.conv(config.stem, outputs)
        self.over_time = PixelTransformer(outputs, config, layers)

    def forward(self, latent: Tensor) -> Tensor:
        """[b, 4, h, w] -> [b, outputs, 1, h, w]."""
        return self.over_time(self.conv3(silu(self.conv2(silu(self.conv1(latent))))).unsqueeze(2))


class ImageTokens(nn.Module):
    """The CLIP feature of the reference -> tokens beside those of the prompt."""

    def __init__(self, context_width: int, config: ConditionConfig, layers: Layers):
        super().__init__()
        self.tokens = config.image_tokens
        self.enter = layers.linear(config.clip_width, context_width)
        self.leave = layers.linear(context_width, context_width * config.image_tokens)

    def forward(self, feature: Tensor) -> Tensor:
        """[b, clip width] -> [b, tokens, context width]."""
        return self.leave(silu(self.enter(feature))).unflatten(-1, (self.tokens, -1))
