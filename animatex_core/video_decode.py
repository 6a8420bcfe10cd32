"""Decoding in this process: what a video is, and its frames as upright 8-bit RGB."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.reformatter import Colorspace
from av.video.stream import VideoStream

from .video_file import VideoError, open_media, reason, usable
from .video_hdr import Curve, standard_range

log = logging.getLogger(__name__)

MAX_PIXELS = 89_000_000
"""Width times height above which a video is refused; 8K is 33 million."""

_HDR: dict[int, Curve] = {16: "pq", 18: "hlg"}  # transfer characteristics of ITU-T H.273
_FALLBACK_RATE = Fraction(25)


@dataclass(frozen=True)
class VideoInfo:
    """What a video file says of itself.

    width, height: pixels of a frame as it is seen, after rotation.
    rate: frames per second, exact; the average when frames come at uneven times. 25 when the file does not say.
    frames: their number as the index states it, else estimated from duration and rate; 0 when nobody knows.
    duration: seconds, 0.0 when nobody knows.
    """

    width: int
    height: int
    rate: Fraction
    frames: int
    duration: float
    has_audio: bool

    @property
    def fps(self) -> float:
        """Frames per second."""
        return float(self.rate)


def probe(path: str | Path) -> VideoInfo:
    """Open the file and decode its first frame. Raises VideoError naming the file and the cause."""
    with open_media(path) as container:
        stream = _video_stream(path, container)
        first = next(_decoded(path, container, stream, accept_damaged=True))
        height, width = _upright(first, np.empty((first.height, first.width, 0))).shape[:2]
        rate = _rate(stream)
        seconds = _seconds(container, stream)
        return VideoInfo(
            width=width,
            height=height,
            rate=rate,
            frames=stream.frames or round(seconds * rate),
            duration=seconds,
            has_audio=usable(container.streams.audio) is not None,
        )


def decode(
    path: str | Path, start: int = 0, stride: int = 1, count: int | None = None, accept_damaged: bool = False
) -> Iterator[np.ndarray | None]:
    """Every frame in presentation order up to the last one wanted: uint8 RGB [H, W, 3], or None for one left out.

    One frame at a time is in memory. Arguments and errors are those of `video.read_frames`.
    """
    with open_media(path) as container:
        stream = _video_stream(path, container)
        index, yielded = -1, 0
        try:
            for index, frame in enumerate(_decoded(path, container, stream, accept_damaged)):
                wanted = index >= start and (index - start) % stride == 0
                yield _rgb(frame, _HDR.get(stream.codec_context.color_trc)) if wanted else None
                yielded += wanted
                if count is not None and yielded >= count:
                    return
        except VideoError as error:
            if not accept_damaged or not yielded:
                raise
            log.warning("%s; going on with what was read", error)
        else:
            if not yielded:
                good = index + 1
                raise VideoError(path, f"reading was to start at frame {start}, there are only {good} frames", good)


def _video_stream(path: str | Path, container: InputContainer) -> VideoStream:
    stream = usable(container.streams.video)
    if stream is None:
        if container.streams.video and usable(container.streams.audio) is None:
            raise VideoError(path, "no decoder fits the video: the file is cut off, or its codec is not known here")
        found = "only sound" if container.streams.audio else "no stream that could be read"
        raise VideoError(path, f"expected a video, found {found}")
    stream = cast(VideoStream, stream)
    if stream.width * stream.height > MAX_PIXELS:
        raise VideoError(path, f"the video is {stream.width}x{stream.height}, more than {MAX_PIXELS} pixels a frame")
    stream.thread_type = "AUTO"
    return stream


def _decoded(
    path: str | Path, container: InputContainer, stream: VideoStream, accept_damaged: bool
) -> Iterator[av.VideoFrame]:
    """All frames of a whole file; of a damaged one its good frames, then VideoError with their number.

    accept_damaged: frames that the decoder patched up count as good, and how many they were is logged.
    """
    good, patched, size = 0, 0, None
    try:
        for frame in _whole_frames(container, stream):
            size = size or (frame.width, frame.height)
            if (frame.width, frame.height) != size:
                raise _Damage(f"the frame size changes from {size} to {(frame.width, frame.height)}")
            if frame.is_corrupt and not accept_damaged:
                raise _Damage("the next one is damaged")
            patched += frame.is_corrupt
            good += 1
            yield frame
    except (_Damage, FFmpegError) as error:
        raise VideoError(path, _partial(good, reason(error)), good) from None
    finally:
        if patched:
            log.warning("%s: %d of %d frames are damaged and were patched up by the decoder", path, patched, good)
    if not good:
        raise VideoError(path, "the video has no frames")


class _Damage(Exception):
    """What is wrong with a file, found while its frames were read."""


def _whole_frames(container: InputContainer, stream: VideoStream) -> Iterator[av.VideoFrame]:
    """Decode up to the first damaged packet, let the decoder hand out what it still holds, then raise."""
    damage, packets, indexed = "", 0, _indexed_packets(container, stream)
    try:
        for packet in container.demux(stream):
            if packet.is_corrupt:
                damage = "the file is cut off or damaged"
                break
            if packet.size:
                packets += 1
                yield from packet.decode()
    except FFmpegError as error:
        damage = reason(error)
    yield from stream.codec_context.decode(None)
    if not damage and packets < indexed:
        damage = f"the file is cut off: its index names {indexed} frames, {packets} are there"
    if damage:
        raise _Damage(damage)


def _indexed_packets(container: InputContainer, stream: VideoStream) -> int:
    """How many packets a whole file has; 0 where that is not written at the beginning of the file."""
    if "mp4" not in container.format.name.split(","):
        return 0
    return len(getattr(stream, "index_entries", ()))  # without it (PyAV before 17) only a clean cut goes unnoticed


def _partial(good: int, cause: str) -> str:
    if good == 0:
        return f"no frame of the video can be decoded ({cause})"
    return f"only the first {good} frames are good ({cause})"


def _rgb(frame: av.VideoFrame, curve: Curve | None) -> np.ndarray:
    # Deep video is asked for in planes: FFmpeg's way to packed RGB makes white 253, and some versions lose green on it.
    deep = frame.format.components[0].bits > 8
    layout = "gbrp16le" if curve else "gbrp" if deep else "rgb24"
    # Naming a matrix for the RGB side makes every PyAV look at the one that the frame is tagged with.
    stored = frame.to_ndarray(format=layout, dst_colorspace=Colorspace.ITU601)
    if curve is not None:
        stored = standard_range(stored, curve)
    return np.ascontiguousarray(_upright(frame, stored))


def _upright(frame: av.VideoFrame, picture: np.ndarray) -> np.ndarray:
    """Apply the quarter turns and mirrorings of the frame's display matrix to [H, W, C]."""
    matrix = _display_matrix(frame)
    if matrix is None:
        return picture
    (a, b), (c, d) = matrix[0, :2], matrix[1, :2]  # x' = a x + c y and y' = b x + d y
    if abs(b) > abs(a):
        picture, flip_x, flip_y = picture.transpose(1, 0, 2), c < 0, b < 0
    else:
        flip_x, flip_y = a < 0, d < 0
    return picture[:: -1 if flip_y else 1, :: -1 if flip_x else 1]


def _display_matrix(frame: av.VideoFrame) -> np.ndarray | None:
    """[3, 3] int32, or None when the frame is seen as it is stored."""
    data = frame.side_data.get("DISPLAYMATRIX")
    return None if data is None else np.frombuffer(bytes(data), np.int32).reshape(3, 3)


def _rate(stream: VideoStream) -> Fraction:
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        if rate is not None and 0 < rate <= 1000:
            return Fraction(rate)
    return _FALLBACK_RATE


def _seconds(container: InputContainer, stream: VideoStream) -> float:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else 0.0
