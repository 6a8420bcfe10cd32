"""Long video in windows of frames: which windows at which step, and how their predictions become one.

The network was trained on 32 frames. A longer clip is denoised in windows that overlap; at every step each window is
predicted on its own, reference first, and the predictions are blended where windows overlap. The seams are at other
frames from step to step, so none of them can settle.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

Window = tuple[int, ...]

# Seams visit this many places in turn. More would mean more distinct windows, each of which is encoded once.
SHIFTS = 4


@dataclass(frozen=True, kw_only=True)
class WindowPlan:
    """Windows of `length` frames of which neighbours share `overlap`; `closed_loop` joins the end to the start."""

    length: int = 32
    overlap: int = 8
    closed_loop: bool = False

    def __post_init__(self) -> None:
        if self.length < 1:
            raise ValueError(f"a window needs at least 1 frame, got {self.length}")
        if not 0 <= self.overlap < self.length:
            raise ValueError(f"overlap must be 0 to {self.length - 1} frames of a {self.length}-frame window")

    def windows(self, frames: int, step: int) -> list[Window]:
        """The windows of one step, as frame numbers: together they cover every frame, and all are equally long."""
        if frames <= self.length:
            return [tuple(range(frames))]
        stride = self.length - self.overlap
        shift = (step % SHIFTS) * stride // SHIFTS
        if self.closed_loop:
            count = -(-frames // stride)
            starts = [round(k * frames / count) + shift for k in range(count)]
            return [tuple((start + i) % frames for i in range(self.length)) for start in starts]
        last = frames - self.length
        starts = sorted({min(max(start, 0), last) for start in range(-shift, frames - self.overlap, stride)})
        return [tuple(range(start, start + self.length)) for start in starts]

    def weights(self, length: int) -> Tensor:
        """The weight of each frame of a window [length]: rises over the overlap like a squared sine, never 0."""
        ramp = max(1, min(self.overlap, length // 2))
        distance = torch.arange(length)
        distance = torch.minimum(distance, distance.flip(0)) + 0.5
        return (distance.clamp(max=ramp) / ramp * (torch.pi / 2)).sin() ** 2


def fuse(predictions: list[tuple[Window, Tensor]], weights: Tensor, frames: int) -> Tensor:
    """Weighted mean of predictions [b, c, window, h, w], one a window -> [b, c, frames, h, w].

    weights: [window length]. The sum runs in float32 whatever the predictions are.
    """
    first = predictions[0][1]
    batch, channels, _, height, width = first.shape
    total = first.new_zeros(batch, channels, frames, height, width, dtype=torch.float32)
    share = first.new_zeros(frames, dtype=torch.float32)
    weights = weights.to(share)
    for window, prediction in predictions:
        index = torch.tensor(window, device=first.device)
        total.index_add_(2, index, prediction.float() * weights.view(-1, 1, 1))
        share.index_add_(0, index, weights)
    return (total / share.view(-1, 1, 1)).to(first.dtype)


def shared_noise(noise: Tensor, length: int, generator: torch.Generator) -> Tensor:
    """Start noise [b, c, frames, h, w] in which later windows reuse the first one's frames, shuffled.

    Windows that start from the same noise agree more (FreeNoise, Qiu et al. 2024).
    """
    frames = noise.shape[2]
    order = list(range(min(length, frames)))
    while len(order) < frames:
        order += torch.randperm(length, generator=generator).tolist()
    return noise[:, :, torch.tensor(order[:frames], device=noise.device)]
