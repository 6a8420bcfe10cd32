"""Decoding in a child process: a file that kills the decoder kills only the child.

FFmpeg is C; a hostile or cut-off file can crash it where no exception is raised. What comes back through the pipe is
framed bytes and JSON, never pickles, so a decoder that was taken over gains nothing by it.
"""

from __future__ import annotations

import json
import multiprocessing
import signal
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from fractions import Fraction
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from .video_decode import MAX_PIXELS, VideoInfo, decode, probe
from .video_file import VideoError

SILENCE = 60.0
"""Seconds without a sign of life after which the child is given up."""

_LEFT_OUT, _FRAME, _INFO, _ERROR, _END = b".", b"f", b"i", b"e", b"z"
_SIZE = struct.Struct("<II")
_LONGEST = MAX_PIXELS * 3 + 64


def isolated_probe(path: str | Path) -> VideoInfo:
    """`video_decode.probe` in a child process."""
    with _child(_send_info, path) as messages:
        for kind, body in messages:
            if kind == _INFO:
                fields = json.loads(body)
                return VideoInfo(**{**fields, "rate": Fraction(fields["rate"])})
    raise VideoError(path, "the decoder process said nothing")


def isolated_decode(
    path: str | Path, start: int = 0, stride: int = 1, count: int | None = None, accept_damaged: bool = False
) -> Iterator[np.ndarray | None]:
    """`video_decode.decode` in a child process, which is ended when the caller stops asking for frames."""
    with _child(_send_frames, path, start, stride, count, accept_damaged) as messages:
        for kind, body in messages:
            yield _frame(body) if kind == _FRAME else None


@contextmanager
def _child(work: Callable[..., None], path: str | Path, *arguments: Any) -> Iterator[Iterator[tuple[bytes, bytes]]]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(theirs, work, str(path), *arguments), daemon=True)
    process.start()
    theirs.close()
    try:
        yield _messages(path, ours, process)
    finally:
        process.terminate()
        process.join()
        process.close()
        ours.close()


def _messages(path: str | Path, pipe: Connection, process: Any) -> Iterator[tuple[bytes, bytes]]:
    """What the child sends up to its end; its error, its death or its silence is raised as VideoError."""
    good = 0
    while True:
        if not pipe.poll(SILENCE):
            raise VideoError(path, f"the decoder has been silent for {SILENCE:.0f} s after {good} frames", good)
        try:
            message = pipe.recv_bytes(_LONGEST)
        except (EOFError, OSError):
            process.join()
            raise VideoError(path, f"{_death(process.exitcode)} after {good} good frames", good) from None
        kind, body = message[:1], message[1:]
        if kind == _ERROR:
            raise VideoError(path, **json.loads(body))
        if kind == _END:
            return
        good += 1
        yield kind, body


def _death(exit_code: int) -> str:
    if exit_code < 0:
        return f"the file crashes the decoder (signal {-exit_code})"
    return f"the decoder process fails (exit code {exit_code})"


def _run(pipe: Connection, work: Callable[..., None], path: str, *arguments: Any) -> None:
    """The child: do the work and say how it ended. Ctrl-C is for the parent, which then ends the child."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        work(pipe, path, *arguments)
    except VideoError as error:
        pipe.send_bytes(_ERROR + json.dumps({"cause": error.cause, "good_frames": error.good_frames}).encode())
    else:
        pipe.send_bytes(_END)


def _send_info(pipe: Connection, path: str) -> None:
    info = probe(path)
    pipe.send_bytes(_INFO + json.dumps({**asdict(info), "rate": str(info.rate)}).encode())


def _send_frames(pipe: Connection, path: str, *arguments: Any) -> None:
    for frame in decode(path, *arguments):
        if frame is None:
            pipe.send_bytes(_LEFT_OUT)
        else:
            pipe.send_bytes(_FRAME + _SIZE.pack(*frame.shape[:2]) + frame.tobytes())


def _frame(body: bytes) -> np.ndarray:
    height, width = _SIZE.unpack_from(body)
    return np.frombuffer(body, np.uint8, offset=_SIZE.size).reshape(height, width, 3).copy()
