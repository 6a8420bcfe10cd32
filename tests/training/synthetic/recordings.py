"""Small recordings of both kinds whose motion is known."""

import json

import numpy as np
from animatex_training.synthetic.motion import Motion
from animatex_training.synthetic.skeleton import JOINTS, PARENT

# Offsets in the file's axes (x left, y up, z forward); legs are spread by 20 degrees, as in the CMU recordings.
_SPREAD = np.deg2rad(20)
_PARTS = {
    "UpLeg": (1.5, -2.0, 0.0), "Leg": (7 * np.sin(_SPREAD), -7 * np.cos(_SPREAD), 0.0),
    "Foot": (7 * np.sin(_SPREAD), -7 * np.cos(_SPREAD), 0.0), "ToeBase": (0.0, -0.5, 2.0), "Shoulder": (0.5, 2.0, 0.0),
    "Arm": (3.0, 0.0, 0.0), "ForeArm": (5.0, 0.0, 0.0), "Hand": (4.0, 0.0, 0.0),
}  # fmt: skip


def _offset(joint):
    for side, sign in (("Left", 1), ("Right", -1)):
        if joint.startswith(side):
            x, y, z = _PARTS[joint.removeprefix(side)]
            return sign * x, y, z
    return (0.0, 0.0 if joint == "Hips" else 2.0, 0.0)


def write_bvh(path, turns=(), places=(), fps=30.0):
    """A recording of rest poses; turns: by frame, {joint: (z, y, x) degrees}; places: of the hips, by frame."""
    lines = ["HIERARCHY"]

    def add(joint, depth):
        pad = "\t" * depth
        kind = "JOINT" if PARENT[joint] else "ROOT"
        channels = "3 " if PARENT[joint] else "6 Xposition Yposition Zposition "
        lines.extend([f"{pad}{kind} {joint}", f"{pad}{{", f"{pad}\tOFFSET {' '.join(map(str, _offset(joint)))}"])
        lines.append(f"{pad}\tCHANNELS {channels}Zrotation Yrotation Xrotation")
        children = [name for name, parent in PARENT.items() if parent == joint]
        for child in children:
            add(child, depth + 1)
        if not children:
            tip = "0 0 1" if joint.endswith("ToeBase") else "0 1 0"
            lines.extend([f"{pad}\tEnd Site", f"{pad}\t{{", f"{pad}\t\tOFFSET {tip}", f"{pad}\t}}"])
        lines.append(f"{pad}}}")
        order.append(joint)

    order = []
    add("Hips", 0)
    listed = [line.split()[-1] for line in lines if line.split()[0] in ("ROOT", "JOINT")]
    frames = max(len(turns), len(places), 2)
    rows = []
    for number in range(-1, frames):  # the first is the rest pose that is left out
        own = turns[number] if 0 <= number < len(turns) else {}
        place = places[number] if 0 <= number < len(places) else (0.0, 16.0, 0.0)
        rows.append(" ".join(map(str, [*place, *(v for joint in listed for v in own.get(joint, (0, 0, 0)))])))
    lines += ["MOTION", f"Frames: {len(rows)}", f"Frame Time: {1 / fps}", *rows]
    path.write_text("\n".join(lines), encoding="ascii")
    return path


def write_deepmimic(path, frames=3, fps=30.0, **changes):
    """Rest poses; changes: by the column at which they begin."""
    row = np.zeros(44)
    row[0], row[2] = 1 / fps, 0.89
    for column in (4, 8, 12, 16, 21, 25, 30, 35, 39):
        row[column] = 1
    for column, values in changes.items():
        row[int(column[1:]) : int(column[1:]) + len(values)] = values
    path.write_text(json.dumps({"Loop": "none", "Frames": [row.tolist()] * frames}), encoding="ascii")
    return path


def wild_motion(frames=6, seed=0, fps=12.0):
    """Every segment turned at random by up to half a radian, on a winding path, now and then above the ground."""
    from scipy.spatial.transform import Rotation

    rng = np.random.default_rng(seed)
    turns = Rotation.from_rotvec(rng.uniform(-0.5, 0.5, (frames * len(JOINTS), 3))).as_matrix()
    clearance = np.maximum(rng.uniform(-0.2, 0.3, frames), 0)
    return Motion("wild", turns.reshape(frames, len(JOINTS), 3, 3), rng.uniform(-1, 1, (frames, 2)), clearance, fps)
