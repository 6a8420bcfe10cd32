"""Whether the result wears the colours of the reference, where the true silhouette is known: no network is asked."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..records import Value
from .gauges import mean_value
from .silhouette import PLAIN, TOLERANCE, TrueSilhouettes

_QUANTILES = np.linspace(0, 1, 65)[1::2]
_GREYS, _HUES = np.eye(3), np.array([[1, 1, 0], [1, -1, 0], [1, 0, 1], [1, 0, -1], [0, 1, 1], [0, 1, -1]]) / np.sqrt(2)
_DIRECTIONS = np.concatenate([_GREYS, _HUES, np.ones((1, 3)) / np.sqrt(3)])


class Colours:
    """`colour_distance`: between what the result has inside the true silhouette and the reference's foreground.

    Background inside the silhouette is a missing part, not a colour of the character: it is left out, unless there is
    nothing else. The reference must stand before a plain background, the colour of its border; else there is no value.
    """

    def __init__(self, masks: Iterator[np.ndarray], reference: np.ndarray) -> None:
        self.silhouettes = TrueSilhouettes(masks)
        self.background, worn = border_colour(reference), foreground(reference)
        self.reference = None if worn is None else palette(reference[worn])
        self.found: list[float] = []
        self.frames: list[int] = []

    def add(self, made: np.ndarray, truth: np.ndarray | None) -> None:
        """See Gauge. Raises ValueError for fewer silhouettes than frames, or another size."""
        number, mask = self.silhouettes.take(made.shape[:2])
        if mask.any() and self.reference is not None and self.background is not None:
            shown = mask & (np.abs(made - self.background).max(2) > TOLERANCE)
            self.found.append(distance(palette(made[shown if shown.any() else mask]), self.reference))
            self.frames.append(number)

    def values(self) -> dict[str, Value]:
        """See Gauge. Raises ValueError: silhouettes are left."""
        self.silhouettes.end()
        if not self.found:
            return {}
        frames = self.silhouettes.subset(self.frames)
        return {"colour_distance": mean_value(self.found, {"tolerance": TOLERANCE}, frames)}


def palette(pixels: np.ndarray) -> np.ndarray:
    """Quantiles [32, 10] of the pixels uint8 [n, 3] along ten directions of colour, range 0..1."""
    return np.quantile(pixels.astype(np.float64) / 255 @ _DIRECTIONS.T, _QUANTILES, axis=0)


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Sliced Wasserstein distance of two palettes: how far colours are moved, on average over the directions."""
    return float(np.abs(one - other).mean())


def border_colour(picture: np.ndarray) -> np.ndarray | None:
    """Median colour [3] of the border of a picture uint8 RGB [H, W, 3]; None when the border is not plain."""
    border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]]).astype(np.float64)
    colour = np.median(border, axis=0)
    return colour if np.abs(border - colour).mean() <= PLAIN else None


def foreground(picture: np.ndarray) -> np.ndarray | None:
    """What differs from the colour of the border, bool [H, W]; None where nothing does, or the border is not plain."""
    colour = border_colour(picture)
    if colour is None:
        return None
    found = np.abs(picture - colour).max(2) > TOLERANCE
    return found if found.any() else None
