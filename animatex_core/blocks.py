"""The parts of the UNet. Pictures are [(b f), c, h, w] in channels-last memory, so that tokens are a view of them.

Every branch returns a fresh tensor, to which its owner adds the input in place; autograd needs neither.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from .attention import TransformerBlock
from .config import UNetConfig
from .layers import Layers, silu
from .temporal import TemporalConv


def tokens_of(x: Tensor) -> Tensor:
    """[n, c, h, w] -> [n, h*w, c], a view of channels-last memory."""
    return x.permute(0, 2, 3, 1).flatten(1, 2)


def picture_of(tokens: Tensor, height: int, width: int) -> Tensor:
    """[n, h*w, c] -> [n, c, h, w] in channels-last memory, a view."""
    return tokens.unflatten(1, (height, width)).permute(0, 3, 1, 2)


class SpatialTransformer(nn.Module):
    """Tokens of one frame attend to each other and to a context: the prompt, or (motion attention) the IPI's tokens."""

    def __init__(self, channels: int, config: UNetConfig, layers: Layers):
        super().__init__()
        self.norm = layers.group_norm(config.groups, channels, eps=1e-6)
        self.enter = layers.linear(channels, channels)
        self.block = TransformerBlock(channels, channels // config.head_width, config, config.context_width, layers)
        self.leave = layers.linear(channels, channels)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """x [(b f), c, h, w], context [b, m, width] or [(b f), m, width] -> the residual branch, shaped like x."""
        height, width = x.shape[-2:]
        tokens = self.enter(tokens_of(self.norm(x)))
        return picture_of(self.leave(self.block(tokens, context)), height, width)


class ResBlock(nn.Module):
    """Two convolutions with the time embedding between them, then the temporal convolutions."""

    def __init__(self, inputs: int, outputs: int, config: UNetConfig, layers: Layers):
        super().__init__()
        self.norm1 = layers.group_norm(config.groups, inputs)
        self.conv1 = layers.conv(inputs, outputs)
        self.time = layers.linear(4 * config.width, outputs)
        self.norm2 = layers.group_norm(config.groups, outputs)
        self.conv2 = layers.conv(outputs, outputs)
        self.skip = None if inputs == outputs else layers.conv(inputs, outputs, kernel=1)
        self.temporal = TemporalConv(outputs, config, layers)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """x [(b f), c, h, w], time [b, 4 * width] (already through SiLU) -> [(b f), outputs, h, w]."""
        batch = time.shape[0]
        hidden = self.conv1(silu(self.norm1(x)))
        hidden = hidden + self.time(time).repeat_interleave(x.shape[0] // batch, 0)[..., None, None]
        hidden = self.conv2(silu(self.norm2(hidden)))
        hidden += x if self.skip is None else self.skip(x)
        return self.temporal(hidden, batch)


class Downsample(nn.Module):
    """Half the size by a strided convolution."""

    def __init__(self, channels: int, layers: Layers):
        super().__init__()
        self.conv = layers.conv(channels, channels, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """[n, c, h, w] -> [n, c, h/2, w/2]."""
        return self.conv(x)


class Upsample(nn.Module):
    """Twice the size: nearest neighbour, then a convolution."""

    def __init__(self, channels: int, layers: Layers):
        super().__init__()
        self.conv = layers.conv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """[n, c, h, w] -> [n, c, 2h, 2w]."""
        return self.conv(functional.interpolate(x, scale_factor=2.0, mode="nearest"))
