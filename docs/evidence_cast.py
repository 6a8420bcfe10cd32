"""Draws the characters and motions of docs/evidence.md: python docs/evidence_cast.py SET PICTURE

SET is the folder of `python -m animatex_training.synthetic benchmark`. In two columns: the drivers, then each character
standing and in every motion.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from animatex_training.evaluation.cases import open_set
from PIL import Image

from animatex_core.pictures import load_picture, resize

FRAME, WIDTH, HEIGHT = 5, 64, 96


def cast(folder: Path) -> np.ndarray:
    """uint8 RGB: a row a character, with the drivers above either column."""
    names = [name.rpartition("/")[2] for name in open_set(folder).cases]
    characters = list(dict.fromkeys(name.split("-")[0] for name in names))
    motions = list(dict.fromkeys(name.split("-", 1)[1] for name in names))
    cases = {who: [folder / f"{who}-{motion}" for motion in motions] for who in characters}
    drivers = [_picture(case / "driver" / f"{FRAME:06d}.png") for case in cases[characters[0]]]
    above = np.concatenate([np.full((HEIGHT, WIDTH, 3), 255, np.uint8), *drivers], 1)
    rows = [
        np.concatenate(
            [_picture(p) for p in (c[0] / "image.png", *(case / "video" / f"{FRAME:06d}.png" for case in c))], 1
        )
        for c in cases.values()
    ]
    half = (len(rows) + 1) // 2
    return np.concatenate([np.concatenate([above, *part]) for part in (rows[:half], rows[half:])], 1)


def _picture(path: Path) -> np.ndarray:
    return resize(load_picture(path), WIDTH, HEIGHT)


def main() -> None:
    """The command line."""
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    Image.fromarray(cast(Path(sys.argv[1]))).quantize(200).save(sys.argv[2], optimize=True)


if __name__ == "__main__":
    main()
