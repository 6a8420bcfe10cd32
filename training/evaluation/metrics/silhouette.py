"""Whether the result has the shape that it should: where the true silhouette of the character is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from ..records import Value
from .extras import needs
from .gauges import mean_value

DILATION = 3
"""Pixels around the true silhouette that are nobody's fault: soft edges, rounding."""
TOLERANCE = 24
"""How far, in 0..255, the strongest channel of a foreground pixel is from the background."""
PLAIN = 8.0
"""Mean absolute deviation, in 0..255, up to which a background counts as plain."""

Segment = Callable[[np.ndarray], np.ndarray]
"""A frame uint8 RGB [H, W, 3] -> its foreground, bool [H, W]."""


class NoPlainBackground(ValueError):
    """A true frame whose background has no one colour, so that the foreground cannot be found by it."""


class TrueSilhouettes:
    """True silhouettes frame by frame, and how many were taken."""

    def __init__(self, masks: Iterator[np.ndarray]) -> None:
        self.masks, self.count = masks, 0

    def take(self, size: tuple[int, ...]) -> tuple[int, np.ndarray]:
        """Number and silhouette bool [H, W] of the next frame. Raises ValueError: none is left, or another size."""
        mask = next(self.masks, None)
        if mask is None:
            raise ValueError(f"{self.count} silhouettes, but the clip is longer: nothing is cut")
        self.count += 1
        return self.count - 1, checked_mask(mask, size, self.count - 1)

    def end(self) -> None:
        """Raises ValueError when there are more than frames."""
        if next(self.masks, None) is not None:
            raise ValueError(f"the clip has {self.count} frames, but there are more silhouettes: nothing is cut")

    def subset(self, frames: list[int]) -> list[int] | None:
        """The frames that counted; None when all did."""
        return None if len(frames) == self.count else frames


class Silhouette:
    """`silhouette_iou`, `extra_limb_rate` and `missing_part_rate`.

    masks: true silhouettes, frame by frame. segment: finds the result's foreground; None takes what differs from a
    plain background, whose colour is the median of the true frame outside the silhouette. left_out: told why when a
    background is not plain; the clip then has no values. None raises it.
    """

    def __init__(
        self,
        masks: Iterator[np.ndarray],
        segment: Segment | None = None,
        left_out: Callable[[str], object] | None = None,
    ) -> None:
        self.silhouettes, self.segment = TrueSilhouettes(masks), segment
        self.left_out, self.lacking = left_out, False
        self.found: dict[str, list[float]] = {name: [] for name in NAMES}
        self.frames: list[int] = []

    def add(self, made: np.ndarray, truth: np.ndarray | None) -> None:
        """See Gauge. Raises ValueError: fewer silhouettes than frames, another size, a background that is not plain."""
        number, mask = self.silhouettes.take(made.shape[:2])
        if mask.any() and not self.lacking:
            foreground = self._foreground(number, made, truth, mask)
            if foreground is None:
                return
            for name, value in zip(NAMES, compare(checked_mask(foreground, mask.shape, number), mask), strict=True):
                self.found[name].append(value)
            self.frames.append(number)

    def _foreground(
        self, number: int, made: np.ndarray, truth: np.ndarray | None, mask: np.ndarray
    ) -> np.ndarray | None:
        """bool [H, W]; None where the clip is left out."""
        if self.segment:
            return self.segment(made)
        try:
            return _differing(number, made, truth, mask)
        except NoPlainBackground as error:
            if self.left_out is None:
                raise ValueError(f"{error}: give `segment`, a function that finds the foreground") from None
            self.lacking = True
            self.left_out(str(error))
            return None

    def values(self) -> dict[str, Value]:
        """See Gauge. Frames whose silhouette is empty are left out and said."""
        self.silhouettes.end()
        if self.lacking or not self.frames:
            return {}
        how = "given" if self.segment else f"differs from a plain background by more than {TOLERANCE}"
        told = {"foreground": how, "dilation": DILATION}
        frames = self.silhouettes.subset(self.frames)
        return {name: mean_value(found, told, frames) for name, found in self.found.items()}


NAMES = ("silhouette_iou", "extra_limb_rate", "missing_part_rate")


def compare(foreground: np.ndarray, mask: np.ndarray) -> tuple[float, float, float]:
    """Intersection over union, extra and missing area over the area of the mask. bool [H, W]; the mask is not empty."""
    area = mask.sum()
    iou = (foreground & mask).sum() / (foreground | mask).sum()
    extra = (foreground & ~dilated(mask)).sum() / area
    missing = (mask & ~dilated(foreground)).sum() / area
    return float(iou), float(extra), float(missing)


def dilated(mask: np.ndarray, pixels: float = DILATION) -> np.ndarray:
    """Everything within `pixels` of the mask (Euclidean)."""
    if not mask.any():
        return mask
    return needs("scipy.ndimage").distance_transform_edt(~mask) <= pixels


def checked_mask(mask: np.ndarray, size: tuple[int, ...], frame: int) -> np.ndarray:
    """As bool [H, W]: of bool as it is, of a picture uint8 [H, W] or [H, W, 3] what is above 127."""
    if mask.ndim == 3:
        mask = mask.max(2)
    if mask.shape != tuple(size):
        raise ValueError(f"frame {frame}: the silhouette is {list(mask.shape)}, the frame {list(size)}")
    return mask if mask.dtype == bool else mask > 127


def _differing(number: int, made: np.ndarray, truth: np.ndarray | None, mask: np.ndarray) -> np.ndarray:
    """What differs from the plain background, whose colour is the true frame's outside the silhouette: bool [H, W]."""
    if truth is None:
        raise ValueError("without the true frames the foreground must be found by a function: give `segment`")
    outside = truth[~dilated(mask)]
    if not len(outside):
        raise NoPlainBackground(f"frame {number}: the silhouette fills the picture, no background is left")
    colour = np.median(outside, axis=0)
    spread = float(np.abs(outside - colour).mean())
    if spread > PLAIN:
        raise NoPlainBackground(
            f"frame {number}: the background is not plain (mean deviation {spread:.1f} of 255, at most {PLAIN:g})"
        )
    return np.abs(made - colour).max(2) > TOLERANCE
