"""Metrics of two pictures in the box of the true silhouette: on a plain background the whole picture measures that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..records import Value
from .gauges import FrameMean
from .silhouette import TrueSilhouettes

LEAST = 48
"""Pixels a side of the box has at least, which LPIPS and the window of SSIM need."""


class Boxed:
    """Other gauges, given what is inside the box of the silhouette alone. Frames with an empty one are left out."""

    def __init__(self, masks: Iterator[np.ndarray], gauges: Sequence[FrameMean]) -> None:
        self.silhouettes, self.gauges = TrueSilhouettes(masks), gauges
        self.frames: list[int] = []

    def add(self, made: np.ndarray, truth: np.ndarray | None) -> None:
        """See Gauge. Raises ValueError for fewer silhouettes than frames, or another size."""
        number, mask = self.silhouettes.take(made.shape[:2])
        if mask.any() and truth is not None:
            inside = box_of(mask)
            for gauge in self.gauges:
                gauge.add(made[inside], truth[inside])
            self.frames.append(number)

    def values(self) -> dict[str, Value]:
        """See Gauge. No size is told: the box changes from frame to frame. Raises ValueError: silhouettes are left."""
        self.silhouettes.end()
        told = {"box": "of the true silhouette", "least": LEAST}
        subset = self.silhouettes.subset(self.frames)
        told |= {} if subset is None else {"frames": subset}
        found = {name: value for gauge in self.gauges for name, value in gauge.values().items()}
        return {
            name: Value(
                value.value,
                value.n,
                value.per_frame,
                {key: said for key, said in value.settings.items() if key not in ("height", "width")} | told,
            )
            for name, value in found.items()
        }


def box_of(mask: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of the smallest box with the silhouette bool [H, W], grown to LEAST where the picture has it."""
    sides = []
    for axis, size in ((1, mask.shape[0]), (0, mask.shape[1])):
        there = np.flatnonzero(mask.any(axis))
        start, stop = int(there[0]), int(there[-1]) + 1
        lacking = max(0, min(LEAST, size) - (stop - start))
        start = min(max(0, start - lacking // 2), size - (stop - start) - lacking)
        sides.append(slice(start, max(stop, start + min(LEAST, size))))
    return sides[0], sides[1]
