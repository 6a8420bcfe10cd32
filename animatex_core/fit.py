"""How a picture of one size becomes one of another: crop, pad or stretch, the same for pixels and for points.

A `Fit` is an axis-parallel affine map of continuous picture coordinates: pixel i covers [i, i + 1), so that x / width
is the same number before and after a stretch. The reference picture, its pose and the canvas of the driving poses
are fitted each by its own plan to the one target size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .choices import FitMode as FitMode
from .pictures import check_pictures, resize

Size = tuple[int, int]
Fill = Literal["edge"] | tuple[int, int, int]

_SNAP = 1e-6  # pixels: a border that rounding of floats moved off a whole pixel is put back


@dataclass(frozen=True)
class Fit:
    """target = source * scale + offset, per axis.

    source, target: (width, height) in pixels.
    scale, offset: (x, y); the offset is in target pixels.
    """

    source: Size
    target: Size
    scale: tuple[float, float]
    offset: tuple[float, float]

    def points(self, xy: np.ndarray) -> np.ndarray:
        """Map points [..., 2] (x, y) from source to target pixels; the dtype of floats is kept.

        Points may land outside the target. Whether a point is there at all is the caller's to know: an absent point
        written as (0, 0) or (-1, -1) is moved like any other.
        """
        xy = np.asarray(xy)
        if xy.shape[-1:] != (2,):
            raise ValueError(f"points must be [..., 2], got {list(xy.shape)}")
        dtype = xy.dtype if np.issubdtype(xy.dtype, np.floating) else np.float64
        return (xy.astype(np.float64) * self.scale + self.offset).astype(dtype)

    def apply(self, picture: np.ndarray, fill: Fill = "edge") -> np.ndarray:
        """Map uint8 RGB [H, W, 3] or [n, H, W, 3] of the source size to the target size, Pillow's bilinear filter.

        What the source does not cover takes the colour `fill`. "edge" is `edge_colour` of the pictures given: the
        network paints the background of the reference on, and a bar in the colour of the picture's own border
        continues it, while a black bar would be animated as a black object. Pose canvases are black: give (0, 0, 0).
        Where a border falls inside a pixel (only in `inverted` maps) the nearest whole pixel is taken.
        """
        check_pictures(picture)
        height, width = picture.shape[-3:-1]
        if (width, height) != self.source:
            raise ValueError(f"this fit is for pictures of {_text(self.source)}, got {_text((width, height))}")
        left, right, box_left, box_right = self._span(0)
        top, bottom, box_top, box_bottom = self._span(1)
        part = resize(picture, right - left, bottom - top, (box_left, box_top, box_right, box_bottom))
        if part.shape[-3:-1] == self.target[::-1]:
            return part
        out = np.empty((*picture.shape[:-3], *self.target[::-1], 3), np.uint8)
        out[:] = edge_colour(picture) if fill == "edge" else fill
        out[..., top:bottom, left:right, :] = part
        return out

    def inverted(self) -> Fit:
        """The map from target back to source pixels: exact for points, and for pixels what the fit kept of them."""
        scale = (1.0 / self.scale[0], 1.0 / self.scale[1])
        offset = (-self.offset[0] * scale[0], -self.offset[1] * scale[1])
        return Fit(self.target, self.source, scale, offset)

    def _span(self, axis: int) -> tuple[int, int, float, float]:
        """Along one axis: the target pixels that the source covers, and the part of the source that they show."""
        scale, offset, source, target = self.scale[axis], self.offset[axis], self.source[axis], self.target[axis]
        first, last = round(offset), round(offset + source * scale)
        if first == last:  # less than a pixel, between two borders: the pixel that it lies in
            first = math.floor(offset + source * scale / 2)
        first = min(max(first, 0), target - 1)
        last = max(min(last, target), first + 1)
        ends = ((edge - offset) / scale for edge in (first, last))
        low, high = (float(_snapped(end, source)) for end in ends)
        if low >= high:
            raise ValueError(f"the source of {_text(self.source)} falls outside the target of {_text(self.target)}")
        return first, last, low, high


def plan_fit(
    source_size: Size, target_size: Size, mode: FitMode = "crop", *, anchor: tuple[float, float] = (0.5, 0.5)
) -> Fit:
    """How pictures of `source_size` (width, height) become `target_size`.

    stretch: each axis by its own scale; the released behaviour, bit-equal to Pillow's bilinear resize.
    crop:    one scale, the target is filled, what sticks out is cut; proportions are exact.
    pad:     one scale, all of the source is kept; it lands on whole pixels, so proportions are off by under a pixel.

    anchor: which part is kept (crop), or where the picture is put (pad): (0, 0) left and top, (0.5, 0.5) the middle.
    """
    _check_sizes(source_size, target_size)
    if not all(0.0 <= part <= 1.0 for part in anchor):
        raise ValueError(f"the anchor must be two numbers in 0..1, got {anchor}")
    ratios = (target_size[0] / source_size[0], target_size[1] / source_size[1])
    if mode == "stretch":
        return Fit(source_size, target_size, ratios, (0.0, 0.0))
    if mode == "crop":
        one = max(ratios)
        return Fit(source_size, target_size, (one, one), _anchored(source_size, target_size, (one, one), anchor))
    if mode == "pad":
        one = min(ratios)
        inside = [max(1, min(round(source_size[axis] * one), target_size[axis])) for axis in (0, 1)]
        scale = (inside[0] / source_size[0], inside[1] / source_size[1])
        exact = _anchored(source_size, target_size, scale, anchor)
        return Fit(source_size, target_size, scale, (float(round(exact[0])), float(round(exact[1]))))
    raise ValueError(f"the fit must be crop, pad or stretch, got {mode!r}")


def edge_colour(pictures: np.ndarray) -> tuple[int, int, int]:
    """The colour of the outermost pixels of uint8 RGB [H, W, 3] or [n, H, W, 3]: their median, channel by channel.

    The median and not the mean: a limb that touches the border must not tint a plain background.
    """
    check_pictures(pictures)
    stack = pictures[None] if pictures.ndim == 3 else pictures
    rows, columns = stack[:, [0, -1]].reshape(-1, 3), stack[:, :, [0, -1]].reshape(-1, 3)
    red, green, blue = np.median(np.concatenate([rows, columns]), axis=0)
    return int(red), int(green), int(blue)


def _anchored(
    source: Size, target: Size, scale: tuple[float, float], anchor: tuple[float, float]
) -> tuple[float, float]:
    return (target[0] - source[0] * scale[0]) * anchor[0], (target[1] - source[1] * scale[1]) * anchor[1]


def _snapped(value: float, size: int) -> float:
    nearest = round(value)
    return min(max(nearest if abs(value - nearest) < _SNAP else value, 0), size)


def _check_sizes(source: Size, target: Size) -> None:
    for name, size in (("source", source), ("target", target)):
        if len(size) != 2 or any(isinstance(side, bool) or not isinstance(side, int) or side < 1 for side in size):
            raise ValueError(f"the {name} size must be (width, height), both at least 1 pixel, got {size}")


def _text(size: Size) -> str:
    return f"{size[0]}x{size[1]}"
