"""A standing figure fitted to the outline of a character: a first guess at its joints that needs no detector.

Works on what an outline shows of somebody upright who faces the camera: the waist of the outline between head and
body, the gap between the legs, the tips of arms that stand off. What it does not show comes from the proportions of
the standing figure, and the result says which was which.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from .manual import JOINTS

_SIDE = 256  # the outline is read at this size
_SPECK = 0.001  # part of the area that may lie beyond the figure's top, bottom and sides
# Parts of the figure's height, where an outline may have them.
_NECK_ROWS, _CROTCH_ROWS = (0.12, 0.62), (0.40, 0.96)
# A waist is no neck unless it is this much narrower than what is above and below it.
_WAIST = 0.85
# A tip that stands out less than this, in half widths of the trunk, is the side of the body and no arm.
_ARM = 1.4


@dataclass(frozen=True)
class MaskFigure:
    """points: [20, 2] float64, pixels of the mask; found: what the outline showed ("neck", "legs", "right arm", "left
    arm"); the rest is proportion. note: for a report."""

    points: np.ndarray
    found: tuple[str, ...]
    note: str


def figure_in_mask(mask: np.ndarray) -> MaskFigure | None:
    """A figure within the mask [H, W] (bool, or numbers above 0.5 for the character); None when the mask is empty."""
    if mask.ndim != 2 or 0 in mask.shape:
        raise ValueError(f"the mask must be [H, W], got {list(mask.shape)}")
    height, width = mask.shape
    solid = np.nan_to_num(mask.astype(np.float32)) > 0.5
    if not solid.any():
        return None
    scale = min(1.0, _SIDE / max(width, height))
    small = (max(1, round(width * scale)), max(1, round(height * scale)))
    shape = np.asarray(Image.fromarray(solid).convert("L").resize(small, Image.Resampling.BOX)) > 127
    if not shape.any():  # thinner than a pixel of the small picture
        shape = np.asarray(Image.fromarray(solid).convert("L").resize(small, Image.Resampling.BOX)) > 0
    figure = _Outline(shape).figure()
    points = (figure.points + 0.5) * [width / small[0], height / small[1]]
    return MaskFigure(points, figure.found, figure.note)


class _Outline:
    """The outline being read; rows and columns are of the small picture."""

    def __init__(self, shape: np.ndarray) -> None:
        self.shape = shape
        self.top, self.bottom = _extent(shape.sum(1))
        self.left, self.right = _extent(shape.sum(0))
        self.height = max(self.bottom - self.top, 1)
        self.found: list[str] = []
        self.points = np.zeros((len(JOINTS), 2))

    def figure(self) -> MaskFigure:
        neck = self._neck()
        crotch, gap = self._crotch(neck)
        hip = (crotch - 0.05 * self.height) if gap is not None else neck + (self.bottom - neck) * 0.36
        self._head(neck)
        self._trunk(neck, hip)
        self._legs(hip, gap)
        for side, name in ((-1, "right arm"), (1, "left arm")):
            self._arm(side, name, neck, hip)
        self.points = np.array([self._inside(point) for point in self.points])
        said = f"the outline shows {', '.join(self.found)}" if self.found else "the outline shows no limbs"
        return MaskFigure(self.points, tuple(self.found), f"{said}; the rest by a standing figure's proportions")

    def _neck(self) -> float:
        """The row of the neck: the narrowest place with a head above and shoulders below."""
        widths = np.convolve(np.pad(self.shape.sum(1), 2, mode="edge"), np.ones(5) / 5, "valid")
        low, high = (self.top + int(part * self.height) for part in _NECK_ROWS)
        best, row = _WAIST, self.top + 0.225 * self.height
        for y in range(low + 1, min(high, self.bottom)):
            ratio = widths[y] / max(min(widths[self.top : y].max(), widths[y : high + 1].max()), 1)
            if ratio < best:
                best, row = ratio, float(y)
        if best < _WAIST:
            self.found.append("neck")
        return row

    def _crotch(self, neck: float) -> tuple[float, tuple[float, float, float] | None]:
        """The row where the legs part, and (middle of the right leg, of the gap, of the left leg) at the feet."""
        row = int(self.bottom - 0.07 * self.height)
        runs = [run for run in _runs(self.shape[row]) if run[1] - run[0] > 0.03 * (self.right - self.left)]
        if len(runs) >= 2:
            first, second = sorted(sorted(runs, key=lambda run: run[0] - run[1])[:2])
            middle = (first[1] + second[0]) / 2
            inside = np.flatnonzero(self.shape[:row, int(middle)])
            crotch = float(inside[-1]) if inside.size else neck
            low, high = (self.top + part * self.height for part in _CROTCH_ROWS)
            if max(low, neck + 0.1 * self.height) < crotch < high:
                self.found.append("legs")
                return crotch, (sum(first) / 2, middle, sum(second) / 2)
        return 0.0, None

    def _head(self, neck: float) -> None:
        nose = self.top + 0.58 * (neck - self.top)
        x, half = self._middle(nose)
        up = 0.12 * (neck - self.top)
        self.points[0] = x, nose
        self.points[14:18] = [
            (x - 0.35 * half, nose - up), (x + 0.35 * half, nose - up), (x - 0.8 * half, nose), (x + 0.8 * half, nose),
        ]  # fmt: skip

    def _trunk(self, neck: float, hip: float) -> None:
        trunk = hip - neck
        shoulder = neck + 0.12 * trunk
        x, half = self._middle(shoulder)
        broad = min(0.36 * trunk, 0.85 * half)
        self.points[1] = x, neck
        self.points[2], self.points[5] = (x - broad, shoulder), (x + broad, shoulder)
        x, half = self._middle(hip)
        narrow = min(0.2 * trunk, 0.6 * half)
        self.points[8], self.points[11] = (x - narrow, hip), (x + narrow, hip)

    def _legs(self, hip: float, gap: tuple[float, float, float] | None) -> None:
        ankle = self.bottom - 0.07 * (self.bottom - hip) - 1
        for hip_joint, toe, side in ((8, 19, -1), (11, 18, 1)):
            start = self.points[hip_joint]
            x = start[0] if gap is None else gap[1 + side]
            self.points[hip_joint + 2] = x, ankle
            self.points[hip_joint + 1] = (start + self.points[hip_joint + 2]) / 2
            self.points[toe] = x + side * 0.05 * self.height, self.bottom

    def _arm(self, side: int, name: str, neck: float, hip: float) -> None:
        """The wrist at the outermost tip beside the trunk, or hanging where no arm stands off."""
        shoulder, trunk = self.points[2 if side < 0 else 5], max(hip - neck, 1)
        rows = range(max(int(neck - 0.05 * self.height), 0), min(int(hip + 0.15 * self.height), len(self.shape)))
        axis = self.points[1, 0]
        half = np.median([self._middle(row)[1] for row in rows if neck <= row <= hip] or [0])
        y, x = np.nonzero(self.shape[rows.start : rows.stop])
        reach = side * (x - axis)
        if reach.size and reach.max() > _ARM * half:
            self.found.append(name)
            at = reach >= reach.max() - 0.02 * self.height
            tip = np.array([x[at].mean(), np.median(y[at]) + rows.start])
            wrist = tip + 0.1 * (shoulder - tip)
        else:
            wrist = shoulder + np.array([side * 0.08, 0.95]) * trunk
        elbow, hand = (3, 4) if side < 0 else (6, 7)
        self.points[hand], self.points[elbow] = wrist, (shoulder + wrist) / 2

    def _middle(self, row: float) -> tuple[float, float]:
        """Middle and half width of the widest run of a row."""
        y = int(np.clip(row, 0, len(self.shape) - 1))
        runs = _runs(self.shape[y])
        if not runs:
            return (self.left + self.right) / 2, (self.right - self.left) / 4
        first, last = max(runs, key=lambda run: run[1] - run[0])
        return (first + last) / 2, (last - first + 1) / 2

    def _inside(self, point: np.ndarray) -> np.ndarray:
        """The point, or the nearest place within the outline."""
        x, y = np.rint(point).astype(int)
        if 0 <= y < self.shape.shape[0] and 0 <= x < self.shape.shape[1] and self.shape[y, x]:
            return point
        rows, columns = np.nonzero(self.shape)
        nearest = np.argmin((columns - point[0]) ** 2 + (rows - point[1]) ** 2)
        return np.array([columns[nearest], rows[nearest]], float)


def _extent(counts: np.ndarray) -> tuple[int, int]:
    """First and last index of all but the specks."""
    part = np.cumsum(counts) / counts.sum()
    return int(np.argmax(part > _SPECK)), int(np.argmax(part >= 1 - _SPECK))


def _runs(row: np.ndarray) -> list[tuple[int, int]]:
    """First and last index of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(np.int8), [0]])))
    return [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]
