"""The time-dependent network: a UNet over frames with spatial, motion and temporal attention (figure 2).

Only wiring here; the parts are in `blocks`, `attention` and `temporal`. Names follow the figure: each stage is a
residual block, a spatial transformer that reads the prompt and the reference's image tokens, motion attention that
reads the IPI's tokens, and the temporal module.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .blocks import Downsample, ResBlock, SpatialTransformer, Upsample
from .config import UNetConfig
from .layers import Layers, silu
from .temporal import temporal_module


class Stage(nn.Module):
    """One step of encoder, middle or decoder."""

    def __init__(
        self, inputs: int, outputs: int, attention: bool, config: UNetConfig, layers: Layers, upsample: bool = False
    ):
        super().__init__()
        self.parallel = config.motion_attention == "parallel"
        self.res = ResBlock(inputs, outputs, config, layers)
        self.spatial = self.motion = self.temporal = None
        if attention:
            self.spatial = SpatialTransformer(outputs, config, layers)
            if config.motion_attention != "none":
                self.motion = SpatialTransformer(outputs, config, layers)
            heads = outputs // config.head_width
            self.temporal = temporal_module(outputs, heads, config.head_width, config, layers)
        self.upsample = Upsample(outputs, layers) if upsample else None

    def forward(self, x: Tensor, time: Tensor, context: Tensor, motion: Tensor | None, alpha: Tensor | float) -> Tensor:
        """x [(b f), c, h, w] -> [(b f), outputs, h, w], twice as large in a stage that upsamples."""
        x = entering = self.res(x, time)
        if self.spatial is not None:
            x = self.spatial(x, context).add_(x)
        if self.motion is not None and motion is not None:
            x = self.motion(entering if self.parallel else x, motion).mul_(alpha).add_(x)
        if self.temporal is not None:
            x = self.temporal(x, time.shape[0]).add_(x)
        return x if self.upsample is None else self.upsample(x)


class UNet(nn.Module):
    """Predicts v from noisy latents and the encoded conditions."""

    def __init__(self, config: UNetConfig, condition_channels: int, layers: Layers):
        super().__init__()
        self.config = config
        widths = [config.width * m for m in config.multipliers]
        self.time_in = layers.linear(config.width, 4 * config.width)
        self.time_out = layers.linear(4 * config.width, 4 * config.width)
        self.entrance = layers.conv(config.in_channels + condition_channels, config.width)
        self.entrance_temporal = temporal_module(config.width, config.entrance_heads, config.head_width, config, layers)
        self.encoder, skips = _encoder(widths, config, layers)
        self.middle = Stage(widths[-1], widths[-1], True, config, layers)
        self.middle_out = ResBlock(widths[-1], widths[-1], config, layers)
        self.decoder = _decoder(widths, skips, config, layers)
        self.out_norm = layers.group_norm(config.groups, config.width)
        self.out = layers.conv(config.width, config.out_channels)

    def forward(
        self,
        x: Tensor,
        timesteps: Tensor,
        pixels: Tensor,
        reference: Tensor,
        context: Tensor,
        motion: Tensor | None,
        alpha: Tensor | float = 1.0,
    ) -> Tensor:
        """One prediction.

        x: noisy latents [b, 4, f, h, w], any h and w (padded inside by mirroring).
        timesteps: [b], 0..999.
        pixels: features of pose and reference pictures [b, 8, f, h, w].
        reference: the frame put before the others [b, 12, 1, h, w].
        context: prompt and image tokens [b, m, context width]; motion: [(b (f+1)), tokens, context width] or None.
        alpha: weight of motion attention, a number or [b, 1, 1, 1] per sample repeated over its frames.
        Returns v, [b, 4, f, h, w].
        """
        batch, _, _, height, width = x.shape
        video = torch.cat([reference, torch.cat([x, pixels], dim=1)], dim=2)
        video = pad_to(self.config.alignment, video.transpose(1, 2).flatten(0, 1))
        time = self._time(timesteps, x.dtype)

        hidden = self.entrance(video.contiguous(memory_format=torch.channels_last))
        hidden = self.entrance_temporal(hidden, batch).add_(hidden)
        skips = [hidden]
        for stage in self.encoder:
            hidden = stage(hidden) if isinstance(stage, Downsample) else stage(hidden, time, context, motion, alpha)
            skips.append(hidden)
        hidden = self.middle(hidden, time, context, motion, alpha)
        hidden = self.middle_out(hidden, time)
        for stage in self.decoder:
            hidden = stage(torch.cat([hidden, skips.pop()], dim=1), time, context, motion, alpha)
        v = self.out(silu(self.out_norm(hidden)))[..., :height, :width]
        return v.unflatten(0, (batch, -1))[:, 1:].transpose(1, 2)

    def _time(self, timesteps: Tensor, dtype: torch.dtype) -> Tensor:
        embedding = sinusoid(timesteps, self.config.width).to(dtype)
        return functional.silu(self.time_out(functional.silu(self.time_in(embedding))))


def _encoder(widths: list[int], config: UNetConfig, layers: Layers) -> tuple[nn.ModuleList, list[int]]:
    """The stages on the way down, and the channels of every skip connection (the entrance's included)."""
    stages, skips, inputs = nn.ModuleList(), [widths[0]], widths[0]
    for level, outputs in enumerate(widths):
        for _ in range(config.blocks[level]):
            stages.append(Stage(inputs, outputs, level < config.attention_levels, config, layers))
            skips.append(outputs)
            inputs = outputs
        if level < len(widths) - 1:
            stages.append(Downsample(outputs, layers))
            skips.append(outputs)
    return stages, skips


def _decoder(widths: list[int], skips: list[int], config: UNetConfig, layers: Layers) -> nn.ModuleList:
    """The stages on the way up; each takes the newest skip connection."""
    stages, inputs, skips = nn.ModuleList(), widths[-1], list(skips)
    for level, outputs in reversed(list(enumerate(widths))):
        for block in range(config.blocks[level] + 1):
            upsample = level > 0 and block == config.blocks[level]
            attention = level < config.attention_levels
            stages.append(Stage(inputs + skips.pop(), outputs, attention, config, layers, upsample))
            inputs = outputs
    return stages


def sinusoid(positions: Tensor, width: int) -> Tensor:
    """Cosines, then sines, of positions [n] at width/2 frequencies from 1 down to 1/10000 -> [n, width] float32."""
    half = width // 2
    frequencies = torch.pow(10000, -torch.arange(half, device=positions.device, dtype=torch.float32) / half)
    angles = torch.outer(positions.float(), frequencies)
    return torch.cat([angles.cos(), angles.sin()], dim=1)


def pad_to(multiple: int, x: Tensor) -> Tensor:
    """Pads the last two axes of [n, c, h, w] at their ends to a multiple: mirrored where there is enough to mirror."""
    bottom, right = (-side % multiple for side in x.shape[-2:])
    if not bottom and not right:
        return x
    mode = "reflect" if bottom < x.shape[-2] and right < x.shape[-1] else "replicate"
    return functional.pad(x, (0, right, 0, bottom), mode=mode)
