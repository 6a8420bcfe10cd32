"""Whether the joints of a rendered character are where they should be, as the mini keypoint network sees them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from animatex_core.pose.keypoints import BODY, PoseSequence

from ..records import Value
from .gauges import mean_value

if TYPE_CHECKING:
    from .mini_keypoints import MiniKeypoints

NEAR = 0.05
"""Share of the picture's height within which a joint counts as found."""
SIDES = (((2, 3, 4), (5, 6, 7)), ((8, 9, 10), (11, 12, 13)), ((14, 16), (15, 17)))
"""Arms, legs and sides of the face, right and left."""


def joint_values(
    network: MiniKeypoints, made: Iterable[np.ndarray], expected: PoseSequence, facts: dict[str, Any]
) -> dict[str, Value]:
    """`joint_error` in pixels and `joint_pck` of a result.

    expected: where the joints of its first person should be, on the result's canvas. Joints that are absent there are
    not asked for; the network gives every joint a place, so a limb that the result lacks is an error, not a gap. In
    each frame the two arms, the two legs and the sides of the face may be exchanged as wholes, where that is nearer: a
    small picture of flat colours does not tell a back from a front, nor does the network.
    Frames without a joint are left out and said. Raises ValueError when the lengths differ.
    """
    distances, there = joint_distances(network, np.stack(list(made)), expected)
    known = [t for t in range(len(there)) if there[t].any()]
    if not known:
        return {}
    told = {
        **facts,
        "joints": "18 of the body, in the picture, sides exchanged where nearer",
        "near": NEAR,
        "height": expected.height,
    }
    subset = None if len(known) == len(there) else known
    errors = [float(distances[t][there[t]].mean()) for t in known]
    shares = [float((distances[t][there[t]] <= NEAR * expected.height).mean()) for t in known]
    return {"joint_error": mean_value(errors, told, subset), "joint_pck": mean_value(shares, told, subset)}


def joint_distances(
    network: MiniKeypoints, frames: np.ndarray, expected: PoseSequence
) -> tuple[np.ndarray, np.ndarray]:
    """Pixels [F, 18] between the joints that the network finds in frames uint8 RGB [F, H, W, 3] and those expected, and
    which of them are asked for, bool [F, 18]. Sides are exchanged as in `joint_values`, which gives their means.

    Raises ValueError when the lengths differ, or the frames' sides are not as 2 to 3.
    """
    if len(frames) != len(expected):
        raise ValueError(f"{len(frames)} frames in the result, {len(expected)} of poses: nothing is cut")
    wanted, there = body_in_picture(expected)
    return _distances(network.find(frames), wanted, there), there


def body_in_picture(poses: PoseSequence) -> tuple[np.ndarray, np.ndarray]:
    """Joints [F, 18, 2] of the first person's body in pixels, and which are there and in the picture, bool [F, 18]."""
    person = poses.person(0)
    points, there = person.points[:, 0, BODY], person.present[:, 0, BODY]
    inside = (points >= 0).all(-1) & (points < (poses.width, poses.height)).all(-1)
    return points, there & inside


def _distances(found: np.ndarray, wanted: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Pixels [F, 18] between joints [F, 18, 2], with sides exchanged where that is nearer over those that are there."""
    distances = np.linalg.norm(found - wanted, axis=-1)
    for right, left in SIDES:
        one, other = [*right, *left], [*left, *right]
        exchanged = np.linalg.norm(found[:, other] - wanted[:, one], axis=-1)
        nearer = (exchanged * there[:, one]).sum(1) < (distances[:, one] * there[:, one]).sum(1)
        distances[:, one] = np.where(nearer[:, None], exchanged, distances[:, one])
    return distances
