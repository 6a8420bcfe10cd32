"""A metric over the frames of a clip, drawn as SVG; colours and dashes come from the page's style."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

from markupsafe import Markup

from ..records import Value
from .columns import number

WIDTH, HEIGHT = 640, 200
LEFT, RIGHT, TOP, BOTTOM = 58, 8, 10, 26
_MOST_POINTS = 400


def line_plot(series: Mapping[str, Sequence[float]], title: str) -> Markup:
    """Lines by name, each with class s0, s1, ... in the order given, and a cursor that a script may move.

    series: a number for every frame of the clip, NaN for none. Long ones are thinned to 400 points. Raises ValueError
    when there is no finite number to draw.
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
    for place, (name, values) in enumerate(series.items()):
        runs = [[(x(frame), y(values[frame])) for frame in run] for run in _runs(values)]
        parts.append(Markup('<g class="s{}" data-method="{}">{}</g>').format(place % 8, name, _lines(runs)))
    parts.append(Markup('<line class="cursor" x1="{}" x2="{}" y1="{}" y2="{}"/></svg>').format(
        LEFT, LEFT, TOP, HEIGHT - BOTTOM))  # fmt: skip
    return Markup("").join(parts)


def over_clip(value: Value, frames: int, skipped: int) -> list[float]:
    """A metric's number for every frame of a clip, NaN for frames without one; empty where it has none at all.

    frames: that were measured, after so many `skipped` ones. Which of them the numbers belong to is in the settings:
    `frames` lists them, `first_frame` is where they begin.
    """
    numbers, told = value.per_frame or (), value.settings.get("frames")
    first = value.settings.get("first_frame")
    first = int(first) if isinstance(first, int | float) else 0
    places: Iterable[int] = range(first, first + len(numbers))
    if isinstance(told, list | tuple) and len(told) == len(numbers) and all(isinstance(t, int | float) for t in told):
        places = map(int, told)
    at = dict(zip(places, numbers, strict=True))
    line = [at.get(frame, math.nan) for frame in range(-skipped, frames)]
    return line if any(map(math.isfinite, line)) else []


def nice_ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Round numbers that cover the range, some `count` of them."""
    if high - low <= 1e-9 * max(abs(low), abs(high), 1e-30):
        low, high = low - (abs(low) or 1) * 0.05, high + (abs(high) or 1) * 0.05
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough)
    return [round(place * step, 12) for place in range(math.floor(low / step), math.ceil(high / step) + 1)]


def _runs(values: Sequence[float]) -> Iterator[list[int]]:
    """Frames that a line joins: those with a number, up to the next one without. Of many, every so many-th."""
    there = [frame for frame, value in enumerate(values) if math.isfinite(value)]
    stride = max(1, -(-len(there) // _MOST_POINTS))
    # neighbours are joined when all frames between them have numbers: then they are one stride apart
    for _, run in groupby(enumerate(there[::stride]), key=lambda one: one[1] - one[0] * stride):
        yield [frame for _, frame in run]


def _lines(runs: Sequence[Sequence[tuple[float, float]]]) -> Markup:
    """A line per run of points; a lone one is a dot."""
    drawn = []
    for run in runs:
        text = " ".join(f"{x:.1f},{y:.1f}" for x, y in run)
        dot = Markup('<polyline class="dot" points="{0} {0}"/>')
        drawn.append((dot if len(run) == 1 else Markup('<polyline points="{}"/>')).format(text))
    return Markup("").join(drawn)


def _in_words(series: Mapping[str, Sequence[float]]) -> str:
    """For those who do not see the lines."""
    words = []
    for name, values in series.items():
        finite = [value for value in values if math.isfinite(value)]
        if finite:
            words.append(f"{name} from {number(min(finite))} to {number(max(finite))}")
    return "; ".join(words)
