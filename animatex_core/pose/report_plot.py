"""The pose report as one picture: joints over time, jitter, size, and marks for what a cleaning would mend."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .manual import JOINTS
from .report import SHAKY, PoseReport

WIDTH = 960
_LEFT, _RIGHT, _ROW, _GAP, _CURVE = 120, 20, 11, 26, 70
_PAPER, _INK, _FAINT = (24, 26, 30), (220, 222, 226), (70, 74, 82)
_THERE, _MISSING, _OUTSIDE = (44, 110, 96), (214, 69, 65), (232, 158, 62)
_LINE, _LIMIT = (96, 170, 240), (214, 69, 65)
_MARKS = (("nobody", (150, 150, 158)), ("sides exchanged", (186, 104, 232)), ("outliers", (240, 214, 90)))


def plot(report: PoseReport, reference_size: float | None = None) -> np.ndarray:
    """The report as a picture [H, W, 3] uint8.

    reference_size: the size of the reference's figure as in `PoseReport.size`, drawn beside the driver's.
    """
    height = 2 * _GAP + len(JOINTS) * _ROW + 2 * (_GAP + _CURVE) + _GAP + len(_MARKS) * _ROW + _GAP
    picture = Image.new("RGB", (WIDTH, height), _PAPER)
    page = _Page(ImageDraw.Draw(picture), max(len(report.missing), 1))
    y = page.title(_GAP // 2, f"joints: {len(report.missing)} frames", (("missing", _MISSING), ("outside", _OUTSIDE)))
    picture.paste(_joints(report), (_LEFT, y))
    for row, name in enumerate(JOINTS):
        page.label(y + row * _ROW, name)
    y = page.title(y + len(JOINTS) * _ROW + 6, "jitter (parts of neck to hip)", ())
    page.curve(y, report.jitter, SHAKY)
    y = page.title(y + _CURVE + 6, "size (neck to hip, parts of the picture's height)", ())
    page.curve(y, np.where(report.size > 0, report.size, np.nan), reference_size)
    y = page.title(y + _CURVE + 6, "to be mended", ())
    found = (report.empty, report.swaps.frames, report.outliers.frames)
    for row, ((name, colour), frames) in enumerate(zip(_MARKS, found, strict=True)):
        page.label(y + row * _ROW, name)
        page.ticks(y + row * _ROW, frames, colour)
    page.frames(y + len(_MARKS) * _ROW + 2)
    return np.array(picture)


def _joints(report: PoseReport) -> Image.Image:
    """Joints by frames, the worst of the frames that share a pixel."""
    state = np.where(report.missing, 2, report.outside.astype(np.uint8)).T
    if state.shape[1] == 0:
        state = np.full((len(JOINTS), 1), 2)
    width = WIDTH - _LEFT - _RIGHT
    edges = np.arange(width) * state.shape[1] // width
    ends = np.maximum((np.arange(width) + 1) * state.shape[1] // width, edges + 1)
    columns = np.stack([state[:, a:b].max(1) for a, b in zip(edges, ends, strict=True)], 1)
    colours = np.array([_THERE, _OUTSIDE, _MISSING], np.uint8)[columns]
    rows = np.repeat(colours, _ROW, 0)
    rows[::_ROW] = _PAPER
    return Image.fromarray(rows)


class _Page:
    """Where things go: frames along x."""

    def __init__(self, draw: ImageDraw.ImageDraw, frames: int) -> None:
        self.draw, self.count = draw, frames
        self.small, self.large = ImageFont.load_default(9), ImageFont.load_default(12)

    def x(self, frame: float) -> float:
        return _LEFT + (frame + 0.5) * (WIDTH - _LEFT - _RIGHT) / self.count

    def title(self, y: int, text: str, legend: tuple[tuple[str, tuple[int, int, int]], ...]) -> int:
        self.draw.text((_LEFT, y), text, _INK, font=self.large)
        x = WIDTH - _RIGHT - 80 * len(legend)
        for name, colour in legend:
            self.draw.rectangle((x, y + 3, x + 8, y + 11), fill=colour)
            self.draw.text((x + 13, y), name, _INK, font=self.large)
            x += 80
        return y + 18

    def label(self, y: int, text: str) -> None:
        self.draw.text((_LEFT - 6, y + _ROW // 2 + 1), text, _INK, font=self.small, anchor="rm")

    def curve(self, y: int, values: np.ndarray, limit: float | None) -> None:
        """Values by frame (NaN: none) and a line across at the limit."""
        finite = np.isfinite(values)
        top = max(float(values[finite].max(initial=0)), 1.2 * (limit or 0), 1e-6)
        self.draw.rectangle((_LEFT, y, WIDTH - _RIGHT, y + _CURVE), outline=_FAINT)
        for part, at in ((0.0, y + _CURVE), (top, y)):
            self.draw.text((_LEFT - 6, at), f"{part:.3g}", _INK, font=self.small, anchor="rm")
        if limit:
            at = y + _CURVE * (1 - limit / top)
            self.draw.line((_LEFT, at, WIDTH - _RIGHT, at), _LIMIT)
        spots = [(self.x(f), y + _CURVE * (1 - float(v) / top)) for f, v in enumerate(values)]
        for frame in np.flatnonzero(finite):
            if frame and finite[frame - 1]:
                self.draw.line((spots[frame - 1], spots[frame]), _LINE)
            else:
                self.draw.point(spots[frame], _LINE)

    def ticks(self, y: int, frames: np.ndarray | tuple[int, ...], colour: tuple[int, int, int]) -> None:
        half = max((WIDTH - _LEFT - _RIGHT) / self.count / 2, 0.5)
        self.draw.line((_LEFT, y + _ROW - 1, WIDTH - _RIGHT, y + _ROW - 1), _FAINT)
        for frame in frames:
            self.draw.rectangle((self.x(frame) - half, y + 1, self.x(frame) + half, y + _ROW - 2), fill=colour)

    def frames(self, y: int) -> None:
        step = max(1, 10 ** int(np.log10(self.count)))
        step = step if self.count / step >= 4 else max(1, step // 5)
        for frame in range(0, self.count, step):
            self.draw.text((self.x(frame), y), str(frame), _INK, font=self.small, anchor="mt")
