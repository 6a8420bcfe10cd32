"""The commands that run the benchmark: run, sweep, ablation."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from animatex_core.choices import FitMode, IPISource
from animatex_core.cli_output import progress_bar, say

if TYPE_CHECKING:  # the parser must not wait for torch
    from .methods import MethodSpec
    from .runner import Done, Request

_NETWORKS = {
    "lpips": "LPIPS weights (see docs/a2bench.md)",
    "inception": "pt_inception-2015-12-05 of pytorch-fid, for FID",
    "resnet3d": "resnet-50-kinetics.pth, for FID-VID",
    "i3d": "i3d_pretrained_400.pt, for FVD",
    "clip": "a CLIP image tower (.safetensors), for identity",
    "joints": "the mini keypoint network, for the joints of renders (training/assets/mini_keypoints.safetensors)",
}
_POSES = {
    "detector": "DWPose's person detector, for the pose error",
    "pose_model": "DWPose's pose network",
    "mediapipe": "interpreter of an environment with mediapipe==0.10.21, instead of DWPose",
}
# Options of a setting that are given as they are, and what they are.
_INPUTS: dict[str, tuple[Any, str]] = {
    "width": (int, "of the compared frames; default 512"),
    "height": (int, "default 768"),
    "frames": (int, "of every case, 0 for all; default 32, 96 for `long`"),
    "start": (int, "first frame of the driver, counted from 0"),
    "stride": (int, "every which frame of the driver"),
    "seed": (int, "draws anchors, drivers and omitted parts; default 0"),
    "pool": (str, "rescaled: a pose pool's index, a prepared folder, or a folder of OpenPose JSON"),
    "driver": (str, "cross: the case that drives all others; default: one is drawn for each"),
    "align": (str, "cross, rescaled: off, similarity, full or character; cross: truth, as if it were perfect"),
    "omit_share": (float, "omitted: share of the frames, in a row; default 1"),
}


def add_run(parser: argparse.ArgumentParser) -> None:
    """Flags of `run`."""
    kinds = "a model (`mini`: the included one), a folder of results, a workflow, or oracle:KIND"
    words = f"NAME=PATH[,option=value...]; PATH is {kinds}; as often as needed"
    parser.add_argument("--method", dest="methods", action="append", default=[], metavar="NAME=PATH", help=words)
    _add_common(parser)
    parser.set_defaults(run=_run)


def add_sweep(parser: argparse.ArgumentParser) -> None:
    """Flags of `sweep`."""
    parser.add_argument("--checkpoint", required=True, metavar="PATH[,option=value...]", help="a model, as in --method")
    parser.add_argument("--values", default="0,0.2,0.4,0.6,0.8,1", help="weights alpha; default: %(default)s")
    _add_common(parser)
    parser.set_defaults(run=_sweep)


def add_ablation(parser: argparse.ArgumentParser) -> None:
    """Flags of `ablation`."""
    parser.add_argument("table", type=int, choices=(4, 5, 6), help="of the paper")
    words = "folder of models named after the rows (see docs/a2bench.md); a row without one is `not run`"
    parser.add_argument("--checkpoints", type=Path, required=True, help=words)
    parser.add_argument("--sampling", default="", metavar="option=value,...", help="options of every model")
    _add_common(parser)
    parser.set_defaults(run=_ablation)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="SET", help="the set")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--cases", default="", help="names with commas between; default: all that are scored")
    inputs = parser.add_argument_group("setting")
    words = "self, rescaled, cross, omitted, long, or a protocol (tiktok-335-340, fashion, ...); default: %(default)s"
    inputs.add_argument("--setting", default="self", help=words)
    for name, (kind, words) in _INPUTS.items():
        inputs.add_argument(f"--{name.replace('_', '-')}", type=kind, help=words)
    inputs.add_argument("--fit", choices=get_args(FitMode), help="default stretch, as the authors do")
    inputs.add_argument("--ipi", choices=get_args(IPISource), help="what the IPI reads; default video, the driver's")
    inputs.add_argument("--omit", help="omitted: parts with commas between; default: one is drawn for each case")
    words = "with --align: without the parts (arms, legs, hands ...) that the pose of the picture lacks"
    inputs.add_argument("--drop-absent", action="store_true", default=None, help=words)
    inputs.add_argument("--no-hands", dest="hands", action="store_false", default=None, help="do not draw hands")
    inputs.add_argument("--skip-first", action="store_true", default=None, help="do not compare the first frame")
    _add_metrics(parser.add_argument_group("metrics"))
    work = parser.add_argument_group("work")
    work.add_argument("--shard", default="1/1", help="I/N: every N-th case, from the I-th on")
    work.add_argument("--ray", metavar="ADDRESS", help="a Ray cluster that shares the folders; auto or local")
    work.add_argument("--ray-workers", type=int, default=0, help="shards at a time; default: one a GPU")


def _add_metrics(metrics: argparse._ArgumentGroup) -> None:
    for name, words in (_NETWORKS | _POSES).items():
        metrics.add_argument(f"--{name.replace('_', '-')}", type=Path, help=words)
    metrics.add_argument("--no-proxy", action="store_true", help="leave the stand-ins for missing networks out")
    metrics.add_argument("--metrics", default="", help="names with commas between; default: all that can be had")
    metrics.add_argument("--no-mask", action="store_true", help="leave silhouettes out")
    metrics.add_argument("--device", default="cpu", help="of the metrics' networks; default: %(default)s")


def _request(options: argparse.Namespace, methods: tuple[MethodSpec, ...]) -> Request:
    from .runner import Request
    from .settings import choose

    names = (*_INPUTS, "fit", "ipi", "hands", "drop_absent", "skip_first")
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    if options.omit:
        given["omit"] = tuple(options.omit.split(","))
    chosen, note = choose(options.setting, given)
    files = {name: str(path) for name in (*_NETWORKS, *_POSES) if (path := getattr(options, name)) is not None}
    files |= {"device": options.device} | ({"proxy": None} if options.no_proxy else {})
    metrics: dict[str, Any] = {"mask": not options.no_mask}
    if options.metrics:
        metrics["only"] = options.metrics.split(",")
    cases = tuple(name for name in options.cases.split(",") if name)
    return Request(
        folder=options.folder, out=options.out, setting=options.setting, options=chosen, note=note, methods=methods,
        cases=cases, backbones=files, metrics=metrics,
    )  # fmt: skip


def _execute(options: argparse.Namespace, request: Request) -> Done:
    from .ray_shards import run_by_ray, shard_of
    from .runner import run

    with progress_bar("cases", "case", quiet=options.quiet) as advance:

        def tell(done: int, total: int, words: str) -> None:
            advance(done, total, words)

        if options.ray:
            done = run_by_ray(request, options.ray, options.ray_workers, tell)
        else:
            done = run(request, shard_of(options.shard), tell)
    told = f"{done.made} clips made, {done.scored} scored, {done.reused} found done"
    told += f"; complete: {', '.join(done.complete) or 'no method yet'}"
    say(f"{options.out}: {done.cases} cases; {told if request.methods else 'their inputs are there'}")
    return done


def _run(options: argparse.Namespace) -> None:
    from .methods import parse_method
    from .sweeps import as_text, method_table

    methods = tuple(parse_method(text) for text in options.methods)
    done = _execute(options, _request(options, methods))
    if done.complete:
        say(as_text(method_table(options.out, done.complete), turned=True))
    elif not methods:
        say(f"{options.out}/cases: the inputs of methods that run elsewhere; give their results with --method")


def _sweep(options: argparse.Namespace) -> None:
    from .methods import parse_method
    from .sweeps import alpha_specs, as_text, write_curve

    base = parse_method(f"alpha={options.checkpoint}")
    values = [_number(text) for text in options.values.split(",")]
    specs = alpha_specs(base, values)
    done = _execute(options, _request(options, specs))
    if len(done.complete) == len(specs):
        say(as_text(write_curve(options.out, "alpha", {spec.name: v for spec, v in zip(specs, values, strict=True)})))


def _ablation(options: argparse.Namespace) -> None:
    from .sweeps import as_text, found_rows, write_table

    specs, rows = found_rows(options.table, options.checkpoints, options.sampling)
    request = _request(options, tuple(specs))
    done = _execute(options, request)
    say(as_text(write_table(options.out, options.table, rows, done.complete)))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"--values: expected numbers with commas between, got {text!r}") from None
