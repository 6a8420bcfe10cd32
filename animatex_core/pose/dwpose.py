"""DWPose: keypoints of the people in a clip, as the released program extracts them, in batches and on several threads.

A person detector (yolox_l) finds boxes, a whole-body network (dw-ll_ucoco_384) gives 133 points for each. A frame
without a person gives absent points and is counted, it never stops a run.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np

from .detector import count_cells, decode_boxes, letterbox
from .keypoints import POINTS, PoseSequence
from .runtime import Network, open_network, run_all, workers
from .tracks import ORDERS, select_person, track_people
from .wholebody import WHOLE_BODY, crop, crop_frame, decode_simcc, to_openpose, to_pose

DETECTOR_SIZE = (640, 640)
POSE_SIZE = (384, 288)
DETECTOR_FILES = ("yolox_l.onnx", "yolox_l.torchscript.pt", "yolox_l.torchscript", "yolox_l.pt")
POSE_FILES = (
    "dw-ll_ucoco_384.onnx",
    "dw-ll_ucoco_384_bs5.torchscript.pt",
    "dw-ll_ucoco_384.torchscript.pt",
    "dw-ll_ucoco_384.pt",
)
MAX_PEOPLE = 8
_SEARCH_DEPTH = 5
_GPU_BATCH = 8

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class ExtractionReport:
    """What was found in a clip; frames are numbers from 0."""

    frames: int
    backend: str  # what the networks ran on
    seconds: float
    without_box: tuple[int, ...]  # no person detected: the whole picture was taken for the box
    without_pose: tuple[int, ...]  # no certain point at all
    several: tuple[int, ...]  # more than one person detected

    def __str__(self) -> str:
        lines = [f"{self.frames} frames in {self.seconds:.1f} s on {self.backend}"]
        told = (
            ("without a detected person (the whole picture was searched)", self.without_box),
            ("without any certain point", self.without_pose),
            ("with several people", self.several),
        )
        lines += [f"{len(frames)} frames {what}: {_ranges(frames)}" for what, frames in told if frames]
        return "\n".join(lines)


@dataclass(frozen=True)
class PoseFiles:
    """Network files that were found, the preferred first."""

    detectors: tuple[Path, ...]
    poses: tuple[Path, ...]


@dataclass(frozen=True)
class _Seen:
    """The people in one frame: points [N, 130, 2], scores [N, 130], and how many boxes the detector gave."""

    points: np.ndarray
    scores: np.ndarray
    boxes: int


class DWPose:
    """Person detector and whole-body network."""

    def __init__(self, detector: Network, pose: Network) -> None:
        self.detector, self.pose = detector, pose
        self._detector_size = detector.size or DETECTOR_SIZE
        self._pose_size = pose.size or POSE_SIZE

    @classmethod
    def load(
        cls, detector_path: str | os.PathLike[str], pose_path: str | os.PathLike[str], *, device: str = "auto"
    ) -> DWPose:
        """Open both networks; see `open_network` for the files, the devices and the errors."""
        return cls(open_network(detector_path, device), open_network(pose_path, device))

    def extract(
        self,
        frames: Iterable[np.ndarray],
        *,
        fps: float | None = None,
        person: str = "best",
        skip_detector: bool = False,
        max_people: int = MAX_PEOPLE,
        progress: Callable[[int], None] | None = None,
    ) -> tuple[PoseSequence, ExtractionReport]:
        """Keypoints of a clip.

        frames: [H, W, 3] uint8 RGB each, all of one size; read one after the other, so a decoder's iterator will do.
        person: "best": the best box of each frame, as the released program does; "all": everybody (at most
            `max_people`), each in a slot of their own; or one person followed through the clip ("main", "largest",
            "central", "left", "right").
        skip_detector: take the whole picture for the box (drawings that no detector recognises).
        progress: called with the number of finished frames; what it raises ends the run.
        Raises ValueError for frames of another kind or of several sizes, for no frame at all, and for networks whose
        answer is not that of YOLOX and DWPose.
        """
        if person not in ("best", "all", *ORDERS):
            raise ValueError(f'person must be "best", "all" or one of {", ".join(ORDERS)}, found {person!r}')
        started = time.monotonic()
        most = 1 if person == "best" or skip_detector else max(1, max_people)
        seen: list[_Seen] = []
        size: list[int] = []
        chunks = _chunks(frames, self._batch(), size)
        # closing: an exception in `progress` must not leave threads at work
        with closing(_pipelined(lambda chunk: self._look(chunk, most, skip_detector), chunks)) as results:
            for found in results:
                seen += found
                if progress:
                    progress(len(seen))
        if not seen:
            raise ValueError("pose extraction: expected at least one frame, found none")
        poses = _assemble(seen, size[1], size[0], fps)
        if person != "best":
            poses, _ = track_people(poses) if person == "all" else select_person(poses, person)
        return poses, _report(seen, poses, self._backend(skip_detector), time.monotonic() - started, skip_detector)

    def _batch(self) -> int:
        if self.detector.parallel and self.pose.parallel:
            return 1  # a core of its own for each frame is faster than many cores for a batch
        return max(self.detector.batch or _GPU_BATCH, self.pose.batch or _GPU_BATCH)

    def _backend(self, skip_detector: bool) -> str:
        used = [self.pose.backend] if skip_detector else [self.detector.backend, self.pose.backend]
        return " and ".join(dict.fromkeys(used))

    def _look(self, pictures: list[np.ndarray], most: int, skip_detector: bool) -> list[_Seen]:
        """Everything for a few frames, in one thread."""
        boxes = [np.zeros((0, 4))] * len(pictures) if skip_detector else self.detect(pictures)
        looked = [
            found[:most] if len(found) else _whole(picture) for picture, found in zip(pictures, boxes, strict=True)
        ]
        places, scores = self.estimate(pictures, looked)
        points, scores = to_pose(places, scores)
        ends = np.cumsum([len(found) for found in looked])[:-1]
        return [
            _Seen(xy, score, len(found))
            for xy, score, found in zip(np.split(points, ends), np.split(scores, ends), boxes, strict=True)
        ]

    def detect(self, pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Boxes of the people in each picture, best first: [N, 4] (x1, y1, x2, y2) in pixels."""
        size = self._detector_size
        inputs = np.empty((len(pictures), 3, *size), np.float32)
        ratios = [letterbox(picture, size, inputs[i]) for i, picture in enumerate(pictures)]
        answer = run_all(self.detector, inputs)[0]
        if answer.ndim != 3 or answer.shape[1] != count_cells(size) or answer.shape[2] < 6:
            raise ValueError(
                f"{self.detector.name}: expected a YOLOX person detector (an answer of {count_cells(size)} cells of 6 "
                f"numbers or more), found {answer.shape[1:]}"
            )
        return [decode_boxes(raw, size, ratio)[0] for raw, ratio in zip(answer, ratios, strict=True)]

    def estimate(self, pictures: Sequence[np.ndarray], boxes: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """The 134 points of each box of each picture, in this order: [N, 134, 2] in pixels, scores [N, 134]."""
        size = self._pose_size
        jobs = [(picture, box) for picture, found in zip(pictures, boxes, strict=True) for box in found]
        inputs = np.empty((len(jobs), 3, *size), np.float32)
        for i, (picture, box) in enumerate(jobs):
            crop(picture, box, size, inputs[i])
        answer = run_all(self.pose, inputs)
        shapes = [part.shape[1:] for part in answer]
        if shapes[:2] != [(WHOLE_BODY, 2 * size[1]), (WHOLE_BODY, 2 * size[0])]:
            raise ValueError(
                f"{self.pose.name}: expected a DWPose whole-body network (answers of {WHOLE_BODY} x {2 * size[1]} and "
                f"{WHOLE_BODY} x {2 * size[0]}), found {' and '.join(map(str, shapes))}"
            )
        decoded = [
            decode_simcc(along_x, along_y, *crop_frame(box, size), size)
            for (_, box), along_x, along_y in zip(jobs, answer[0], answer[1], strict=True)
        ]
        return to_openpose(*(np.stack(column) for column in zip(*decoded, strict=True)))


def find_pose_files(folders: Iterable[str | os.PathLike[str]]) -> PoseFiles:
    """Look for the usual network files in folders and what lies below them, the preferred names first.

    Folders that do not exist are passed over.
    """
    found: dict[str, list[Path]] = {}
    for folder in map(Path, folders):
        for place, inner, files in os.walk(folder):
            inner[:] = sorted(inner) if len(Path(place).relative_to(folder).parts) < _SEARCH_DEPTH else []
            for file in files:
                found.setdefault(file.lower(), []).append(Path(place) / file)
    detectors, poses = (
        tuple(path for name in names for path in dict.fromkeys(found.get(name, ())))
        for names in (DETECTOR_FILES, POSE_FILES)
    )
    return PoseFiles(detectors, poses)


def _whole(picture: np.ndarray) -> np.ndarray:
    return np.array([[0.0, 0.0, picture.shape[1], picture.shape[0]]])


def _chunks(frames: Iterable[np.ndarray], count: int, size: list[int]) -> Iterator[list[np.ndarray]]:
    """Frames in lists of `count`, each checked; `size` becomes height and width of the first."""
    numbered = iter(enumerate(frames))
    while chunk := list(islice(numbered, count)):
        for number, frame in chunk:
            _check_frame(frame, number, size)
        yield [frame for _, frame in chunk]


def _check_frame(frame: np.ndarray, number: int, size: list[int]) -> None:
    if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        what = f"{frame.shape} {frame.dtype}" if isinstance(frame, np.ndarray) else type(frame).__name__
        raise ValueError(f"frame {number}: expected [H, W, 3] uint8 RGB, found {what}")
    if 0 in frame.shape:
        raise ValueError(f"frame {number}: expected a picture, found {frame.shape[1]}x{frame.shape[0]} pixels")
    size[:] = size or frame.shape[:2]
    if list(frame.shape[:2]) != size:
        found = f"{frame.shape[1]}x{frame.shape[0]}"
        raise ValueError(f"frame {number}: expected {size[1]}x{size[0]} pixels as in the first frame, found {found}")


def _pipelined(work: Callable[[_Item], _Result], items: Iterable[_Item]) -> Generator[_Result, None, None]:
    """Results in order, worked on by several threads while further items are read; few items are held at a time."""
    count = max(2, workers())
    pending: deque[Future[_Result]] = deque()
    with ThreadPoolExecutor(count, thread_name_prefix="dwpose") as pool:
        try:
            for item in items:
                pending.append(pool.submit(work, item))
                if len(pending) > count:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def _assemble(seen: list[_Seen], width: int, height: int, fps: float | None) -> PoseSequence:
    people = max(len(frame.points) for frame in seen)
    points = np.zeros((len(seen), people, POINTS, 2))
    scores = np.zeros(points.shape[:3], np.float32)
    for i, frame in enumerate(seen):
        points[i, : len(frame.points)], scores[i, : len(frame.scores)] = frame.points, frame.scores
    return PoseSequence(points, scores, width, height, fps)


def _report(seen: list[_Seen], poses: PoseSequence, backend: str, seconds: float, skipped: bool) -> ExtractionReport:
    return ExtractionReport(
        frames=len(seen),
        backend=backend,
        seconds=seconds,
        without_box=tuple(i for i, frame in enumerate(seen) if not frame.boxes and not skipped),
        without_pose=tuple(int(i) for i in np.flatnonzero(~poses.present.any((1, 2)))),
        several=tuple(i for i, frame in enumerate(seen) if frame.boxes > 1),
    )


def _ranges(numbers: Sequence[int]) -> str:
    """Numbers as ranges: 0-3, 7, 9-12."""
    runs = np.split(np.array(numbers), np.flatnonzero(np.diff(numbers) > 1) + 1)
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
