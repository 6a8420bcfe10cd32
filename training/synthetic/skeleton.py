"""The skeleton that all motions and characters share: names of the CMU recordings, parents, and the rest pose.

Axes: x to the person's left, y backwards, z up; at rest the person faces the viewer, who looks along +y. Units are the
character's own. A rotation is of a segment, from the rest pose to the world.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

SIDES = ("Left", "Right")
PARENT = {
    "Hips": "",
    "LowerBack": "Hips",
    "Spine": "LowerBack",
    "Spine1": "Spine",
    "Neck": "Spine1",
    "Neck1": "Neck",
    "Head": "Neck1",
} | {
    f"{side}{part}": f"{side}{parent}" if parent in ("Shoulder", "Arm", "ForeArm", "UpLeg", "Leg", "Foot") else parent
    for side in SIDES
    for part, parent in (
        ("Shoulder", "Spine1"), ("Arm", "Shoulder"), ("ForeArm", "Arm"), ("Hand", "ForeArm"),
        ("UpLeg", "Hips"), ("Leg", "UpLeg"), ("Foot", "Leg"), ("ToeBase", "Foot"),
    )
}  # fmt: skip
JOINTS = tuple(PARENT)
INDEX = {name: number for number, name in enumerate(JOINTS)}
DOWN = np.array([0.0, 0.0, -1.0])


def rest_direction(joint: str) -> np.ndarray:
    """Where the limb that begins at a joint points at rest: legs straight down, arms straight to the side."""
    if joint.endswith(("Leg", "UpLeg")):
        return DOWN
    if joint.endswith(("Shoulder", "Arm", "ForeArm", "Hand")):
        return np.array([1.0 if joint.startswith("Left") else -1.0, 0.0, 0.0])
    raise ValueError(f"{joint} has no rest direction")


def turn_between(start: ArrayLike, end: ArrayLike) -> np.ndarray:
    """The least rotation [3, 3] that takes the direction `start` to `end`; neither may be the other's opposite."""
    a, b = (np.asarray(v, float) / np.linalg.norm(v) for v in (start, end))
    x, y, z = np.cross(a, b)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + cross + cross @ cross / (1 + a @ b)


def about_up(angle: float) -> np.ndarray:
    """A turn [3, 3] about the upright axis, radians, to the person's left."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
