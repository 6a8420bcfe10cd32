"""Clips as pictures: an animated GIF, or a folder of PNGs. Neither has sound."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from .atomic_file import naming_errors

_TICKS = 100  # GIF counts hundredths of a second
_SHORTEST = 2  # ticks; browsers slow down what is shorter


def write_gif(path: Path, temporary: Path, pictures: Iterator[np.ndarray], rate: Fraction, text: str) -> int:
    """Write an endless GIF and return the number of frames. Each has its own 256 colours; all are held in memory.

    Equal frames in a row become one that is shown longer. Times are rounded so that their sum does not drift; above
    50 frames a second the GIF is slower than the clip.
    """
    frames = [Image.fromarray(picture).quantize(256) for picture in pictures]
    edges = [round(index * _TICKS / rate) for index in range(len(frames) + 1)]
    times = [10 * max(_SHORTEST, after - before) for before, after in pairwise(edges)]
    with naming_errors(path):
        frames[0].save(
            temporary,
            "GIF",
            save_all=True,
            append_images=frames[1:],
            duration=times,
            loop=0,
            comment=text.encode(),
        )
    return len(frames)


def write_pngs(path: Path, temporary: Path, pictures: Iterator[np.ndarray], rate: Fraction, text: str) -> int:
    """Write a folder of 000000.png and so on, each with the comment, and return their number."""
    info = PngInfo()
    info.add_text("comment", text)
    info.add_text("fps", str(rate))
    count = 0
    with naming_errors(path):
        temporary.mkdir()
    for picture in pictures:
        with naming_errors(path):
            Image.fromarray(picture).save(temporary / f"{count:06d}.png", "PNG", pnginfo=info)
        count += 1
    return count
