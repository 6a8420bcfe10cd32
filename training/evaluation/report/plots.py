"""A metric over the frames of a clip, drawn as SVG; colours and dashes come from the page's style."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import groupby

from markupsafe import Markup

from .columns import number

WIDTH, HEIGHT = 640, 200
LEFT, RIGHT, TOP, BOTTOM = 58, 8, 10, 26
_MOST_POINTS = 400


def line_plot(series: Mapping[str, Sequence[float]], title: str) -> Markup:
    """Lines by name, each with class s0, s1, ... in the order given, and a cursor that a script may move.

    Long clips are thinned to 400 points. Raises ValueError when there is no finite number to draw.
    """
    frames = max(map(len, series.values()), default=0)
    finite = [value for values in series.values() for value in values if math.isfinite(value)]
    if not finite:
        raise ValueError(f"{title}: nothing to draw")
    ticks = nice_ticks(min(finite), max(finite))
    low, high = min(*ticks, *finite), max(*ticks, *finite)

    def x(frame: int) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * frame / max(frames - 1, 1)

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low)

    parts = [
        Markup(
            '<svg class="plot" viewBox="0 0 {} {}" role="img" aria-label="{}" data-frames="{}" data-left="{}" '
            'data-wide="{}">'
        ).format(WIDTH, HEIGHT, f"{title} over frames: {_in_words(series)}", frames, LEFT, WIDTH - LEFT - RIGHT)
    ]
    for tick in ticks:
        parts.append(Markup('<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>').format(
            LEFT, WIDTH - RIGHT, y(tick), y(tick)))  # fmt: skip
        parts.append(Markup('<text x="{}" y="{:.1f}" text-anchor="end">{}</text>').format(
            LEFT - 6, y(tick) + 4, f"{tick:.6g}"))  # fmt: skip
    for frame in sorted({0, (frames - 1) // 2, frames - 1}):
        parts.append(Markup('<text x="{:.1f}" y="{}" text-anchor="middle">{}</text>').format(
            min(x(frame), WIDTH - RIGHT - 12), HEIGHT - 8, frame))  # fmt: skip
    stride = -(-frames // _MOST_POINTS)
    for place, (name, values) in enumerate(series.items()):
        points = [(x(frame), y(values[frame])) if math.isfinite(values[frame]) else None
                  for frame in range(0, len(values), stride)]  # fmt: skip
        parts.append(Markup('<g class="s{}" data-method="{}">{}</g>').format(place % 8, name, _lines(points)))
    parts.append(Markup('<line class="cursor" x1="{}" x2="{}" y1="{}" y2="{}"/></svg>').format(
        LEFT, LEFT, TOP, HEIGHT - BOTTOM))  # fmt: skip
    return Markup("").join(parts)


def nice_ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Round numbers that cover the range, some `count` of them."""
    if high - low <= 1e-9 * max(abs(low), abs(high), 1e-30):
        low, high = low - (abs(low) or 1) * 0.05, high + (abs(high) or 1) * 0.05
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough)
    return [round(place * step, 12) for place in range(math.floor(low / step), math.ceil(high / step) + 1)]


def _lines(points: Sequence[tuple[float, float] | None]) -> Markup:
    """A line per run of frames that have a number; a lone one is a dot."""
    drawn = []
    for there, run in groupby(points, key=lambda point: point is not None):
        if there:
            text = " ".join(f"{point[0]:.1f},{point[1]:.1f}" for point in run if point)
            one = (
                Markup('<polyline points="{}"/>') if " " in text else Markup('<polyline class="dot" points="{0} {0}"/>')
            )
            drawn.append(one.format(text))
    return Markup("").join(drawn)


def _in_words(series: Mapping[str, Sequence[float]]) -> str:
    """For those who do not see the lines."""
    words = []
    for name, values in series.items():
        finite = [value for value in values if math.isfinite(value)]
        if finite:
            words.append(f"{name} from {number(min(finite))} to {number(max(finite))}")
    return "; ".join(words)
