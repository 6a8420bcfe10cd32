"""Frames to a video file, whole or not at all."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from av.error import FFmpegError
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream

from .atomic_file import OutputError, check_output, replacing, write_failure
from .provenance import comment
from .video_audio import Soundtrack, open_soundtrack
from .video_stills import write_gif, write_pngs

log = logging.getLogger(__name__)

_BT709, _LIMITED = 1, 1  # ITU-T H.273; FFmpeg's AVCOL_RANGE_MPEG


@dataclass(frozen=True)
class _Kind:
    """How one kind of file is encoded."""

    video: str
    crf: int
    worst_crf: int
    sound: str
    copied_sound: frozenset[str]
    options: Mapping[str, str] = field(default_factory=dict)
    container: Mapping[str, str] = field(default_factory=dict)


_KINDS = {
    ".mp4": _Kind(
        video="libx264",
        crf=18,
        worst_crf=51,
        sound="aac",
        copied_sound=frozenset({"aac", "mp3", "ac3", "eac3", "alac"}),
        container={"movflags": "+faststart"},
    ),
    ".webm": _Kind(
        video="libvpx-vp9",
        crf=24,
        worst_crf=63,
        sound="libopus",
        copied_sound=frozenset({"opus", "vorbis"}),
        options={"b": "0", "row-mt": "1", "deadline": "good", "cpu-used": "3"},
    ),
}


def check_video_output(path: str | Path, *, overwrite: bool = False) -> None:
    """Raise OutputError for a path that `write_video` would refuse, so that it can be said before the long work."""
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in ("", ".gif", *_KINDS):
        known = ", ".join((*_KINDS, ".gif"))
        raise OutputError(f"{path}: a video is written as {known} or, without an ending, as a folder of PNGs")
    check_output(path, overwrite=overwrite)


def write_video(
    path: str | Path,
    frames: Iterable[np.ndarray],
    fps: float | Fraction,
    *,
    audio_from: str | Path | None = None,
    audio_start: float | Fraction = 0,
    metadata: Mapping[str, Any] | None = None,
    crf: int | None = None,
    overwrite: bool = False,
) -> int:
    """Write frames uint8 RGB [H, W, 3], all of one size, and return their number.

    path: .mp4 (H.264, yuv420p), .webm (VP9), .gif, or no ending: a folder of PNGs. Its folder must exist.
    frames: taken one at a time. An odd side is made even by repeating its last pixels, which H.264 needs.
    fps: exact when it is a Fraction; the sound stays in sync when it is the driver's rate / stride.
    audio_from: a file whose sound goes along, from `audio_start` seconds after its first frame to the clip's end:
        copied where the container takes the codec, else encoded as AAC or Opus. GIFs and PNGs are silent.
    metadata: settings to keep in the file, see `provenance`; that the clip is generated is always written.
    crf: constant rate factor, 0 is best; 18 for .mp4 and 24 for .webm when None.

    Raises OutputError for `path`, VideoError for `audio_from`, ValueError for the rest; any exception of `frames` goes
    through. In each of these cases no file is left, and one that was there before is as it was.
    """
    path = Path(path)
    check_video_output(path, overwrite=overwrite)
    rate, text, kind = _rate(fps), comment(metadata), _KINDS.get(path.suffix.lower())
    quality = None if kind is None else _quality(kind, crf)
    start = _start(audio_start)
    with ExitStack() as stack:
        temporary = stack.enter_context(replacing(path, overwrite=overwrite))
        if kind is None or quality is None:
            if audio_from is not None:
                log.warning("%s: this kind of file has no sound", path)
            write = write_gif if path.suffix else write_pngs
            return write(path, temporary, _checked(frames), rate, text)
        sound = None
        if audio_from is not None:
            sound = stack.enter_context(open_soundtrack(audio_from, start, kind.copied_sound))
        with _Encoder(path, temporary, kind, rate, quality, text, sound) as encoder:
            for picture in _checked(frames):
                encoder.add(picture)
            return encoder.finish()


class _Encoder:
    """A clip that grows frame by frame, its sound with it. Errors of FFmpeg become OutputError."""

    def __init__(
        self, path: Path, temporary: Path, kind: _Kind, rate: Fraction, crf: int, text: str, sound: Soundtrack | None
    ) -> None:
        self._path, self._kind, self._rate, self._crf, self._sound = path, kind, rate, crf, sound
        self._count = 0
        self._stream: VideoStream | None = None
        with _naming_errors(path):
            self._out = av.open(str(temporary), "w", options=dict(kind.container))
        self._out.metadata["comment"] = text

    def __enter__(self) -> _Encoder:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(FFmpegError, OSError):  # after `finish` nothing is left to do, after a failure nothing to save
            self._out.close()

    def add(self, picture: np.ndarray) -> None:
        """Encode one more frame, and the sound up to its end."""
        with _naming_errors(self._path):
            if self._stream is None:
                self._stream = self._add_streams(picture)
            self._out.mux(self._stream.encode(_frame(picture, self._count, self._rate)))
            self._count += 1
            if self._sound is not None:
                self._sound.mux_until(self._count / self._rate)

    def finish(self) -> int:
        """Write what the encoders still hold and the index; returns the number of frames."""
        with _naming_errors(self._path):
            if self._stream is not None:
                self._out.mux(self._stream.encode(None))
            if self._sound is not None:
                self._sound.finish(self._count / self._rate)
            self._out.close()
        return self._count

    def _add_streams(self, picture: np.ndarray) -> VideoStream:
        options = {**self._kind.options, "crf": str(self._crf)}
        stream = cast(VideoStream, self._out.add_stream(self._kind.video, rate=self._rate, options=options))
        stream.height, stream.width = (side + side % 2 for side in picture.shape[:2])
        stream.pix_fmt = "yuv420p"
        coder = stream.codec_context
        coder.bit_rate = 0
        coder.color_primaries = coder.color_trc = coder.colorspace = _BT709
        coder.color_range = _LIMITED
        if self._sound is not None:
            self._sound.attach(self._out, self._kind.sound)
        return stream


@contextmanager
def _naming_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (FFmpegError, OSError, ValueError) as error:
        raise OutputError(f"{path}: {write_failure(error)}") from error


def _frame(picture: np.ndarray, index: int, rate: Fraction) -> av.VideoFrame:
    height, width = picture.shape[:2]
    if height % 2 or width % 2:
        picture = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
    frame = frame.reformat(
        format="yuv420p",
        src_colorspace=Colorspace.ITU601,  # of RGB it means nothing, but PyAV before 17 converts only what differs
        dst_colorspace=Colorspace.ITU709,
        dst_color_range=ColorRange.MPEG,
    )
    frame.pts, frame.time_base = index, 1 / rate
    return frame


def _checked(frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    size = None
    for index, frame in enumerate(frames):
        if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            found = f"{frame.dtype} {list(frame.shape)}" if isinstance(frame, np.ndarray) else type(frame).__name__
            raise ValueError(f"frame {index} to write must be uint8 [H, W, 3], got {found}")
        size = size or frame.shape
        if frame.shape != size or 0 in size:
            raise ValueError(f"frame {index} to write is {list(frame.shape)}, frame 0 was {list(size)}")
        yield frame
    if size is None:
        raise ValueError("there are no frames to write")


def _rate(fps: float | Fraction) -> Fraction:
    if isinstance(fps, bool) or not isinstance(fps, (int, float, Fraction)) or not 0 < fps <= 1000:
        raise ValueError(f"fps must be a number above 0 and up to 1000, got {fps!r}")
    return Fraction(fps).limit_denominator(100_000)  # a float of 30000/1001 is that again


def _start(seconds: float | Fraction) -> Fraction:
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float, Fraction)) or not 0 <= seconds < math.inf:
        raise ValueError(f"audio_start must be seconds from 0 on, got {seconds!r}")
    return Fraction(seconds)


def _quality(kind: _Kind, crf: int | None) -> int:
    if crf is None:
        return kind.crf
    if isinstance(crf, bool) or not isinstance(crf, int) or not 0 <= crf <= kind.worst_crf:
        raise ValueError(f"crf must be a whole number from 0 to {kind.worst_crf}, got {crf!r}")
    return crf
