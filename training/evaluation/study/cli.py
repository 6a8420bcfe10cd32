"""The commands `animate-x-bench study make | analyse`."""

from __future__ import annotations

import argparse
from itertools import combinations
from pathlib import Path

from animatex_core.atomic_file import check_output
from animatex_core.cli_output import progress_bar, say
from animatex_core.pose.strict_json import write_json

from .analysis import Rules, analyse
from .design import read_key
from .make import ANSWERS, KEY, PAGE, StudyOptions, make_study
from .tables import as_text

_SECONDS = 20  # a pair, for the estimate; the paper says nothing


def add_study(parser: argparse.ArgumentParser, common: argparse.ArgumentParser | None = None) -> None:
    """Give the parser the two commands. common: flags that both take as well."""
    commands = parser.add_subparsers(required=True, metavar="make | analyse")
    parents = [] if common is None else [common]
    words = "a run -> a page for raters, and a key"
    _add_make(commands.add_parser("make", help=words, description=words, parents=parents))
    words = "answer files -> win rates and Bradley-Terry scores"
    _add_analyse(commands.add_parser("analyse", help=words, description=words, parents=parents))


def _add_make(parser: argparse.ArgumentParser) -> None:
    default = StudyOptions
    parser.add_argument("results", type=Path, help="folder of a run, one setting")
    parser.add_argument("folder", type=Path, help="the study, written new: page/ for the raters, key.json for you")
    parser.add_argument("--method", action="append", default=[], help="as often as needed; default: all of the run")
    parser.add_argument("--case", action="append", default=[], help="as often as needed; default: all of the run")
    parser.add_argument("--draw", type=int, default=0, metavar="N", help="N cases at random; the paper has 10")
    words = "cases of every pair of methods that one rater sees; default: all. 1: every rater sees every pair once"
    parser.add_argument("--cases-per-pair", type=int, default=0, metavar="N", help=words)
    parser.add_argument("--checks", type=int, default=default.checks, help="attention checks; default: %(default)s")
    parser.add_argument("--rater", action="append", default=[], help="a name that may take part; default: any name")
    parser.add_argument("--seed", type=int, default=0, help="of --draw")
    parser.add_argument("--fps", type=float, help="of the clips; default: the run's")
    parser.add_argument("--title", default=default.title)
    parser.set_defaults(run=run_make)


def _add_analyse(parser: argparse.ArgumentParser) -> None:
    default = Rules
    parser.add_argument("folder", type=Path, help="the study, with key.json")
    parser.add_argument("answers", type=Path, nargs="*", help="files or folders; default: answers/ of the study")
    parser.add_argument("--out", type=Path, help="a .json to write; default: analysis.json of the study")
    words = "share of a rater's attention questions that must be right; default: %(default)s"
    parser.add_argument("--least-passed", type=float, default=default.least_passed, help=words)
    parser.add_argument("--unfinished", action="store_true", help="take the answers of those who stopped, too")
    parser.add_argument("--resamples", type=int, default=default.resamples, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=default.seed, help="of the resampling")
    words = (
        "wins and losses added to every method, so that one that always wins has a finite score; default: %(default)s"
    )
    parser.add_argument("--prior", type=float, default=default.prior, help=words)
    parser.set_defaults(run=run_analyse)


def run_make(options: argparse.Namespace) -> None:
    """Make a study, and say how much it asks of a rater."""
    check_output(options.folder)
    wish = StudyOptions(
        methods=tuple(options.method), cases=tuple(options.case), draw=options.draw, checks=options.checks,
        cases_per_pair=options.cases_per_pair, raters=tuple(options.rater), seed=options.seed, fps=options.fps,
        title=options.title,
    )  # fmt: skip
    with progress_bar("clips", "clip", quiet=getattr(options, "quiet", False)) as advance:
        study = make_study(options.results, options.folder, wish, progress=advance)
    pairs, screens = len(list(combinations(study.methods, 2))), len(study.forms[0])
    say(f"{options.folder}: methods: {len(study.methods)}, pairs of them: {pairs}, cases: {len(study.cases)}")
    say(f"pairs of clips that a rater judges: {screens}, some {max(1, round(screens * _SECONDS / 60))} min")
    say(f"give the whole folder {options.folder / PAGE} to the raters; {KEY} stays with you")
    say(f"put the files that come back into {options.folder / ANSWERS}")


def run_analyse(options: argparse.Namespace) -> None:
    """Analyse, print the tables and write them as JSON."""
    study = read_key(options.folder / KEY)
    rules = Rules(options.least_passed, options.unfinished, options.resamples, options.seed, options.prior)
    files = _files(options.answers or [options.folder / ANSWERS])
    analysis = analyse(study, files, rules)
    out = options.out or options.folder / "analysis.json"
    write_json(out, analysis.record())
    say(as_text(analysis))
    say(f"{out}: written")


def _files(given: list[Path]) -> list[Path]:
    found = [path for one in given for path in (sorted(one.glob("*.json")) if one.is_dir() else [one])]
    if not found:
        raise ValueError(f"{', '.join(map(str, given))}: no answer files (.json)")
    return found
