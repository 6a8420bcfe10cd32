"""Interleaved timing: every contender once per round, after a warm-up round; the median of the rounds counts."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Timing:
    """Seconds of one contender."""

    name: str
    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The figure to quote."""
        return statistics.median(self.seconds)

    def line(self, baseline: Timing | None = None) -> str:
        """Median, spread and, against a baseline, the ratio."""
        text = f"{self.name:<44} median {self.median:8.4f} s  ({min(self.seconds):.4f} .. {max(self.seconds):.4f})"
        return text if baseline is None or baseline is self else f"{text}  ratio {self.median / baseline.median:.3f}"


def interleave(contenders: dict[str, Callable[[], object]], rounds: int = 5, warmup: int = 1) -> dict[str, Timing]:
    """Time the contenders in turn, A B A B ..., so that a drifting machine hits them alike."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(warmup + rounds):
        for name, run in contenders.items():
            elapsed = _clock(run)
            if turn >= warmup:
                seconds[name].append(elapsed)
    return {name: Timing(name, tuple(times)) for name, times in seconds.items()}


def _clock(run: Callable[[], object]) -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter()
    run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start
