"""What the files of a case have to be: readable, and of the same clip."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from animatex_core.pictures import load_picture
from animatex_core.pose.io import load_openpose
from animatex_core.pose.keypoints import PoseSequence
from animatex_core.video import open_video

from ..sources import Source

# Name of a file of a case -> the endings it may have; the empty one is a folder.
SHAPES: Mapping[str, tuple[str, ...]] = {
    "image": (".png", ".jpg", ".jpeg", ".webp"),
    "video": (".mp4", ".mov", ".mkv", ".webm", ""),
    "poses": (".json",),
    "mask": (".mp4", ".mov", ".mkv", ".webm", ""),
    "image_pose": (".json",),
    "driver": (".mp4", ".mov", ".mkv", ".webm", ""),
    "driver_poses": (".json",),
}
SAME_SHAPE = 0.02  # relative difference of proportions that rounding to whole pixels explains
SAME_RATE = 0.01

Faults = Callable[[str, str], None]
Files = Mapping[str, Path | None]


@dataclass(frozen=True)
class _Look:
    """What was found of a clip: frames is None when it was not counted."""

    width: int
    height: int
    fps: float
    frames: int | None


def check_case(files: Files, fps: float | None, *, scored: bool, deep: bool, fault: Faults) -> None:
    """Report everything that keeps the files from being a case. fps: what case.json says, for folders of pictures."""
    needed = ("image", "video", "poses") if scored else ("image",)
    for name in needed:
        if files[name] is None:
            fault(name, "is missing" + (", and the case is scored" if name != "image" else ""))
    for first, second in (("driver", "driver_poses"), ("driver_poses", "driver"), ("mask", "video")):
        if files[first] is not None and files[second] is None:
            fault(second, f"is missing, but there is a {first}")
    image = _image(files["image"], fault)
    clips = {name: _clip(files[name], name, fps, deep, fault) for name in ("video", "mask", "driver")}
    poses = {name: _poses(files[name], name, fault) for name in ("poses", "image_pose", "driver_poses")}
    for clip, motion in (("video", "poses"), ("driver", "driver_poses")):
        _same_clip(clips[clip], poses[motion], motion, fault)
    _same_motion(clips, poses, fault)
    video, mask = clips["video"], clips["mask"]
    if video and mask and (video.width, video.height) != (mask.width, mask.height):
        fault("mask", f"is {mask.width}x{mask.height}, the video {video.width}x{video.height}")
    if video and mask and None not in (video.frames, mask.frames) and video.frames != mask.frames:
        fault("mask", f"has {mask.frames} frames, the video {video.frames}")
    if scored and image and video and _unlike(image, (video.width, video.height)):
        fault("image", f"is {image[0]}x{image[1]}, the video {video.width}x{video.height}: not the same proportions")
    still = poses["image_pose"]
    if image and still and (still.width, still.height) != image:
        fault("image_pose", f"the canvas is {still.width}x{still.height}, the image {image[0]}x{image[1]}")


def _image(path: Path | None, fault: Faults) -> tuple[int, int] | None:
    if path is None:
        return None
    try:
        height, width = load_picture(path).shape[:2]
    except ValueError as error:
        fault("image", _without(path, error))
        return None
    return width, height


def _clip(path: Path | None, name: str, fps: float | None, deep: bool, fault: Faults) -> _Look | None:
    if path is None:
        return None
    try:
        if path.is_dir():
            return _folder(path, name, fps, deep, fault)
        info = open_video(path, isolated=True)
        frames = None  # what a file says of its length may be an estimate
        if deep:
            _, decoded = Source(video=path).open(isolated=True)
            frames = sum(1 for _ in decoded)
        return _Look(info.width, info.height, info.fps, frames)
    except ValueError as error:
        fault(name, _without(path, error))
        return None


def _folder(path: Path, name: str, fps: float | None, deep: bool, fault: Faults) -> _Look:
    if fps is None:
        fault("case.json: fps", f"is missing, and {name} is a folder of pictures, which does not say it")
    rate, pictures = Source(video=path, fps=fps).open()
    first = next(pictures)
    for number, picture in enumerate(pictures if deep else (), 1):
        if picture.shape != first.shape:
            fault(name, f"picture {number} is {picture.shape[1]}x{picture.shape[0]}, the first {first.shape[1]}x"
                  f"{first.shape[0]}")  # fmt: skip
            break
    frames = sum(1 for file in path.iterdir() if file.suffix.lower() in (".png", ".jpg", ".jpeg"))
    return _Look(first.shape[1], first.shape[0], rate, frames)


def _poses(path: Path | None, name: str, fault: Faults) -> PoseSequence | None:
    if path is None:
        return None
    try:
        poses = load_openpose(path)
    except (ValueError, OSError) as error:
        fault(name, _without(path, error))
        return None
    if not poses.present.any():
        fault(name, f"no person in any of the {len(poses)} frames")
    return poses


def _same_clip(clip: _Look | None, poses: PoseSequence | None, name: str, fault: Faults) -> None:
    if clip is None or poses is None:
        return
    if clip.frames is not None and clip.frames != len(poses):
        fault(name, f"{len(poses)} frames, the clip has {clip.frames}")
    if poses.fps is not None and abs(poses.fps / clip.fps - 1) > SAME_RATE:
        fault(name, f"{poses.fps:g} frames a second, the clip has {clip.fps:g}")
    if _unlike((poses.width, poses.height), (clip.width, clip.height)):
        fault(name, f"made for pictures of {poses.width}x{poses.height}, the clip has {clip.width}x{clip.height}")


def _same_motion(clips: Mapping[str, _Look | None], poses: Mapping[str, PoseSequence | None], fault: Faults) -> None:
    """A driver of its own and the truth belong together frame by frame: what is chosen of one is of the other."""
    driver, video = clips["driver"], clips["video"]
    if driver is None or video is None:
        return
    frames, expected = _length(driver, poses["driver_poses"]), _length(video, poses["poses"])
    if None not in (frames, expected) and frames != expected:
        fault("driver", f"has {frames} frames, the video {expected}")
    if abs(driver.fps / video.fps - 1) > SAME_RATE:
        fault("driver", f"{driver.fps:g} frames a second, the video has {video.fps:g}")


def _length(clip: _Look, poses: PoseSequence | None) -> int | None:
    """Frames of a clip: counted, else as many as its poses have; that these agree is seen where all are counted."""
    if clip.frames is not None:
        return clip.frames
    return None if poses is None else len(poses)


def _unlike(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return abs(one[0] / one[1] * other[1] / other[0] - 1) > SAME_SHAPE


def _without(path: Path, error: Exception) -> str:
    """The message without the path, which case and field say already."""
    return str(getattr(error, "strerror", None) or error).removeprefix(f"{path}: ")
