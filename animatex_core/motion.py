"""The driving side of a job: which frames of a video or of poses, and what the model is told about them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
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
from .video import VideoInfo, open_video, read_frames

LOG = logging.getLogger(__name__)
DEFAULT_FPS = 8.0  # of the released program, where neither poses nor video say
CLIP_SIDE = 224
SAME_RATE, SAME_SHAPE = 0.01, 0.02  # poses and video of one clip differ by less, relatively

# Keypoints of video frames (uint8 RGB [H, W, 3], every one of them, one after the other) at a frame rate, or of a
# picture, without one.
PoseExtractor = Callable[[Iterable[np.ndarray], float | None], PoseSequence]


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

    A video alone needs `extract`. Frames are read one at a time and only CLIP's small pictures of them are kept.
    Raises ValueError when there is nothing to follow or when poses and video are not of the same clip.
    """
    if video is None and poses is None:
        raise ValueError("nothing to follow: give a driving video, poses, or both")
    if poses is not None:
        return _motion_of_poses(poses, video, settings)
    assert video is not None
    return _motion_of_video(video, settings, extract)


def _motion_of_poses(poses: Path, video: Path | None, settings: Settings) -> Motion:
    sequence, name = load_openpose(poses), str(poses)
    chosen = _chosen(len(sequence), settings, name)
    followed = _followed(sequence.person(0).frames(chosen), name)
    if video is None:
        return Motion(followed, None, _fps(sequence.fps, settings))
    info = open_video(video, isolated=True)
    _check_same_clip(sequence, name, info, str(video))
    pictures = _clip_pictures(video, settings, len(chosen), sequence, name)
    return Motion(followed, pictures, _fps(sequence.fps or info.fps, settings))


def _check_same_clip(poses: PoseSequence, name: str, info: VideoInfo, video: str) -> None:
    """Frame k of the poses is taken for frame k of the video. Raises ValueError where that cannot be."""
    if poses.fps is not None and abs(poses.fps / info.fps - 1) > SAME_RATE:
        raise ValueError(
            f"{name} has {poses.fps:g} frames a second, {video} {info.fps:g}: poses and video must be of the same "
            "clip, frame by frame; read every frame's poses (animate-x pose without --stride), or leave the video out"
        )
    if abs(poses.width / poses.height * info.height / info.width - 1) > SAME_SHAPE:
        LOG.warning(
            "%s was made for pictures of %dx%d, %s has %dx%d: are they of the same clip?",
            name, poses.width, poses.height, video, info.width, info.height,
        )  # fmt: skip
    if info.frames and abs(len(poses) - info.frames) > max(1, SAME_RATE * info.frames):
        LOG.warning(
            "%s has %d frames, %s has %d: the first of one is taken for the first of the other",
            name, len(poses), video, info.frames,
        )  # fmt: skip


def _motion_of_video(video: Path, settings: Settings, extract: PoseExtractor | None) -> Motion:
    if extract is None:
        raise ValueError(
            f"{video}: to read poses from a video, DWPose is needed (--detector and --pose-model); "
            "without it give the poses too: --poses FILE.json"
        )
    info = open_video(video, isolated=True)
    pictures: list[np.ndarray] = []
    frames = read_frames(video, start=settings.start, stride=settings.stride, count=settings.frames, isolated=True)
    sequence = extract(_seen_by_clip(frames, pictures), info.fps / settings.stride)
    if len(sequence) != len(pictures):
        raise ValueError(f"{video}: {len(pictures)} frames were read, poses came for {len(sequence)}")
    if len(pictures) < settings.frames:
        LOG.warning("%s: %d frames instead of %d, the video has no more", video, len(pictures), settings.frames)
    return Motion(_followed(sequence.person(0), str(video)), np.stack(pictures), _fps(info.fps, settings))


def _seen_by_clip(frames: Iterable[np.ndarray], pictures: list[np.ndarray]) -> Iterator[np.ndarray]:
    """The frames, each of which leaves a small picture behind."""
    for frame in frames:
        pictures.append(resize(frame, CLIP_SIDE, CLIP_SIDE))
        yield frame


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
    frames = read_frames(video, start=settings.start, stride=settings.stride, count=wanted, isolated=True)
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


def choose_ipi_source(wanted: IPISource | None, motion: Motion, *, has_ipi: bool = True) -> IPISource:
    """The IPI source that can be had. Says in the log when it is not the one the network was trained on."""
    if not has_ipi:
        LOG.warning("This model has no IPI (UniAnimate): it follows the pose pictures alone.")
        return "off"
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
