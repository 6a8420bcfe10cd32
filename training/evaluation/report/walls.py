"""What a case looks like: one video that holds all clips side by side, and strips of stills.

One video a case, not one a clip: its parts cannot run apart, and the page cuts it into tiles that fit any screen.
"""

from __future__ import annotations

import base64
import io
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from animatex_core.video import write_video

from ..records import Bench, RunFolder
from .pictures import Size, frame_files, read_picture, size_of, within

_ALIGN = 16  # of tiles in the video: macroblocks of one tile then do not bleed into the next
_TILE_SIZES = ((288, 288), (208, 208), (144, 144), (96, 96))
_STILLS, _STILL_SIZE = 6, (144, 144)
_CRF = 24


@dataclass(frozen=True)
class Tile:
    """kind: reference | poses | truth | method. files: a frame each, or one picture that stands still."""

    label: str
    kind: str
    files: tuple[Path, ...]


@dataclass(frozen=True)
class Wall:
    """data: H.264 in an MP4. Tile number n starts at column n % columns, row n // columns of the pitch.

    frames: shown, of these `step` apart in the clip. size: of what is drawn of a tile.
    """

    data: bytes
    columns: int
    size: Size
    pitch: Size
    frames: int
    step: int
    fps: float


@dataclass(frozen=True)
class Strip:
    """Some frames of a tile in a row, as WebP; numbers: which."""

    label: str
    kind: str
    data: bytes
    size: Size
    numbers: tuple[int, ...]


def tiles_of(folder: RunFolder, bench: Bench, case: str) -> list[Tile]:
    """What there is to see of a case: the character, the driving pose, the truth and every method. Nothing is made up:
    what is not there has no files."""
    where = folder.case(case)
    reference = where / "reference.png"
    tiles = [
        Tile("reference", "reference", (reference,) if reference.is_file() else ()),
        Tile("driving pose", "poses", tuple(frame_files(where / "poses"))),
        Tile("truth", "truth", tuple(frame_files(where / "truth"))),
    ]
    methods = [Tile(name, "method", tuple(frame_files(folder.frames(name, case)))) for name in bench.methods]
    return [*(tile for tile in tiles if tile.files), *methods]


def make_wall(tiles: Sequence[Tile], fps: float, *, most_frames: int, most_bytes: int) -> Wall | None:
    """The largest wall that stays below so many bytes; None where even the smallest does not, or nothing moves."""
    frames = max((len(tile.files) for tile in tiles), default=0)
    if frames < 2:
        return None
    step = -(-frames // most_frames)
    first = next(tile for tile in tiles if len(tile.files) == frames)
    for most in _TILE_SIZES:
        size = within(size_of(first.files[0]), most)
        wall = _encode(tiles, size, range(0, frames, step), step, fps)
        if len(wall.data) <= most_bytes:
            return wall
    return None


def make_strips(tiles: Sequence[Tile], count: int = _STILLS) -> list[Strip]:
    """A row of stills of every tile that has pictures; all rows show the same frames."""
    frames = max((len(tile.files) for tile in tiles), default=0)
    numbers = np.unique(np.linspace(0, max(frames - 1, 0), count).round().astype(int)).tolist()
    return [_strip(tile, numbers) for tile in tiles if tile.files]


def data_uri(kind: str, data: bytes) -> str:
    """For the page, which has no other files."""
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _strip(tile: Tile, numbers: Sequence[int]) -> Strip:
    shown = [number for number in numbers if number < len(tile.files)]
    size = within(size_of(tile.files[0]), _STILL_SIZE)
    row = np.concatenate([read_picture(tile.files[number], size) for number in shown], axis=1)
    held = io.BytesIO()
    Image.fromarray(row).save(held, "WEBP", quality=80, method=4)
    return Strip(tile.label, tile.kind, held.getvalue(), (row.shape[1], row.shape[0]), tuple(shown))


def _encode(tiles: Sequence[Tile], size: Size, numbers: Sequence[int], step: int, fps: float) -> Wall:
    pitch = (-(-size[0] // _ALIGN) * _ALIGN, -(-size[1] // _ALIGN) * _ALIGN)
    columns = min(len(tiles), max(1, round((len(tiles) * pitch[1] / pitch[0]) ** 0.5)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "wall.mp4"
        write_video(path, _sheets(tiles, size, pitch, columns, numbers), fps / step, crf=_CRF)
        return Wall(path.read_bytes(), columns, size, pitch, len(numbers), step, fps / step)


def _sheets(
    tiles: Sequence[Tile], size: Size, pitch: Size, columns: int, numbers: Sequence[int]
) -> Iterator[np.ndarray]:
    """Frames of the video. A clip that ends early stays black, so that it does not look longer than it is."""
    rows = -(-len(tiles) // columns)
    still = {place: read_picture(tile.files[0], size) for place, tile in enumerate(tiles) if tile.kind == "reference"}
    for number in numbers:
        sheet = np.zeros((rows * pitch[1], columns * pitch[0], 3), np.uint8)
        for place, tile in enumerate(tiles):
            if place in still or number < len(tile.files):
                top, left = place // columns * pitch[1], place % columns * pitch[0]
                picture = still[place] if place in still else read_picture(tile.files[number], size)
                sheet[top : top + size[1], left : left + size[0]] = picture
        yield sheet
