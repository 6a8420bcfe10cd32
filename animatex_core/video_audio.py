"""The driver's sound under a clip: cut to the clip, copied where the container takes the codec, encoded otherwise."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import cast

from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.packet import Packet

from .video_file import open_media, reason, usable

log = logging.getLogger(__name__)

_RATE = 48000  # of sound that is encoded anew; Opus knows no 44100
_BITS = 192_000  # a second
_SLACK = 0.04  # seconds between stated and counted time before a gap is believed


@contextmanager
def open_soundtrack(path: str | Path, start: Fraction, copied: frozenset[str]) -> Iterator[Soundtrack | None]:
    """The sound of a video from `start` seconds after its first frame on; None, and a log entry, when there is none.

    copied: names of the codecs that are taken over as they are. Raises VideoError when the file cannot be read.
    """
    with open_media(path) as source:
        stream = usable(source.streams.audio)
        track = None if stream is None else Soundtrack(path, source, cast(AudioStream, stream), start, copied)
        if track is None or track.is_empty:
            log.info("%s has no sound at this place, the clip stays silent", path)
            track = None
        yield track


class Soundtrack:
    """The sound of one file, from one moment on, muxed bit by bit as the clip grows.

    Time is the clip's: 0 is its first frame. The packet that holds this moment begins before it and keeps its negative
    time, and the one before it goes along for the decoder to settle in; players skip both parts, so that copied sound
    is in sync to the sample.
    """

    def __init__(
        self, path: str | Path, source: InputContainer, stream: AudioStream, start: Fraction, copied: frozenset[str]
    ) -> None:
        self._path, self._source, self._stream = path, source, stream
        self._zero = _first_moment(source, stream) + start
        self._copies = stream.codec_context.codec.canonical_name in copied
        self._target: AudioStream | None = None
        self._out: OutputContainer | None = None
        self._parts = self._cut()
        self._next = self._step()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing left to mux."""
        return self._next is None

    def attach(self, out: OutputContainer, codec: str) -> None:
        """Add the stream to a container that has no header yet; `codec` encodes what cannot be copied."""
        self._out = out
        if self._copies:
            self._target = out.add_stream_from_template(self._stream)
            return
        self._target = cast(AudioStream, out.add_stream(codec, rate=_RATE))
        self._target.codec_context.bit_rate = _BITS
        self._target.codec_context.layout = "mono" if self._stream.codec_context.layout.nb_channels == 1 else "stereo"

    def mux_until(self, end: Fraction) -> None:
        """Mux all sound that begins before `end` seconds of the clip."""
        assert self._out is not None and self._target is not None, "attach comes first"
        while self._next is not None and self._next[0] < end:
            part = self._next[1]
            if isinstance(part, Packet):
                part.stream = self._target
                self._out.mux(part)
            else:
                self._out.mux(self._target.encode(part))
            self._next = self._step()

    def finish(self, end: Fraction) -> None:
        """Mux all sound up to the end of the clip, and what the encoder still holds."""
        self.mux_until(end)
        if not self._copies and self._out is not None and self._target is not None:
            self._out.mux(self._target.encode(None))

    def _step(self) -> tuple[Fraction, Packet | AudioFrame] | None:
        """The next part. A clip is not given up for its sound: where that is damaged it ends."""
        try:
            return next(self._parts, None)
        except FFmpegError as error:
            log.warning("%s: its sound breaks off (%s), the rest of the clip is silent", self._path, reason(error))
            return None

    def _cut(self) -> Iterator[tuple[Fraction, Packet | AudioFrame]]:
        """Packets or frames from the clip's beginning on, with the clip's times, and when they begin in seconds."""
        before = None
        for part, length in self._copyable() if self._copies else self._decoded():
            tick = Fraction(part.time_base or self._stream.time_base or Fraction(1, _RATE))
            shift = round(self._zero / tick)
            part.pts = (part.pts or 0) - shift
            if part.dts is not None and isinstance(part, Packet):
                part.dts -= shift
            begin = part.pts * tick
            if begin + length <= 0:
                before = (begin, part)
                continue
            if before is not None and self._copies:
                yield before
            before = None
            yield begin, part

    def _copyable(self) -> Iterator[tuple[Packet, Fraction]]:
        """Packets and their length in seconds."""
        for packet in self._source.demux(self._stream):
            if packet.size and packet.pts is not None and not packet.is_corrupt:
                yield packet, (packet.duration or 0) * Fraction(packet.time_base)

    def _decoded(self) -> Iterator[tuple[AudioFrame, Fraction]]:
        """Frames timed in samples, and their length in seconds.

        Some containers round times to milliseconds; frames that follow each other that closely follow without a gap.
        """
        due = None
        for packet in self._source.demux(self._stream):
            for frame in packet.decode():
                tick = Fraction(frame.time_base or self._stream.time_base or Fraction(1, frame.sample_rate))
                stated = None if frame.pts is None else round(frame.pts * tick * frame.sample_rate)
                if due is None or (stated is not None and abs(stated - due) > _SLACK * frame.sample_rate):
                    due = stated or 0
                frame.time_base, frame.pts = Fraction(1, frame.sample_rate), due
                due += frame.samples
                yield frame, Fraction(frame.samples, frame.sample_rate)


def _first_moment(source: InputContainer, sound: AudioStream) -> Fraction:
    """When, on the file's clock, its first picture is shown; of a file without pictures, when its sound begins."""
    stream = usable(source.streams.video) or sound
    if stream.start_time is None or stream.time_base is None:
        return Fraction(0)
    return stream.start_time * Fraction(stream.time_base)
