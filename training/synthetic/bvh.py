"""Motion from BVH files of the CMU recordings in cgspeed's conversion (joint names and rest pose are theirs).

They are free for research and commercial use. Debian's package assimp-testmodels holds two, 01_01 and 01_03.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from .motion import Motion, above_ground
from .skeleton import JOINTS, SIDES, rest_direction, turn_between

_AXES = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # of the file (y up, facing z) to ours
_STRAIGHTENED = {"UpLeg": "Leg", "Leg": "Foot", "Arm": "ForeArm", "ForeArm": "Hand"}


@dataclass(frozen=True)
class _Hierarchy:
    """Joints in the file's order: parent, offset from it in our axes, and the names of the channels."""

    parent: dict[str, str]
    offset: dict[str, np.ndarray]
    channels: dict[str, list[str]]


def read_bvh(path: Path) -> Motion:
    """The recording; its first frame is a rest pose and is left out.

    Raises ValueError when the file is no BVH of the CMU skeleton.
    """
    lines = [line.split() for line in path.read_text(encoding="ascii").splitlines() if line.strip()]
    starts = [number for number, words in enumerate(lines) if words[0] == "MOTION"]
    if len(starts) != 1 or lines[starts[0] + 2][:2] != ["Frame", "Time:"]:
        raise ValueError(f"{path}: no BVH file: no MOTION section with a frame time")
    head, times = _hierarchy(lines[: starts[0]]), lines[starts[0] + 2]
    missing = [name for name in JOINTS if name not in head.parent]
    if missing:
        raise ValueError(f"{path}: not the CMU skeleton: no joint {', '.join(missing)}")
    values = np.array(lines[starts[0] + 3 :][1:], dtype=float)
    if values.ndim != 2 or values.shape[1] != sum(map(len, head.channels.values())):
        raise ValueError(f"{path}: rows of {sum(map(len, head.channels.values()))} numbers expected")
    return _motion(path.stem, head, values, 1 / float(times[2]))


def _hierarchy(lines: list[list[str]]) -> _Hierarchy:
    found, open_joints, current = _Hierarchy({}, {}, {}), [], ""
    for words in lines:
        if words[0] in ("ROOT", "JOINT"):
            current = words[1]
            found.parent[current] = open_joints[-1] if open_joints else ""
        elif words[0] == "End":
            current = f"end of {open_joints[-1]}"
        elif words[0] == "{":
            open_joints.append(current)
        elif words[0] == "}":
            open_joints.pop()
        elif words[0] == "OFFSET":
            found.offset[current] = _AXES @ np.array(words[1:4], float)
        elif words[0] == "CHANNELS":
            found.channels[current] = words[2:]
    return found


def _motion(name: str, head: _Hierarchy, values: np.ndarray, fps: float) -> Motion:
    turns, places = _world(head, values)
    leg = float(np.linalg.norm(head.offset["LeftLeg"]) + np.linalg.norm(head.offset["LeftFoot"]))
    soles = np.concatenate([_soles(head, turns, places, side) for side in SIDES], 1)
    rotations = np.stack([turns[joint] @ _straight(head, joint) for joint in JOINTS], 1)
    return Motion(name, rotations, places["Hips"][:, :2] / leg, above_ground(soles, leg), fps)


def _world(head: _Hierarchy, values: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Rotation [F, 3, 3] and place [F, 3] of every joint."""
    turns, places, column = {}, {}, 0
    for joint, channels in head.channels.items():
        own = values[:, column : column + len(channels)]
        column += len(channels)
        turning = [c.endswith("rotation") for c in channels]
        order = "".join(c[0] for c, turned in zip(channels, turning, strict=True) if turned)
        local = _AXES @ Rotation.from_euler(order, own[:, turning], degrees=True).as_matrix() @ _AXES.T
        parent = head.parent[joint]
        turns[joint] = turns[parent] @ local if parent else local
        if parent:
            places[joint] = places[parent] + turns[parent] @ head.offset[joint]
        else:
            places[joint] = own[:, ~np.array(turning)] @ _AXES.T
    return turns, places


def _straight(head: _Hierarchy, joint: str) -> np.ndarray:
    """From our rest pose to the file's: its legs are spread."""
    side = next((s for s in SIDES if joint.startswith(s)), "")
    child = _STRAIGHTENED.get(joint.removeprefix(side)) if side else None
    return turn_between(rest_direction(joint), head.offset[side + child]) if child else np.eye(3)


def _soles(head: _Hierarchy, turns: dict[str, np.ndarray], places: dict[str, np.ndarray], side: str) -> np.ndarray:
    """Heights [F, 3] of heel, ball and tip of a foot, which are level at rest."""
    foot, toe = f"{side}Foot", f"{side}ToeBase"
    tip = head.offset[f"end of {toe}"]
    level = head.offset[toe][2] + min(tip[2], 0.0)
    heel = places[foot] + turns[foot] @ np.array([0.0, 0.0, level])
    ball = places[foot] + turns[foot] @ (head.offset[toe] * (1, 1, 0) + (0, 0, level))
    end = places[toe] + turns[toe] @ (tip * (1, 1, 0) + (0, 0, level - head.offset[toe][2]))
    return np.stack([heel[:, 2], ball[:, 2], end[:, 2]], 1)
