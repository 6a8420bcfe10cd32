"""Video in and out, by PyAV."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .atomic_file import OutputError
from .provenance import read_metadata
from .video_decode import VideoInfo, decode, probe
from .video_encode import check_video_output, write_video
from .video_file import VideoError
from .video_isolated import isolated_decode, isolated_probe

__all__ = [
    "OutputError",
    "VideoError",
    "VideoInfo",
    "check_video_output",
    "open_video",
    "read_frames",
    "read_metadata",
    "write_video",
]


def open_video(path: str | Path, *, isolated: bool = False) -> VideoInfo:
    """Size, rate, length and sound of a video, after its first frame has been decoded.

    isolated: look at the file in a child process, so that one that crashes the decoder is an error like any other.
    The child imports this package and, as every spawned process, the main script, which needs its
    `if __name__ == "__main__"`.

    Raises VideoError (a ValueError) naming the file and the cause.
    """
    return isolated_probe(path) if isolated else probe(path)


def read_frames(
    path: str | Path,
    *,
    start: int = 0,
    stride: int = 1,
    count: int | None = None,
    accept_damaged: bool = False,
    isolated: bool = False,
) -> Iterator[np.ndarray]:
    """The frames of a video as uint8 RGB [H, W, 3], one at a time: memory does not grow with the length.

    Frames come in presentation order and are counted one by one: where they are shown at uneven times (variable frame
    rate) the times are not looked at. Rotation is applied, alpha dropped, 10-bit and HDR video brought to 8 bits of
    the standard range; pixels that are not square stay as they are stored.

    start:  the first frame wanted, counted from 0.
    stride: every which frame from there on.
    count:  how many frames at most; a shorter video gives fewer. None: all.
    accept_damaged: take frames that the decoder had to patch up, end where a file breaks off, and log both. Else the
        good frames before such a place are followed by an error.
    isolated: decode in a child process, as in `open_video`.

    Raises VideoError (a ValueError) naming the file and the cause, and, in `good_frames`, how many frames from the
    beginning of the file are good. A file with no good frame at `start` or after it is always an error.
    """
    for name, value, least in (("start", start, 0), ("stride", stride, 1), ("count", 1 if count is None else count, 1)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"{name} of the frames to read must be a whole number from {least}, got {value!r}")
    frames = (isolated_decode if isolated else decode)(path, start, stride, count, accept_damaged)
    return (frame for frame in frames if frame is not None)
