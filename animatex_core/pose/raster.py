"""Filled ellipses, discs and thick lines as rows of pixels, thousands at a time.

The released pose pictures were drawn with OpenCV, so the pixels follow OpenCV's rules (those of 4.14 and 5.0): ellipses
are polygons with a corner on each whole degree, rounded to pixels; borders are drawn over the filling; thick lines have
16 bits of fixed point. Every shape here is convex, so each of its rows is one span.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_SHIFT = 16
_HALF = 1 << _SHIFT >> 1
_FAR = 1 << 60
# OpenCV holds the sine of whole degrees in single precision, written with seven decimals.
_SINE = np.sin(np.radians(np.arange(451))).round(7).astype(np.float32).astype(np.float64)


class Spans(NamedTuple):
    """Rows of pixels in the picture: row `y` of shape number `shape` from `x0` to `x1`, inclusive; [S] int64 each."""

    shape: np.ndarray
    y: np.ndarray
    x0: np.ndarray
    x1: np.ndarray


def ellipses(
    center: np.ndarray, half_length: np.ndarray, half_width: int, degrees: np.ndarray, width: int, height: int
) -> Spans:
    """Filled ellipses. center: [N, 2] pixels (x, y); half_length: [N] pixels; degrees: [N], clockwise; all whole."""
    angle = np.mod(degrees, 360)[:, None]
    cosine, sine = _SINE[450 - angle], _SINE[angle]
    turn = np.arange(361)
    along, across = half_length[:, None] * _SINE[450 - turn], half_width * _SINE[turn]
    x = np.rint(center[:, :1] + along * cosine - across * sine).astype(np.int64)
    y = np.rint(center[:, 1:] + along * sine + across * cosine).astype(np.int64)
    rows = _Rows(y.min(1), y.max(1), width, height)
    _add_outline(rows, x, y)
    _add_filling(rows, np.arange(len(center)), x << _SHIFT, y, y.argmin(1))
    return rows.spans()


def discs(center: np.ndarray, radius: int, width: int, height: int) -> Spans:
    """Filled circles. center: [N, 2] whole pixels (x, y)."""
    rows = _Rows(center[:, 1] - radius, center[:, 1] + radius, width, height)
    _add_discs(rows, center, radius)
    return rows.spans()


def lines(start: np.ndarray, end: np.ndarray, thickness: int, width: int, height: int) -> Spans:
    """Lines with round ends. start, end: [N, 2] whole pixels (x, y); thickness: pixels, 1 draws like 2."""
    number, start, end = _clip_lines(start, end, thickness, width, height)
    low, high = np.minimum(start, end)[:, 1], np.maximum(start, end)[:, 1]
    rows = _Rows(low - thickness - 1, high + thickness + 1, width, height)
    ahead = (end - start).astype(np.float64)
    length = np.sqrt((ahead**2).sum(1, keepdims=True))
    half = (thickness + thickness % 2) * _HALF
    away = np.rint(ahead * (half / np.maximum(length, 1))).astype(np.int64)
    aside = np.stack([away[:, 1], -away[:, 0]], 1)
    a, b = start << _SHIFT, end << _SHIFT
    corners = np.stack([a + aside, a - aside, b - aside, b + aside], 1)
    long = np.flatnonzero(length[:, 0] > 0)
    _add_quads(rows, long, corners[long, :, 0], corners[long, :, 1])
    for tip in (start, end):
        _add_discs(rows, tip, (thickness + 1) // 2)
    spans = rows.spans()
    return spans._replace(shape=number[spans.shape])


def _clip_lines(
    start: np.ndarray, end: np.ndarray, margin: int, width: int, height: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The lines that touch the picture with a margin around it: their numbers, and their ends cut to it."""
    (x0, y0), (x1, y1) = (start + margin).T, (end + margin).T
    inside, ends = _clip(x0, y0, x1, y1, width - 1 + 2 * margin, height - 1 + 2 * margin)
    return np.flatnonzero(inside), np.stack(ends[:2], 1) - margin, np.stack(ends[2:], 1) - margin


def paint(pictures: np.ndarray, frame: np.ndarray, spans: Spans, colours: np.ndarray, opacity: float = 1.0) -> None:
    """Draw spans in their order, the last on top. pictures: [F, H, W, 3] uint8, changed in place.

    frame: [N] and colours: [N, 3] of each shape.
    """
    height, width = pictures.shape[1:3]
    count = spans.x1 - spans.x0 + 1
    start = (frame[spans.shape] * height + spans.y) * width + spans.x0
    pixel = np.repeat(start - np.cumsum(count) + count, count)
    pixel += np.arange(len(pixel))
    # a pixel as one item of three bytes: copied at once
    flat = pictures.reshape(-1, 3).view("V3")[:, 0]
    colour = np.repeat(np.ascontiguousarray(colours, np.uint8).view("V3")[spans.shape, 0], count)
    if opacity == 1:
        flat[pixel] = colour
        return
    below = pictures.reshape(-1, 3)[pixel].astype(np.float32)
    flat[pixel] = colour
    # a pixel that several shapes cover is blended once, with the colour of the last of them
    above = pictures.reshape(-1, 3)[pixel]
    pictures.reshape(-1, 3)[pixel] = np.rint(below + opacity * (above - below)).astype(np.uint8)


class _Rows:
    """Leftmost and rightmost pixel of each row of N shapes, grown piece by piece."""

    def __init__(self, top: np.ndarray, bottom: np.ndarray, width: int, height: int) -> None:
        self.size = (width, height)
        self.top = np.clip(top, 0, height)
        self.rows = np.maximum(np.clip(bottom, -1, height - 1) - self.top + 1, 0)
        self.first = np.cumsum(self.rows) - self.rows
        self.left = np.full(int(self.rows.sum()), _FAR)
        self.right = np.full(len(self.left), -_FAR)

    def add(self, shape: np.ndarray, y: np.ndarray, x0: np.ndarray, x1: np.ndarray) -> None:
        """Grow row y of a shape to hold the pixels x0..x1; rows outside of the picture are passed over."""
        row = y - self.top[shape]
        keep = (row >= 0) & (row < self.rows[shape])
        index = (self.first[shape] + row)[keep]
        np.minimum.at(self.left, index, x0[keep])
        np.maximum.at(self.right, index, x1[keep])

    def spans(self) -> Spans:
        shape = np.repeat(np.arange(len(self.rows)), self.rows)
        y = np.arange(len(shape)) - (self.first - self.top)[shape]
        x0, x1 = np.maximum(self.left, 0), np.minimum(self.right, self.size[0] - 1)
        keep = x0 <= x1
        return Spans(shape[keep], y[keep], x0[keep], x1[keep])


def _add_outline(rows: _Rows, x: np.ndarray, y: np.ndarray) -> None:
    """The border of closed polygons of whole pixels, [N, K] each, the last corner on the first."""
    dx, dy = np.diff(x, axis=1), np.diff(y, axis=1)
    reach = np.maximum(np.abs(dx), np.abs(dy))
    # most corners of a short limb's ellipse fall together or are neighbours: they are their own border
    shape, corner = np.nonzero(reach > 0)
    px, py = x[shape, corner], y[shape, corner]
    inside = (px >= 0) & (px < rows.size[0])
    rows.add(shape[inside], py[inside], px[inside], px[inside])
    shape, corner = np.nonzero(reach > 1)
    _add_borders(rows, shape, x[shape, corner], y[shape, corner], x[shape, corner + 1], y[shape, corner + 1])


def _add_borders(
    rows: _Rows, shape: np.ndarray, x0: np.ndarray, y0: np.ndarray, x1: np.ndarray, y1: np.ndarray
) -> None:
    """Bresenham lines between whole pixels, drawn from left to right."""
    inside, (x0, y0, x1, y1) = _clip(x0, y0, x1, y1, rows.size[0] - 1, rows.size[1] - 1)
    shape = shape[inside]
    swap = x0 > x1
    x0, x1, y0, y1 = np.where(swap, x1, x0), np.where(swap, x0, x1), np.where(swap, y1, y0), np.where(swap, y0, y1)
    dx, dy = x1 - x0, np.abs(y1 - y0)
    major, minor = np.maximum(dx, dy), np.minimum(dx, dy)
    line, step = _count_up(major + 1)
    aside = (2 * minor[line] * step + major[line] - 1) // np.maximum(2 * major[line], 1)
    steep = (dy > dx)[line]
    x = x0[line] + np.where(steep, aside, step)
    y = y0[line] + np.where(steep, step, aside) * np.sign(y1 - y0)[line]
    rows.add(shape[line], y, x, x)


def _add_filling(rows: _Rows, shape: np.ndarray, x: np.ndarray, y: np.ndarray, top: np.ndarray) -> None:
    """Polygons filled row by row, down both sides from corner `top`. x: [N, K] fixed point; y: [N, K] whole rows."""
    around = np.arange(x.shape[1] + 1)
    for way in (1, -1):
        corner = (top[:, None] + way * around) % x.shape[1]
        side_x, side_y = np.take_along_axis(x, corner, 1), np.take_along_axis(y, corner, 1)
        deepest = np.maximum.accumulate(side_y, 1)
        polygon, edge = np.nonzero(side_y[:, 1:] > deepest[:, :-1])
        start = deepest[polygon, edge]
        drop = side_y[polygon, edge + 1] - start
        x0, x1 = side_x[polygon, edge], side_x[polygon, edge + 1]
        slope = _divide(2 * (x1 - x0) + drop, 2 * drop)
        line, row = _count_up(drop)
        at = (x0[line] + slope[line] * row + _HALF) >> _SHIFT
        rows.add(shape[polygon[line]], start[line] + row, at, at)


def _add_discs(rows: _Rows, center: np.ndarray, radius: int) -> None:
    """Circles with OpenCV's rounding: the midpoint walk along an eighth, mirrored."""
    reach = np.zeros(2 * radius + 1, np.int64)
    long, short, error = radius, 0, 0
    while long >= short:
        for row, side in ((short, long), (long, short)):
            reach[[radius - row, radius + row]] = np.maximum(reach[radius + row], side)
        error += 2 * short + 1
        short += 1
        if error > 0:
            error -= 2 * long - 1
            long -= 1
    down = np.arange(-radius, radius + 1)
    shape = np.repeat(np.arange(len(center)), len(down))
    y = (center[:, 1:] + down).ravel()
    rows.add(shape, y, (center[:, :1] - reach).ravel(), (center[:, :1] + reach).ravel())


def _add_quads(rows: _Rows, shape: np.ndarray, x: np.ndarray, y: np.ndarray) -> None:
    """Polygons of four corners with their borders. x, y: [N, 4] fixed point."""
    for i in range(4):
        _add_fixed_borders(rows, shape, x[:, i - 1], y[:, i - 1], x[:, i], y[:, i])
    _add_filling(rows, shape, x, (y + _HALF) >> _SHIFT, y.argmin(1))


def _add_fixed_borders(
    rows: _Rows, shape: np.ndarray, x0: np.ndarray, y0: np.ndarray, x1: np.ndarray, y1: np.ndarray
) -> None:
    """Lines between fixed-point places, one whole pixel after the other along their longer side."""
    width, height = rows.size
    inside, (x0, y0, x1, y1) = _clip(x0, y0, x1, y1, (width << _SHIFT) - 1, (height << _SHIFT) - 1)
    shape = shape[inside]
    flat = np.abs(x1 - x0) > np.abs(y1 - y0)
    u0, v0, u1, v1 = (np.where(flat, a, b) for a, b in ((x0, y0), (y0, x0), (x1, y1), (y1, x1)))
    swap = u0 > u1
    u0, v0, u1, v1 = np.where(swap, u1, u0), np.where(swap, v1, v0), np.where(swap, u0, u1), np.where(swap, v0, v1)
    ends_u, ends_v = (u1 + _HALF) >> _SHIFT, (v1 + _HALF) >> _SHIFT
    slope = _divide((v1 - v0) << _SHIFT, (u1 - u0) | 1)
    line, step = _count_up(((u1 - u0) >> _SHIFT) + 1)
    u = ((u0 + _HALF) >> _SHIFT)[line] + step
    v = (v0[line] + _HALF + slope[line] * step) >> _SHIFT
    u, v, line = np.concatenate([ends_u, u]), np.concatenate([ends_v, v]), np.concatenate([np.arange(len(shape)), line])
    x, y = np.where(flat[line], u, v), np.where(flat[line], v, u)
    rows.add(shape[line], y, x, x)


def _clip(
    x0: np.ndarray, y0: np.ndarray, x1: np.ndarray, y1: np.ndarray, right: int, bottom: int
) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """Which lines touch the picture, and the part of each that is in it: cut by rows first, then by columns."""
    ends = np.concatenate([x0, x1]), np.concatenate([y0, y1])
    if all(
        end.min(initial=0) >= 0 and end.max(initial=0) <= last for end, last in zip(ends, (right, bottom), strict=True)
    ):
        return np.ones(len(x0), bool), (x0, y0, x1, y1)
    apart = (np.maximum(x0, x1) < 0) | (np.minimum(x0, x1) > right)
    apart |= (np.maximum(y0, y1) < 0) | (np.minimum(y0, y1) > bottom)
    x0, y0, x1, y1 = (end[~apart] for end in (x0, y0, x1, y1))
    y0, x0 = _cut(y0, x0, y1, x1, bottom)
    y1, x1 = _cut(y1, x1, y0, x0, bottom)
    gone = (np.maximum(x0, x1) < 0) | (np.minimum(x0, x1) > right)
    x0, y0, x1, y1 = (end[~gone] for end in (x0, y0, x1, y1))
    x0, y0 = _cut(x0, y0, x1, y1, right)
    x1, y1 = _cut(x1, y1, x0, y0, right)
    inside = ~apart
    inside[inside] = ~gone
    return inside, (x0, y0, x1, y1)


def _cut(
    a: np.ndarray, b: np.ndarray, other_a: np.ndarray, other_b: np.ndarray, last: int
) -> tuple[np.ndarray, np.ndarray]:
    """Move the end (a, b) of a line along it to where a is in 0..last."""
    edge = np.clip(a, 0, last)
    run = np.where(other_a == a, 1, other_a - a)
    shift = np.trunc((edge - a).astype(np.float64) * (other_b - b) / run).astype(np.int64)
    return edge, b + np.where(edge == a, 0, shift)


def _count_up(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For [2, 3]: the items 0, 0, 1, 1, 1 and the steps 0, 1, 0, 1, 2."""
    item = np.repeat(np.arange(len(counts)), counts)
    return item, np.arange(len(item)) - (np.cumsum(counts) - counts)[item]


def _divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Whole division towards zero, b > 0."""
    return np.sign(a) * (np.abs(a) // b)
