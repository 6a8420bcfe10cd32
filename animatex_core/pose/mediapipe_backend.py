"""Poses by MediaPipe, which lives in an environment of its own: it asks for numpy below 2.

That environment's interpreter runs `mediapipe_worker`, and only that: frames go to it as raw bytes, poses come back as
lines of OpenPose JSON, checked like any file. This is the only place of the program that starts a process of another
program, which is the user's to name; ComfyUI's node pack is packed without this file and without the worker.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import IO, Any

import numpy as np

from .dwpose import ExtractionReport
from .io import from_pose_keypoint
from .keypoints import PoseSequence
from .mediapipe_worker import SIZE
from .strict_json import parse_json
from .wholebody import MIN_SCORE

WORKER = Path(__file__).with_name("mediapipe_worker.py")
SILENCE = 120.0
"""Seconds without an answer after which the worker is given up; its start takes some of them."""
HOW_TO_INSTALL = """MediaPipe needs an environment of its own, of Python 3.9 to 3.12:
    python -m venv mediapipe-env
    mediapipe-env/bin/python -m pip install mediapipe==0.10.21
and its interpreter by name: --python mediapipe-env/bin/python (Windows: mediapipe-env\\Scripts\\python.exe)"""

_LONGEST_LINE = 65536  # bytes; a frame takes some 3000


class WorkerError(ValueError):
    """The worker died, fell silent, or answered nonsense: the message names the interpreter and the cause."""


def extract(
    frames: Iterable[np.ndarray],
    python: str | os.PathLike[str] | None,
    *,
    stride: int = 1,
    fps: float | None = None,
    progress: Callable[[int], None] | None = None,
    silence: float = SILENCE,
) -> tuple[PoseSequence, ExtractionReport]:
    """Body, toes and hands of one person in every frame of a clip; no face points.

    frames: [H, W, 3] uint8 RGB each, all of one size; read one after the other.
    stride: the first of every so many frames is kept. All must be given, for MediaPipe follows the person from frame to
        frame: where frames are left out, its joints lag far behind.
    fps: of the frames kept.
    python: interpreter (or folder) of an environment in which MediaPipe is installed.
    progress: called with the number of finished frames; what it raises ends the run.
    silence: seconds to wait for an answer.
    Points of visibility 0.3 or less are absent, as in DWPose; so is all of a frame without a person.
    Raises ImportError with the commands that mend it when there is no interpreter or no MediaPipe in it; WorkerError;
    ValueError for frames of another kind or of several sizes and for no frame at all; and whatever `frames` raises.
    """
    interpreter = find_interpreter(python)
    started = time.monotonic()
    supply = iter(frames)
    first = next(supply, None)
    if first is None:
        raise ValueError("pose extraction: expected at least one frame, found none")
    run = _Run(interpreter, chain([first], supply), _size(first), silence)
    answers = []
    with run:
        version = run.greeting()
        for number, answer in enumerate(run.answers()):
            if number % stride == 0:
                answers.append(answer)
            if progress:
                progress(number + 1)
    poses = _sure(from_pose_keypoint(answers, fps=fps, normalised=False))
    without = tuple(int(i) for i in np.flatnonzero(~poses.present.any((1, 2))))
    backend = f"MediaPipe {version} ({interpreter})"
    return poses, ExtractionReport(len(poses), backend, time.monotonic() - started, (), without, ())


def find_interpreter(python: str | os.PathLike[str] | None) -> Path:
    """The interpreter to run; for the folder of an environment the one in it. Raises ImportError with the commands."""
    if python is None:
        raise ImportError(f"no --python given. {HOW_TO_INSTALL}")
    path = Path(os.path.abspath(python))  # a link stays one: by its place an interpreter knows its environment
    candidates = [path, path / "bin" / "python", path / "Scripts" / "python.exe"]
    found = next((candidate for candidate in candidates if candidate.is_file()), None)
    if found is None:
        raise ImportError(f"{python}: no such interpreter. {HOW_TO_INSTALL}")
    return found


class _Run:
    """One run of the worker: one thread hands over frames, one collects the answers, one what it says when it fails."""

    def __init__(self, interpreter: Path, frames: Iterator[np.ndarray], size: tuple[int, int], silence: float) -> None:
        self._name, self._size, self._silence = interpreter, size, silence
        self._frames = frames
        self._begun = 0  # frames handed over, the one under way included
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._noise: deque[bytes] = deque(maxlen=8)
        self._pool = ThreadPoolExecutor(3, thread_name_prefix="mediapipe")

    def __enter__(self) -> _Run:
        # -I: neither this package's folder nor PYTHONPATH may stand before the environment's own packages.
        command = [str(self._name), "-I", str(WORKER)]
        pipe = subprocess.PIPE
        try:
            # a session of its own (POSIX): what the interpreter itself starts ends with it
            self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True)
        except OSError as error:
            self._pool.shutdown()
            raise WorkerError(f"{self._name} cannot be started: {error.strerror or error}") from error
        assert self._process.stdin and self._process.stdout and self._process.stderr
        self._fed: Future[None] = self._pool.submit(self._feed, self._process.stdin)
        self._pool.submit(self._collect, self._process.stdout)
        self._heard: Future[None] = self._pool.submit(self._listen, self._process.stderr)
        return self

    def __exit__(self, *_: object) -> None:
        """End the worker, whatever it does; the threads then find their pipes closed and end too."""
        if hasattr(os, "killpg"):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()
        self._pool.shutdown()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream:
                with suppress(OSError):
                    stream.close()

    def greeting(self) -> str:
        """The version of MediaPipe. Raises ImportError when there is none."""
        line = self._line("starting")
        if not line:
            raise self._ended("before the first frame", "it may be no Python interpreter")
        greeting = self._document(line)
        if "error" in greeting:
            raise ImportError(f"{self._name} has no MediaPipe that can be used ({greeting['error']}). {HOW_TO_INSTALL}")
        if not isinstance(greeting.get("mediapipe"), str):
            raise self._nonsense(line)
        return greeting["mediapipe"]

    def answers(self) -> Iterator[dict[str, Any]]:
        """A frame of OpenPose JSON for every frame. Raises WorkerError, and the error that stopped the frames."""
        width, height = self._size
        count = 0
        while line := self._line(f"after {count} frames"):
            answer = self._document(line)
            canvas = answer.get("canvas_width"), answer.get("canvas_height")
            if canvas != (width, height) or count == self._begun:
                raise self._nonsense(line)
            self._check(answer, count)
            yield answer
            count += 1
        if self._wait():
            raise self._ended(f"after {count} frames")
        self._fed.result()
        if count != self._begun:
            raise WorkerError(f"{self._name} answered {count} of {self._begun} frames")

    def _feed(self, pipe: IO[bytes]) -> None:
        try:
            taken = _hand_over(pipe, SIZE.pack(*self._size))
            while taken and (frame := next(self._frames, None)) is not None:
                if _size(frame) != self._size:
                    found, wanted = ("x".join(map(str, size)) for size in (_size(frame), self._size))
                    raise ValueError(f"frame {self._begun}: expected {wanted} pixels as in the first, found {found}")
                self._begun += 1
                taken = _hand_over(pipe, np.ascontiguousarray(frame).data)
        finally:
            with suppress(OSError):
                pipe.close()

    def _collect(self, pipe: IO[bytes]) -> None:
        while line := pipe.readline(_LONGEST_LINE):
            self._lines.put(line)
        self._lines.put(b"")

    def _listen(self, pipe: IO[bytes]) -> None:
        while line := pipe.readline(2000):
            if line.strip():
                self._noise.append(line)

    def _line(self, when: str) -> bytes:
        """The next line; empty at the end."""
        try:
            return self._lines.get(timeout=self._silence)
        except queue.Empty:
            raise WorkerError(f"{self._name} has been silent for {self._silence:g} s, {when}") from None

    def _document(self, line: bytes) -> dict[str, Any]:
        try:
            document = parse_json(line.decode())
        except ValueError:
            raise self._nonsense(line) from None
        if not line.endswith(b"\n") or not isinstance(document, dict):
            raise self._nonsense(line)
        return document

    def _check(self, answer: dict[str, Any], frame: int) -> None:
        try:
            from_pose_keypoint(answer, normalised=False)
        except ValueError as error:
            raise WorkerError(f"{self._name} answered frame {frame} with bad poses: {error}") from None

    def _wait(self) -> int:
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(self._silence)
        raise WorkerError(f"{self._name} does not end after its last answer")

    def _ended(self, when: str, guess: str = "it said nothing") -> WorkerError:
        code = self._wait()
        with suppress(TimeoutError):
            self._heard.result(1)
        said = self._noise[-1].decode(errors="replace").strip() if self._noise else guess
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return WorkerError(f"{self._name} {how} {when}: {said}")

    def _nonsense(self, line: bytes) -> WorkerError:
        return WorkerError(f"{self._name} answered what is no answer of the MediaPipe worker: {line[:60]!r}")


def _hand_over(pipe: IO[bytes], data: bytes | memoryview) -> bool:
    """Whether it was taken: a worker that has ended takes nothing, and `answers` says how it ended."""
    try:
        pipe.write(data)
        pipe.flush()
    except OSError:  # a broken pipe; Windows calls it an invalid argument
        return False
    return True


def _size(frame: np.ndarray) -> tuple[int, int]:
    """Width and height of a frame. Raises ValueError for what is no frame."""
    if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        found = f"{frame.shape} {frame.dtype}" if isinstance(frame, np.ndarray) else type(frame).__name__
        raise ValueError(f"frames must be [H, W, 3] uint8 RGB, found {found}")
    return frame.shape[1], frame.shape[0]


def _sure(poses: PoseSequence) -> PoseSequence:
    """Poses without the points that MediaPipe itself takes for hidden or outside."""
    sure = poses.scores > MIN_SCORE
    points = np.where(sure[..., None], poses.points, 0).astype(np.float32)
    return replace(poses, points=points, scores=np.where(sure, poses.scores, 0).astype(np.float32))
