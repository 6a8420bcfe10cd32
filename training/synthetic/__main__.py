"""The command: python -m animatex_training.synthetic clips | benchmark | stills."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from animatex_core.cli_output import fail, progress_bar, say

if TYPE_CHECKING:
    from .motion import Motion


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except (ValueError, OSError, ImportError, RuntimeError) as error:
        return fail(str(error), 1)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m animatex_training.synthetic", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, run, words in (
        ("clips", _clips, "humans in motion, to train on; read by animate-x-train prepare OUT/manifest.jsonl"),
        ("benchmark", _benchmark, "the held-out mini benchmark: 20 characters x 6 motions"),
        ("stills", _stills, "single pictures (.npz), to train the mini VAE on"),
    ):
        command = commands.add_parser(name, help=words, description=words)
        command.set_defaults(run=run)
        command.add_argument("out", type=Path)
        words = "folder of recordings (*.bvh, humanoid3d_*.txt); as often as needed"
        command.add_argument("--motions", type=Path, action="append", default=[], help=words)
        command.add_argument("--cache", type=Path, help="folder of the body model (0.8 GB, made once)")
        if name != "benchmark":
            command.add_argument("--seed", type=int, default=0, help="another one gives others; default: 0")
        else:
            words = "other clothes on the drivers, for the leak test; default: 0, their own"
            command.add_argument("--clothes", type=int, default=0, help=words)
        if name == "clips":
            command.add_argument("--bodies", type=int, default=60, help="humans; default: %(default)s")
            command.add_argument("--each", type=int, default=10, help="clips of each; default: %(default)s")
            words = (
                "share of others than mascots with proportions as the EPI's rescaling has them; default: %(default)s"
            )
            command.add_argument("--rescaled", type=float, default=0.75, help=words)
            words = "share of others than mascots that wears a costume; default: %(default)s"
            command.add_argument("--dressed-up", type=float, default=0.0, help=words)
            words = "share of all that is in the costume of a mascot; default: %(default)s"
            command.add_argument("--mascots", type=float, default=0.0, help=words)
        if name != "benchmark":
            words = "share of motions made of several recordings and changed at random; default: %(default)s"
            command.add_argument("--varied", type=float, default=0.0, help=words)
        if name == "stills":
            command.add_argument("--count", type=int, default=3200, help="default: %(default)s")
            command.add_argument("--figures", type=float, default=0.45, help="share that is no human")
            command.add_argument("--held-out", action="store_true", help="in the motions of the benchmark")
    return parser


def _clips(options: argparse.Namespace) -> None:
    recordings = _recordings(options, held_out=False)
    from .training_clips import write_clips

    with progress_bar("humans", "human", quiet=False) as advance:
        manifest = write_clips(
            options.out, recordings, bodies=options.bodies, each=options.each, seed=options.seed,
            rescaled=options.rescaled, dressed_up=options.dressed_up, mascots=options.mascots, varied=options.varied,
            lenders=_lenders(options, recordings) if options.varied else None, progress=advance,
        )  # fmt: skip
    say(f"{manifest}: {options.bodies * options.each} clips")


def _lenders(options: argparse.Namespace, recordings: Mapping[str, Motion]) -> dict[str, Motion]:
    from .cast import LENDING_MOTIONS
    from .sources import load_motions

    return {**recordings, **load_motions(LENDING_MOTIONS, options.motions)}


def _benchmark(options: argparse.Namespace) -> None:
    recordings = _recordings(options, held_out=True)
    from .benchmark import write_benchmark

    say(f"{options.out}: {len(write_benchmark(options.out, recordings, clothes=options.clothes))} cases")


def _stills(options: argparse.Namespace) -> None:
    recordings = _recordings(options, held_out=options.held_out)
    from .stills import make_stills, save_stills

    lenders = list(_lenders(options, recordings).values()) if options.varied else []
    stills = make_stills(
        options.count, list(recordings.values()), seed=options.seed, figures=options.figures, varied=options.varied,
        lenders=lenders,
    )  # fmt: skip
    save_stills(options.out, stills)
    say(f"{options.out}: {len(stills.pictures)} pictures")


def _recordings(options: argparse.Namespace, *, held_out: bool):  # noqa: ANN202
    if options.cache:
        os.environ["ANNY_CACHE_DIR"] = str(options.cache)
    from .cast import TRAINING_MOTIONS
    from .held_out import MOTIONS
    from .sources import load_motions

    names = sorted({source for source, _ in MOTIONS.values()}) if held_out else TRAINING_MOTIONS
    return load_motions(names, options.motions)


if __name__ == "__main__":
    sys.exit(main())
