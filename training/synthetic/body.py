"""A human of any shape: the Anny body (NAVER, Apache-2.0; its shapes are MakeHuman's, CC0), dressed in flat colours."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import torch

from animatex_core.pose.keypoints import toes_from_feet
from animatex_core.pose.rescale import Rescale
from animatex_core.pose.skeleton import part_points

from .missing import explain
from .proportions import bone_scales, missing_bones, skin
from .puppet import LEFT_EYE, POINTS, RIGHT_EYE, Posed
from .skeleton import INDEX, SIDES, rest_direction, turn_between

PHENOTYPES = ("gender", "age", "muscle", "weight", "height", "proportions")  # each 0..1
_COCO = {
    0: "nose", 2: "right_shoulder", 3: "right_elbow", 4: "right_wrist",
    5: "left_shoulder", 6: "left_elbow", 7: "left_wrist", 8: "right_hip", 9: "right_knee", 10: "right_ankle",
    11: "left_hip", 12: "left_knee", 13: "left_ankle",
    RIGHT_EYE: "right_eye", LEFT_EYE: "left_eye", 16: "right_ear", 17: "left_ear",
}  # fmt: skip
_FEET = tuple(f"{side}_{part}" for side in ("left", "right") for part in ("big_toe", "small_toe", "heel"))
_FOLLOWS = {"LHipJoint": "Hips", "RHipJoint": "Hips"} | {
    f"{short}Thumb": f"{side}Hand" for short, side in (("L", "Left"), ("R", "Right"))
} | {f"{side}{part}": f"{side}Hand" for side in SIDES for part in ("FingerBase", "HandFinger1")}  # fmt: skip
LIMBS = {"UpLeg": "Leg", "Leg": "Foot", "Arm": "ForeArm", "ForeArm": "Hand"}


class AnnyModel:
    """The body model with the skeleton of the CMU recordings; one for all characters.

    It is made at first use, which takes a minute and leaves 0.8 GB in the folder of the variable ANNY_CACHE_DIR.
    """

    def __init__(self) -> None:
        try:
            import anny  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise ImportError(explain(error.name or "anny")) from error
        os.environ.setdefault("WARP_QUIET", "1")
        self.net: Any = anny.Anny(rig="cmu_mb").to(dtype=torch.float32)
        self.regressor: Any = anny.KeypointsRegressor.coco(self.net)
        self.bones: list[str] = list(self.net.bone_labels)
        self.faces = np.asarray(self.net.get_triangular_faces(), np.int32)

    @cached_property
    def dominant(self) -> np.ndarray:
        """The bone that moves each vertex most, [V]."""
        bones, weights = self.net.vertex_bone_indices, self.net.vertex_bone_weights
        return np.asarray(bones.gather(1, weights.argmax(1, keepdim=True))[:, 0])

    @cached_property
    def parents(self) -> list[int]:
        """Of each bone, -1 for the first; a bone comes after its parent."""
        return [int(parent) for parent in self.net.bone_parents]

    @cached_property
    def weights(self) -> dict[str, np.ndarray]:
        """The bones that move each vertex, and their shares: both [V, n]."""
        return {"bones": self.net.vertex_bone_indices.numpy(), "shares": self.net.vertex_bone_weights.numpy()}

    def named(self, vertices: np.ndarray) -> np.ndarray:
        """The named points of vertices [F, V, 3]."""
        with torch.no_grad():
            return self.regressor({"vertices": torch.from_numpy(vertices).float()}).numpy()

    def run(self, poses: np.ndarray, shape: Mapping[str, float]) -> dict[str, np.ndarray]:
        """Vertices, rest heads of bones and named points of poses [F, bones, 4, 4] of one shape."""
        values = {name: torch.full((len(poses),), float(value)) for name, value in shape.items()}
        with torch.no_grad():
            found = self.net(pose_parameters=torch.from_numpy(poses).float(), phenotype_kwargs=values)
            named = self.regressor(found)
        return {
            "vertices": found["vertices"].numpy(),
            "rest": found["rest_bone_heads"].numpy()[0],
            "heads": found["bone_poses"][..., :3, 3].numpy(),
            "named": named.numpy(),
        }


class Human:
    """One shape of body in one set of clothes; a `Puppet`.

    clothes: colours in 0..1 by part (skin, hair, shirt, sleeves, hands, trousers, shins, shoes, eyes). proportions:
    factors on the lengths of the shape; of `drop`, arms, forearms and hands are left out and other parts stay. None:
    the shape as it is. girth: a factor above 0 on the thickness of arms and legs, with `proportions` alone. Raises
    ValueError for a phenotype or a girth that is none.
    """

    def __init__(
        self,
        model: AnnyModel,
        shape: Mapping[str, float],
        clothes: Mapping[str, tuple[float, float, float]],
        proportions: Rescale | None = None,
        girth: float = 1.0,
    ):
        unknown = set(shape) - set(PHENOTYPES)
        if unknown:
            raise ValueError(f"no such phenotype: {', '.join(sorted(unknown))}; known: {', '.join(PHENOTYPES)}")
        if girth <= 0 or (girth != 1 and proportions is None):
            raise ValueError(f"girth must be above 0, and 1 without proportions, got {girth}")
        self.model, self.shape = model, dict(shape)
        bones = len(model.bones)
        rest = model.run(np.tile(np.eye(4), (1, bones, 1, 1)), shape)
        self._turn = _from_our_rest(model.bones, rest["rest"])
        self._rest, self._scales = rest, None
        self._bare = np.zeros(bones, bool)  # bones without faces
        self._absent = np.zeros(POINTS, bool)  # points that are not there
        if proportions is not None:
            self._scales = bone_scales(model.bones, rest["heads"][0], proportions, girth)
            for part in proportions.drop:
                lost = missing_bones(model.bones, part)
                self._bare |= lost
                self._absent |= part_points([part])[:POINTS] & lost.any()
        straight = self._run(np.tile(np.eye(3), (1, len(INDEX), 1, 1)))
        vertices = straight["vertices"][0]
        head = dict(zip(model.bones, straight["heads"][0], strict=True))
        self.leg = float(
            sum(np.linalg.norm(head[f"Left{a}"] - head[f"Left{b}"]) for a, b in (("UpLeg", "Leg"), ("Leg", "Foot")))
        )
        self.standing = float(np.ptp(vertices[:, 2]))
        self.faces = model.faces[~self._bare[model.dominant][model.faces].all(1)]
        names = np.array(model.bones)[model.dominant]
        self.soles = np.flatnonzero(np.char.endswith(names, "Foot") | np.char.endswith(names, "ToeBase"))
        self.colours = _dress(names, vertices, self._points(straight)[0], clothes)

    def pose(self, rotations: np.ndarray) -> Posed:
        """See `Puppet`."""
        return self.with_joints(rotations)[0]

    def with_joints(self, rotations: np.ndarray) -> tuple[Posed, np.ndarray]:
        """The same, and where the joints of the skeleton are, [F, 23, 3] from the hips."""
        found = self._run(rotations)
        hips = found["heads"][:, self.model.bones.index("Hips"), None]
        front = rotations[:, INDEX["Head"]] @ (0.0, -1.0, 0.0)
        joints = found["heads"][:, [self.model.bones.index(joint) for joint in INDEX]] - hips
        return Posed(found["vertices"] - hips, self._points(found) - hips, front), joints

    def lacks(self, bone: str) -> bool:
        """Whether nothing is drawn about a bone."""
        return bool(self._bare[self.model.bones.index(bone)])

    def _run(self, rotations: np.ndarray) -> dict[str, np.ndarray]:
        bones = self.model.bones
        world = np.stack([rotations[:, INDEX[_FOLLOWS.get(b, b)]] @ self._turn[b] for b in bones], 1)
        # Without scales the model's own skinning stays: the benchmark's pixels hang on its rounding.
        if self._scales is not None:
            model, rest = self.model, self._rest
            vertices, heads = skin(
                rest["vertices"][0], rest["heads"][0], world, model.parents, self._scales, model.weights
            )
            return {"vertices": vertices, "heads": heads, "named": model.named(vertices)}
        poses = np.tile(np.eye(4), (len(rotations), len(bones), 1, 1))
        for number, parent in enumerate(self.model.net.bone_parents):
            own = world[:, number]
            poses[:, number, :3, :3] = own if int(parent) < 0 else world[:, int(parent)].transpose(0, 2, 1) @ own
        return self.model.run(poses, self.shape)

    def _points(self, found: dict[str, np.ndarray]) -> np.ndarray:
        labels = list(self.model.regressor.labels)
        named = found["named"]
        points = np.full((len(named), POINTS, 3), np.nan)
        for number, name in _COCO.items():
            points[:, number] = named[:, labels.index(name)]
        points[:, 1] = (points[:, 2] + points[:, 5]) / 2
        feet = named[:, [labels.index(name) for name in _FEET]]
        for axes in ([0, 1], [1, 2]):  # two coordinates at a time
            points[:, 18:, axes] = toes_from_feet(feet[..., axes], np.ones(feet.shape[:2]))[0]
        points[:, self._absent] = np.nan
        return points


def _from_our_rest(bones: list[str], rest: np.ndarray) -> dict[str, np.ndarray]:
    """What takes the model's rest pose (arms lowered) to ours, for each bone [3, 3]."""
    turns = {bone: np.eye(3) for bone in bones}
    at = dict(zip(bones, rest, strict=True))
    for side in SIDES:
        for part, child in LIMBS.items():
            turns[side + part] = turn_between(at[side + child] - at[side + part], rest_direction(side + part))
        turns[f"{side}Hand"] = turns[f"{side}ForeArm"]
    return turns | {bone: turns[whose] for bone, whose in _FOLLOWS.items()}


def _dress(
    bones: np.ndarray, at_rest: np.ndarray, points: np.ndarray, clothes: Mapping[str, tuple[float, float, float]]
) -> np.ndarray:
    """Colours [V, 3] by bone [V] and place at rest [V, 3]."""
    part = np.full(len(bones), "skin", dtype="U8")
    for name, ends in (
        ("shirt", ("LowerBack", "Spine", "Spine1", "Shoulder")), ("sleeves", ("Arm",)),
        ("hands", ("Hand", "Thumb", "FingerBase", "HandFinger1")),
        ("trousers", ("Hips", "HipJoint", "UpLeg")), ("shins", ("tLeg",)), ("shoes", ("Foot", "ToeBase")),
    ):  # fmt: skip
        part[np.any([np.char.endswith(bones, end) for end in ends], 0)] = name
    part[np.char.endswith(bones, "ForeArm")] = "forearms"
    head = np.isin(bones, ("Neck1", "Head"))
    ears, eyes = points[16:18].mean(0), points[[RIGHT_EYE, LEFT_EYE]]
    size = np.linalg.norm(points[16] - points[17])  # from ear to ear
    behind, above = at_rest[:, 1] - ears[1], at_rest[:, 2] - eyes[:, 2].mean()
    part[head & ((behind > 0.05 * size) & (above > -0.75 * size) | (above > 0.42 * size))] = "hair"
    near = np.linalg.norm(at_rest[:, None] - eyes, axis=2).min(1)
    part[head & (near < 0.11 * size)] = "eyes"
    return np.array([clothes[name] for name in part])
