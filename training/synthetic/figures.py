"""Characters of our own, made of simple shapes: any proportions, no arms, or an object that has limbs and a face."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .puppet import LEFT_EYE, POINTS, RIGHT_EYE, Posed
from .shapes import Mesh, ball, block, limb, turned_shape
from .skeleton import INDEX, PARENT, SIDES, rest_direction

OBJECTS = ("box", "ball", "cup", "bottle")
EARS = ("none", "round", "long")
_ALONG = {"LowerBack": 0.1, "Spine": 0.4, "Spine1": 0.7}  # the back, in shares of the trunk
_HAIR, _PUPIL = np.array([0, 0.18, 0.35]), np.array([0, -0.13, 0])  # from the middle of what they are on


@dataclass(frozen=True, kw_only=True)
class Build:
    """Lengths in units of an adult's leg (0.9 m), as far as that goes; defaults are an adult's.

    shoulder, hip: half the width. arm, fore: upper arm and forearm; 0: no arms. head: radius. thick: radius of limbs.
    shape: "" for head and trunk, or one of OBJECTS, which is both (head, neck and trunk then give its size).
    """

    thigh: float = 0.5
    shin: float = 0.5
    foot: float = 0.2
    hip: float = 0.11
    trunk: float = 0.58
    shoulder: float = 0.21
    arm: float = 0.34
    fore: float = 0.3
    neck: float = 0.1
    head: float = 0.13
    thick: float = 0.07
    ears: str = "none"
    shape: str = ""

    def __post_init__(self) -> None:
        if self.shape not in ("", *OBJECTS) or self.ears not in EARS:
            raise ValueError(f"shape must be empty or of {OBJECTS}, ears of {EARS}, got {self.shape!r}, {self.ears!r}")
        if (self.arm > 0) != (self.fore > 0):
            raise ValueError("arm and fore must both be above 0, or both 0 for a character without arms")


@dataclass(frozen=True)
class _Part:
    """A mesh about a joint, which turns with the segment that begins there."""

    joint: str
    mesh: Mesh
    colour: str


class Figure:
    """A character of a Build in colours (as those of body.Human, and "gloves"); a `Puppet`."""

    def __init__(self, build: Build, clothes: Mapping[str, tuple[float, float, float]]):
        self.build = build
        self.leg = build.thigh + build.shin
        self._offset = _offsets(build)
        parts = [p for side in SIDES for p in _limbs(build, side)] + (_object(build) if build.shape else _person(build))
        counts = np.cumsum([0] + [len(p.mesh.vertices) for p in parts])
        self._vertices = np.concatenate([p.mesh.vertices for p in parts])
        self._joint = np.concatenate([np.full(len(p.mesh.vertices), INDEX[p.joint]) for p in parts])
        self.faces = np.concatenate([p.mesh.faces + start for p, start in zip(parts, counts, strict=False)])
        self.colours = np.concatenate([np.tile(clothes[p.colour], (len(p.mesh.vertices), 1)) for p in parts])
        self.soles = np.flatnonzero(np.isin(self._joint, [INDEX[f"{side}Foot"] for side in SIDES]))
        self._marks = _marks(build)
        self.standing = float(np.ptp(self.pose(np.tile(np.eye(3), (1, len(INDEX), 1, 1))).vertices[..., 2]))

    def pose(self, rotations: np.ndarray) -> Posed:
        """See `Puppet`."""
        if self.build.shape:  # a stiff body: its face turns with it
            rotations = rotations.copy()
            rotations[:, [INDEX[j] for j in ("LowerBack", "Spine", "Neck", "Neck1", "Head")]] = rotations[
                :, [INDEX["Spine1"]]
            ]
        places = self._places(rotations)
        vertices = np.einsum("fvij,vj->fvi", rotations[:, self._joint], self._vertices) + places[:, self._joint]
        points = np.full((len(rotations), POINTS, 3), np.nan)
        for number, (joint, mark) in self._marks.items():
            points[:, number] = places[:, INDEX[joint]] + rotations[:, INDEX[joint]] @ mark
        shoulders = [places[:, INDEX[f"{side}Arm"]] for side in SIDES]
        points[:, 1] = (shoulders[0] + shoulders[1]) / 2
        return Posed(vertices, points, rotations[:, INDEX["Head"]] @ (0.0, -1.0, 0.0))

    def _places(self, rotations: np.ndarray) -> np.ndarray:
        """Of all joints, [F, 23, 3]."""
        places = np.zeros((*rotations.shape[:2], 3))
        for joint, parent in PARENT.items():
            if parent:
                turned = rotations[:, INDEX[parent]] @ self._offset[joint]
                places[:, INDEX[joint]] = places[:, INDEX[parent]] + turned
        return places


def _offsets(b: Build) -> dict[str, np.ndarray]:
    """Of every joint from its parent, at rest."""
    found, before = {joint: np.zeros(3) for joint in PARENT}, 0.0
    for joint, share in _ALONG.items():
        found[joint], before = np.array([0, 0, (share - before) * b.trunk]), share
    found["Neck"] = np.array([0, 0, (1 - before) * b.trunk])
    found["Head"] = np.array([0, 0, b.neck])
    for side, sign in zip(SIDES, (1.0, -1.0), strict=True):
        found[f"{side}Shoulder"] = np.array([0, 0, (0.92 - before) * b.trunk])
        found[f"{side}Arm"] = np.array([sign * b.shoulder, 0, 0])
        found[f"{side}UpLeg"] = np.array([sign * b.hip, 0, 0])
        bones = (
            ("ForeArm", "Arm", b.arm),
            ("Hand", "ForeArm", b.fore),
            ("Leg", "UpLeg", b.thigh),
            ("Foot", "Leg", b.shin),
        )
        for joint, parent, length in bones:
            found[side + joint] = rest_direction(side + parent) * length
        found[f"{side}ToeBase"] = np.array([0, -0.6 * b.foot, -0.6 * b.thick])
    return found


def _limbs(b: Build, side: str) -> list[_Part]:
    down, out, t = rest_direction("LeftLeg"), rest_direction(f"{side}Arm"), b.thick
    legs = [
        _Part(f"{side}UpLeg", limb(down, b.thigh, 1.25 * t, t), "trousers"),
        _Part(f"{side}Leg", limb(down, b.shin, t, 0.8 * t), "shins"),
        _Part(f"{side}Foot", ball((0.95 * t, 0.6 * b.foot, 0.75 * t)).moved((0, -0.3 * b.foot, -0.45 * t)), "shoes"),
    ]
    if b.arm == 0:
        return legs
    arms = [
        _Part(f"{side}Arm", limb(out, b.arm, 0.95 * t, 0.8 * t), "sleeves"),
        _Part(f"{side}ForeArm", limb(out, b.fore, 0.8 * t, 0.65 * t), "forearms"),
        _Part(f"{side}Hand", ball((1.1 * t, 0.9 * t, 0.9 * t)).moved(0.8 * t * out), "hands"),
    ]
    return legs + arms


def _person(b: Build) -> list[_Part]:
    wide, deep = b.shoulder, 0.55 * b.shoulder + 0.4 * b.thick
    head = np.array([0, 0, 0.75 * b.head])
    parts = [
        _Part("Hips", ball((b.hip + 1.2 * b.thick, deep, 0.2 * b.trunk)), "trousers"),
        _Part("Spine", ball((0.85 * wide, 0.9 * deep, 0.38 * b.trunk)), "shirt"),
        _Part("Spine1", ball((wide, deep, 0.36 * b.trunk)), "shirt"),
        _Part("Neck", limb((0, 0, 1), b.neck + 0.4 * b.head, 0.45 * b.head), "skin"),
        _Part("Head", ball(b.head * np.array([0.9, 0.95, 1.1])).moved(head), "skin"),
        _Part("Head", ball(b.head * np.array([0.97, 0.9, 0.9])).moved(head + b.head * _HAIR), "hair"),
    ]  # fmt: skip
    for sign in (1, -1):
        eye = head + b.head * np.array([sign * 0.36, -0.82, 0.12])
        parts.append(_Part("Head", ball(0.17 * b.head).moved(eye), "eyes"))
        if b.ears != "none":
            tall = 0.35 if b.ears == "round" else 1.0
            ear = ball(b.head * np.array([0.35, 0.15, tall]))
            parts.append(_Part("Head", ear.moved(head + b.head * np.array([sign * 0.6, 0, 1 + 0.6 * tall])), "hair"))
    return parts


def _object(b: Build) -> list[_Part]:
    """The body begins at the lowest joint of the back, and is as high as trunk, neck and head of a person."""
    low, wide = -_ALONG["LowerBack"] * b.trunk - 0.08, b.shoulder + 0.02
    high = b.trunk + b.neck + 1.6 * b.head
    middle, half = (low + high) / 2, (high - low) / 2
    main = {
        "box": block(2 * wide, 1.2 * wide, low, high),
        "ball": ball((wide * 1.15, 0.8 * wide, half)).moved((0, 0, middle)),
        "cup": turned_shape([(low, 0), (low, 0.7 * wide), (high, 1.1 * wide), (high, 0.95 * wide), (high - 0.1, 0)]),
        "bottle": turned_shape([(low, 0), (low, wide), (middle, wide), (middle + 0.55 * half, 0.4 * wide),
                                (high, 0.4 * wide), (high, 0)]),
    }[b.shape]  # fmt: skip
    parts = [_Part("LowerBack", main, "shirt")]
    face = _face_of(b)
    for sign in (1, -1):
        eye = face + wide * np.array([sign * 0.38, 0, 0])
        parts.append(_Part("LowerBack", ball(0.2 * wide).moved(eye), "hands"))
        parts.append(_Part("LowerBack", ball(0.11 * wide).moved(eye + wide * _PUPIL), "eyes"))
    belt = ball((1.02 * wide, 0.85 * wide, 0.06)) if b.shape == "ball" else None
    return parts + ([_Part("LowerBack", belt.moved((0, 0, middle - 0.35 * half)), "hair")] if belt else [])


def _face_of(b: Build) -> np.ndarray:
    """The middle between an object's eyes, from the lowest joint of its back."""
    front = {"box": 0.62, "ball": 0.72, "cup": 0.98, "bottle": 0.92}[b.shape] * (b.shoulder + 0.02)
    share = {"box": 0.8, "ball": 0.62, "cup": 0.75, "bottle": 0.4}[b.shape]
    return np.array([0, -front, share * (b.trunk + b.neck + b.head)])


def _marks(b: Build) -> dict[int, tuple[str, np.ndarray]]:
    """Where the points of a PoseSequence are: a joint and the place from it at rest."""
    none = np.zeros(3)
    found = {18: ("LeftFoot", np.array([0, -0.75 * b.foot, -0.45 * b.thick]))}
    found[19] = ("RightFoot", found[18][1])
    for first, side in ((2, "Right"), (5, "Left")):
        found[first] = (f"{side}Arm", none)
        if b.arm:
            found |= {first + 1: (f"{side}ForeArm", none), first + 2: (f"{side}Hand", none)}
        found |= {first + 6: (f"{side}UpLeg", none), first + 7: (f"{side}Leg", none), first + 8: (f"{side}Foot", none)}
    if b.shape:
        joint, middle, across = "LowerBack", _face_of(b), 0.38 * (b.shoulder + 0.02)
        nose, ears = middle - (0, 0, 0.3 * across), np.array([2.2 * across, -0.6 * middle[1], 0])
    else:
        joint, middle, across = "Head", np.array([0, -0.82 * b.head, 0.87 * b.head]), 0.36 * b.head
        nose, ears = (
            np.array([0, -0.95 * b.head, 0.65 * b.head]),
            np.array([2.45 * across, 0.82 * b.head, -0.1 * b.head]),
        )
    found[0] = (joint, nose)
    for sign, eye, ear in ((1, LEFT_EYE, 17), (-1, RIGHT_EYE, 16)):
        found[eye] = (joint, middle + across * np.array([sign, 0, 0]))
        found[ear] = (joint, middle + ears * (sign, 1, 1))
    return found
