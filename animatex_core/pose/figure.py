"""A clip as geometry: points as complex numbers, absent joints bridged, bones stretched along the kinematic tree.

With x + iy for a point, a bone is one subtraction, its length one absolute value and its scaling one product; every
function here works on all frames and people at once and loops over the levels of the tree only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .keypoints import FACE, LEFT_HAND, POINTS, RIGHT_HAND, PoseSequence
from .skeleton import (
    BODY_LEVELS,
    LEFT_ANKLE,
    LEFT_EAR,
    LEFT_ELBOW,
    LEFT_EYE,
    LEFT_HIP,
    LEFT_KNEE,
    LEFT_SHOULDER,
    LEFT_WRIST,
    LEVELS,
    NECK,
    NOSE,
    RIGHT_ANKLE,
    RIGHT_EAR,
    RIGHT_ELBOW,
    RIGHT_EYE,
    RIGHT_HIP,
    RIGHT_KNEE,
    RIGHT_SHOULDER,
    RIGHT_WRIST,
    RIGID,
    points_of,
)

# A point farther than this many canvases from the origin is a number gone wrong, and beyond what float32 resolves.
REACH = 16.0

# An absent elbow or knee between two present joints lies on the straight line: (joint, before, after, fraction).
_BRIDGES = (
    (RIGHT_ELBOW, RIGHT_SHOULDER, RIGHT_WRIST, 0.53),
    (LEFT_ELBOW, LEFT_SHOULDER, LEFT_WRIST, 0.53),
    (RIGHT_KNEE, RIGHT_HIP, RIGHT_ANKLE, 0.5),
    (LEFT_KNEE, LEFT_HIP, LEFT_ANKLE, 0.5),
)
# What stands in for an absent joint, best first.
_STAND_INS = (
    (LEFT_WRIST, (points_of(LEFT_HAND.start),)),
    (RIGHT_WRIST, (points_of(RIGHT_HAND.start),)),
    (NOSE, (points_of(RIGHT_EYE, LEFT_EYE), points_of(RIGHT_EAR, LEFT_EAR), points_of(FACE))),
    (NECK, (points_of(RIGHT_SHOULDER, LEFT_SHOULDER), points_of(NOSE), points_of(RIGHT_HIP, LEFT_HIP),
            points_of(slice(0, POINTS)))),
)  # fmt: skip


@dataclass(frozen=True)
class Figure:
    """The points of a clip ready for geometry: every point that is used is finite.

    points: [F, P, 130] complex64, pixels; an absent joint lies on its parent, so its bone has length 0.
    present: [F, P, 130] bool, what the clip really holds (finite, score above 0, within reach of the canvas).
    known: [F, P, 130] bool, `present` plus the joints that were inferred to carry what hangs from them.
    wild: [F, P, 130] bool, points with a score that are not finite or absurdly far away: treated as absent.
    """

    points: np.ndarray
    present: np.ndarray
    known: np.ndarray
    wild: np.ndarray


def as_complex(sequence: PoseSequence) -> np.ndarray:
    """The points as x + iy, [F, P, 130] complex64."""
    return np.ascontiguousarray(sequence.points, np.float32).view(np.complex64)[..., 0]


def sound(sequence: PoseSequence) -> np.ndarray:
    """Which points can be used, [F, P, 130] bool: score above 0, finite, within reach of the canvas."""
    reach = np.float32(REACH * max(sequence.width, sequence.height))
    near = np.abs(sequence.points) <= reach
    return sequence.present & near[..., 0] & near[..., 1]


def figure(sequence: PoseSequence) -> Figure:
    """The clip as a Figure: bad numbers put aside, absent joints that carry others inferred, once for all geometry."""
    present = sound(sequence)
    z = np.where(present, as_complex(sequence), 0)
    known = present.copy()
    _infer_joints(z, known)
    for children, parents in BODY_LEVELS:
        z[..., children] = np.where(known[..., children], z[..., children], z[..., parents])
    return Figure(z, present, known, sequence.present & ~present)


def _infer_joints(z: np.ndarray, known: np.ndarray) -> None:
    """Fill in, in place, absent joints that present ones hang from."""
    for joint, sources in _STAND_INS:
        for source in sources:
            at = ~known[..., joint]
            if not at.any():
                break
            count = known[..., source].sum(-1)
            mean = np.where(known[..., source], z[..., source], 0).sum(-1) / np.maximum(count, 1).astype(np.float32)
            at &= count > 0
            z[..., joint] = np.where(at, mean, z[..., joint])
            known[..., joint] |= at
    for joint, before, after, fraction in _BRIDGES:
        at = ~known[..., joint] & known[..., before] & known[..., after]
        line = z[..., before] + np.float32(fraction) * (z[..., after] - z[..., before])
        z[..., joint] = np.where(at, line, z[..., joint])
        known[..., joint] |= at


def stretch(body: Figure, columns: np.ndarray) -> np.ndarray:
    """How far each point moves when every bone keeps its direction and takes `columns` times its length.

    columns: [P, 23] float32, a ratio for each column. Returns [F, P, 130] complex64 with 0 at the root:
    offset(child) = offset(parent) + (ratio - 1) * bone. Written as an offset, a ratio of 1 moves nothing, to the last
    bit. The bones of a hand share their ratio, so the sum along a finger is one product; likewise the face.
    """
    gain = (columns - 1).astype(np.float32)
    offset = np.zeros_like(body.points)
    for children, parents in BODY_LEVELS:
        bone = body.points[..., children] - body.points[..., parents]
        offset[..., children] = offset[..., parents] + gain[:, children] * bone
    for part, joint, column in RIGID:
        away = body.points[..., part] - body.points[..., joint, None]
        offset[..., part] = offset[..., joint, None] + gain[:, column, None] * away
    return offset


def inherited(marks: np.ndarray) -> np.ndarray:
    """Marks on points [..., 130] bool passed on to everything that hangs from a marked point."""
    marks = marks.copy()
    for children, parents in LEVELS:
        marks[..., children] |= marks[..., parents]
    return marks


def to_sequence(
    z: np.ndarray, present: np.ndarray, like: PoseSequence, width: int, height: int, added: np.ndarray | None = None
) -> PoseSequence:
    """A PoseSequence of complex points [F, P, 130] with the scores and fps of `like`; absent points are (0, 0).

    added: points that `like` does not have; they get score 1.
    """
    scores = np.minimum(like.scores, 1) if added is None else np.where(added, 1, np.minimum(like.scores, 1))
    scores = np.where(present, scores, 0).astype(np.float32)
    return PoseSequence(as_pairs(np.where(present, z, 0)), scores, width, height, like.fps)


def as_pairs(z: np.ndarray) -> np.ndarray:
    """Complex points [...] as float32 [..., 2]: the inverse of `as_complex`."""
    return np.ascontiguousarray(z, np.complex64).view(np.float32).reshape(*z.shape, 2)


def canvas_fit(sequence: PoseSequence, width: int, height: int) -> Callable[[np.ndarray], np.ndarray]:
    """The map of complex points from the sequence's canvas into the middle of another, as large as it fits."""
    if (width, height) == (sequence.width, sequence.height):
        return lambda points: points
    factor = np.float32(min(width / sequence.width, height / sequence.height))
    before = np.complex64(complex(sequence.width, sequence.height) / 2)
    after = np.complex64(complex(width, height) / 2)
    return lambda points: (points - before) * factor + after
