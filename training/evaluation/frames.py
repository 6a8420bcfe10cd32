"""Clips as the metrics see them: frames read one at a time, whole and lossless, and never cut to fit each other."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from animatex_core.atomic_file import naming_errors, replacing
from animatex_core.pictures import check_pictures, load_picture
from animatex_core.video import read_frames

from ..sources import check_numbers

Clip = str | Path | Sequence[np.ndarray] | np.ndarray
"""A folder of PNG pictures in the order of their names, a video file, or frames in memory (uint8 RGB [H, W, 3])."""


def read_clip(clip: Clip) -> Iterator[np.ndarray]:
    """The frames of a clip as uint8 RGB [H, W, 3], one at a time, all of one size.

    Numbers in the names of a folder's pictures must be padded with zeros (00000.png): it is read in the order of names.
    Raises ValueError (VideoError for videos) naming the file and the cause: no frames, a damaged one, another size.
    """
    if isinstance(clip, str | Path):
        return _one_size(_read(Path(clip)), str(clip))
    if not isinstance(clip, Sequence | np.ndarray):
        raise TypeError(
            "a clip is a folder, a video file or a sequence of frames that can be read again, "
            f"got {type(clip).__name__}"
        )
    return _one_size(iter(clip), "the clip")


def clip_info(clip: Clip) -> tuple[int, int, int]:
    """Frames, width and height of a clip. Frames of a video are counted by decoding it; of a folder, by its files."""
    first = next(iter(read_clip(clip)))
    if isinstance(clip, str | Path):
        path = Path(clip)
        count = len(_pictures(path)) if path.is_dir() else sum(1 for _ in read_frames(path))
    else:
        count = len(clip)
    return count, first.shape[1], first.shape[0]


def read_pairs(made: Clip, truth: Clip) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The frames of two clips side by side.

    Raises ValueError naming both when one ends before the other: nothing is cut to fit.
    """
    others = read_clip(truth)
    count = 0
    for frame in read_clip(made):
        other = next(others, None)
        if other is None:
            raise _lengths_differ(made, truth)
        yield frame, other
        count += 1
    if next(others, None) is not None:
        raise _lengths_differ(made, truth)


def write_clip(folder: str | Path, frames: Iterable[np.ndarray]) -> int:
    """Write frames as 00000.png, 00001.png, ... into a new folder, whole or not at all; returns their number.

    Raises ValueError for a frame that is no uint8 RGB picture or has another size than the first, and for no frames;
    OutputError when the folder cannot be written or holds something.
    """
    folder = Path(folder)
    count = 0
    with replacing(folder) as temporary:
        with naming_errors(folder):
            temporary.mkdir()
        for frame in _one_size(iter(frames), f"{folder}: the frames to write"):
            with naming_errors(folder):
                # level 1: half as large again, many times as fast
                Image.fromarray(np.ascontiguousarray(frame)).save(temporary / f"{count:05d}.png", compress_level=1)
            count += 1
    return count


def folder_sha256(folder: Path, *, without: str = "") -> str:
    """sha256 over the names and contents of a folder's files and those of its folders. without: a name left out."""
    whole = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name != without):
        whole.update(f"{path.relative_to(folder)} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return whole.hexdigest()


def clip_name(clip: Clip) -> str:
    """What messages call a clip."""
    return str(clip) if isinstance(clip, str | Path) else "the clip in memory"


def _read(path: Path) -> Iterator[np.ndarray]:
    if path.is_dir():
        return (load_picture(picture) for picture in _pictures(path))
    if path.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp", ".bmp"):
        raise ValueError(f"{path}: a picture, expected a folder of PNG pictures or a video")
    return read_frames(path)


def _pictures(folder: Path) -> list[Path]:
    found = sorted(p for p in folder.iterdir() if p.suffix.lower() == ".png" and not p.name.startswith("."))
    if not found:
        raise ValueError(f"{folder}: the folder holds no PNG pictures")
    check_numbers(folder, found)
    return found


def _one_size(frames: Iterator[np.ndarray], name: str) -> Iterator[np.ndarray]:
    size = None
    for index, frame in enumerate(frames):
        check_pictures(frame)
        if frame.ndim != 3 or (size is not None and frame.shape != size):
            raise ValueError(f"{name}: frame {index} is {list(frame.shape)}, expected {list(size or (0, 0, 3))}")
        size = frame.shape
        yield frame
    if size is None:
        raise ValueError(f"{name}: no frames")


def _lengths_differ(made: Clip, truth: Clip) -> ValueError:
    (frames, *_), (others, *_) = clip_info(made), clip_info(truth)
    return ValueError(
        f"{clip_name(made)} has {frames} frames and {clip_name(truth)} has {others}: "
        "clips are compared whole, nothing is cut"
    )
