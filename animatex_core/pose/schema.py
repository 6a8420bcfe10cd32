"""What a POSE_KEYPOINT frame may hold, checked field by field: every refusal names the path of the bad field.

The format is the one of OpenPose and comfyui_controlnet_aux: a dict per frame with `people`, `canvas_width` and
`canvas_height`; a person holds flat lists x, y, score, x, y, ... A part is absent
when it is None, empty or missing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np

from .keypoints import BODY, FACE, LEFT_HAND, RIGHT_HAND, TOES, toes_from_feet

MAX_PEOPLE = 64  # in one frame
MAX_CANVAS = 32_768  # pixels a side

# field -> (points of a PoseSequence, how many points the field may hold)
PARTS = {
    "pose_keypoints_2d": (BODY, (18,)),
    "foot_keypoints_2d": (TOES, (2, 6)),
    "hand_left_keypoints_2d": (LEFT_HAND, (21,)),
    "hand_right_keypoints_2d": (RIGHT_HAND, (21,)),
    "face_keypoints_2d": (FACE, (68, 70)),
}
LARGEST = float(np.finfo(np.float32).max)


def refuse(where: str, expected: str, found: Any) -> ValueError:
    """The error for a field: its path, what was expected there, and what was found."""
    return ValueError(f"{where.lstrip('.') or 'the poses'}: expected {expected}, found {describe(found)}")


def describe(value: Any) -> str:
    """A short name for a bad value: the value itself when it is small, else what kind of thing it is."""
    if value is None:
        return "nothing"
    if isinstance(value, str):
        return f'"{value[:40]}"'
    if isinstance(value, dict):
        return f"an object with {len(value)} fields"
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}"
    if isinstance(value, bool):
        return str(value).lower()
    if not is_number(value):
        return type(value).__name__
    number = as_float(value)
    if math.isnan(number):
        return "NaN"
    return f"{number:.9g}" if math.isfinite(number) else f"{'-' if number < 0 else ''}Infinity"


def is_number(value: Any) -> bool:
    """Whether this is a real number (a bool is not)."""
    return isinstance(value, Real) and not isinstance(value, bool)


def as_float(value: Any) -> float:
    """The number as a float; a whole number that no float holds becomes an infinity."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def expect_list(value: Any, where: str, what: str, longest: int) -> Sequence[Any]:
    """The value, which must be a list of at most `longest` items."""
    if not isinstance(value, (list, tuple)):
        raise refuse(where, what, value)
    if len(value) > longest:
        raise refuse(where, f"at most {longest} items", value)
    return value


def check_frame(frame: Any, where: str) -> Sequence[Any]:
    """The people of a frame; an animal (AP10K) frame is refused."""
    if not isinstance(frame, dict):
        raise refuse(where, "a frame (an object with people, canvas_width and canvas_height)", frame)
    if frame.get("version") == "ap10k" or "animals" in frame:
        raise ValueError(
            f"{where.lstrip('.') or 'the poses'}: AP10K animal poses (17 points of a four-legged animal); "
            "Animate-X reads human ones: take the poses from a human detector (DWPose, OpenPose, SDPose)"
        )
    return expect_list(frame.get("people"), f"{where}.people", "a list of people", MAX_PEOPLE)


def read_canvas(frame: dict[str, Any], where: str) -> tuple[int, int]:
    """Width and height of a frame's canvas in pixels."""
    return _side(frame, where, "canvas_width"), _side(frame, where, "canvas_height")


def _side(frame: dict[str, Any], where: str, name: str) -> int:
    value = frame.get(name)
    number = as_float(value) if is_number(value) else 0.0
    if not (1 <= number <= MAX_CANVAS and number.is_integer()):
        raise refuse(f"{where}.{name}", f"a whole number of pixels from 1 to {MAX_CANVAS}", value)
    return int(number)


def read_person(person: Any, where: str, points: np.ndarray, scores: np.ndarray) -> None:
    """Write a person's parts into points [130, 2] and scores [130], float64; what is absent is left alone.

    Numbers that are not finite pass: `check_finite` refuses them, or the caller drops the points.
    """
    if not isinstance(person, dict):
        raise refuse(where, "a person (an object with pose_keypoints_2d)", person)
    for name, (part, counts) in PARTS.items():
        value = person.get(name)
        if value is None or (isinstance(value, (list, tuple)) and not value):
            continue
        triples = read_numbers(value, f"{where}.{name}", counts).reshape(-1, 3)
        xy, score = triples[:, :2], triples[:, 2]
        if name == "foot_keypoints_2d" and len(triples) == 6:
            with np.errstate(over="ignore", invalid="ignore"):
                xy, score = toes_from_feet(xy, score)
        count = part.stop - part.start
        points[part], scores[part] = xy[:count], score[:count]


def read_numbers(value: Any, where: str, counts: tuple[int, ...]) -> np.ndarray:
    """A flat list x, y, score, ... of as many points as `counts` allows, as float64."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if not isinstance(value, (list, tuple)):
        raise refuse(where, "a flat list of numbers x, y, score, ...", value)
    for kind in set(map(type, value)):
        if not issubclass(kind, Real) or issubclass(kind, bool):
            bad = next(i for i, item in enumerate(value) if type(item) is kind)
            raise refuse(f"{where}[{bad}]", "a number", value[bad])
    if len(value) not in [3 * n for n in counts]:
        wanted = " or ".join(f"{3 * n} numbers ({n} points)" for n in counts)
        raise ValueError(f"{where.lstrip('.')}: expected {wanted}, found {len(value)} numbers")
    try:
        return np.array(value, np.float64)
    except OverflowError:
        return np.array([as_float(item) for item in value])


def check_finite(points: np.ndarray, scores: np.ndarray, person: dict[str, Any], where: str) -> None:
    """Refuse a person whose points no float32 can hold (NaN, Infinity, 1e300), by the path of the number."""
    if (np.abs(points) <= LARGEST).all() and np.isfinite(scores).all():
        return
    for name in PARTS:
        for i, number in enumerate(person.get(name) or ()):
            if not abs(number) <= LARGEST:
                raise refuse(f"{where}.{name}[{i}]", "a finite number", number)
