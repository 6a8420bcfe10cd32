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
# Hinges bend further, never the other way: deviation, and the axis where the recording tells none (x for the knee, the
# upright axis of the T pose for the elbow).
_HINGES = {"Leg": (0.4, (1.0, 0.0, 0.0)), "ForeArm": (0.6, (0.0, 0.0, 1.0))}
_BENT, _FOLDED = 0.2, 2.4  # radians: from where on the recording's own axis is taken, and where flesh stops it
_CHAINS = (("Shoulder", "Arm", "ForeArm", "Hand"), ("UpLeg", "Leg", "Foot", "ToeBase"))


def vary(motion: Motion, others: Sequence[Motion], rng: np.random.Generator) -> Motion:
    """The motion, changed at random; its path and its height above the ground stay.

    others: parts of recordings of as many frames, who lend arms and legs. Raises ValueError for none, or one of another
    length.
    """
    if not others or any(len(other) != len(motion) for other in others):
        found = ", ".join(str(len(other)) for other in others) or "none"
        raise ValueError(f"motion {motion.name}: expected lenders of {len(motion)} frames, got {found}")
    local = _local(motion.rotations)
    for chain in _CHAINS:
        if rng.random() < _TAKEN:
            lender = _local(others[int(rng.integers(len(others)))].rotations)
            taken = [INDEX[side + part] for side in SIDES for part in chain]
            local[:, taken] = lender[:, taken]
    for number, joint in enumerate(JOINTS):
        local[:, number] = _turned(joint, local[:, number], rng)
    changed = replace(motion, rotations=_global(local))
    yaw = rng.normal(0, _TURN) * np.linspace(0, 1, len(motion))
    changed = replace(changed, rotations=np.stack([about_up(a) for a in yaw])[:, None] @ changed.rotations)
    return changed.facing(float(rng.uniform(-np.pi, np.pi))) if rng.random() < _ANYWHERE else changed


def _turned(joint: str, local: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A segment's rotations [F, 3, 3] against the one that it hangs on, turned further if it is one that turns."""
    side = next((side for side in SIDES if joint.startswith(side)), "")
    part = joint.removeprefix(side)
    if part in _FREE:
        return local @ Rotation.from_rotvec(_FREE[part] * _wander(len(local), 3, rng)).as_matrix()
    if part not in _HINGES:
        return local
    spread, axis = _HINGES[part]
    sign = -1.0 if joint == "LeftForeArm" else 1.0
    return _bent(local, sign * np.array(axis), spread * _wander(len(local), 1, rng)[:, 0])


def _bent(local: np.ndarray, axis: np.ndarray, further: np.ndarray) -> np.ndarray:
    """A hinge that bends by so many radians [F] more where that is forward and there is room."""
    now = Rotation.from_matrix(local).as_rotvec()
    mean = now.mean(0)
    if np.linalg.norm(mean) > _BENT:
        axis = mean / np.linalg.norm(mean)
    room = np.maximum(_FOLDED - np.linalg.norm(now, axis=1), 0.0)
    return local @ Rotation.from_rotvec(np.clip(further, 0.0, room)[:, None] * axis).as_matrix()


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
