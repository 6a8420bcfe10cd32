"""Draws loss curves: python docs/training_curve.py TITLE LOG [LOG ...] PICTURE

A log is the scalars.jsonl of a run's folder; several are legs of one training, one after the other. That of
docs/training.md is the run of tests/training/test_chain.py (slow): three rendered clips, learned by heart on one
processor. That of docs/mini.md is drawn from docs/evidence/training_*.jsonl.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIZE, EDGE = (720, 320), 48
INK, GRID, CURVE, MEAN = (40, 40, 40), (225, 225, 225), (170, 195, 230), (20, 90, 180)
SMOOTH = 5  # lines of the log


def read(logs: list[Path]) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Steps and losses of training, and the steps at which a leg ends; legs are counted on."""
    points, ends = [], [0]
    for log in logs:
        lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
        points += [(ends[-1] + line["step"], line["train/loss"]) for line in lines if "train/loss" in line]
        ends.append(int(points[-1][0]))
    steps, losses = np.array(points).T
    return steps, losses, ends[1:-1]


def draw(title: str, steps: np.ndarray, losses: np.ndarray, ends: list[int]) -> Image.Image:
    """Loss over steps, its running mean, and where legs end."""
    picture = Image.new("RGB", SIZE, "white")
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(12)
    top = float(np.ceil(losses.max() * 10) / 10)
    width, height = SIZE[0] - 2 * EDGE, SIZE[1] - 2 * EDGE

    def at(step: float, loss: float) -> tuple[float, float]:
        return EDGE + width * step / steps[-1], EDGE + height * (1 - loss / top)

    for share in np.linspace(0, 1, 6):
        pen.line([at(0, top * share), at(steps[-1], top * share)], GRID)
        pen.text((8, at(0, top * share)[1] - 7), f"{top * share:.2f}", INK, font)
        pen.text((at(steps[-1] * share, 0)[0] - 10, SIZE[1] - EDGE + 8), f"{steps[-1] * share:.0f}", INK, font)
    mean = np.convolve(np.pad(losses, SMOOTH // 2, mode="edge"), np.full(SMOOTH, 1 / SMOOTH), "valid")
    pen.line([at(s, v) for s, v in zip(steps, losses, strict=True)], CURVE, 1)
    pen.line([at(s, v) for s, v in zip(steps, mean, strict=True)], MEAN, 2)
    for end in ends:
        pen.line([at(end, 0), at(end, top)], INK)
    pen.text((EDGE, 14), f"{title}: loss by step (mean of five lines of the log)", INK, font)
    return picture


def main() -> None:
    """The command line."""
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    title, *logs, picture = sys.argv[1:]
    draw(title, *read([Path(log) for log in logs])).save(picture, optimize=True)


if __name__ == "__main__":
    main()
