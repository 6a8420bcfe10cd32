"""Motions made of motions: the recordings to train on are few, and a network knows the poses that it has seen.

`vary` gives a part of a recording the arms or the legs of others, turns every segment by smooth random angles, and
lets the body face anywhere. Joints bend the way they do in people; nothing else is asked of the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from .motion import Motion
from .skeleton import INDEX, JOINTS, PARENT, SIDES, about_up

_TAKEN = 0.3  # the chance that both arms, and that both legs, are another recording's
_ANYWHERE = 0.5  # the chance that it faces anywhere, not the viewer
_TURN = 0.6  # radians, deviation: how far the body turns about itself on top of its own motion
# Deviation in radians of the turn that a segment gets relative to the one that it hangs on, about any axis.
_FREE = {
    "Hips": 0.2, "LowerBack": 0.12, "Spine": 0.12, "Spine1": 0.12, "Neck": 0.3, "Arm": 0.6, "UpLeg": 0.45, "Foot": 0.2
}  # fmt: skip
# The same of hinges, which bend further and never the other way: about x, and about the upright axis of the T pose.
_HINGES = {"Leg": (0.4, (1.0, 0.0, 0.0)), "ForeArm": (0.6, (0.0, 0.0, 1.0))}
_CHAINS = (("Shoulder", "Arm", "ForeArm", "Hand"), ("UpLeg", "Leg", "Foot", "ToeBase"))


def vary(motion: Motion, others: Sequence[Motion], rng: np.random.Generator) -> Motion:
    """The motion, changed at random. others: parts of recordings of as many frames, who lend arms and legs."""
    local = _local(motion.rotations)
    for chain in _CHAINS:
        if rng.random() < _TAKEN:
            lender = _local(others[int(rng.integers(len(others)))].rotations)
            taken = [INDEX[side + part] for side in SIDES for part in chain]
            local[:, taken] = lender[:, taken]
    for number, joint in enumerate(JOINTS):
        turn = _turns(joint, len(motion), rng)
        if turn is not None:
            local[:, number] = local[:, number] @ turn
    changed = replace(motion, rotations=_global(local))
    yaw = rng.normal(0, _TURN) * np.linspace(0, 1, len(motion))
    changed = replace(changed, rotations=np.stack([about_up(a) for a in yaw])[:, None] @ changed.rotations)
    return changed.facing(float(rng.uniform(-np.pi, np.pi))) if rng.random() < _ANYWHERE else changed


def _turns(joint: str, frames: int, rng: np.random.Generator) -> np.ndarray | None:
    """[frames, 3, 3] for a segment, or None where nothing turns it."""
    side = next((side for side in SIDES if joint.startswith(side)), "")
    part = joint.removeprefix(side)
    if part in _FREE:
        return Rotation.from_rotvec(_FREE[part] * _wander(frames, 3, rng)).as_matrix()
    if part not in _HINGES:
        return None
    spread, axis = _HINGES[part]
    sign = -1.0 if joint == "LeftForeArm" else 1.0
    bend = np.maximum(spread * _wander(frames, 1, rng), 0.0)
    return Rotation.from_rotvec(sign * bend * np.array(axis)).as_matrix()


def _wander(frames: int, numbers: int, rng: np.random.Generator) -> np.ndarray:
    """Smooth curves [frames, numbers] of unit variance: a constant and a slow wave."""
    time = np.linspace(0, 1, frames)[:, None]
    wave = np.sin(2 * np.pi * (rng.uniform(0.2, 1.2, numbers) * time + rng.random(numbers)))
    return 0.8 * rng.normal(size=numbers) + 0.85 * rng.normal(size=numbers) * wave


def _local(rotations: np.ndarray) -> np.ndarray:
    """Of every segment relative to the one that it hangs on, [F, 23, 3, 3]; the hips' stay to the world."""
    local = rotations.copy()
    for joint, parent in PARENT.items():
        if parent:
            local[:, INDEX[joint]] = rotations[:, INDEX[parent]].swapaxes(1, 2) @ rotations[:, INDEX[joint]]
    return local


def _global(local: np.ndarray) -> np.ndarray:
    rotations = local.copy()
    for joint, parent in PARENT.items():
        if parent:
            rotations[:, INDEX[joint]] = rotations[:, INDEX[parent]] @ local[:, INDEX[joint]]
    return rotations
