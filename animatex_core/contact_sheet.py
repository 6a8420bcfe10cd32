"""Contact sheets: a few frames of each clip side by side, to be judged at one glance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from .atomic_file import OutputError, naming_errors, replacing
from .fit import plan_fit
from .pictures import MAX_PIXELS, check_pictures
from .provenance import comment

_BACKGROUND, _CELL, _INK = (255, 255, 255), (232, 232, 232), (40, 40, 40)
_GAP = 6  # pixels around everything
_LABEL_SIZE, _NUMBER_SIZE = 15, 11  # pixels, height of the letters
_WIDEST_LABEL = 220

Frames = np.ndarray | Sequence[np.ndarray]


def contact_sheet(rows: Mapping[str, Frames], columns: int = 8, cell: tuple[int, int] | None = None) -> np.ndarray:
    """One row per clip: its label, and up to `columns` frames evenly spread from the first to the last, numbered.

    rows: label -> frames uint8 RGB [n, H, W, 3], or a sequence of [H, W, 3]; a single picture is a clip of one frame.
    cell: (width, height) of a frame on the sheet; frames keep their proportions. None: 128 wide, as high as the first
        frame of the first row asks for.

    Returns uint8 RGB [H, W, 3]. Raises ValueError naming the row that holds no pictures, or when nothing is given.
    """
    if not rows or columns < 1:
        raise ValueError(f"a contact sheet needs rows and at least 1 column, got {len(rows)} and {columns}")
    chosen = {label: _spread(label, frames, columns) for label, frames in rows.items()}
    cell = cell or _cell(next(iter(chosen.values()))[0][1])
    columns = max(map(len, chosen.values()))
    left = _GAP + max(_text_width(label) for label in chosen) + _GAP
    step = (cell[0] + _GAP, cell[1] + _NUMBER_SIZE + 2 * _GAP)
    size = (left + columns * step[0], _GAP + len(rows) * step[1])
    if min(cell) < 1 or size[0] * size[1] > MAX_PIXELS:
        raise ValueError(f"a contact sheet of {size[0]}x{size[1]} with cells of {cell[0]}x{cell[1]} cannot be drawn")
    sheet = Image.new("RGB", size, _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for row, (label, frames) in enumerate(chosen.items()):
        top = _GAP + row * step[1]
        draw.text((_GAP, top), _shortened(label), _INK, ImageFont.load_default(_LABEL_SIZE))
        for column, (index, frame) in enumerate(frames):
            x = left + column * step[0]
            sheet.paste(Image.fromarray(_in_cell(frame, cell)), (x, top))
            draw.text((x, top + cell[1] + 2), str(index), _INK, ImageFont.load_default(_NUMBER_SIZE))
    return np.array(sheet)


def save_picture(
    path: str | Path, picture: np.ndarray, metadata: Mapping[str, Any] | None = None, *, overwrite: bool = False
) -> None:
    """Write uint8 RGB [H, W, 3] as a PNG, whole or not at all, with `metadata` and that it is generated in its comment.

    Raises OutputError naming the path: another ending, a missing folder, a file that is there already, a full disk.
    """
    path = Path(path)
    check_pictures(picture)
    if picture.ndim != 3:
        raise ValueError(f"one picture [H, W, 3] can be saved, got {list(picture.shape)}")
    if path.suffix.lower() != ".png":
        raise OutputError(f"{path}: pictures are written as .png")
    info = PngInfo()
    info.add_text("comment", comment(metadata))
    with replacing(path, overwrite=overwrite) as temporary, naming_errors(path):
        Image.fromarray(np.ascontiguousarray(picture)).save(temporary, "PNG", pnginfo=info)


def _spread(label: str, frames: Frames, columns: int) -> list[tuple[int, np.ndarray]]:
    """Evenly spread frames and their numbers, first and last among them."""
    if isinstance(frames, np.ndarray) and frames.ndim == 3:
        frames = frames[None]
    if len(frames) == 0:
        raise ValueError(f"row {label!r} of the contact sheet has no frames")
    indices = np.unique(np.linspace(0, len(frames) - 1, columns).round().astype(int)).tolist()
    try:
        for index in indices:
            check_pictures(frames[index])
    except ValueError as error:
        raise ValueError(f"row {label!r} of the contact sheet: {error}") from None
    return [(index, frames[index]) for index in indices]


def _cell(frame: np.ndarray) -> tuple[int, int]:
    height, width = frame.shape[:2]
    return 128, min(max(round(128 * height / width), 16), 512)


def _in_cell(frame: np.ndarray, cell: tuple[int, int]) -> np.ndarray:
    return plan_fit((frame.shape[1], frame.shape[0]), cell, "pad").apply(frame, fill=_CELL)


def _text_width(label: str) -> int:
    return int(ImageFont.load_default(_LABEL_SIZE).getlength(_shortened(label))) + 1


def _shortened(label: str) -> str:
    """The label on one line, not wider than `_WIDEST_LABEL`; the built-in font has Latin letters only."""
    text = " ".join(label.split()).encode("latin-1", "replace").decode("latin-1")
    font = ImageFont.load_default(_LABEL_SIZE)
    if font.getlength(text) <= _WIDEST_LABEL:
        return text
    while text and font.getlength(text + "...") > _WIDEST_LABEL:
        text = text[:-1]
    return text + "..."
