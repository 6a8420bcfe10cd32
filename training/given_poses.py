"""Poses that come with a video or a picture: read, counted, and put on its canvas."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from animatex_core.pose.io import load_openpose
from animatex_core.pose.keypoints import PoseSequence

_SAME_SHAPE = 0.02


def given_poses(path: Path, frames: int, stride: int = 1) -> PoseSequence:
    """The first person of every `stride`th frame. Raises ValueError when that is not `frames` frames."""
    poses = load_openpose(path).person(0).frames(slice(None, None, stride))
    if len(poses) != frames:
        raise ValueError(f"{path}: poses of {len(poses)} frames, the video has {frames}")
    return poses


def same_shape(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether pictures of (width, height) have the same proportions, but for rounding."""
    return abs(size[0] / size[1] * other[1] / other[0] - 1) <= _SAME_SHAPE


def on_canvas(poses: PoseSequence, width: int, height: int, path: Path | None = None) -> PoseSequence:
    """The poses in pixels of pictures of this size. Raises ValueError where they were made for another shape."""
    if not same_shape((poses.width, poses.height), (width, height)):
        canvas = f"{poses.width}x{poses.height}"
        raise ValueError(f"{path}: poses for pictures of {canvas}, the video has {width}x{height}")
    ratio = np.array([width / poses.width, height / poses.height], poses.points.dtype)
    return replace(poses, points=poses.points * ratio, width=width, height=height)
