"""The command `animate-x-bench report`."""

from __future__ import annotations

import argparse
from pathlib import Path

from animatex_core.cli_output import progress_bar, say

from .write import ReportOptions, write_report


def add_report(parser: argparse.ArgumentParser) -> None:
    """Give the parser the command's flags."""
    default = ReportOptions
    parser.add_argument("results", type=Path, nargs="+", help="folders of runs, one setting each")
    parser.add_argument("--out", type=Path, required=True, help="the .html to write")
    parser.add_argument("--overwrite", action="store_true", help="replace the output when it is there")
    parser.add_argument("--title", default=default.title, help="default: %(default)s")
    words = "cases of each run with video, stills and plots: the worst ones; default: %(default)s"
    parser.add_argument("--pictures", type=int, default=default.pictures, metavar="N", help=words)
    words = "of a clip in the page, thinned out above; default: %(default)s"
    parser.add_argument("--frames", type=int, default=default.frames, help=words)
    words = "of all videos in the page together; default: %(default)g"
    parser.add_argument("--megabytes", type=float, default=default.megabytes, help=words)
    parser.add_argument("--fps", type=float, help="of the videos; default: the run's")
    words = "analysis.json of a user study to show as well; as often as needed"
    parser.add_argument("--study", type=Path, action="append", default=[], help=words)
    parser.set_defaults(run=run_report)


def run_report(options: argparse.Namespace) -> None:
    """Write the report, and say how large it is."""
    wish = ReportOptions(
        options.title, options.pictures, options.frames, options.megabytes, options.fps, tuple(options.study)
    )
    with progress_bar("cases", "case", quiet=getattr(options, "quiet", False)) as advance:
        write_report(options.results, options.out, wish, overwrite=options.overwrite, progress=advance)
    say(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB; open it in any browser")
