"""Poses that come with a video or a picture: read, counted, and put on its canvas."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from animatex_core.pose.io import load_openpose
from animatex_core.pose.keypoints import BODY, PoseSequence

_SAME_SHAPE = 0.02
_LEAST_POINTS = 6  # of 18 body points: fewer are no person


def given_poses(path: Path, frames: int, stride: int = 1, whose: str = "the video") -> PoseSequence:
    """The first person of every `stride`th frame. Raises ValueError when that is not `frames` frames."""
    poses = load_openpose(path).person(0).frames(slice(None, None, stride))
    if len(poses) != frames:
        raise ValueError(f"{path}: poses of {len(poses)} frames, {whose} has {frames}")
    return poses


def share_with_people(poses: PoseSequence) -> float:
    """Share of the frames in which the first person has enough points to be one."""
    return float((poses.present[:, 0, BODY].sum(-1) >= _LEAST_POINTS).mean())


def same_shape(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether pictures of (width, height) have the same proportions, but for rounding."""
    return abs(size[0] / size[1] * other[1] / other[0] - 1) <= _SAME_SHAPE


def on_canvas(
    poses: PoseSequence, width: int, height: int, path: Path | None = None, whose: str = "the video"
) -> PoseSequence:
    """The poses in pixels of pictures of this size. Raises ValueError where they were made for another shape."""
    if not same_shape((poses.width, poses.height), (width, height)):
        canvas = f"{poses.width}x{poses.height}"
        raise ValueError(f"{path}: poses for pictures of {canvas}, {whose} has {width}x{height}")
    return scaled_to(poses, width, height)


def scaled_to(poses: PoseSequence, width: int, height: int) -> PoseSequence:
    """The poses at the same shares of a canvas of another size, whatever its shape."""
    ratio = np.array([width / poses.width, height / poses.height], poses.points.dtype)
    return replace(poses, points=poses.points * ratio, width=width, height=height)
