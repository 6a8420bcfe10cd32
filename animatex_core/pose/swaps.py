"""Left and right mixed up by a detector for a few frames: found by continuity and put back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .changes import USUAL_FPS, Change
from .figure import figure
from .keypoints import LEFT_HAND, POINTS, RIGHT_HAND, PoseSequence
from .proportions import body_size, measure
from .skeleton import (
    LEFT_ANKLE,
    LEFT_ELBOW,
    LEFT_HIP,
    LEFT_KNEE,
    LEFT_SHOULDER,
    LEFT_TOE,
    LEFT_WRIST,
    RIGHT_ANKLE,
    RIGHT_ELBOW,
    RIGHT_HIP,
    RIGHT_KNEE,
    RIGHT_SHOULDER,
    RIGHT_TOE,
    RIGHT_WRIST,
    points_of,
)

# The points that change sides together: (name, right, left, those that show it).
_LIMBS = (
    (
        "arms",
        points_of(RIGHT_SHOULDER, RIGHT_ELBOW, RIGHT_WRIST, RIGHT_HAND),
        points_of(LEFT_SHOULDER, LEFT_ELBOW, LEFT_WRIST, LEFT_HAND),
        3,
    ),
    (
        "legs",
        points_of(RIGHT_HIP, RIGHT_KNEE, RIGHT_ANKLE, RIGHT_TOE),
        points_of(LEFT_HIP, LEFT_KNEE, LEFT_ANKLE, LEFT_TOE),
        3,
    ),
)
# Ends that may hang on the wrong limb: (name, right, left, right joint, left joint).
_ENDS = (
    ("hands", points_of(RIGHT_HAND), points_of(LEFT_HAND), RIGHT_WRIST, LEFT_WRIST),
    ("toes", points_of(RIGHT_TOE), points_of(LEFT_TOE), RIGHT_ANKLE, LEFT_ANKLE),
)
# Exchanged sides must be this much nearer to where the limbs were, and by at least this part of the figure's size.
_NEARER, _MARGIN = 0.6, 0.1
# Where a limb was longer ago than this many frames says nothing about now.
_MEMORY = 5


def repair_swaps(poses: PoseSequence, max_seconds: float = 0.5) -> tuple[PoseSequence, Change]:
    """Put left and right back where a detector exchanged them.

    Arms and legs are judged each on their own: where both limbs jump onto each other's places, left and right were
    exchanged there, until they jump back. What lasts longer than `max_seconds` is believed, and a turn of the body is
    no jump. Hands and toes that hang on the other side's wrist or ankle are exchanged by themselves.
    """
    if not 0 < max_seconds < np.inf:
        raise ValueError(f"max_seconds must be above 0, got {max_seconds}")
    changed = np.zeros(poses.scores.shape, bool)
    if poses.people == 0 or len(poses) == 0:
        return poses, Change("left and right exchanged", 0, ())
    size = body_size(measure(figure(poses)).lengths)
    notes, longest = [], max_seconds * (poses.fps or USUAL_FPS)
    for name, right, left, shown in _LIMBS:
        swapped = _wrong_runs(_jumps(poses, right[:shown], left[:shown], size), longest)
        poses = _exchange(poses, right, left, swapped, changed)
        notes += [f"{name} {swapped.sum()}"] * bool(swapped.any())
    for name, right, left, right_joint, left_joint in _ENDS:
        swapped = _misplaced(poses, right[0], left[0], right_joint, left_joint, size)
        poses = _exchange(poses, right, left, swapped, changed)
        notes += [f"{name} {swapped.sum()}"] * bool(swapped.any())
    note = f"frames by part: {', '.join(notes)}" if notes else ""
    return poses, Change.of("left and right exchanged", changed, note)


def _jumps(poses: PoseSequence, right: np.ndarray, left: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Frames [F, P] in which both limbs land on each other's places."""
    body = figure(poses)
    z, seen = body.points, body.present
    index = np.arange(len(z))[:, None, None]
    last = np.maximum.accumulate(np.where(seen, index, -1), axis=0)
    last = np.concatenate([np.full_like(last[:1], -1), last[:-1]])
    recent = (last >= 0) & (index - last <= _MEMORY)
    before = np.take_along_axis(z, np.maximum(last, 0), axis=0)
    both = seen[..., right] & seen[..., left] & recent[..., right] & recent[..., left]
    stay, cross = np.zeros(both.shape, np.float32), np.zeros(both.shape, np.float32)
    for mine, other in ((right, left), (left, right)):
        stay += np.abs(z[..., mine] - before[..., mine])
        cross += np.abs(z[..., mine] - before[..., other])
    stay, cross = (np.where(both, cost, 0).sum(-1) for cost in (stay, cross))
    return (cross < _NEARER * stay) & (stay - cross > _MARGIN * size * np.maximum(both.sum(-1), 1)) & (size > 0)


def _wrong_runs(jumps: np.ndarray, longest: float) -> np.ndarray:
    """Frames [F, P] that lie in a run, between two jumps, which is on the wrong side."""
    wrong = np.zeros(jumps.shape, bool)
    for person in np.flatnonzero(jumps.any(0)):
        starts = np.concatenate([[0], np.flatnonzero(jumps[:, person])])
        lengths = np.diff(np.concatenate([starts, [len(jumps)]]))
        wrong[:, person] = np.repeat(_cheapest(lengths, longest / 2), lengths)
    return wrong


def _cheapest(lengths: np.ndarray, penalty: float) -> np.ndarray:
    """Which runs are wrong: each wrong frame costs 1 (detectors are mostly right), each jump that is taken for a real
    one costs `penalty`. The cheapest labels, by dynamic programming over the runs."""
    costs, choices = np.array([0.0, float(lengths[0])]), []
    for length in lengths[1:]:
        # row: label of this run, column: label of the one before; a jump between equal labels was a real one
        step = costs[None, :] + np.array([[penalty, 0.0], [0.0, penalty]])
        choices.append(step.argmin(1))
        costs = step.min(1) + np.array([0.0, float(length)])
    labels = [int(costs.argmin())]
    for choice in reversed(choices):
        labels.append(int(choice[labels[-1]]))
    return np.array(labels[::-1], bool)


def _misplaced(
    poses: PoseSequence, right: int, left: int, right_joint: int, left_joint: int, size: np.ndarray
) -> np.ndarray:
    """Frames [F, P] in which both ends are much nearer to the other side's joint."""
    body = figure(poses)
    z, four = body.points, [right, left, right_joint, left_joint]
    stay = np.abs(z[..., right] - z[..., right_joint]) + np.abs(z[..., left] - z[..., left_joint])
    cross = np.abs(z[..., right] - z[..., left_joint]) + np.abs(z[..., left] - z[..., right_joint])
    seen = body.present[..., four].all(-1)
    return seen & (cross < _NEARER * stay) & (stay - cross > 2 * _MARGIN * size) & (size > 0)


def _exchange(
    poses: PoseSequence, right: np.ndarray, left: np.ndarray, swapped: np.ndarray, changed: np.ndarray
) -> PoseSequence:
    """The poses with right and left points exchanged in the frames `swapped` [F, P]; notes them in `changed`."""
    order = np.arange(POINTS)
    order[right], order[left] = left, right
    here = swapped[..., None] & (order != np.arange(POINTS))
    changed |= here & (poses.present | poses.present[..., order])
    return replace(
        poses,
        points=np.where(here[..., None], poses.points[..., order, :], poses.points),
        scores=np.where(here, poses.scores[..., order], poses.scores),
    )
