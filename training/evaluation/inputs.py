"""What a setting makes of a case: the poses that drive, what the IPI reads, and the truth, each on disk once.

RUN/cases/CASE/reference.png, truth/, poses/   see `records`
RUN/cases/CASE/mask/                           the true silhouette, where the case has one
RUN/cases/CASE/poses.json                      the poses that drive, for methods that are run elsewhere
RUN/cases/CASE/inputs.json                     what they were made from; written last
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from animatex_core.atomic_file import naming_errors, replacing
from animatex_core.fit import Fit, edge_colour, plan_fit
from animatex_core.pictures import load_picture
from animatex_core.pose.draw import draw_poses
from animatex_core.pose.io import load_openpose, save_openpose
from animatex_core.pose.keypoints import PoseSequence
from animatex_core.pose.strict_json import read_json, write_json

from ..sources import Source
from .cases import Case, CaseSet, SetError
from .frames import folder_sha256, write_clip
from .motions import Driving, drive
from .records import RunFolder
from .settings import LONG, Options

INPUTS = "inputs.json"


@dataclass(frozen=True)
class CaseInputs:
    """A case under a setting.

    folder: RUN/cases/CASE. drawn: the poses that drive, F frames on the driver's canvas. read: those that the IPI
    reads. expected: what the result's poses should be, on the result's canvas. driver: the clip that drives. truth,
    mask: folders of frames, or None. fps: of the result. digest: sha256 over all that this was made from. facts: what
    was drawn.
    """

    case: Case
    options: Options
    folder: Path
    drawn: PoseSequence
    read: PoseSequence
    expected: PoseSequence
    driver: Source
    truth: Path | None
    mask: Path | None
    fps: float
    digest: str
    facts: dict[str, Any]

    def __len__(self) -> int:
        return len(self.drawn)

    @property
    def reference(self) -> Path:
        """The picture of the character."""
        return self.folder / "reference.png"

    def driver_frames(self) -> Iterator[np.ndarray]:
        """The driver's chosen frames, uint8 RGB of its own size. Raises ValueError when there are too few."""
        return chosen_frames(self.driver, self.options, len(self))


def make_inputs(found: CaseSet, case: Case, options: Options, run: RunFolder, anchors: Any = None) -> CaseInputs:
    """The inputs of a case, on disk: see `plan_inputs` and `ensure_written`."""
    inputs = plan_inputs(found, case, options, run, anchors)
    ensure_written(inputs)
    return inputs


def ensure_written(inputs: CaseInputs) -> None:
    """Write inputs that are not there yet, were made from something else, or were changed since."""
    stored = _stored(inputs.folder)
    if stored.get("digest") != inputs.digest or stored.get("content") != _content(inputs.folder):
        _write(inputs)


def plan_inputs(found: CaseSet, case: Case, options: Options, run: RunFolder, anchors: Any = None) -> CaseInputs:
    """What the inputs of a case will be; nothing is written.

    anchors: the pool of `rescaled`. Raises SetError for a case with too few frames, a broken driver or one of
    another length than the truth, and for one without image_pose.json that is to be aligned.
    """
    driving = drive(found, case, options, anchors)
    _check_length(case, driving, options)
    with_truth = case.video is not None and (options.setting != "cross" or driving.own)
    folder = run.case(case.name)
    return CaseInputs(
        case=case,
        options=options,
        folder=folder,
        drawn=driving.drawn,
        read=driving.read,
        expected=_on_result(driving, case, options, with_truth),
        driver=driving.clip,
        truth=folder / "truth" if with_truth else None,
        mask=folder / "mask" if with_truth and case.mask else None,
        fps=driving.fps,
        digest=_digest(case, driving, options),
        facts=driving.facts,
    )


def chosen_frames(clip: Source, options: Options, count: int) -> Generator[np.ndarray, None, None]:
    """`count` frames from options.start on, every options.stride. Raises SetError when the clip ends before."""
    _, frames = clip.open(isolated=True)
    done = 0
    for frame in islice(frames, options.start, options.start + (count - 1) * options.stride + 1, options.stride):
        yield frame
        done += 1
    if done < count:
        raise SetError(
            f"{clip.title}: ends after {done} of {count} frames (from {options.start}, every {options.stride})"
        )


def _check_length(case: Case, driving: Driving, options: Options) -> None:
    wanted, found = options.frames, len(driving.drawn)
    if found < max(wanted, 2 if options.skip_first else 1):
        raise SetError(
            f"{case.name}: poses: {found} frames from frame {options.start} on, every {options.stride}; the setting "
            f"asks for {wanted or 'more'}: choose fewer frames, or leave the case out"
        )
    if options.setting == "long" and found < LONG:
        raise SetError(f"{case.name}: poses: {found} frames; a long video has at least {LONG}")


def _fit(source: tuple[int, int], options: Options) -> Fit:
    return plan_fit(source, (options.width, options.height), options.fit)


def _on_result(driving: Driving, case: Case, options: Options, with_truth: bool) -> PoseSequence:
    """Where the joints of the result should be: the case's own where the truth is known, else as driven."""
    poses = driving.drawn
    if with_truth and case.poses is not None:
        poses = driving.chosen(load_openpose(case.poses).person(0))
    points = _fit((poses.width, poses.height), options).points(poses.points)
    points = np.where(poses.present[..., None], points, 0).astype(np.float32)
    return PoseSequence(points, poses.scores, options.width, options.height, driving.fps)


def _digest(case: Case, driving: Driving, options: Options) -> str:
    facts = {"options": options.facts(), "case": case.digest(), "driving": driving.facts}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _stored(folder: Path) -> dict[str, Any]:
    try:
        found = read_json(folder / INPUTS)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _content(folder: Path) -> str:
    return folder_sha256(folder, without=INPUTS)


def _write(inputs: CaseInputs) -> None:
    folder, case, options = inputs.folder, inputs.case, inputs.options
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    image = load_picture(case.image)
    _save_png(folder / "reference.png", image)
    save_openpose(folder / "poses.json", inputs.drawn)
    pictures = draw_poses(inputs.drawn, palette="openpose", stick="scaled", hands=options.hands)
    write_clip(folder / "poses", list(_fitted(iter(pictures), options, (0, 0, 0))))
    for which, where, fill in (("video", inputs.truth, None), ("mask", inputs.mask, (0, 0, 0))):
        if where is not None:
            with closing(chosen_frames(case.clip(which), options, len(inputs))) as frames:
                write_clip(where, _fitted(frames, options, fill))
    told = {"digest": inputs.digest, "frames": len(inputs), "fps": inputs.fps, "options": options.facts()}
    write_json(folder / INPUTS, told | {"facts": inputs.facts, "content": _content(folder)})


def _fitted(frames: Iterator[np.ndarray], options: Options, fill: tuple[int, int, int] | None) -> Iterator[np.ndarray]:
    """Frames of the result's size; bars, where the fit leaves any, in one colour for the whole clip."""
    for frame in frames:
        fill = edge_colour(frame) if fill is None else fill
        yield _fit((frame.shape[1], frame.shape[0]), options).apply(frame, fill)


def _save_png(path: Path, picture: np.ndarray) -> None:
    from PIL import Image

    with replacing(path) as temporary, naming_errors(path):
        Image.fromarray(picture).save(temporary, "PNG")
