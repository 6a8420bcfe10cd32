"""Long video in windows of frames: which windows at which step, and how their predictions become one.

The network was trained on 32 frames. A longer clip is denoised in windows that overlap; at every step each window is
predicted on its own, reference first, and the predictions are blended where windows overlap. The seams are at other
frames from step to step, so none of them can settle.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .diffusion import OFFSET_NOISE, offset_noise

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
        """The windows of one step, as frame numbers: together they cover every frame, and all are equally long.

        A closed loop that fits one window starts it at another frame from step to step, so that end and start are
        neighbours at most steps (the latent shift of Mobius, Bi et al. 2025).
        """
        if frames <= self.length:
            first = step % SHIFTS * frames // SHIFTS if self.closed_loop else 0
            return [tuple((first + i) % frames for i in range(frames))]
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


def plan_windows(
    frames: int, length: int | None, overlap: int | None = None, *, closed_loop: bool = False
) -> WindowPlan | None:
    """The windows of a clip, or None where it goes in one piece. length: None for as many frames as there are.

    overlap: None for a quarter of the length, at most 8 (the trained clip's 32 frames, the usual overlap).
    """
    one_piece = length is None or frames <= length
    if one_piece and not closed_loop:
        return None
    length = frames if length is None else length
    overlap = min(8, length // 4) if overlap is None else overlap
    return WindowPlan(length=length, overlap=overlap, closed_loop=closed_loop)


def start_noise(
    shape: tuple[int, ...], seed: int, plan: WindowPlan | None, *, shared: bool = True, offset: float = OFFSET_NOISE
) -> Tensor:
    """The start noise [b, c, frames, h, w] of a seed, float32 on the CPU, the same on every device.

    shared: in windows, `shared_noise`. offset: strength of the number per channel and frame.
    """
    generator = torch.Generator().manual_seed(seed)
    noise = offset_noise(shape, generator, offset)
    return shared_noise(noise, plan.length, generator) if shared and plan is not None else noise


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
