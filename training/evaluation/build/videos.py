"""Videos that are there -> a set: the first frame is the image, the poses beside a video drive it.

Videos with poses are scored, the others are references until `build poses` has read theirs; poses without anybody in
them are no poses. Poses that were read from every k-th frame take those frames of the video, as lossless pictures.
"""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from animatex_core.atomic_file import naming_errors, replacing
from animatex_core.pose.io import load_openpose, save_openpose
from animatex_core.pose.keypoints import PoseSequence
from animatex_core.pose.strict_json import read_json
from animatex_core.video import VideoError

from ...sources import Source
from ..cases import SetError, listed, write_case, write_set
from ..frames import write_clip

LOG = logging.getLogger(__name__)
_SAME_RATE = 0.01


def set_from_videos(
    sources: Sequence[Source], out: Path, name: str, *, version: str = "1", frames: int = 0, stride: int = 1
) -> list[str]:
    """Write a set; returns the names of its cases. A case that is there already stays as it is, and so does its score.

    frames: at most so many of every clip, 0 for all. stride: every which frame of videos without poses.
    Raises ValueError naming the video: a case of it that was made otherwise or from other files,
    poses of another clip, fewer frames than poses, no licence or source stated.
    """
    out.mkdir(parents=True, exist_ok=True)
    names = _names(sources)
    former, scored = listed(out)
    for case, source in zip(names, sources, strict=True):
        asked = {"digest": source.digest(), "frames": frames, "stride": stride}
        if (out / case / "case.json").is_file():
            _check_same(out / case / "case.json", asked)
        else:
            _write(out / case, source, asked)
    new = [case for case in names if case not in former]
    scored += [case for case in new if (out / case / "poses.json").is_file()]
    write_set(out, name, version, names + [case for case in former if case not in names], scored)
    return names


def _check_same(path: Path, asked: dict[str, Any]) -> None:
    """Raises SetError when a case that is there was made with other options, or from another video or poses."""
    made = (read_json(path).get("facts") or {}).get("asked") or {}
    for key, value in asked.items():
        if made.get(key) != value:
            raise SetError(
                f"{path}: {key}: the case was made with {made.get(key)!r}, now it is {value!r}: remove the case's "
                "folder, or write another set"
            )


def _names(sources: Sequence[Source]) -> list[str]:
    names = [re.sub(r"[^A-Za-z0-9_.-]+", "_", Path(source.title).with_suffix("").as_posix()) for source in sources]
    for name in names:
        if names.count(name) > 1:
            raise SetError(f"two videos would become the case {name!r}; rename one")
    return names


def _write(folder: Path, source: Source, asked: dict[str, Any]) -> None:
    frames, stride = asked["frames"], asked["stride"]
    for what in ("licence", "source"):
        if not getattr(source, what):
            raise SetError(f"{source.title}: its {what} is not stated; a set says what every case may be used for")
    shutil.rmtree(folder, ignore_errors=True)  # what a killed run left
    folder.mkdir(parents=True)
    rate, decoded = source.open(isolated=True)
    poses = _given(source, frames)
    if poses is not None:
        stride, frames = _stride(source, rate, poses), len(poses)
    count = write_clip(folder / "video", islice(decoded, 0, (frames - 1) * stride + 1 if frames else None, stride))
    fps = rate / stride
    if poses is not None:
        if count < frames:
            raise VideoError(source.video, f"{count} frames (every {stride}), its poses have {frames}")
        save_openpose(folder / "poses.json", replace(poses, fps=fps))
    first = np.array(Image.open(folder / "video" / "00000.png").convert("RGB"))
    with replacing(folder / "image.png") as temporary, naming_errors(folder / "image.png"):
        Image.fromarray(first).save(temporary, "PNG")
    if poses is not None and (poses.width, poses.height) == (first.shape[1], first.shape[0]):
        still = poses.frames(slice(0, 1)).person(0)
        if still.present.any():  # else there is no file: a case does not have poses without a person
            save_openpose(folder / "image_pose.json", still)
    prompt = source.video.with_suffix(".txt")
    (folder / "prompt.txt").write_text(prompt.read_text(encoding="utf-8") if prompt.is_file() else "", encoding="utf-8")
    facts = {"video": source.title, "stride": stride, "asked": asked}
    write_case(folder, license=source.licence, source=source.source, fps=fps, **facts)


def _given(source: Source, frames: int) -> PoseSequence | None:
    """The poses beside a video, at most so many (0: all); None where there are none, or nobody is in them."""
    if source.poses is None:
        return None
    poses = load_openpose(source.poses).frames(slice(0, frames or None))
    if poses.present.any():
        return poses
    LOG.warning("%s: nobody is in any of the %d frames: taken as no poses", source.poses, len(poses))
    return None


def _stride(source: Source, rate: float, poses: PoseSequence) -> int:
    """Every which frame the poses were read from. Raises SetError when no whole number explains their rate."""
    stride = max(1, round(rate / (poses.fps or rate)))
    if abs(rate / stride / (poses.fps or rate) - 1) > _SAME_RATE:
        raise SetError(f"{source.poses}: {poses.fps:g} frames a second, no part of the video's {rate:g}")
    return stride
