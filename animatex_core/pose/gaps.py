"""Points and frames that a detector missed: filled from the frames around them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .changes import Change
from .figure import as_complex, as_pairs, sound
from .keypoints import BODY, FACE, LEFT_HAND, RIGHT_HAND, PoseSequence
from .skeleton import (
    LEFT_ANKLE,
    LEFT_TOE,
    LEFT_WRIST,
    NOSE,
    RIGHT_ANKLE,
    RIGHT_TOE,
    RIGHT_WRIST,
    points_of,
)

# What is carried by a joint: (points, joint)
_HANGING = (
    (points_of(LEFT_HAND), LEFT_WRIST),
    (points_of(RIGHT_HAND), RIGHT_WRIST),
    (points_of(FACE), NOSE),
    (points_of(LEFT_TOE), LEFT_ANKLE),
    (points_of(RIGHT_TOE), RIGHT_ANKLE),
)
POLICIES = ("hold", "interpolate", "blank")


def fill_gaps(poses: PoseSequence, max_gap: int = 8) -> tuple[PoseSequence, Change]:
    """Points missing for at most `max_gap` frames, between two frames that have them, are put on the line between.

    Hands, face and toes are put where they hang from wrist, nose and ankle, so that a filled hand goes with its arm.
    Only in frames in which the person is seen at all; for the others see `fill_frames`. The score of a filled point is
    interpolated too.
    """
    if max_gap < 0:
        raise ValueError(f"max_gap must be 0 or more frames, got {max_gap}")
    valid = sound(poses)
    z = np.where(valid, as_complex(poses), 0).astype(np.complex64)
    seen = np.any(valid, axis=-1, keepdims=True)
    filled = valid.copy()
    body = np.arange(BODY.stop)
    _bridge(z, filled, body, None, seen, max_gap)
    for points, joint in _HANGING:
        _bridge(z, filled, points, joint, seen, max_gap)
    fill = filled & ~valid
    scores = interpolate_frames(np.where(valid, poses.scores, 0).astype(np.float32), valid)
    return _with(poses, fill, z, scores), Change.of("gaps filled", fill)


def _bridge(
    z: np.ndarray, known: np.ndarray, points: np.ndarray, joint: int | None, seen: np.ndarray, max_gap: int
) -> None:
    """Fill short gaps of some points in place: on the picture, or as they hang from a joint, where that is known."""
    there = known[..., points]
    base = np.zeros_like(z[..., :1]) if joint is None else z[..., [joint]]
    held = seen if joint is None else seen & known[..., [joint]]
    ends = there & held
    before, after = _neighbours(ends)
    fill = ~there & held & (before >= 0) & (after < len(z)) & (after - before - 1 <= max_gap)
    line = base + interpolate_frames(np.where(ends, z[..., points] - base, 0).astype(np.complex64), ends)
    z[..., points] = np.where(fill, line, z[..., points])
    known[..., points] |= fill


def fill_frames(poses: PoseSequence, policy: str = "hold") -> tuple[PoseSequence, Change]:
    """What to do with the frames in which a person is not seen at all.

    policy: "hold" repeats the last pose (before the first, the first), "interpolate" moves from the last pose to the
    next in a straight line (and holds at the ends), "blank" leaves the frames empty. Of several people only the frames
    between their first and their last are filled: who has left has left. The record lists the frames either way.
    """
    if policy not in POLICIES:
        raise ValueError(f"unknown policy {policy!r} for empty frames; expected one of {', '.join(POLICIES)}")
    valid = sound(poses)
    seen = np.any(valid, axis=-1)
    before, after = _neighbours(seen)
    between = (before >= 0) & (after < len(poses))
    missing = ~seen & (between | (poses.people == 1))
    if policy == "blank" or not (missing & seen.any(0)).any():
        frames = Change.of("frames without a person", missing)
        note = "" if not missing.any() else "left empty" if seen.any() else "nobody in the whole clip"
        return poses, replace(frames, points=0, note=note)
    first = np.where(before < 0, after, before)
    last = first if policy == "hold" else np.where(after >= len(poses), before, after)
    result, new = _copied(poses, valid, missing & seen.any(0), first, last)
    return result, Change.of("frames without a person", new, "held" if policy == "hold" else "interpolated")


def _copied(
    poses: PoseSequence, valid: np.ndarray, at: np.ndarray, first: np.ndarray, last: np.ndarray
) -> tuple[PoseSequence, np.ndarray]:
    """Poses with the people `at` [F, P] put between their poses in frames `first` and `last` [F, P]; the new points."""
    index = np.arange(len(poses))[:, None]
    first, last = (np.where(at, i, index)[..., None] for i in (first, last))
    part = ((index[..., None] - first) / np.maximum(last - first, 1)).astype(np.float32)
    new = at[..., None] & np.take_along_axis(valid, first, 0) & np.take_along_axis(valid, last, 0)
    z, scores = (_between(values, first, last, part) for values in (as_complex(poses), poses.scores))
    return _with(poses, new, z, scores), new


def _with(poses: PoseSequence, new: np.ndarray, z: np.ndarray, scores: np.ndarray) -> PoseSequence:
    return replace(
        poses,
        points=np.where(new[..., None], as_pairs(z), poses.points).astype(np.float32),
        scores=np.where(new, scores, poses.scores).astype(np.float32),
    )


def _between(values: np.ndarray, first: np.ndarray, last: np.ndarray, part: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", over="ignore"):
        low, high = (np.take_along_axis(values, i, axis=0) for i in (first, last))
        return low + part * (high - low)


def _neighbours(valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For every frame the nearest valid one at or before it (-1: none) and at or after it (F: none)."""
    frames = len(valid)
    index = np.arange(frames).reshape(-1, *[1] * (valid.ndim - 1))
    before = np.maximum.accumulate(np.where(valid, index, -1), axis=0)
    after = np.minimum.accumulate(np.where(valid, index, frames)[::-1], axis=0)[::-1]
    return before, after


def interpolate_frames(values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Values [F, ...] with gaps filled linearly over frames, the ends held; unchanged where nothing is valid."""
    frames = len(values)
    index = np.arange(frames).reshape(-1, *[1] * (values.ndim - 1))
    before, after = _neighbours(valid)
    first, last = np.where(before < 0, after, before), np.where(after >= frames, before, after)
    nothing = first >= frames
    first, last = (np.where(nothing, index, i) for i in (first, last))
    part = ((index - first) / np.maximum(last - first, 1)).astype(np.float32)
    return np.where(valid, values, _between(values, first, last, part)).astype(values.dtype)
