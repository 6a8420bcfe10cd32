"""What is known beside a video of a cross-driven pair: a reference of the same character, and another who drives.

Both are kept with the clip. `dataset` decides how often they stand in for the clip's own pictures.
"""

from __future__ import annotations

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

from .given_poses import given_poses, on_canvas, same_shape, scaled_to, share_with_people
from .prepare_settings import PrepareSettings
from .shots import Span
from .sources import Source

SAME_RATE = 0.02  # of a driver: the share by which its rate may be another


class Pair:
    """Reference and driver of a video, as far as they are given; the driver is read a clip at a time.

    frames, stride, fps: of the video: how many are used, every which one, and its rate before that.
    Raises ValueError naming the file that does not fit the video, before anything is encoded.
    """

    def __init__(self, source: Source, frames: int, stride: int, fps: float, settings: PrepareSettings):
        self.source, self.settings = source, settings
        self.driver = _Driver(source, frames, stride, fps, settings.isolated) if source.driver else None
        self.still: dict[str, Tensor] | None = None

    def people(self, span: Span) -> float:
        """Share of the driver's frames in a stretch that show a person; 1 without a driver."""
        return 1.0 if self.driver is None else share_with_people(self.driver.stretch(span))

    def tensors(self, span: Span, canvas: tuple[int, int], vision: ClipVision, vae: VAE | None) -> dict[str, Tensor]:
        """What a clip keeps of both; canvas: width and height of the video. Stretches are asked for in order."""
        if self.still is None:
            self.still = still_tensors(self.source, canvas, self.settings, vision, vae)
        return self.still | ({} if self.driver is None else self.driver.tensors(span, canvas, vision))


def still_tensors(
    source: Source, canvas: tuple[int, int], settings: PrepareSettings, vision: ClipVision, vae: VAE | None
) -> dict[str, Tensor]:
    """Picture uint8 [1, H, W, 3], points, scores, features and latent of the video's own reference; none: empty.

    Raises ValueError for a picture of another shape than the video, `canvas` (width, height), for poses of another
    picture, or of nobody.
    """
    if source.image is None or source.image_pose is None:
        return {}
    picture = load_picture(source.image)
    height, width = picture.shape[:2]
    if not same_shape((width, height), canvas):
        raise ValueError(f"{source.image}: {width}x{height}, expected the shape of the video, {canvas[0]}x{canvas[1]}")
    poses = on_canvas(given_poses(source.image_pose, 1, whose="a picture"), *canvas, source.image_pose, "the picture")
    if not share_with_people(poses):
        raise ValueError(f"{source.image_pose}: nobody is in it, and it is the pose of a reference")
    fitted = plan_fit((width, height), settings.size_for(*canvas), settings.fit).apply(picture)
    found = _points("still", poses) | {
        "still_features": vision.encode(resize(picture, CLIP_SIDE, CLIP_SIDE)[None]).half(),
        "still": torch.from_numpy(np.ascontiguousarray(fitted))[None],
    }
    if settings.store == "latents" and vae is not None:
        found["still_latents"] = vae.encode(to_tensor(fitted)).cpu().half()
    return found


class _Driver:
    """Another character in the same motion. It is read twice, as the video is: first to see that it fits."""

    def __init__(self, source: Source, frames: int, stride: int, fps: float, isolated: bool):
        assert source.driver is not None and source.driver_poses is not None
        self.path, self.position = source.driver, 0
        rate, every = source.open_driver(isolated)
        if abs(rate / fps - 1) > SAME_RATE:
            raise ValueError(f"{self.path}: {rate:g} frames a second, the video has {fps:g}")
        sizes = [frame.shape[1::-1] for frame in islice(every, 0, None, stride)]
        if len(sizes) != frames or len(set(sizes)) != 1:
            found = f"{len(sizes)} frames of {', '.join(f'{w}x{h}' for w, h in sorted(set(sizes)))}"
            raise ValueError(f"{self.path}: {found}, every {stride}. counted; expected {frames} of one size")
        poses = given_poses(source.driver_poses, frames, stride, "the driver")
        width, height = sizes[0]
        self.poses = on_canvas(poses, width, height, source.driver_poses, "the driver")
        self.frames = islice(source.open_driver(isolated)[1], 0, None, stride)

    def stretch(self, span: Span) -> PoseSequence:
        return self.poses.frames(slice(span.start, span.start + span.frames))

    def tensors(self, span: Span, canvas: tuple[int, int], vision: ClipVision) -> dict[str, Tensor]:
        """Points, scores and features of a stretch; points as shares of the driver's picture, times `canvas`."""
        part = islice(self.frames, span.start - self.position, span.start - self.position + span.frames)
        self.position = span.start + span.frames
        small = np.stack([resize(frame, CLIP_SIDE, CLIP_SIDE) for frame in part])
        poses = scaled_to(self.stretch(span), *canvas)
        return _points("driver", poses) | {"driver_features": vision.encode(small).half()}


def _points(name: str, poses: PoseSequence) -> dict[str, Tensor]:
    return {
        f"{name}_points": torch.from_numpy(poses.points[:, 0].astype(np.float32)),
        f"{name}_scores": torch.from_numpy(poses.scores[:, 0].astype(np.float32)),
    }
