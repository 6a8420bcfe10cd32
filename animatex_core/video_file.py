"""Opening video and audio files that nobody vouches for: guards around PyAV, and the one error type.

FFmpeg is asked for plain containers only. Left to itself it would also take playlists and lists of files that name
other files and addresses, text as ANSI art, and more, whatever the file's name says.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition, Stream

CONTAINERS = (
    "mov", "mp4", "matroska", "webm", "avi", "gif", "apng", "asf", "flv", "mpeg", "mpegts", "ogg", "ivf", "nut", "mxf",
    "yuv4mpegpipe", "wav", "mp3", "flac", "aac",
)  # fmt: skip


class VideoError(ValueError):
    """A video or audio file that cannot be read or written: the message names the file and the cause.

    good_frames: how many frames from the beginning of the file were good, when reading it failed part of the way.
    """

    def __init__(self, path: str | Path, cause: str, good_frames: int = 0) -> None:
        super().__init__(f"{path}: {cause}")
        self.path = Path(path)
        self.cause = cause
        self.good_frames = good_frames


@contextmanager
def open_media(path: str | Path) -> Iterator[InputContainer]:
    """Open a local media file for reading. Raises VideoError: missing, a folder, empty, cut off, no media file."""
    path = Path(path)
    _check_file(path)
    options = {"format_whitelist": ",".join(CONTAINERS), "protocol_whitelist": "file"}
    try:
        container = av.open(str(path.absolute()), "r", options=options, metadata_errors="replace")
    except (FFmpegError, OSError, ValueError) as error:
        raise VideoError(path, _open_cause(path, error)) from None
    with container:
        yield container


def usable(streams: tuple[Stream, ...]) -> Stream | None:
    """The first stream that has a decoder; cover pictures of audio files are not meant.

    A stream without a codec context crashes the process when it is decoded, in some versions of PyAV.
    """
    for stream in streams:
        if Disposition.attached_pic not in stream.disposition and stream.codec_context is not None:
            return stream
    return None


def reason(error: BaseException) -> str:
    """What FFmpeg or the system said, without file name and error number."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise VideoError(path, "expected a video, found a folder")
    if not path.is_file():
        raise VideoError(path, "there is no such video file")
    if path.stat().st_size == 0:
        raise VideoError(path, "the video file is empty (0 bytes)")


def _open_cause(path: Path, error: BaseException) -> str:
    try:
        with path.open("rb") as file:
            kind = file.read(12)[4:8]
    except OSError as unreadable:
        return f"the file cannot be read: {reason(unreadable)}"
    if kind in (b"ftyp", b"moov", b"mdat"):
        return f"the video is cut off or was never finished: its index cannot be read ({reason(error)})"
    return f"not a video in a format that can be read ({reason(error)})"
