"""Motion from the text files of DeepMimic (Peng et al., 2018), as PyBullet ships them (`pybullet_data`, zlib licence).

A frame is: its seconds; place of the root (y up); then quaternions (w first), or an angle for knees and elbows.
The body's axes are x forward, y up, z to its right; at rest its arms hang.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from .motion import Motion, above_ground
from .skeleton import JOINTS, rest_direction, turn_between

_AXES = np.array([[0.0, 0, -1], [-1, 0, 0], [0, 1, 0]])  # of the file to ours
_ORDER = (
    ("Hips", 4), ("Spine1", 4), ("Neck", 4),
    ("RightUpLeg", 4), ("RightLeg", 1), ("RightFoot", 4), ("RightArm", 4), ("RightForeArm", 1),
    ("LeftUpLeg", 4), ("LeftLeg", 1), ("LeftFoot", 4), ("LeftArm", 4), ("LeftForeArm", 1),
)  # fmt: skip
_PARENT = {"Spine1": "Hips", "Neck": "Spine1"} | {
    side + part: (side + parent if parent in ("UpLeg", "Leg", "Arm") else parent)
    for side in ("Left", "Right")
    for part, parent in (("UpLeg", "Hips"), ("Leg", "UpLeg"), ("Foot", "Leg"), ("Arm", "Spine1"), ("ForeArm", "Arm"))
}
_COLUMNS = 4 + sum(size for _, size in _ORDER)
# The file's body, metres (of its model): hips to hip joint, thigh, shin; heel and toes below and before the ankle.
_HIP, _THIGH, _SHIN = 0.0849, 0.4215, 0.4099
_HEEL, _TOES = (0.04, -0.06), (-0.16, -0.06)  # y, z in our axes


def read_deepmimic(path: Path) -> Motion:
    """The recording. Raises ValueError when the file is none, naming it."""
    try:
        frames = np.array(json.loads(path.read_text(encoding="ascii"))["Frames"], dtype=float)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f'{path}: no DeepMimic motion: JSON with "Frames" of numbers expected ({error})') from error
    if frames.ndim != 2 or frames.shape[1] != _COLUMNS or len(frames) < 2:
        raise ValueError(f"{path}: frames of {_COLUMNS} numbers expected, found {frames.shape}")
    turns = _world(frames)
    hips = frames[:, 1:4] @ _AXES.T
    leg = _THIGH + _SHIN
    rotations = np.stack([turns[_source(joint)] if _source(joint) in turns else turns[joint] for joint in JOINTS], 1)
    soles = np.concatenate([_soles(turns, hips, side) for side in ("Left", "Right")], 1)
    name = path.stem.removeprefix("humanoid3d_")
    return Motion(name, rotations, hips[:, :2] / leg, above_ground(soles, leg), 1 / float(np.median(frames[:-1, 0])))


def _world(frames: np.ndarray) -> dict[str, np.ndarray]:
    """Rotations [F, 3, 3] of all segments of ours, from our rest pose."""
    turns, column = {}, 4
    for joint, size in _ORDER:
        own = frames[:, column : column + size]
        column += size
        if size == 1:  # a hinge about the file's z
            local = Rotation.from_rotvec(own * (0.0, 0.0, 1.0))
        else:
            local = Rotation.from_quat(own[:, [1, 2, 3, 0]])
        turned = _AXES @ local.as_matrix() @ _AXES.T
        turns[joint] = turns[_PARENT[joint]] @ turned if joint in _PARENT else turned
    turns |= _between(turns)
    for side in ("Left", "Right"):
        lowered = turn_between(rest_direction(f"{side}Arm"), (0, 0, -1))  # ours stretches its arms to the side
        for part in ("Arm", "ForeArm"):
            turns[side + part] = turns[side + part] @ lowered
    return turns


def _between(turns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The lower spine, which the file does not have: on the way from the hips to the chest."""
    hips = Rotation.from_matrix(turns["Hips"])
    bend = (hips.inv() * Rotation.from_matrix(turns["Spine1"])).as_rotvec()
    shares = {"LowerBack": 1 / 3, "Spine": 2 / 3}
    return {joint: (hips * Rotation.from_rotvec(share * bend)).as_matrix() for joint, share in shares.items()}


def _source(joint: str) -> str:
    """Whose rotation a segment has that the file does not know."""
    side = "Left" if joint.startswith("Left") else "Right"
    return {
        "Neck1": "Neck", "Head": "Neck", f"{side}Shoulder": "Spine1",
        f"{side}Hand": f"{side}ForeArm", f"{side}ToeBase": f"{side}Foot",
    }.get(joint, joint)  # fmt: skip


def _soles(turns: dict[str, np.ndarray], hips: np.ndarray, side: str) -> np.ndarray:
    across = _HIP if side == "Left" else -_HIP
    ankle = hips + turns["Hips"] @ np.array([across, 0, 0])
    for joint, length in (("UpLeg", _THIGH), ("Leg", _SHIN)):
        ankle = ankle + turns[side + joint] @ np.array([0, 0, -length])
    heights = [(ankle + turns[f"{side}Foot"] @ np.array([0.0, *part]))[:, 2] for part in (_HEEL, _TOES)]
    return np.stack(heights, 1)
