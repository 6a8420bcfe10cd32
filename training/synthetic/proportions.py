"""Humans of other proportions: the body model's mesh, whose bones have sizes of their own.

The factors are those by which the Explicit Pose Indicator rescales a pose (paper, section 3.2; `Rescale`). There the
drawn pose changes and the picture does not; here both do, since the body is rendered: what random rescaling can make of
a skeleton is made of the human.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from animatex_core.pose.rescale import Rescale

_LIMBS = {"Shoulder": "shoulders", "ForeArm": "arms", "Arm": "arms", "UpLeg": "legs", "Leg": "legs"}
_CHILD = {"Shoulder": "Arm", "Arm": "ForeArm", "ForeArm": "Hand", "UpLeg": "Leg", "Leg": "Foot"}
_FEET, _HANDS = ("Foot", "ToeBase"), ("Hand", "Thumb", "FingerBase", "HandFinger1")
# What is missing in a picture when a part of skeleton.PARTS is dropped: bones whose faces are not drawn. Legs stay:
# feet carry the contact with the ground (rule 3).
_MISSING = {"arms": ("Arm", "ForeArm", *_HANDS), "forearms": ("ForeArm", *_HANDS), "hands": _HANDS}


def bone_scales(bones: list[str], rest: np.ndarray, shape: Rescale, girth: float = 1.0) -> np.ndarray:
    """A symmetric matrix [bones, 3, 3] for each bone, in the rest pose of heads `rest` [bones, 3] (x sideways, z up).

    Limbs take their factor along the bone and its root across, arms and legs times `girth`; feet and hands take the
    root both ways. `neck` is of the neck's bones, a part of the way to the nose that it is in a drawn pose. Raises
    ValueError for factors that nothing follows.
    """
    if unused := [name for name in ("hands", "feet", "size") if getattr(shape, name) != 1]:
        raise ValueError(f"proportions of a human: {unused[0]} must be 1, got {getattr(shape, unused[0])}")
    at = dict(zip(bones, rest, strict=True))
    wide = np.sqrt(shape.shoulders)
    scales = np.tile(np.eye(3), (len(bones), 1, 1))
    for number, bone in enumerate(bones):
        part = bone.removeprefix("Left").removeprefix("Right")
        if part in _LIMBS:
            factor = float(getattr(shape, _LIMBS[part]))
            along = at[bone[: -len(part)] + _CHILD[part]] - at[bone]
            along /= np.linalg.norm(along)
            across = np.sqrt(factor) * (1.0 if part == "Shoulder" else girth)
            scales[number] = across * np.eye(3) + (factor - across) * np.outer(along, along)
        elif bone.endswith(_FEET):
            scales[number] *= np.sqrt(shape.legs)
        elif bone.endswith(_HANDS):
            scales[number] *= np.sqrt(shape.arms)
        elif bone in ("LowerBack", "Spine", "Spine1"):
            scales[number] = np.diag([shape.shoulders, wide, shape.body])
        elif bone in ("Hips", "LHipJoint", "RHipJoint"):
            scales[number] = np.diag([wide, wide, shape.body])
        elif bone in ("Neck", "Neck1"):
            scales[number] = np.diag([1.0, 1.0, shape.neck])
        elif bone == "Head":
            scales[number] *= shape.face
    return scales


def skin(
    vertices: np.ndarray, rest: np.ndarray, world: np.ndarray, parents: list[int], scales: np.ndarray,
    weights: Mapping[str, np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Linear blend skinning with sized bones: vertices [F, V, 3] and heads [F, bones, 3].

    vertices [V, 3] and heads `rest` [bones, 3] are at rest; world [F, bones, 3, 3] turns each bone from there.
    weights: "bones" and "shares" [V, n], the bones that move a vertex and by how much. Bones come after their parents.
    """
    moved = world @ scales
    heads = np.zeros((len(world), len(rest), 3))
    for number, parent in enumerate(parents):
        if parent >= 0:
            heads[:, number] = heads[:, parent] + moved[:, parent] @ (rest[number] - rest[parent])
    bones, shares = weights["bones"], weights["shares"]
    found = np.zeros((len(world), len(vertices), 3))
    for which, share in zip(bones.T, shares.T, strict=True):
        local = np.einsum("fvij,vj->fvi", moved[:, which], vertices - rest[which])
        found += share[:, None] * (local + heads[:, which])
    return found, heads


def missing_bones(bones: list[str], part: str) -> np.ndarray:
    """Which bones [bones] have nothing about them without a part of skeleton.PARTS; none for parts that stay."""
    side, _, limb = part.rpartition(" ")
    ends = _MISSING.get(f"{limb}s" if side else limb, ())
    return np.array([bone.endswith(ends) and bone.startswith(side[:1].upper()) for bone in bones])
