"""Joints placed by hand: the way in for characters that no detector recognises.

Joints are data, a small JSON text that a canvas writes and that anybody can write by hand:

    {"version": 1, "joints": {"nose": [0.5, 0.2], "neck": [0.5, 0.3]}, "absent": ["left arm", "toes"]}

Places are fractions of the picture's width and height. `absent` names parts (skeleton.PARTS) or joints that the
character does not have. Half a skeleton is enough: joints that are neither placed nor absent follow the placed ones
as the rest of a guessed figure (a standing adult, the outline of a mask, or a detector's finding).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .draw import LIMBS, RAINBOW
from .keypoints import BODY_NAMES, FACE, LEFT_HAND, RIGHT_HAND, PoseSequence, empty
from .skeleton import ADULT, BODY_PARENT, LEFT_WRIST, NOSE, PARTS, RIGHT_WRIST

JOINTS = (*BODY_NAMES, "left toe", "right toe")
VERSION = 1
# Part names that make sense on a canvas of 20 joints, in the order in which people look for them.
CANVAS_PARTS = (
    "right arm", "left arm", "right forearm", "left forearm", "right leg", "left leg", "right shin", "left shin",
    "toes", "eyes", "ears", "head",
)  # fmt: skip
MAX_TEXT = 100_000
_REACH = (-1.0, 2.0)  # fractions: how far outside of the picture a joint may be placed

# Directions of the standing figure's bones; lengths are skeleton.ADULT.
_STANDING = {
    0: (0, -1), 2: (-1, 0.05), 3: (-0.45, 1), 4: (-0.3, 1), 5: (1, 0.05), 6: (0.45, 1), 7: (0.3, 1),
    8: (-0.19, 1), 9: (-0.06, 1), 10: (-0.02, 1), 11: (0.19, 1), 12: (0.06, 1), 13: (0.02, 1),
    14: (-0.9, -0.8), 15: (0.9, -0.8), 16: (-1, 0.45), 17: (1, 0.45), 18: (0.5, 0.55), 19: (-0.5, 0.55),
}  # fmt: skip
_OUTWARDS = (0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19)
# The figure with the crown of its head and its soles: above and below the neck, in units of neck to hip.
_CROWN, _SOLES = -0.8, 2.75


@dataclass(frozen=True)
class ManualJoints:
    """Joints by hand.

    places: [20, 2] float64, fractions of the picture in the order of JOINTS; NaN where nobody placed the joint.
    absent: [20] bool, joints that the character does not have (a place may be kept for them, it does not count).
    names: the absent parts and joints as they were written.
    """

    places: np.ndarray
    absent: np.ndarray
    names: tuple[str, ...] = ()

    @property
    def placed(self) -> np.ndarray:
        """Joints that count: placed and not absent, [20] bool."""
        return ~np.isnan(self.places[:, 0]) & ~self.absent


@dataclass(frozen=True)
class ManualPose:
    """The pose of one frame and one person, and how it came about, for a report."""

    poses: PoseSequence
    report: str


def parse_joints(text: str) -> ManualJoints:
    """Read the JSON text; an empty text places nothing. ValueError names the bad field and what was expected."""
    if not text.strip():
        return ManualJoints(np.full((len(JOINTS), 2), np.nan), np.zeros(len(JOINTS), bool))
    if len(text) > MAX_TEXT:
        raise ValueError(f"joints: expected at most {MAX_TEXT} characters of JSON, found {len(text)}")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"joints: this is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise ValueError(f'joints: expected an object with "joints" and "absent", found {type(document).__name__}')
    if document.get("version", VERSION) != VERSION:
        raise ValueError(f"joints.version: expected {VERSION}, found {document['version']!r:.40}")
    places = _read_places(document.get("joints", {}))
    absent, names = _read_absent(document.get("absent", []))
    return ManualJoints(places, absent, names)


def _read_places(joints: Any) -> np.ndarray:
    if not isinstance(joints, Mapping):
        raise ValueError(f"joints.joints: expected an object of joints, found {type(joints).__name__}")
    places = np.full((len(JOINTS), 2), np.nan)
    for name, place in joints.items():
        if name not in JOINTS:
            raise ValueError(f"joints.joints: unknown joint {name!r:.40}; the joints are: {', '.join(JOINTS)}")
        if place is not None:
            places[JOINTS.index(name)] = _read_place(place, f"joints.joints[{name!r}]")
    return places


def _read_place(place: Any, where: str) -> tuple[float, float]:
    numbers = [v for v in place if isinstance(v, (int, float)) and not isinstance(v, bool)] if _is_pair(place) else []
    low, high = _REACH
    if len(numbers) != 2 or not all(low <= v <= high for v in numbers):
        raise ValueError(f"{where}: expected two fractions of the picture [x, y] in {low:g}..{high:g}, found {place!r}")
    return float(numbers[0]), float(numbers[1])


def _is_pair(place: Any) -> bool:
    return isinstance(place, (list, tuple)) and len(place) == 2


def _read_absent(names: Any) -> tuple[np.ndarray, tuple[str, ...]]:
    if not isinstance(names, list):
        raise ValueError(f"joints.absent: expected a list of parts, found {type(names).__name__}")
    absent = np.zeros(len(JOINTS), bool)
    for name in names:
        if name in JOINTS:
            absent[JOINTS.index(name)] = True
        elif isinstance(name, str) and name in PARTS:
            covered = np.asarray(PARTS[name])
            absent[covered[covered < len(JOINTS)]] = True
        else:
            known = ", ".join((*PARTS, *JOINTS))
            raise ValueError(f"joints.absent: unknown part {name!r:.40}; the parts and joints are: {known}")
    return absent, tuple(names)


def template_figure(width: int, height: int) -> np.ndarray:
    """A standing adult facing the camera, as large as it fits into the middle of a picture: [20, 2] pixels."""
    figure = np.zeros((len(JOINTS), 2))
    for joint in _OUTWARDS:
        direction = np.array(_STANDING[joint], float)
        figure[joint] = figure[BODY_PARENT[joint]] + direction / np.linalg.norm(direction) * ADULT[joint]
    widest = 2 * np.abs(figure[:, 0]).max()
    unit = min(0.92 * height / (_SOLES - _CROWN), 0.9 * width / widest)
    return figure * unit + [width / 2, height / 2 - (_SOLES + _CROWN) / 2 * unit]


def canvas_figure() -> dict[str, Any]:
    """What a canvas needs to show and edit joints: names, tree, sticks, colours, parts (those with a button apart), and
    the standing figure.

    `template` is in units of the figure's own box, whose width over height is `aspect`.
    """
    unit = 1000
    figure = template_figure(10 * unit, unit)
    low, high = figure.min(0), figure.max(0)
    return {
        "version": VERSION,
        "joints": list(JOINTS),
        "parents": list(BODY_PARENT),
        "sticks": LIMBS.tolist(),
        "colours": [f"rgb({r}, {g}, {b})" for r, g, b in RAINBOW.tolist()],
        "parts": {name: [int(p) for p in points if p < len(JOINTS)] for name, points in PARTS.items()},
        "buttons": list(CANVAS_PARTS),
        "template": np.round((figure - low) / (high - low), 5).tolist(),
        "aspect": round(float(np.divide(*(high - low))), 5),
        "room": {"height": round(float((high - low)[1] / unit), 5), "top": round(float(low[1] / unit), 5)},
    }


def place_figure(
    joints: ManualJoints,
    width: int,
    height: int,
    *,
    guess: np.ndarray | None = None,
    complete: bool = True,
    source: str = "the template",
) -> ManualPose:
    """The pose of one person on a canvas of width x height pixels.

    guess: [20, 2] pixels, a figure that already stands where the character is (NaN where it knows nothing); the
    standing adult, fitted to what is placed, otherwise. complete: take joints that nobody placed from it; they are left
    out otherwise. source: what the guess is called in the report.
    """
    size = np.array([width, height], float)
    placed = joints.placed
    by_hand = np.where(placed[:, None], joints.places * size, 0)
    template = _fitted(template_figure(width, height), by_hand, placed)
    base = template if guess is None else np.where(np.isfinite(guess), guess, np.nan)
    known = placed | (np.isfinite(base[:, 0]) & ~joints.absent if complete else False)
    points = _follow(np.where(np.isnan(base), template, base), by_hand, placed)
    poses = empty(1, width, height)
    poses.points[0, 0, : len(JOINTS)] = np.where(known[:, None], points, 0)
    poses.scores[0, 0, : len(JOINTS)] = known
    return ManualPose(poses, _report(joints, known, source))


def move_detected(detected: PoseSequence, joints: ManualJoints, complete: bool = True) -> ManualPose:
    """A detector's pose (its first frame and person) with the joints by hand put in.

    Joints that nobody placed move along with those that were; hands follow their wrists and the face the nose. Where
    the detector saw nobody, this is `place_figure`.
    """
    first = detected.person(0).frames(slice(0, 1))
    seen = first.present[0, 0] & np.isfinite(first.points[0, 0]).all(-1)
    found, count = first.points[0, 0].astype(float), len(JOINTS)
    if not seen[:count].any():
        result = place_figure(joints, detected.width, detected.height, complete=complete)
        return ManualPose(result.poses, f"the detector saw nobody; {result.report}")
    guess = np.where(seen[:count, None], found[:count], np.nan)
    kept = {"guess": guess, "complete": complete, "source": "the detector"}
    result = place_figure(joints, detected.width, detected.height, **kept)
    points, scores = result.poses.points[0, 0], result.poses.scores[0, 0]
    for part, joint in ((LEFT_HAND, LEFT_WRIST), (RIGHT_HAND, RIGHT_WRIST), (FACE, NOSE)):
        if complete and scores[joint] > 0 and seen[joint] and seen[part].any():
            moved = found[part] + (points[joint] - found[joint])
            points[part] = np.where(seen[part, None], moved, 0)
            scores[part] = seen[part]
    return result


def _fitted(figure: np.ndarray, places: np.ndarray, placed: np.ndarray) -> np.ndarray:
    """The figure scaled and shifted to the placed joints (shifted only, for fewer than two distinct ones)."""
    if not placed.any():
        return figure
    mine, theirs = figure[placed], places[placed]
    spread = np.linalg.norm(mine - mine.mean(0)), np.linalg.norm(theirs - theirs.mean(0))
    scale = spread[1] / spread[0] if min(spread) > 1e-6 else 1.0
    return (figure - mine.mean(0)) * scale + theirs.mean(0)


def _follow(base: np.ndarray, places: np.ndarray, placed: np.ndarray) -> np.ndarray:
    """The base figure with placed joints in their places, the others moved as evenly as the skeleton allows.

    The displacements solve Laplace's equation on the skeleton: between two placed joints they pass from one to the
    other bone by bone, and what hangs from a placed joint moves with it.
    """
    if not placed.any():
        return base
    moved, free = np.where(placed[:, None], places - base, 0), ~placed
    if free.any():
        moved[free] = np.linalg.solve(_LAPLACIAN[np.ix_(free, free)], -_LAPLACIAN[np.ix_(free, placed)] @ moved[placed])
    return base + moved


def _laplacian() -> np.ndarray:
    """Of the skeleton as a graph, [20, 20]."""
    linked = np.zeros((len(JOINTS), len(JOINTS)))
    for joint in _OUTWARDS:
        linked[joint, BODY_PARENT[joint]] = linked[BODY_PARENT[joint], joint] = 1
    return np.diag(linked.sum(1)) - linked


_LAPLACIAN = _laplacian()


def _report(joints: ManualJoints, known: np.ndarray, source: str) -> str:
    placed = joints.placed
    filled = known & ~placed
    parts = [f"{placed.sum()} joints placed by hand"]
    if filled.any():
        parts.append(f"{filled.sum()} from {source}")
    if joints.absent.any():
        parts.append(f"{joints.absent.sum()} that the character does not have ({', '.join(joints.names)})")
    left_out = ~known & ~joints.absent
    if left_out.any():
        parts.append(f"{left_out.sum()} left out ({', '.join(np.array(JOINTS)[left_out])})")
    return "; ".join(parts)
