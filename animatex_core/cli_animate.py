"""The command `animate-x animate`: a picture and a motion -> a video."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from . import included
from .choices import STEP_PRESETS, AlignMode, FitMode, IPISource, ReferenceMode
from .cli_output import first_line, progress_bar, say
from .cli_pose import UNSEEN
from .settings import Settings

if TYPE_CHECKING:  # the parser must not wait for torch
    import numpy as np
    import torch

    from .motion import PoseExtractor
    from .pipeline import Job
    from .pose.keypoints import PoseSequence

LOG = logging.getLogger(__name__)
PRECISIONS = ("auto", "fp16", "bf16", "fp32")
# Left out, these are what the model is run with: the mini model has numbers of its own.
MODELS_OWN = {"width": "width", "height": "height", "frames": "frames", "steps": "steps", "cfg": "guidance"}
INPUTS = ("model", "clip", "vae", "image", "video", "poses", "reference_pose", "detector", "pose_model")


def add_animate(parser: argparse.ArgumentParser) -> None:
    """Give the parser the command's flags."""
    _add_files(parser.add_argument_group("files"))
    _add_clip(parser.add_argument_group("clip"))
    _add_sampling(parser.add_argument_group("sampling"))
    parser.set_defaults(run=run_animate)


def _add_files(files: argparse._ArgumentGroup) -> None:
    files.add_argument(
        "--model", type=Path, required=True, help="converted model (.safetensors), or `mini`, the included one"
    )
    files.add_argument("--clip", type=Path, help="CLIP ViT-H image tower; default: bundled in the model")
    files.add_argument("--vae", type=Path, help="SD 1.x or 2.x VAE; default: bundled in the model")
    files.add_argument("--image", type=Path, required=True, help="picture of the character")
    files.add_argument("--video", type=Path, help="driving video")
    files.add_argument(
        "--poses", type=Path, help="driving poses (OpenPose JSON) instead of reading them from the video"
    )
    words = "pose of the picture (OpenPose JSON, `animate-x pose --image`); default: by DWPose, where it is needed"
    files.add_argument("--reference-pose", type=Path, help=words)
    files.add_argument("--detector", type=Path, help="DWPose person detector (yolox_l), to read poses")
    files.add_argument("--pose-model", type=Path, help="DWPose pose network (dw-ll_ucoco_384)")
    files.add_argument("--out", type=Path, required=True, help=".mp4, .webm, .gif, or a folder for PNGs")
    files.add_argument("--overwrite", action="store_true", help="replace the output when it is there")


def _add_clip(clip: argparse._ArgumentGroup) -> None:
    default = Settings()
    clip.add_argument("--width", type=int, help=f"multiple of 8; {_default('width')}")
    clip.add_argument("--height", type=int, help=f"multiple of 8; {_default('height')}")
    clip.add_argument("--frames", type=int, help=f"at most; {_default('frames')}")
    clip.add_argument("--start", type=int, default=default.start, help="first driving frame, counted from 0")
    clip.add_argument(
        "--stride", type=int, default=default.stride, help="every which driving frame (trained on 1 to 4)"
    )
    clip.add_argument("--fps", type=float, help="of the result; default: the driver's / stride")
    clip.add_argument(
        "--fit", choices=get_args(FitMode), default=default.fit, help="default: %(default)s; the authors stretch"
    )
    clip.add_argument(
        "--align",
        choices=get_args(AlignMode),
        default=default.align,
        help="fit the motion to the body in the picture (EPI): every bone and the head as one (character), every "
        "bone (full), or the whole figure (similarity); default: off",
    )
    words = "with --align: without the parts (arms, legs, hands, ears ...) that the pose of the reference lacks"
    clip.add_argument("--drop-absent", action="store_true", help=words)
    clip.add_argument("--no-hands", dest="hands", action="store_false", help="do not draw hands")


def _add_sampling(run: argparse._ArgumentGroup) -> None:
    default = Settings()
    presets = "|".join(STEP_PRESETS)
    words = f"30 or 50 by name; {_default('steps')}"
    run.add_argument("--steps", type=_steps, metavar=f"N|{presets}", help=words)
    run.add_argument("--cfg", type=float, help=f"guidance; {_default('guidance')}")
    run.add_argument("--seed", type=int, default=default.seed, help="default: %(default)s")
    run.add_argument("--reference-mode", choices=get_args(ReferenceMode), default=default.reference_mode)
    run.add_argument("--ipi-source", choices=get_args(IPISource), help="default: the video when there is one")
    run.add_argument("--window", type=int, help="frames denoised together; default: all in one go")
    run.add_argument("--overlap", type=int, help="frames that windows share; default: a quarter of them, at most 8")
    run.add_argument(
        "--no-shared-noise", dest="shared_noise", action="store_false", help="windows start from noise of their own"
    )
    run.add_argument("--loop", action="store_true", help="join the end to the start")
    run.add_argument("--precision", choices=PRECISIONS, default="auto", help="auto: fp16 on a GPU, fp32 on a CPU")
    run.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps, xpu ...")


def _default(name: str) -> str:
    return f"default: {getattr(Settings(), name)}, of mini {getattr(included.MINI_SETTINGS, name)}"


def _steps(text: str) -> int:
    if text in STEP_PRESETS:
        return STEP_PRESETS[text]
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected a whole number, {' or '.join(STEP_PRESETS)}, got {text!r}"
        ) from None


def run_animate(options: argparse.Namespace) -> None:
    """Everything that can be wrong is looked for first, then picture and motion, sampling, the file."""
    options.model = included.model_path(options.model)
    _check_files(options)
    settings = _settings(options)
    from .video import check_video_output, write_video

    check_video_output(options.out, overwrite=options.overwrite)
    from . import pipeline  # waits for torch

    job = _job(options, settings)
    prepared = pipeline.prepare(job, _extractor(options, job.device))
    with progress_bar("denoising", "step", quiet=options.quiet) as advance:
        latents = pipeline.denoise(job, prepared, lambda done, total, _: advance(done, total))
    with closing(_counted(pipeline.decode(job, latents), len(latents), options.quiet)) as frames:
        write_video(
            options.out,
            frames,
            prepared.motion.fps,
            audio_from=job.video,
            audio_start=_audio_start(job),
            metadata=pipeline.metadata(job, prepared),
            overwrite=options.overwrite,
        )
    say(f"{options.out}: {len(latents)} frames, {prepared.motion.fps:g} fps")


def _check_files(options: argparse.Namespace) -> None:
    for name in INPUTS:
        path = getattr(options, name)
        if path is not None and not path.is_file():
            found = "expected a file, found a folder" if path.is_dir() else "no such file"
            raise FileNotFoundError(f"{path}: {found} (--{name.replace('_', '-')})")
    if (options.detector is None) != (options.pose_model is None):
        raise ValueError("--detector and --pose-model go together: DWPose needs both files")
    of_video = options.video is not None and options.poses is None
    needed = options.align != "off" or options.reference_mode != "released"
    of_picture = needed and options.reference_pose is None
    if options.detector is not None and not (of_video or of_picture):
        raise ValueError(
            "--detector and --pose-model read poses from --video, without --poses, and the picture's for --align and "
            "--reference-mode, without --reference-pose"
        )


def _audio_start(job: Job) -> float:
    from .video import open_video

    if job.video is None or job.settings.start == 0:
        return 0.0
    return job.settings.start / open_video(job.video, isolated=True).fps


def _settings(options: argparse.Namespace) -> Settings:
    given = {setting: getattr(options, flag) for flag, setting in MODELS_OWN.items()}
    return replace(
        included.settings_for(options.model), **{name: value for name, value in given.items() if value is not None},
        start=options.start, stride=options.stride, fps=options.fps, seed=options.seed, fit=options.fit,
        reference_mode=options.reference_mode, ipi_source=options.ipi_source, align=options.align,
        drop_absent=options.drop_absent, hands=options.hands, window=options.window, overlap=options.overlap,
        closed_loop=options.loop, shared_noise=options.shared_noise,
    )  # fmt: skip


def _job(options: argparse.Namespace, settings: Settings) -> Job:
    from .pipeline import Job

    device = choose_device(options.device)
    return Job(
        model=options.model, clip=options.clip or options.model, vae=options.vae or options.model,
        reference=options.image, video=options.video, poses=options.poses, reference_pose=options.reference_pose,
        settings=settings, device=device, dtype=choose_dtype(options.precision, device),
    )  # fmt: skip


def choose_device(name: str) -> str:
    """The device of that name, tried out; "auto" takes a GPU when there is one. Raises ValueError naming the cause."""
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # a driver that is not there is noticed here, not after loading
    except (RuntimeError, AssertionError, ImportError, ValueError) as error:
        raise ValueError(f"--device {name}: it cannot be used here: {first_line(error)}") from error
    return str(device)


def choose_dtype(precision: str, device: str) -> torch.dtype:
    """The dtype of a precision; "auto" is fp32 on a CPU, whatever its number, and fp16 elsewhere."""
    import torch

    by_name = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
    if precision == "auto":
        return torch.float32 if torch.device(device).type == "cpu" else torch.float16
    return by_name[precision]


def _extractor(options: argparse.Namespace, device: str) -> PoseExtractor | None:
    """DWPose, opened when poses have to be read from the video or the picture, and let go of after each."""
    if options.detector is None:
        return None

    def extract(frames: Iterable[np.ndarray], fps: float | None) -> PoseSequence:
        from .pose.dwpose import DWPose

        # The pose networks know no other kinds; elsewhere they take what they find.
        place = device if device.startswith(("cpu", "cuda")) else "auto"
        dwpose = DWPose.load(options.detector, options.pose_model, device=place)
        with progress_bar("poses", "frame", quiet=options.quiet) as advance:
            poses, report = dwpose.extract(frames, fps=fps, progress=advance)
        if fps is None and report.without_box:
            LOG.warning("%s: %s", options.image, UNSEEN)
        LOG.info("%s", report)
        return poses

    return extract


def _counted(frames: Iterator[np.ndarray], total: int, quiet: bool) -> Generator[np.ndarray, None, None]:
    with progress_bar("decoding", "frame", quiet=quiet) as advance:
        for done, frame in enumerate(frames, 1):
            yield frame
            advance(done, total)
