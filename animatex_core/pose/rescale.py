"""Pose rescale of the Explicit Pose Indicator (paper, section 3.2 and appendix A): another body on the same motion.

The operations are those the paper names: length of the body, legs, arms, neck and shoulders, size of the face, and
adding or removing parts. Its ablation (table 5) groups them: body and shoulders, neck and face, arms and legs, add,
drop. The feet stay on the driver's ground; without legs, the hips or the neck keep their place.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from types import MappingProxyType

import numpy as np

from .figure import Figure, figure, stretch, to_sequence
from .keypoints import POINTS, PoseSequence
from .placement import hold, stand
from .proportions import body_size, measure
from .skeleton import ADULT, BODY_LEVELS, BODY_PARENT, COLUMNS, NECK, part_points

# Which columns an operation multiplies.
OPERATIONS = MappingProxyType(
    {
        "body": (8, 11),
        "shoulders": (2, 5),
        "neck": (0,),
        "face": (14, 15, 16, 17, 22),
        "arms": (3, 4, 6, 7),
        "legs": (9, 10, 12, 13),
        "hands": (20, 21),
        "feet": (18, 19),
    }
)
# Parts that can be put where a driver has none, and the points each brings.
ADDABLE = MappingProxyType(
    {
        "right arm": (2, 3, 4), "left arm": (5, 6, 7), "arms": (2, 3, 4, 5, 6, 7),
        "right leg": (8, 9, 10), "left leg": (11, 12, 13), "legs": (8, 9, 10, 11, 12, 13),
    }
)  # fmt: skip
# Directions in which added bones hang: arms a little away from the body, legs straight down.
_HANGING = {2: (-1, 0), 3: (-0.3, 1), 4: (-0.15, 1), 5: (1, 0), 6: (0.3, 1), 7: (0.15, 1)} | {
    8: (-0.2, 1), 9: (-0.03, 1), 10: (0, 1), 11: (0.2, 1), 12: (0.03, 1), 13: (0, 1),
}  # fmt: skip
SMALLEST, LARGEST = 0.05, 10.0


@dataclass(frozen=True)
class Rescale:
    """One body shape: factors on lengths (1 changes nothing, 0.05 to 10) and parts to take away or to add.

    body: neck to hips. shoulders: neck to shoulders. neck: neck to nose. face: eyes, ears and face points about the
    nose. arms, legs: both of their bones. hands, feet: about the wrist and the ankle (arms and legs leave them alone).
    size: the whole figure, on top of all others. drop: names of skeleton.PARTS. add: names of ADDABLE.
    """

    body: float = 1.0
    shoulders: float = 1.0
    neck: float = 1.0
    face: float = 1.0
    arms: float = 1.0
    legs: float = 1.0
    hands: float = 1.0
    feet: float = 1.0
    size: float = 1.0
    drop: tuple[str, ...] = ()
    add: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in (*OPERATIONS, "size"):
            factor = getattr(self, name)
            if not SMALLEST <= factor <= LARGEST:
                raise ValueError(f"rescale factor {name} must be {SMALLEST} to {LARGEST:g}, got {factor}")
        part_points(self.drop)
        for name in self.add:
            if name not in ADDABLE:
                raise ValueError(f"cannot add {name!r}; what can be added: {', '.join(ADDABLE)}")

    def columns(self) -> np.ndarray:
        """The factor of every column, [23] float32."""
        factors = np.full(COLUMNS, self.size, np.float32)
        for name, columns in OPERATIONS.items():
            factors[list(columns)] *= np.float32(getattr(self, name))
        factors[NECK] = 1
        return factors

    def changed(self) -> dict[str, object]:
        """The fields that differ from doing nothing, for reports."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}


# Body shapes by name. Ours: the paper shows such shapes but gives no numbers.
PRESETS = MappingProxyType(
    {
        "chibi": Rescale(body=0.6, shoulders=0.75, face=2.2, arms=0.55, legs=0.4, hands=0.8, feet=0.7, size=1.4),
        "big head": Rescale(neck=1.5, face=2.2),
        "small head": Rescale(neck=0.75, face=0.55),
        "short legs": Rescale(legs=0.45, feet=0.8),
        "long legs": Rescale(legs=1.35, size=0.9),
        "short arms": Rescale(arms=0.5, hands=0.75),
        "long arms": Rescale(arms=1.45),
        "no neck": Rescale(neck=0.4),
        "long neck": Rescale(neck=2.2),
        "long body": Rescale(body=1.45, size=0.9),
        "broad": Rescale(shoulders=1.6, arms=1.1, hands=1.3, neck=0.85),
        "narrow": Rescale(shoulders=0.45, face=0.85),
        "child": Rescale(body=0.95, shoulders=0.9, neck=1.2, face=1.4, arms=0.85, legs=0.75, size=0.75),
        "armless": Rescale(drop=("arms",)),
        "legless": Rescale(drop=("legs",)),
        "egg": Rescale(body=0.8, shoulders=0.5, neck=0.6, face=1.6, legs=0.35, feet=0.7, size=1.4, drop=("arms",)),
        "plush": Rescale(body=0.9, neck=0.9, face=1.8, arms=0.45, legs=0.35, feet=0.8, size=1.2, drop=("hands",)),
    }
)


@dataclass(frozen=True)
class Rescaled:
    """What rescale did.

    poses: the new poses, on the same canvas.
    clamped: [F, P, 130] bool, points held near the canvas or not finite in the input.
    added: [F, P, 130] bool, points that the input did not have.
    """

    poses: PoseSequence
    clamped: np.ndarray
    added: np.ndarray


def rescale(poses: PoseSequence, shape: Rescale) -> Rescaled:
    """The same motion on a body of another shape: every bone keeps its direction and takes its factor times its length.

    Works on all frames and people at once and raises for no pose. Parts to add come only where a person shows none of
    their joints in the whole clip, so that nothing flickers in and out.
    """
    empty = np.zeros(poses.scores.shape, bool)
    if poses.people == 0 or len(poses) == 0:
        return Rescaled(poses, empty, empty)
    body = figure(poses)
    lengths, added = measure(body).lengths, empty
    if shape.add:
        body, added = _with_parts(body, shape.add, body_size(lengths))
        lengths = measure(body).lengths
    gone = np.broadcast_to(part_points(shape.drop), (poses.people, POINTS))
    columns = np.broadcast_to(shape.columns(), lengths.shape)
    offset = stretch(body, columns)
    shift, _ = stand(body, offset, columns, lengths, body, lengths, gone)
    points, held = hold(body.points + offset + shift[..., None], poses.width, poses.height)
    result = to_sequence(points, body.present & ~gone, poses, poses.width, poses.height, added)
    return Rescaled(result, (held & body.present) | body.wild, added & ~gone)


def _with_parts(body: Figure, parts: tuple[str, ...], size: np.ndarray) -> tuple[Figure, np.ndarray]:
    """The figure with the named parts hung on people who have none of them; size: [P], neck to hip of an adult."""
    wanted = np.zeros(POINTS, bool)
    wanted[[point for name in parts for point in ADDABLE[name]]] = True
    lacking = ~body.present.any(0) & wanted
    somebody = body.present.any(-1, keepdims=True) & (size > 0)[:, None]
    new = somebody & lacking
    points = body.points.copy()
    for child in (c for children, _ in BODY_LEVELS for c in children if wanted[c]):
        direction = complex(*_HANGING[int(child)])
        bone = np.complex64(direction / abs(direction)) * ADULT[child] * size
        points[..., child] = np.where(new[..., child], points[..., BODY_PARENT[child]] + bone, points[..., child])
    return Figure(points, body.present | new, body.known | new, body.wild), new
