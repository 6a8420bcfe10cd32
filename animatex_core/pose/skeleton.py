"""The skeleton as a kinematic tree over the 130 points of a PoseSequence: tables, no geometry.

The neck is the root. A bone is named by the point at its far end: bone 3 runs from the right shoulder (2) to the right
elbow (3). Hands hang from the wrists, the face from the nose, toes from the ankles.

Bones that always change together share a COLUMN: every body point and toe has its own, a hand has one for all its
fingers and so has the face. Ratios, lengths and limits are arrays over the columns.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from .keypoints import FACE, LEFT_HAND, POINTS, RIGHT_HAND, TOES

NOSE, NECK = 0, 1
RIGHT_SHOULDER, RIGHT_ELBOW, RIGHT_WRIST = 2, 3, 4
LEFT_SHOULDER, LEFT_ELBOW, LEFT_WRIST = 5, 6, 7
RIGHT_HIP, RIGHT_KNEE, RIGHT_ANKLE = 8, 9, 10
LEFT_HIP, LEFT_KNEE, LEFT_ANKLE = 11, 12, 13
RIGHT_EYE, LEFT_EYE, RIGHT_EAR, LEFT_EAR = 14, 15, 16, 17
LEFT_TOE, RIGHT_TOE = 18, 19

BODY_COLUMNS = 20
LEFT_HAND_COLUMN, RIGHT_HAND_COLUMN, FACE_COLUMN = 20, 21, 22
COLUMNS = 23
COLUMN_NAMES = (
    "neck to nose", "root", "right shoulder", "right upper arm", "right forearm",
    "left shoulder", "left upper arm", "left forearm", "right side of the body", "right thigh", "right shin",
    "left side of the body", "left thigh", "left shin", "right eye", "left eye", "right ear", "left ear",
    "left foot", "right foot", "left hand", "right hand", "face",
)  # fmt: skip

BODY_PARENT = (1, -1, 1, 2, 3, 1, 5, 6, 1, 8, 9, 1, 11, 12, 0, 0, 14, 15, 13, 10)
# right column, left column
PAIRS = ((2, 5), (3, 6), (4, 7), (8, 11), (9, 12), (10, 13), (14, 15), (16, 17), (19, 18), (21, 20))
# neck to nose, shoulders, arms, sides of the body, legs: what decides size and confidence
CORE = np.array([0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13])

# An adult facing the camera, in units of neck to hip. Our own measurement on dance and fashion clips (90th percentile
# of the apparent lengths), for the few decisions that need to know what a body usually looks like. A hand is the mean
# distance of its four knuckles from the wrist; a face that of its 68 points from their middle.
ADULT = np.array(
    (
        0.40, 1.0, 0.31, 0.55, 0.48, 0.31, 0.55, 0.48, 1.0, 0.79, 0.80, 1.0, 0.79, 0.80, 0.09, 0.09, 0.09, 0.09,
        0.35, 0.35, 0.13, 0.13, 0.10,
    ),
    np.float32,
)  # fmt: skip

# How far a bone's ratio may be from the ratio of the whole figure. A limb four times as long as its body is a
# measuring error, a head five times as large is a cartoon; a foot's apparent length tells where it points, little more.
_TRUNK, _LIMB, _HEAD, _HAND, _FOOT = (0.2, 4.0), (0.15, 4.0), (0.15, 8.0), (0.3, 3.0), (0.4, 2.0)
LIMITS = np.array(
    (
        _HEAD, (1.0, 1.0), _TRUNK, _LIMB, _LIMB, _TRUNK, _LIMB, _LIMB, _TRUNK, _LIMB, _LIMB, _TRUNK, _LIMB, _LIMB,
        _HEAD, _HEAD, _HEAD, _HEAD, _FOOT, _FOOT, _HAND, _HAND, _HEAD,
    ),
    np.float32,
)  # fmt: skip


def _parents() -> np.ndarray:
    parent = np.full(POINTS, NOSE)
    parent[:BODY_COLUMNS] = BODY_PARENT
    for hand, wrist in ((LEFT_HAND, LEFT_WRIST), (RIGHT_HAND, RIGHT_WRIST)):
        first = hand.start
        parent[first] = wrist
        for finger in range(first + 1, hand.stop, 4):
            parent[finger : finger + 4] = (first, finger, finger + 1, finger + 2)
    return parent


def _columns() -> np.ndarray:
    column = np.arange(POINTS)
    column[LEFT_HAND], column[RIGHT_HAND], column[FACE] = LEFT_HAND_COLUMN, RIGHT_HAND_COLUMN, FACE_COLUMN
    return column


def _levels(parent: np.ndarray) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    levels, above = [], np.array([NECK])
    while (children := np.flatnonzero(np.isin(parent, above))).size:
        levels.append((children, parent[children]))
        above = children
    return tuple(levels)


PARENT = _parents()
COLUMN = _columns()
# (children, their parents) from the root outwards
LEVELS = _levels(PARENT)
BODY_LEVELS = _levels(np.array(BODY_PARENT))
# What is scaled as one: (points, the joint they hang from, their column)
RIGID = (
    (LEFT_HAND, LEFT_WRIST, LEFT_HAND_COLUMN),
    (RIGHT_HAND, RIGHT_WRIST, RIGHT_HAND_COLUMN),
    (FACE, NOSE, FACE_COLUMN),
)
KNUCKLES = np.array([5, 9, 13, 17])


def points_of(*points: int | slice) -> np.ndarray:
    """The indices that points and slices of points name, as one array."""
    return np.concatenate([np.r_[p] for p in points])


_RIGHT_ARM = points_of(RIGHT_ELBOW, RIGHT_WRIST, RIGHT_HAND)
_LEFT_ARM = points_of(LEFT_ELBOW, LEFT_WRIST, LEFT_HAND)
_RIGHT_LEG = points_of(RIGHT_KNEE, RIGHT_ANKLE, RIGHT_TOE)
_LEFT_LEG = points_of(LEFT_KNEE, LEFT_ANKLE, LEFT_TOE)
_EARS, _EYES = points_of(RIGHT_EAR, LEFT_EAR), points_of(RIGHT_EYE, LEFT_EYE)

# The parts of a body that can be taken away: with a part goes everything that hangs from it.
PARTS = {
    "right arm": _RIGHT_ARM,
    "left arm": _LEFT_ARM,
    "arms": points_of(*_RIGHT_ARM, *_LEFT_ARM),
    "right forearm": points_of(RIGHT_WRIST, RIGHT_HAND),
    "left forearm": points_of(LEFT_WRIST, LEFT_HAND),
    "forearms": points_of(RIGHT_WRIST, RIGHT_HAND, LEFT_WRIST, LEFT_HAND),
    "right hand": points_of(RIGHT_HAND),
    "left hand": points_of(LEFT_HAND),
    "hands": points_of(RIGHT_HAND, LEFT_HAND),
    "right leg": _RIGHT_LEG,
    "left leg": _LEFT_LEG,
    "legs": points_of(*_RIGHT_LEG, *_LEFT_LEG),
    "right shin": points_of(RIGHT_ANKLE, RIGHT_TOE),
    "left shin": points_of(LEFT_ANKLE, LEFT_TOE),
    "shins": points_of(RIGHT_ANKLE, RIGHT_TOE, LEFT_ANKLE, LEFT_TOE),
    "toes": points_of(TOES),
    "eyes": _EYES,
    "ears": _EARS,
    "face": points_of(FACE),
    "head": points_of(NOSE, *_EYES, *_EARS, FACE),
}


def part_points(parts: Iterable[str]) -> np.ndarray:
    """Which points the named parts cover, [130] bool. ValueError names an unknown part and lists the known ones."""
    chosen = np.zeros(POINTS, bool)
    for name in [parts] if isinstance(parts, str) else parts:
        if name not in PARTS:
            raise ValueError(f"unknown body part {name!r}; the parts are: {', '.join(PARTS)}")
        chosen[PARTS[name]] = True
    return chosen
