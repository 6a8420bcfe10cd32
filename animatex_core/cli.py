"""The command line: animate-x animate | pose | convert | inspect | export | demo."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, get_args

if TYPE_CHECKING:  # commands import what they need: `animate-x --help` must not wait for torch
    import numpy as np
    import torch

    from .motion import PoseExtractor
    from .pipeline import Job
    from .pose.keypoints import PoseSequence
    from .settings import Settings

LOG = logging.getLogger(__name__)
PRECISIONS = ("auto", "fp16", "bf16", "fp32")


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit code: 0, 1 for an error said in one message, 130 when interrupted."""
    options = _parser().parse_args(arguments)
    _set_up_log(options.quiet)
    try:
        options.run(options)
    except KeyboardInterrupt:
        return _fail("interrupted; nothing was written", 130)
    except (ValueError, ArithmeticError, OSError, ImportError, MemoryError) as error:
        return _fail(str(error) or type(error).__name__)
    except RuntimeError as error:  # of the device: out of memory, a driver that is not there
        return _fail(f"{type(error).__name__}: {str(error).splitlines()[0]}")
    return 0


def _fail(message: str, code: int = 1) -> int:
    sys.stderr.write(f"animate-x: {message}\n")
    return code


def say(text: str) -> None:
    """The one place that writes results for people."""
    sys.stdout.write(text + "\n")


def _set_up_log(quiet: bool) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    for name in ("animatex_core", "animatex_training"):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(logging.WARNING if quiet else logging.INFO)


def _parser() -> argparse.ArgumentParser:
    from .cli_pose import add_pose

    parser = argparse.ArgumentParser(
        prog="animate-x", description="One picture of any character, one motion, one clip."
    )
    parser.add_argument("--quiet", action="store_true", help="warnings and errors only")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_animate(commands.add_parser("animate", help="animate a picture"))
    add_pose(commands.add_parser("pose", help="a video -> its poses (OpenPose JSON)"), say)
    _add_convert(commands.add_parser("convert", help="released weights (.pth, .ckpt, .bin) -> one .safetensors"))
    inspect = commands.add_parser("inspect", help="say what a weights file is, and what it lacks")
    inspect.add_argument("file", type=Path, nargs="+")
    inspect.set_defaults(run=_inspect)
    export = commands.add_parser("export", help="our .safetensors -> the released names and shapes")
    export.add_argument("file", type=Path)
    export.add_argument("--out", type=Path, required=True)
    export.set_defaults(run=_export)
    demo = commands.add_parser("demo", help="the complete job with a small network of random weights")
    demo.add_argument(
        "--out", type=Path, default=Path("output/demo"), help="folder for the video and the contact sheet"
    )
    demo.set_defaults(run=_demo)
    return parser


def _add_animate(parser: argparse.ArgumentParser) -> None:
    from .choices import FitMode, IPISource, ReferenceMode
    from .settings import Settings

    default = Settings()
    files = parser.add_argument_group("files")
    files.add_argument("--model", type=Path, required=True, help="converted model (.safetensors)")
    files.add_argument("--clip", type=Path, help="CLIP ViT-H image tower; default: bundled in the model")
    files.add_argument("--vae", type=Path, help="SD 1.x or 2.x VAE; default: bundled in the model")
    files.add_argument("--image", type=Path, required=True, help="picture of the character")
    files.add_argument("--video", type=Path, help="driving video")
    files.add_argument(
        "--poses", type=Path, help="driving poses (OpenPose JSON) instead of reading them from the video"
    )
    files.add_argument("--reference-pose", type=Path, help="pose of the picture (OpenPose JSON)")
    files.add_argument("--detector", type=Path, help="DWPose person detector (yolox_l), to read poses from --video")
    files.add_argument("--pose-model", type=Path, help="DWPose pose network (dw-ll_ucoco_384)")
    files.add_argument("--out", type=Path, required=True, help=".mp4, .webm, .gif, or a folder for PNGs")
    files.add_argument("--overwrite", action="store_true", help="replace the output when it is there")
    clip = parser.add_argument_group("clip")
    clip.add_argument("--width", type=int, default=default.width)
    clip.add_argument("--height", type=int, default=default.height)
    clip.add_argument("--frames", type=int, default=default.frames)
    clip.add_argument("--start", type=int, default=default.start, help="first driving frame")
    clip.add_argument(
        "--stride", type=int, default=default.stride, help="every which driving frame (trained on 1 to 4)"
    )
    clip.add_argument("--fps", type=float, help="of the result; default: the driver's / stride")
    clip.add_argument("--fit", choices=get_args(FitMode), default=default.fit, help="stretch is what the authors do")
    clip.add_argument("--no-hands", dest="hands", action="store_false", help="do not draw hands")
    run = parser.add_argument_group("sampling")
    run.add_argument("--steps", type=_steps, default=default.steps, metavar="N|released|paper", help="30 or 50 by name")
    run.add_argument("--cfg", type=float, default=default.guidance)
    run.add_argument("--seed", type=int, default=default.seed)
    run.add_argument("--reference-mode", choices=get_args(ReferenceMode), default=default.reference_mode)
    run.add_argument("--ipi-source", choices=get_args(IPISource), help="default: the video when there is one")
    run.add_argument("--window", type=int, help="frames denoised together; default: all in one go")
    run.add_argument("--overlap", type=int, help="frames that windows share; default: 8 of 32")
    run.add_argument(
        "--no-shared-noise", dest="shared_noise", action="store_false", help="windows start from noise of their own"
    )
    run.add_argument("--loop", action="store_true", help="join the end to the start")
    run.add_argument("--precision", choices=PRECISIONS, default="auto", help="auto: fp16 on a GPU, fp32 on a CPU")
    run.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps, xpu ...")
    parser.set_defaults(run=_animate)


def _steps(text: str) -> int:
    from .choices import STEP_PRESETS

    return STEP_PRESETS[text] if text in STEP_PRESETS else int(text)


def _add_convert(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, required=True, help="animate-x_ckpt.pth or a UniAnimate checkpoint")
    parser.add_argument("--out", type=Path, required=True, help="the .safetensors to write")
    parser.add_argument("--text", type=Path, help="file with the OpenCLIP ViT-H text tower, for the empty prompt")
    parser.add_argument("--vae", type=Path, help="bundle this SD 1.x or 2.x VAE")
    parser.add_argument("--clip", type=Path, help="bundle this CLIP ViT-H image tower")
    parser.add_argument("--dtype", choices=("fp16", "bf16", "fp32"), default="fp16")
    parser.add_argument("--drop-unexpected", action="store_true", help="leave out tensors without a place")
    parser.add_argument("--overwrite", action="store_true", help="replace the output when it is there")
    parser.set_defaults(run=_convert)


def _animate(options: argparse.Namespace) -> None:
    from . import pipeline
    from .video import check_video_output, write_video

    check_video_output(options.out, overwrite=options.overwrite)
    job = _job(options, _settings(options))
    extract = _extractor(options, job)
    prepared = pipeline.prepare(job, extract)
    latents = pipeline.denoise(job, prepared, _progress_bar())
    frames = _counted(pipeline.decode(job, latents), len(latents))
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


def _audio_start(job: Job) -> float:
    from .video import open_video

    if job.video is None or job.settings.start == 0:
        return 0.0
    return job.settings.start / open_video(job.video).fps


def _settings(options: argparse.Namespace) -> Settings:
    from .settings import Settings

    return Settings(
        width=options.width, height=options.height, frames=options.frames, start=options.start, stride=options.stride,
        fps=options.fps, steps=options.steps, guidance=options.cfg, seed=options.seed, fit=options.fit,
        reference_mode=options.reference_mode, ipi_source=options.ipi_source, hands=options.hands,
        window=options.window, overlap=options.overlap, closed_loop=options.loop,
        shared_noise=options.shared_noise,
    )  # fmt: skip


def _job(options: argparse.Namespace, settings: Settings) -> Job:
    """Files checked for being there and for what they are, before anything large is read."""
    from .identify import identify
    from .pipeline import Job

    for path in (options.model, options.clip, options.vae, options.image, options.video, options.poses):
        if path is not None and not path.exists():
            raise FileNotFoundError(f"{path}: no such file")
    report = identify(options.model, pickles=False)
    if not report.loadable:
        raise ValueError("\n".join(report.lines()))
    for flag, part, what in (("clip", "clip_vision", "CLIP image tower"), ("vae", "vae", "VAE")):
        if getattr(options, flag) is None and part not in report.bundled:
            raise ValueError(f"{options.model} has no {what} bundled: give its file with --{flag}")
    device = _device(options.device)
    return Job(
        model=options.model, clip=options.clip or options.model, vae=options.vae or options.model,
        reference=options.image, video=options.video, poses=options.poses, reference_pose=options.reference_pose,
        settings=settings, device=device, dtype=_dtype(options.precision, device),
    )  # fmt: skip


def _device(name: str) -> str:
    import torch

    if name != "auto":
        return str(torch.device(name))
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _dtype(precision: str, device: str) -> torch.dtype:
    import torch

    by_name = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
    if precision == "auto":
        return torch.float32 if device == "cpu" else torch.float16
    return by_name[precision]


def _extractor(options: argparse.Namespace, job: Job) -> PoseExtractor | None:
    """DWPose, when poses have to be read from the video and its files are given."""
    if job.poses is not None or options.detector is None or options.pose_model is None:
        return None
    from .pose.dwpose import DWPose

    dwpose = DWPose.load(options.detector, options.pose_model, device=job.device)

    def extract(frames: list[np.ndarray], fps: float) -> PoseSequence:
        poses, report = dwpose.extract(frames, fps=fps)
        LOG.info("%s", report)
        return poses

    return extract


def _progress_bar() -> Callable[[int, int, object], None]:
    from tqdm import tqdm

    bar = tqdm(desc="denoising", unit="step", delay=1e-9)  # shown from the first step on

    def on_step(done: int, total: int, _: object) -> None:
        bar.total = total
        bar.update(done - bar.n)
        if done == total:
            bar.close()

    return on_step


def _counted(frames: Iterator[np.ndarray], total: int) -> Iterator[np.ndarray]:
    from tqdm import tqdm

    return iter(tqdm(frames, desc="decoding", unit="frame", total=total))


def _convert(options: argparse.Namespace) -> None:
    from tqdm import tqdm

    from .atomic_file import check_output
    from .convert import convert

    check_output(options.out, overwrite=options.overwrite)
    with tqdm(desc="converting", unit="B", unit_scale=True, unit_divisor=1024) as bar:

        def progress(what: str, done: int, total: int) -> None:
            bar.set_description(what)
            bar.total = total
            bar.update(done - bar.n)

        report = convert(
            options.model,
            options.out,
            text=options.text,
            vae=options.vae,
            clip=options.clip,
            dtype=options.dtype,
            drop_unexpected=options.drop_unexpected,
            progress=progress,
        )
    say("\n".join(report.lines()))


def _inspect(options: argparse.Namespace) -> None:
    from .identify import identify

    for path in options.file:
        say("\n".join(identify(path).lines()))


def _export(options: argparse.Namespace) -> None:
    from .convert import export

    export(options.file, options.out)
    say(f"{options.out}: written under the released names")


def _demo(options: argparse.Namespace) -> None:
    import torch

    from .demo import demo

    torch.set_num_threads(1)  # its layers are too small to share; on a busy machine threads would wait for each other
    for line in demo(options.out, _progress_bar()):
        say(line)


if __name__ == "__main__":
    sys.exit(main())
