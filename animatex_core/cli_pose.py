"""The command `animate-x pose`: the poses of a video, or the pose of a picture, as OpenPose JSON."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .cli_output import Advance, progress_bar, say

if TYPE_CHECKING:  # the parser must not wait for numpy
    import numpy as np

    from .pose.dwpose import ExtractionReport
    from .pose.keypoints import PoseSequence

    Extracted = tuple[PoseSequence, ExtractionReport]

BACKENDS = ("dwpose", "mediapipe")
_OTHERS = {"dwpose": ("python",), "mediapipe": ("detector", "pose_model", "models", "device")}
UNSEEN = (
    "no person was detected, so the whole picture was read as one: look at its pose (animate-x pose --image, --preview)"
)
_WHOLE = (0, 1, None, False)  # start, stride, frames and clean as they are when left out
SHEET_COLUMNS = 8
_CELL_WIDTH = 180  # pixels of a frame on the preview


def add_pose(parser: argparse.ArgumentParser) -> None:
    """Give the parser the command's flags."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--video", type=Path, help="video to read; one person of it is followed")
    source.add_argument("--image", type=Path, help="picture of a character to read, for --reference-pose of `animate`")
    parser.add_argument("--out", type=Path, required=True, help="the .json to write (OpenPose, pixels)")
    parser.add_argument("--overwrite", action="store_true", help="replace the outputs when they are there")
    parser.add_argument("--backend", choices=BACKENDS, default=BACKENDS[0])
    parser.add_argument("--start", type=int, default=0, help="first frame, counted from 0")
    parser.add_argument("--stride", type=int, default=1, help="every which frame")
    parser.add_argument("--frames", type=int, help="how many at most; default: all")
    parser.add_argument("--clean", action="store_true", help="follow one person, mend swaps and outliers, fill, smooth")
    parser.add_argument("--preview", type=Path, help="a .png with some frames and their poses, to look at")
    dwpose = parser.add_argument_group("dwpose")
    dwpose.add_argument("--detector", type=Path, help="person detector (yolox_l); default: looked for in ./models")
    dwpose.add_argument("--pose-model", type=Path, help="whole-body network (dw-ll_ucoco_384); default: looked for")
    dwpose.add_argument("--models", type=Path, help="folder to look in first; ComfyUI's, or its models folder, will do")
    dwpose.add_argument("--device", help="auto, cpu, cuda, cuda:1, tensorrt, directml; default: auto")
    mediapipe = parser.add_argument_group("mediapipe")
    mediapipe.add_argument("--python", type=Path, help="interpreter of an environment with mediapipe==0.10.21")
    parser.set_defaults(run=run_pose)


def run_pose(options: argparse.Namespace) -> None:
    """Read the poses of a video or picture, clean them when asked, write them. Whatever fails, nothing is written."""
    from .contact_sheet import save_picture
    from .pose.clean import clean
    from .pose.io import save_openpose

    _check(options)
    extract = {"dwpose": _by_dwpose, "mediapipe": _by_mediapipe}[options.backend]
    fps = _fps(options)
    with progress_bar("poses", "frame", quiet=options.quiet) as progress:
        poses, report = extract(options, fps, progress)
    say(str(report))
    if options.clean:
        cleaned = clean(poses)
        poses = cleaned.poses
        say(cleaned.summary())
    sheet = _preview(options, poses) if options.preview else None
    save_openpose(options.out, poses)
    if sheet is not None:
        save_picture(options.preview, sheet, overwrite=options.overwrite)
    told = f"{len(poses)} frames of {poses.width}x{poses.height}, {fps:g} fps" if fps else "the pose of the picture"
    say(f"{options.out}: {told if poses.present.any() else 'nobody was found'}")
    if fps is None and report.without_box:
        say(f"{options.image}: {UNSEEN}")


def _check(options: argparse.Namespace) -> None:
    """Say before the work what would be said after it."""
    from .atomic_file import OutputError, check_output

    for path, ending in ((options.out, ".json"), (options.preview, ".png")):
        if path is None:
            continue
        if path.suffix.lower() != ending:
            raise OutputError(f"{path}: this output is written as {ending}")
        check_output(path, overwrite=options.overwrite)
    strange = [f"--{name.replace('_', '-')}" for name in _OTHERS[options.backend] if getattr(options, name) is not None]
    if strange:
        raise ValueError(f"{', '.join(strange)}: not a flag of --backend {options.backend}")
    of_video = (options.start, options.stride, options.frames, options.clean)
    if options.image is not None and of_video != _WHOLE:
        raise ValueError("--start, --stride, --frames, --clean: flags of --video; a picture is one frame as it is")
    for name, value, least in (
        ("start", options.start, 0),
        ("stride", options.stride, 1),
        ("frames", options.frames, 1),
    ):
        if value is not None and value < least:
            raise ValueError(f"--{name} must be at least {least}, got {value}")


def _fps(options: argparse.Namespace) -> float | None:
    """Of the frames that are read; none of a picture. Raises OSError or ValueError for what cannot be read."""
    if options.video is None:
        from .pictures import load_picture

        load_picture(options.image)
        return None
    from .video import open_video

    return open_video(options.video, isolated=True).fps / options.stride


def _frames(options: argparse.Namespace, stride: int, count: int | None) -> Iterator[np.ndarray]:
    """The frames of the video, [H, W, 3] uint8 RGB, or the picture as the only one."""
    from .pictures import load_picture
    from .video import read_frames

    if options.video is None:
        return iter([load_picture(options.image)])
    return read_frames(options.video, start=options.start, stride=stride, count=count, isolated=True)


def _by_dwpose(options: argparse.Namespace, fps: float | None, progress: Advance) -> Extracted:
    from .pose.dwpose import DWPose

    dwpose = DWPose.load(*_pose_files(options), device=options.device or "auto")
    frames = _frames(options, options.stride, options.frames)
    return dwpose.extract(frames, fps=fps, progress=progress)


def _by_mediapipe(options: argparse.Namespace, fps: float | None, progress: Advance) -> Extracted:
    try:
        from .pose import mediapipe_backend
    except ModuleNotFoundError as error:
        raise ImportError(
            "ComfyUI's node pack comes without the MediaPipe backend, which starts another Python: use --backend "
            "dwpose, or this command from the sources of Animate-X (git clone, then pip install .)"
        ) from error
    through = None if options.frames is None else (options.frames - 1) * options.stride + 1
    frames = _frames(options, 1, through)
    return mediapipe_backend.extract(frames, options.python, stride=options.stride, fps=fps, progress=progress)


def _pose_files(options: argparse.Namespace) -> tuple[Path, Path]:
    """Detector and pose network: as given, else the first found that can run here."""
    from .pose.dwpose import find_pose_files

    if options.detector and options.pose_model:
        return options.detector, options.pose_model
    folders = _folders(options.models)
    found = find_pose_files(folders)
    unusable = find_spec("onnxruntime") is None
    chosen = []
    for flag, given, files in (
        ("--detector yolox_l.onnx", options.detector, found.detectors),
        ("--pose-model dw-ll_ucoco_384.onnx", options.pose_model, found.poses),
    ):
        runnable = sorted(files, key=lambda path: unusable and path.suffix == ".onnx")
        if not given and not runnable:
            looked = ", ".join(map(str, folders))
            raise FileNotFoundError(f"no DWPose file found in {looked}: give {flag}, or a folder with --models")
        chosen.append(given or runnable[0])
    return chosen[0], chosen[1]


def _folders(given: Path | None) -> list[Path]:
    """Where the networks may lie: in the folder given, in controlnet_aux's beside it when it is ComfyUI's, here."""
    if given is None:
        return [Path("models")]
    if not given.is_dir():
        raise FileNotFoundError(f"{given}: no such folder")
    root = given if (given / "custom_nodes").is_dir() else given.resolve().parent
    models = given / "models" if root == given else given
    return [models, *sorted((root / "custom_nodes").glob("*controlnet_aux*/ckpts")), Path("models")]


class _SomeFrames(Sequence[Any]):
    """A clip of which only some frames are held; the others must not be asked for."""

    def __init__(self, length: int, held: dict[int, np.ndarray]) -> None:
        self._length, self._held = length, held

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: Any) -> Any:
        return self._held[index]


def _preview(options: argparse.Namespace, poses: PoseSequence) -> np.ndarray:
    """Some frames, and the poses drawn over them; the video is read again, so that few are held."""
    import numpy as np

    from .contact_sheet import contact_sheet
    from .pose.draw import draw_poses

    wanted = np.linspace(0, len(poses) - 1, SHEET_COLUMNS).round().astype(int).tolist()
    frames = _frames(options, options.stride, len(poses))
    seen = {index: frame for index, frame in enumerate(frames) if index in wanted}
    one = {index: poses.frames(slice(index, index + 1)) for index in seen}
    drawn = {i: draw_poses(one[i], palette="openpose", stick="scaled", background=seen[i])[0] for i in seen}
    named = (("video" if options.video else "picture", seen), ("poses", drawn))
    rows = {name: _SomeFrames(len(poses), held) for name, held in named}
    return contact_sheet(rows, SHEET_COLUMNS, (_CELL_WIDTH, max(1, round(_CELL_WIDTH * poses.height / poses.width))))
