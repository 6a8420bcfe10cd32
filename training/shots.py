"""Where a video cuts from one shot to the next, and which stretches of it become clips."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from animatex_core.pictures import resize

SIDE = 24  # pixels of the small pictures that are compared
_AROUND = 6  # frames on either side that tell how much a shot moves
_TIMES = 3.5  # a cut changes the picture so many times more than its surroundings do


@dataclass(frozen=True)
class Span:
    """Frames start to start + frames of a video."""

    start: int
    frames: int


def thumbnail(frame: np.ndarray) -> np.ndarray:
    """A small picture [24, 24, 3] float32 in 0..1, for `find_cuts`."""
    return resize(frame, SIDE, SIDE).astype(np.float32) / 255


def find_cuts(thumbnails: np.ndarray, threshold: float = 0.1) -> list[int]:
    """The first frames of new shots, from thumbnails [F, 24, 24, 3].

    A cut changes the picture by more than `threshold` (mean absolute difference, 0..1) and far more than the frames
    around it do, so that a fast dance is no cut. Slow fades are not found.
    """
    if len(thumbnails) < 2:
        return []
    change = np.abs(np.diff(thumbnails, axis=0)).mean((1, 2, 3))
    cuts = []
    for i in np.flatnonzero(change > threshold):
        around = np.concatenate([change[max(0, i - _AROUND) : i], change[i + 1 : i + 1 + _AROUND]])
        if not len(around) or change[i] > _TIMES * np.median(around):
            cuts.append(int(i) + 1)
    return cuts


def clip_spans(frames: int, cuts: list[int], shortest: int, longest: int) -> list[Span]:
    """Every shot in equal pieces of at most `longest` frames; pieces shorter than `shortest` are left out."""
    spans = []
    for start, end in pairwise([0, *cuts, frames]):
        pieces = max(1, -(-(end - start) // longest))
        edges = np.linspace(start, end, pieces + 1).round().astype(int).tolist()
        spans += [Span(a, b - a) for a, b in pairwise(edges) if b - a >= shortest]
    return spans
