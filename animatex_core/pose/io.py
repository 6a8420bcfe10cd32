"""Poses in and out: POSE_KEYPOINT (the pose socket of ComfyUI) and OpenPose JSON files.

A file is `{"fps": 30, "frames": [...]}`, a bare list of frames, or a single frame. Whatever is wrong with it is a
ValueError with the file and the path of the bad field, and the caps here and in `strict_json` and `schema` bound the
memory that any file can take.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .keypoints import BODY, FACE, LEFT_HAND, POINTS, RIGHT_HAND, TOES, PoseSequence
from .schema import (
    LARGEST,
    as_float,
    check_finite,
    check_frame,
    expect_list,
    is_number,
    read_canvas,
    read_person,
    refuse,
)
from .strict_json import read_json, write_json

MAX_FRAMES = 100_000
MAX_PERSON_FRAMES = 200_000  # frames times the largest crowd: 620 MB while they are read
MAX_FPS = 1000.0
UNITS = "normalised"  # our own note in a frame, where what we wrote would be guessed wrong
_SMALLEST_SCORE = float(np.finfo(np.float32).tiny)

log = logging.getLogger(__name__)


def load_openpose(path: str | os.PathLike[str], *, normalised: bool | None = None) -> PoseSequence:
    """Read the poses of an OpenPose JSON file.

    normalised: whether coordinates are 0..1 of the canvas; None finds out (see `from_pose_keypoint`).
    Raises ValueError with the file and the path of the bad field; OSError when the file cannot be read.
    """
    path = Path(path)
    try:
        fps, frames, where = _frames_of(read_json(path))
        return _build(frames, where, fps=fps, normalised=normalised, finite_only=True)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def save_openpose(path: str | os.PathLike[str], poses: PoseSequence) -> None:
    """Write poses as an OpenPose JSON file in pixels; a reader sees the old file or the whole new one, never a part."""
    document: dict[str, Any] = {} if poses.fps is None else {"fps": float(poses.fps)}
    write_json(Path(path), document | {"frames": to_pose_keypoint(poses)})


def from_pose_keypoint(
    frames: Sequence[dict[str, Any]] | dict[str, Any], *, fps: float | None = None, normalised: bool | None = None
) -> PoseSequence:
    """Poses from POSE_KEYPOINT: a list of frames (or one frame).

    normalised: whether coordinates are 0..1 of the canvas. None finds out: they are when no coordinate of the clip is
    above 2 (nobody is two pixels tall), unless a note of `to_pose_keypoint` says otherwise.
    A point that is not finite counts as absent and is reported in the log; a clip whose canvas changes is scaled to the
    canvas of its first frame. At least one person is returned (absent everywhere when there is nobody).
    Raises ValueError with the path of the bad field, as in `frames[3].people[0].pose_keypoints_2d[4]: ...`.
    """
    frames = [frames] if isinstance(frames, dict) else frames
    return _build(frames, "frames", fps=_check_fps(fps), normalised=normalised, finite_only=False)


def to_pose_keypoint(poses: PoseSequence, normalised: bool = False, *, certain: bool = False) -> list[dict[str, Any]]:
    """POSE_KEYPOINT of the poses: a list of one dict a frame; coordinates in pixels, or 0..1 of the canvas.

    An absent point or part is written as zeros (0, 0, 0): every reader takes that, not every one takes None. Feet are
    written as OpenPose's six points (a toe as its own big and small toe, no heel) and faces with OpenPose's two
    additional points (the eyes). Somebody absent is left out unless a person after them is there.
    certain: write every present point with score 1, for packs that drop whatever is below (comfyui_controlnet_aux).
    """
    present = poses.present & np.isfinite(poses.points).all(-1) & np.isfinite(poses.scores)
    xy = np.where(present[..., None], poses.points, 0).astype(np.float64)
    score = np.where(present, 1.0 if certain else poses.scores, 0).astype(np.float64)
    xy = xy / [poses.width, poses.height] if normalised else _shortest(xy)
    guess = _looks_normalised(xy, present, poses.width, poses.height)
    note = {} if guess == normalised else {UNITS: normalised}
    triples = np.concatenate([xy, _shortest(score)[..., None]], -1)
    crowd = np.where(present.any(-1), np.arange(1, poses.people + 1), 0).max(-1, initial=0)
    return [
        {
            "people": [_person(triples[frame, i]) for i in range(crowd[frame])],
            "canvas_width": poses.width,
            "canvas_height": poses.height,
            **note,
        }
        for frame in range(len(poses))
    ]


def _person(triples: np.ndarray) -> dict[str, list[float]]:
    toes, heel = triples[TOES], np.zeros(3)
    eyes = triples[BODY][[14, 15]] if triples[FACE, 2].any() else np.zeros((2, 3))
    parts = {
        "pose_keypoints_2d": triples[BODY],
        "foot_keypoints_2d": np.stack([toes[0], toes[0], heel, toes[1], toes[1], heel]),
        "face_keypoints_2d": np.concatenate([triples[FACE], eyes]),
        "hand_left_keypoints_2d": triples[LEFT_HAND],
        "hand_right_keypoints_2d": triples[RIGHT_HAND],
    }
    return {name: part.ravel().tolist() for name, part in parts.items()}


def _shortest(numbers: np.ndarray) -> np.ndarray:
    """The float64 with the fewest decimals that is still the same float32: 364.08, not 364.0799865722656."""
    exact = numbers.astype(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for decimals in range(7, -1, -1):
            rounded = np.round(numbers, decimals)
            numbers = np.where(rounded.astype(np.float32) == exact, rounded, numbers)
    return numbers


def _frames_of(document: Any) -> tuple[float | None, Any, str | None]:
    """fps, the frames, and the path they have in the file (None: the file is itself the only frame)."""
    if isinstance(document, list):
        return None, document, ""
    if isinstance(document, dict) and "frames" in document:
        return _check_fps(document.get("fps")), document["frames"], "frames"
    if isinstance(document, dict) and ("people" in document or "animals" in document):
        return _check_fps(document.get("fps")), [document], None
    raise refuse("the file", 'a list of frames or an object with "frames" or "people"', document)


def _check_fps(fps: Any) -> float | None:
    if fps is None:
        return None
    if not is_number(fps) or not 0 < as_float(fps) <= MAX_FPS:
        raise refuse("fps", f"frames per second above 0 and at most {MAX_FPS:g}", fps)
    return float(fps)


def _build(
    frames: Any, where: str | None, *, fps: float | None, normalised: bool | None, finite_only: bool
) -> PoseSequence:
    frames = expect_list(frames, where or "the file", "a list of frames", MAX_FRAMES)
    paths = [""] if where is None else [f"{where}[{i}]" for i in range(len(frames))]
    crowds = [check_frame(frame, path) for frame, path in zip(frames, paths, strict=True)]
    if not frames:
        raise refuse(where or "the file", "at least one frame", frames)
    people = max(1, *map(len, crowds)) if len(crowds) > 1 else max(1, len(crowds[0]))
    if len(frames) * people > MAX_PERSON_FRAMES:
        what = f"{len(frames)} frames of up to {people} people"
        raise ValueError(f"{where or 'the file'}: {what}, more than the {MAX_PERSON_FRAMES} of both multiplied")
    sizes = np.array([read_canvas(frame, path) for frame, path in zip(frames, paths, strict=True)])
    points, scores = _read_people(crowds, paths, people, finite_only)
    noted = frames[0].get(UNITS)
    if normalised is None and isinstance(noted, bool):
        normalised = noted
    points = _to_pixels(points, scores > 0, sizes, normalised)
    return PoseSequence(points, scores, int(sizes[0, 0]), int(sizes[0, 1]), fps)


def _read_people(
    crowds: list[Sequence[Any]], paths: list[str], people: int, finite_only: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Points [F, P, 130, 2] float64 in the units of the source, (0, 0) where absent, and scores [F, P, 130] float32."""
    points = np.zeros((len(crowds), people, POINTS, 2))
    scores = np.zeros(points.shape[:3], np.float32)
    pairs = np.zeros(points.shape[:2], bool)
    dropped = 0
    for i, crowd in enumerate(crowds):
        for j, person in enumerate(crowd):
            path, xy, score = f"{paths[i]}.people[{j}]", points[i, j], np.zeros(POINTS)
            read_person(person, path, xy, score)
            pairs[i, j] = len(person.get("foot_keypoints_2d") or ()) == 2 * 3
            if finite_only:
                check_finite(xy, score, person, path)
            held = (np.abs(xy) <= LARGEST).all(-1) & ~np.isnan(score)
            dropped += int((~held).sum())
            there = held & (score > 0)
            xy[~there] = 0
            scores[i, j] = np.where(there, np.clip(score, _SMALLEST_SCORE, 1.0), 0)
    if dropped:
        log.warning("poses: %d points that are not finite numbers count as absent", dropped)
    _order_toes(points, scores, pairs)
    return points, scores


def _order_toes(points: np.ndarray, scores: np.ndarray, pairs: np.ndarray) -> None:
    """Put the left toe first where feet came as a pair [F, P], in place.

    OpenPose writes six foot points; who writes two has no standard to follow, and both orders are found. So the ankles
    decide, once for the whole clip.
    """
    ankles, toes = [13, 10], [18, 19]
    whole = pairs & (scores[..., ankles + toes] > 0).all(-1)
    ankle, toe = points[whole][:, ankles], points[whole][:, toes]
    as_read = np.linalg.norm(toe - ankle, axis=-1).sum()
    exchanged = np.linalg.norm(toe[:, ::-1] - ankle, axis=-1).sum()
    if exchanged < as_read:
        frame, person = np.nonzero(pairs)
        for array in (points, scores):
            array[frame, person, 18], array[frame, person, 19] = array[frame, person, 19], array[frame, person, 18]


def _to_pixels(points: np.ndarray, present: np.ndarray, sizes: np.ndarray, normalised: bool | None) -> np.ndarray:
    """Points as float32 pixels of the first frame's canvas; `points` is used up."""
    first = sizes[0]
    if normalised is None:
        normalised = _looks_normalised(points, present, first[0], first[1])
    if not normalised and (sizes != first).any():
        log.warning("poses: the canvas changes within the clip; everything is scaled to the first, %dx%d", *first)
    points *= first if normalised else (first / sizes)[:, None, None]
    return np.clip(points, -LARGEST, LARGEST, out=points).astype(np.float32)


def _looks_normalised(points: np.ndarray, present: np.ndarray, width: int, height: int) -> bool:
    """Whether the coordinates of a clip are fractions of the canvas: nobody is two pixels tall."""
    largest = np.abs(points).max(initial=0, where=present[..., None])
    return bool(present.any() and largest <= 2 < max(width, height))
