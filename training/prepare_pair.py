"""What is known beside a video of a cross-driven pair: a reference of the same character, and another who drives.

Both are kept with the clip. `dataset` decides how often they stand in for the clip's own pictures.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from animatex_core.fit import plan_fit
from animatex_core.motion import CLIP_SIDE
from animatex_core.pictures import load_picture, resize, to_tensor
from animatex_core.pose.keypoints import PoseSequence
from animatex_core.vae import VAE
from animatex_core.vision import ClipVision

from .given_poses import given_poses, on_canvas, same_shape
from .prepare_settings import PrepareSettings
from .shots import Span
from .sources import Source


def still_tensors(
    source: Source, canvas: tuple[int, int], settings: PrepareSettings, vision: ClipVision, vae: VAE | None
) -> dict[str, Tensor]:
    """Picture uint8 [1, H, W, 3], points, scores, features and latent of the video's own reference; none: empty.

    Raises ValueError for a picture of another shape than the video, `canvas` (width, height), or poses of another.
    """
    if source.image is None or source.image_pose is None:
        return {}
    picture = load_picture(source.image)
    height, width = picture.shape[:2]
    if not same_shape((width, height), canvas):
        raise ValueError(f"{source.image}: {width}x{height}, expected the shape of the video, {canvas[0]}x{canvas[1]}")
    poses = on_canvas(given_poses(source.image_pose, 1), *canvas, source.image_pose)
    fitted = plan_fit((width, height), settings.size_for(*canvas), settings.fit).apply(picture)
    found = _points("still", poses) | {
        "still_features": vision.encode(resize(picture, CLIP_SIDE, CLIP_SIDE)[None]).half(),
        "still": torch.from_numpy(np.ascontiguousarray(fitted))[None],
    }
    if settings.store == "latents" and vae is not None:
        found["still_latents"] = vae.encode(to_tensor(fitted)).cpu().half()
    return found


class Driver:
    """Another character in the same motion, read a clip at a time."""

    def __init__(self, source: Source, frames: int, stride: int, isolated: bool):
        assert source.driver is not None and source.driver_poses is not None
        self.path, self.poses = source.driver, given_poses(source.driver_poses, frames, stride)
        self.frames: Iterator[np.ndarray] = islice(source.open_driver(isolated), 0, None, stride)
        self.position = 0

    def tensors(self, span: Span, canvas: tuple[int, int], vision: ClipVision) -> dict[str, Tensor]:
        """Points, scores and features of a stretch; points as shares of the driver's picture, times `canvas`.

        Raises ValueError when the driver ends before the video.
        """
        part = list(islice(self.frames, span.start - self.position, span.start - self.position + span.frames))
        self.position = span.start + span.frames
        if len(part) != span.frames:
            raise ValueError(f"{self.path}: ends before the video, at frame {span.start + len(part)}")
        height, width = part[0].shape[:2]
        own = on_canvas(self.poses.frames(slice(span.start, span.start + span.frames)), width, height, self.path)
        ratio = np.array([canvas[0] / width, canvas[1] / height], own.points.dtype)
        poses = replace(own, points=own.points * ratio, width=canvas[0], height=canvas[1])
        small = np.stack([resize(frame, CLIP_SIDE, CLIP_SIDE) for frame in part])
        return _points("driver", poses) | {"driver_features": vision.encode(small).half()}


def _points(name: str, poses: PoseSequence) -> dict[str, Tensor]:
    return {
        f"{name}_points": torch.from_numpy(poses.points[:, 0].astype(np.float32)),
        f"{name}_scores": torch.from_numpy(poses.scores[:, 0].astype(np.float32)),
    }
