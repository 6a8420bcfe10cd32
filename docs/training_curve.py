"""Draws the loss curve of docs/training.md: python docs/training_curve.py RUN docs/training_tiny.png

The run is that of tests/training/test_chain.py (slow): three rendered clips, learned by heart on one processor.
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


def read(run: Path) -> tuple[np.ndarray, np.ndarray]:
    """Steps and losses of training."""
    lines = [json.loads(line) for line in (run / "scalars.jsonl").read_text().splitlines()]
    points = [(line["step"], line["train/loss"]) for line in lines if "train/loss" in line]
    steps, losses = np.array(points).T
    return steps, losses


def draw(steps: np.ndarray, losses: np.ndarray) -> Image.Image:
    """Loss over steps, and its running mean."""
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
    pen.text((EDGE, 14), "tiny, three rendered clips: loss by step (mean of five lines of the log)", INK, font)
    return picture


def main() -> None:
    """The command line."""
    draw(*read(Path(sys.argv[1]))).save(sys.argv[2], optimize=True)


if __name__ == "__main__":
    main()
