"""Mamba as the temporal module, which the paper names (section 3.3); the released weights are attention instead.

Source of the block: Gu and Dao 2023, arXiv 2312.00752 (widths and starting values included). The paper says nothing of
directions. A scan lets a frame see only the frames before it, and a clip is denoised as a whole, so two scans run here,
one with time and one against it, with weights of their own and one gate (Zhu et al. 2024, arXiv 2401.09417). The two
take the place of the transformer's two self-attentions; everything around them, the feed-forward included, is the
same, has the same names and can be kept from attention weights. As there, any number of frames will do.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from .attention import FeedForward
from .config import UNetConfig
from .layers import Layers, in_chunks
from .selective_scan import ScanInputs, selective_scan

SHORTEST_STEP, LONGEST_STEP = 1e-3, 1e-1  # at the start of training


class Scan(nn.Module):
    """One direction of time: a short convolution over past frames, then the selective scan."""

    def __init__(self, channels: int, rank: int, config: UNetConfig, layers: Layers):
        super().__init__()
        self.rank, self.states = rank, config.mamba_states
        self.taps = layers.parameter(channels, config.mamba_kernel)  # the last one is for the frame itself
        self.taps_bias = layers.parameter(channels)
        self.project = layers.linear(channels, rank + 2 * self.states, bias=False)
        self.step = layers.linear(rank, channels, bias=False)
        self.step_bias = layers.parameter(channels)
        self.decay_log = layers.parameter(channels, self.states)
        self.skip = layers.parameter(channels)
        self._start()

    @torch.no_grad()
    def _start(self) -> None:
        """Steps spread evenly in their logarithm over the channels, decays 1, 2, ... over the states of each.

        The filter starts as a convolution of torch does.
        """
        bound = self.taps.shape[1] ** -0.5
        self.taps.uniform_(-bound, bound)
        self.taps_bias.uniform_(-bound, bound)
        shortest, longest = math.log(SHORTEST_STEP), math.log(LONGEST_STEP)
        steps = torch.linspace(shortest, longest, self.skip.numel(), device=self.skip.device).exp()
        self.step_bias.copy_(steps.expm1().log())  # the inverse of softplus
        self.decay_log.copy_(torch.arange(1, self.states + 1, device=self.skip.device).log())
        self.skip.fill_(1)

    def forward(self, x: Tensor) -> Tensor:
        """[n, frames, channels] -> the same shape; a frame depends on itself and those before it."""
        x = functional.silu(over_past(x, self.taps.to(x), self.taps_bias.to(x)))
        raw_step, write, read = self.project(x).split([self.rank, self.states, self.states], dim=-1)
        decay = -self.decay_log.to(x.device, torch.promote_types(x.dtype, torch.float32)).exp()
        weights = (self.step_bias.to(x.device), decay, self.skip.to(x.device))
        return selective_scan(ScanInputs(x, self.step(raw_step), write, read, *weights))


def over_past(x: Tensor, taps: Tensor, bias: Tensor) -> Tensor:
    """Filter every channel of [n, frames, channels] over its past with taps [channels, kernel].

    A few shifted sums: several times as fast on a CPU as a depthwise convolution, and frames stay the middle axis.
    """
    y = torch.addcmul(bias, x, taps[:, -1])
    for past in range(1, taps.shape[1]):
        y[:, past:].addcmul_(x[:, :-past], taps[:, -1 - past])
    return y


class BidirectionalMamba(nn.Module):
    """Two scans, one in each direction of time, added and gated."""

    def __init__(self, width: int, config: UNetConfig, layers: Layers):
        super().__init__()
        inner, rank = config.mamba_expand * width, -(-width // 16)
        self.enter = layers.linear(width, 2 * inner, bias=False)
        self.ahead = Scan(inner, rank, config, layers)
        self.back = Scan(inner, rank, config, layers)
        self.out = layers.linear(inner, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[n, frames, width] -> the same shape."""
        value, gate = self.enter(x).chunk(2, dim=-1)
        y = self.ahead(value) + self.back(value.flip(1)).flip(1)
        return self.out(y * functional.silu(gate))


class MambaBlock(nn.Module):
    """Pre-norm Mamba, then a pre-norm feed-forward: what a `TransformerBlock` over time is with attention."""

    def __init__(self, width: int, config: UNetConfig, layers: Layers):
        super().__init__()
        self.self_norm = layers.layer_norm(width)
        self.mixer = BidirectionalMamba(width, config, layers)
        self.feed_norm = layers.layer_norm(width)
        self.feed_forward = FeedForward(width, config.feed_forward, layers)
        self.hidden = 2 * config.mamba_expand * width

    def forward(self, x: Tensor) -> Tensor:
        """[n, frames, width] -> a fresh tensor of the same shape."""
        x = in_chunks(self.mixer, self.self_norm(x), x.shape[1] * self.hidden).add_(x)
        return self.feed_forward(self.feed_norm(x)).add_(x)
