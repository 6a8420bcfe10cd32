"""The driving side of a job: which frames of a video or of poses, and what the model is told about them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .choices import IPISource
from .fit import plan_fit
from .pictures import resize
from .pose.draw import draw_poses
from .pose.io import load_openpose
from .pose.keypoints import PoseSequence
from .settings import Settings
from .video import open_video, read_frames

LOG = logging.getLogger(__name__)
DEFAULT_FPS = 8.0  # of the released program, where neither poses nor video say
CLIP_SIDE = 224

# Keypoints of video frames (uint8 RGB [H, W, 3], every one of them) at a frame rate.
PoseExtractor = Callable[[list[np.ndarray], float], PoseSequence]


@dataclass(frozen=True)
class Motion:
    """The chosen frames.

    poses: the first person's, F frames. clip_pictures: uint8 RGB [F, 224, 224, 3] of the driving video for the IPI, or
    None. fps: of the result.
    """

    poses: PoseSequence
    clip_pictures: np.ndarray | None
    fps: float

    def pictures(self, settings: Settings) -> np.ndarray:
        """Pose pictures uint8 RGB [F, height, width, 3]: drawn at the driver's size as in training, then fitted."""
        drawn = draw_poses(self.poses, hands=settings.hands)
        target = (settings.width, settings.height)
        return plan_fit((self.poses.width, self.poses.height), target, settings.fit).apply(drawn, (0, 0, 0))


def load_motion(video: Path | None, poses: Path | None, settings: Settings, extract: PoseExtractor | None) -> Motion:
    """The driving frames that the settings choose. Says in the log what it had to leave out.

    A video alone needs `extract`. Raises ValueError when there is nothing to follow or lengths do not fit.
    """
    if video is None and poses is None:
        raise ValueError("nothing to follow: give a driving video, poses, or both")
    if poses is not None:
        sequence = load_openpose(poses)
        info = None if video is None else open_video(video, isolated=True)
        fps = sequence.fps or (info.fps if info else None)
        chosen = _chosen(len(sequence), settings, str(poses))
        pictures = None if video is None else _clip_pictures(video, settings, len(chosen), sequence, str(poses))
        return Motion(_followed(sequence.person(0).frames(chosen), str(poses)), pictures, _fps(fps, settings))
    assert video is not None
    return _motion_of_video(video, settings, extract)


def _motion_of_video(video: Path, settings: Settings, extract: PoseExtractor | None) -> Motion:
    if extract is None:
        raise ValueError(
            f"{video}: to read poses from a video, DWPose is needed (--detector and --pose-model); "
            "without it give the poses too: --poses FILE.json"
        )
    info = open_video(video, isolated=True)
    frames = list(read_frames(video, start=settings.start, stride=settings.stride, count=settings.frames))
    if not frames:
        raise ValueError(f"{video}: no frame at or after number {settings.start}")
    if len(frames) < settings.frames:
        LOG.warning("%s: %d frames instead of %d, the video has no more", video, len(frames), settings.frames)
    sequence = extract(frames, info.fps / settings.stride)
    pictures = np.stack([resize(frame, CLIP_SIDE, CLIP_SIDE) for frame in frames])
    return Motion(_followed(sequence.person(0), str(video)), pictures, _fps(info.fps, settings))


def _followed(poses: PoseSequence, name: str) -> PoseSequence:
    """The poses, after a word on frames without anybody. Raises ValueError when there is nobody at all."""
    blank = np.flatnonzero(~poses.present.any(axis=(1, 2)))
    if len(blank) == len(poses):
        raise ValueError(f"{name}: no person in any of the {len(poses)} frames chosen, so there is no motion to follow")
    if len(blank):
        LOG.warning("%s: no person in %d of %d frames, the first is %d", name, len(blank), len(poses), blank[0])
    return poses


def _chosen(available: int, settings: Settings, name: str) -> np.ndarray:
    chosen = np.arange(settings.start, available, settings.stride)[: settings.frames]
    if not len(chosen):
        raise ValueError(f"{name}: the first frame asked for is {settings.start}, but there are only {available}")
    if len(chosen) < settings.frames:
        LOG.warning("%s: %d frames instead of %d, there are no more", name, len(chosen), settings.frames)
    return chosen


def _clip_pictures(video: Path, settings: Settings, wanted: int, poses: PoseSequence, name: str) -> np.ndarray:
    frames = read_frames(video, start=settings.start, stride=settings.stride, count=wanted)
    pictures = [resize(frame, CLIP_SIDE, CLIP_SIDE) for frame in frames]
    if len(pictures) != wanted:
        raise ValueError(
            f"{video} gives {len(pictures)} of the {wanted} frames chosen from {name} ({len(poses)} frames): "
            "poses and video must be of the same clip"
        )
    return np.stack(pictures)


def _fps(driver: float | None, settings: Settings) -> float:
    if settings.fps is not None:
        return settings.fps
    return DEFAULT_FPS if driver is None else driver / settings.stride


def choose_ipi_source(wanted: IPISource | None, motion: Motion) -> IPISource:
    """The IPI source that can be had. Says in the log when it is not the one the network was trained on."""
    if wanted == "video" and motion.clip_pictures is None:
        raise ValueError("the IPI is to read the driving video, but there are only poses: give --video too")
    if wanted is not None:
        return wanted
    if motion.clip_pictures is not None:
        return "video"
    LOG.warning(
        "There are poses but no driving video. The IPI reads the reference picture at every frame instead of the "
        "driver's: the motion comes from the keypoints alone (other choices: --ipi-source poses or off)."
    )
    return "reference"
