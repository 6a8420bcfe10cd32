"""What long clips suffer from: seams where windows meet, jumps, and a result that drifts away."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..records import Value
from .pixels import mae

FLOOR = 1 / 255
"""Change from frame to frame, in 0..1, below which a median is not divided by: one step of 8 bits."""
QUARTERS = 8
"""Frames that a clip needs before its first and last quarter are compared."""


class Steps:
    """`largest_jump` and, where it is told in which frames windows begin, `seam`.

    The change at frame t is the mean absolute difference of frames t and t - 1, range 0..1.
    """

    def __init__(self, seams: Sequence[int] = ()) -> None:
        self.seams = sorted(set(seams))
        self.changes: list[float] = []
        self.last: np.ndarray | None = None

    def add(self, made: np.ndarray, truth: np.ndarray | None) -> None:
        """See Gauge."""
        if self.last is not None:
            self.changes.append(mae(made, self.last))
        self.last = made

    def values(self) -> dict[str, Value]:
        """See Gauge. Raises ValueError for a seam that is no frame from 1 on."""
        frames = len(self.changes) + (self.last is not None)
        wrong = [t for t in self.seams if not 1 <= t < frames]
        if wrong:
            raise ValueError(f"seam at frame {wrong[0]}: the clip has frames 0 to {frames - 1}, seams are from 1 on")
        if not self.changes:
            return {}
        settings = {"floor": FLOOR}
        relative = np.array(self.changes) / max(float(np.median(self.changes)), FLOOR)
        jump = Value(float(relative.max()), frames, tuple(relative.tolist()), {**settings, "first_frame": 1})
        return {"largest_jump": jump} | self._seam(frames, settings)

    def _seam(self, frames: int, settings: dict[str, float]) -> dict[str, Value]:
        at = [t - 1 for t in self.seams]
        elsewhere = np.delete(self.changes, at)
        if not at or not len(elsewhere):
            return {}
        relative = np.array(self.changes)[at] / max(float(np.median(elsewhere)), FLOOR)
        told = {**settings, "frames": self.seams, "clip_frames": frames}
        return {"seam": Value(float(relative.mean()), len(at), tuple(relative.tolist()), told)}


class Drift:
    """`drift`: how much further from the truth the last quarter of the clip is than the first."""

    def __init__(self) -> None:
        self.errors: list[float] = []

    def add(self, made: np.ndarray, truth: np.ndarray | None) -> None:
        """See Gauge."""
        if truth is not None:
            self.errors.append(mae(made, truth))

    def values(self) -> dict[str, Value]:
        """See Gauge."""
        found = last_minus_first(self.errors)
        return {} if found is None else {"drift": Value(found, len(self.errors), None, {"of": "mae"})}


def last_minus_first(found: Sequence[float]) -> float | None:
    """Mean of the last quarter minus mean of the first; None for fewer than QUARTERS frames."""
    if len(found) < QUARTERS:
        return None
    quarter = len(found) // 4
    return float(np.mean(found[-quarter:]) - np.mean(found[:quarter]))
