"""The axis of time: four convolutions in every residual block, and attention or Mamba over the frames of each pixel.

The paper names Mamba for the second; the released weights are attention, in which the frames attend to each other
twice. `UNetConfig.temporal` says which one a file holds.
"""

from __future__ import annotations

from torch import Tensor, nn

from .attention import TransformerBlock
from .config import UNetConfig
from .layers import Layers, in_chunks, silu
from .mamba import MambaBlock


class TemporalConv(nn.Module):
    """Four times normalise, SiLU, convolve over three frames; added to the input."""

    def __init__(self, channels: int, config: UNetConfig, layers: Layers):
        super().__init__()
        self.norms = nn.ModuleList(layers.group_norm(config.groups, channels) for _ in range(4))
        self.convs = nn.ModuleList(layers.conv_over_time(channels) for _ in range(4))

    def forward(self, x: Tensor, batch: int) -> Tensor:
        """[(b f), c, h, w] -> the same shape. Statistics are those of the whole clip."""
        video = clip_of(x, batch)
        hidden = video
        for norm, conv in zip(self.norms, self.convs, strict=True):
            hidden = conv(silu(norm(hidden)))
        return frames_of(hidden.add_(video), x)


class TemporalModule(nn.Module):
    """A block that mixes the frames of one pixel; it has no positions, so any number of frames will do."""

    def __init__(self, channels: int, width: int, block: nn.Module, config: UNetConfig, layers: Layers):
        super().__init__()
        self.width = width
        self.norm = layers.group_norm(config.groups, channels, eps=1e-6)
        self.enter = layers.linear(channels, width)
        self.block = block
        self.leave = layers.linear(width, channels)

    def forward(self, x: Tensor, batch: int) -> Tensor:
        """[(b f), c, h, w] -> the residual branch, shaped like x."""
        video = self.norm(clip_of(x, batch))
        pixels = video.permute(0, 3, 2, 1).flatten(0, 1).contiguous()  # [(b h w), f, c]
        pixels = in_chunks(self._pixels, pixels, pixels.shape[1] * self.width)
        return frames_of(pixels.unflatten(0, (batch, -1)).permute(0, 3, 2, 1), x)

    def _pixels(self, pixels: Tensor) -> Tensor:
        return self.leave(self.block(self.enter(pixels)))


def temporal_module(channels: int, heads: int, head_width: int, config: UNetConfig, layers: Layers) -> nn.Module:
    """The temporal module that the configuration names: the two differ in their block alone."""
    width = heads * head_width
    if config.temporal == "mamba":
        return TemporalModule(channels, width, MambaBlock(width, config, layers), config, layers)
    return TemporalModule(channels, width, TransformerBlock(width, heads, config, None, layers), config, layers)


def clip_of(x: Tensor, batch: int) -> Tensor:
    """[(b f), c, h, w] -> [b, c, f, (h w)], a view of channels-last memory."""
    return x.permute(0, 2, 3, 1).flatten(1, 2).unflatten(0, (batch, -1)).permute(0, 3, 1, 2)


def frames_of(video: Tensor, like: Tensor) -> Tensor:
    """[b, c, f, (h w)] -> [(b f), c, h, w] with the sizes of `like`, in channels-last memory."""
    return video.permute(0, 2, 3, 1).reshape(like.shape[0], *like.shape[-2:], like.shape[1]).permute(0, 3, 1, 2)
