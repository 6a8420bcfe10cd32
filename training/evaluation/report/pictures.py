"""Pictures of a run, at the size in which they are shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from animatex_core.fit import plan_fit

Size = tuple[int, int]
_BORDER = (18, 18, 20)  # beside a picture of other proportions


def frame_files(folder: Path) -> list[Path]:
    """The PNGs of a clip in their order; none where the folder is missing."""
    return sorted(folder.glob("*.png")) if folder.is_dir() else []


def size_of(path: Path) -> Size:
    """(width, height). Raises ValueError naming a file that is no picture."""
    with _opened(path) as image:
        return image.size


def read_picture(path: Path, size: Size | None = None) -> np.ndarray:
    """uint8 RGB [H, W, 3], whole, with borders where `size` (width, height) has other proportions.

    Raises ValueError naming a file that is no picture, or a damaged one.
    """
    with _opened(path) as image:
        try:
            picture = np.asarray(image.convert("RGB"))
        except (OSError, SyntaxError) as error:
            raise ValueError(f"{path}: not a whole picture ({error})") from None
    if size is None or picture.shape[1::-1] == size:
        return picture
    return plan_fit((picture.shape[1], picture.shape[0]), size, "pad").apply(picture, fill=_BORDER)


def within(size: Size, most: Size, multiple: int = 2) -> Size:
    """The size shrunk into another, proportions kept, both sides rounded to the multiple; never enlarged."""
    scale = min(1.0, most[0] / size[0], most[1] / size[1])
    width, height = (max(multiple, round(side * scale / multiple) * multiple) for side in size)
    return width, height


def _opened(path: Path) -> Image.Image:
    try:
        return Image.open(path)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or 'not a picture that can be read'}") from None
