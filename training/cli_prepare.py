"""The command `animate-x-train prepare`: videos -> a data set."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import get_args

from animatex_core.choices import FitMode
from animatex_core.cli_output import progress_bar, say
from animatex_core.convert import DTYPES

from .prepare import prepare
from .prepare_settings import PoseBackend, PrepareSettings, Store
from .sources import Source, find_sources

ASSETS = Path(__file__).parent / "assets"
LAYOUTS = ("auto", "folder", "manifest", "tiktok", "ubc-fashion")
_MINI = {"clip": ASSETS / "mini_vision.safetensors", "vae": ASSETS / "mini_vae.safetensors"}
LOG = logging.getLogger(__name__)


def add_prepare(parser: argparse.ArgumentParser) -> None:
    """Give the parser the command's flags."""
    default = PrepareSettings
    parser.add_argument("videos", type=Path, help="a folder of videos, or a manifest (.jsonl, .csv)")
    parser.add_argument("folder", type=Path, help="where the data set is written; started again, it goes on")
    parser.add_argument("--layout", choices=LAYOUTS, default="auto")
    for name, what in (
        ("source", "where the videos are from"),
        ("licence", "what they may be used for"),
        ("consent", "whether those in them agreed"),
    ):
        parser.add_argument(f"--{name}", default="", help=f"{what}; kept with every clip that has none of its own")
    clips = parser.add_argument_group("clips")
    clips.add_argument("--size", type=_size, nargs="+", default=default.sizes, metavar="WxH", help="multiples of 8")
    clips.add_argument("--fit", choices=get_args(FitMode), default=default.fit)
    clips.add_argument("--shortest", type=int, default=default.shortest, help="frames; default: %(default)s")
    clips.add_argument("--longest", type=int, default=default.longest, help="frames; default: %(default)s")
    clips.add_argument("--most-fps", type=float, default=default.most_fps, help="thin out above; default: %(default)s")
    clips.add_argument("--people", type=float, default=default.people, help="least share of frames with a person")
    clips.add_argument("--cut", type=float, default=default.cut, help="change that is a cut; 0: no shots are sought")
    clips.add_argument("--references", type=int, default=default.references, help="pictures kept of a clip")
    clips.add_argument("--store", choices=get_args(Store), default=default.store)
    networks = parser.add_argument_group("networks")
    networks.add_argument("--clip", type=Path, help="CLIP ViT-H image tower")
    networks.add_argument("--vae", type=Path, help="SD 1.x or 2.x VAE")
    networks.add_argument(
        "--vae-dtype",
        choices=tuple(DTYPES),
        default=default.vae_dtype,
        help="of latents (there are none with --store frames): bf16 is quicker where the machine multiplies in it, "
        "fp16 on GPUs; default: %(default)s",
    )
    networks.add_argument("--mini", action="store_true", help="the small tower and VAE that come along, for trying out")
    networks.add_argument("--pose", choices=get_args(PoseBackend), default=default.pose)
    networks.add_argument("--detector", type=Path, help="DWPose person detector (yolox_l)")
    networks.add_argument("--pose-model", type=Path, help="DWPose pose network (dw-ll_ucoco_384)")
    networks.add_argument("--python", type=Path, help="interpreter of an environment with mediapipe==0.10.21")
    networks.add_argument("--device", default=default.device)
    work = parser.add_argument_group("work")
    work.add_argument("--workers", type=int, default=1, help="processes on this machine; default: %(default)s")
    work.add_argument("--ray", metavar="ADDRESS", help="a Ray cluster instead (auto, local, or its address)")
    work.add_argument("--most-bad", type=float, default=0.25, help="share of videos without a clip that is accepted")
    parser.set_defaults(run=run_prepare)


def run_prepare(options: argparse.Namespace) -> None:
    """Prepare, and say what came of it."""
    terms = Source(video=options.videos, source=options.source, licence=options.licence, consent=options.consent)
    settings = _settings(options)
    sources = find_sources(options.videos, options.layout, terms)
    with progress_bar("videos", "video", quiet=getattr(options, "quiet", False)) as advance:
        done = prepare(
            sources, options.folder, settings,
            workers=options.workers, ray=options.ray, most_bad=options.most_bad, progress=advance,
        )  # fmt: skip
    counted = f"{len(done.index.clips)} clips of {done.videos} videos"
    say(f"{options.folder}: {counted}; {done.reused} videos were done already, {done.duplicates} are copies of others")
    for video, reason in done.index.skipped:
        say(f"skipped {video}: {reason}")
    say(f"look at {options.folder / 'overview.png'} and {options.folder / 'statistics.json'}")


def _settings(options: argparse.Namespace) -> PrepareSettings:
    if options.mini:
        strange = [f"--{name}" for name in _MINI if getattr(options, name) is not None]
        if strange:
            raise ValueError(f"{', '.join(strange)}: not together with --mini")
        LOG.warning("--mini: a model trained on this data set works with these small networks alone")
    networks = _MINI if options.mini else {"clip": options.clip, "vae": options.vae}
    return PrepareSettings(
        sizes=tuple(options.size), fit=options.fit, shortest=options.shortest, longest=options.longest,
        most_fps=options.most_fps, people=options.people, references=options.references, pose=options.pose,
        store=options.store, cut=options.cut, clip=networks["clip"], vae=networks["vae"], detector=options.detector,
        pose_model=options.pose_model, vae_dtype=options.vae_dtype, python=options.python, device=options.device,
    )  # fmt: skip


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise argparse.ArgumentTypeError(f"expected WIDTHxHEIGHT, got {text!r}")
    return int(width), int(height)
