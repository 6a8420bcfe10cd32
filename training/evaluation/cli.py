"""The command line of the benchmark: animate-x-bench validate | run | sweep | ablation | report | study | build."""

from __future__ import annotations

import argparse
from pathlib import Path

# Commands import what they need when they run: no --help waits for torch.
from animatex_core.cli_output import fail, first_line, progress_bar, say, set_up_log

from .cli_build import add_build
from .cli_run import add_ablation, add_run, add_sweep
from .report.cli import add_report
from .study.cli import add_study


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit code: 0, 1 for an error, 130 when interrupted."""
    try:
        options = _parser().parse_args(arguments)
        set_up_log(options.quiet)
        return options.run(options) or 0
    except KeyboardInterrupt:
        return fail("interrupted; what is done stays, and the same command goes on", 130)
    except (ValueError, ArithmeticError, OSError, ImportError, MemoryError) as error:
        return fail(str(error) or type(error).__name__, 1)
    except RuntimeError as error:  # of the device or of another process
        return fail(f"{type(error).__name__}: {first_line(error)}", 1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="animate-x-bench", description="A2Bench: evaluation of character animation.")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--quiet", action="store_true", help="warnings and errors only, no progress bars")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, words: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=words, description=words, parents=[common])

    _add_validate(command("validate", "everything that is wrong with a set, by case and field"))
    add_run(command("run", "measure methods on a set; started again, it goes on"))
    add_sweep(command("sweep", "one checkpoint at several weights alpha of its IPI (figure 13)"))
    add_ablation(command("ablation", "the rows of table 4, 5 or 6 from the checkpoints that are there"))
    add_report(command("report", "one page of tables, videos and plots from runs"))
    add_study(commands.add_parser("study", help="a blind page for raters, and what their answers say"), common)
    add_build(commands.add_parser("build", help="make a set of your own"), common)
    return parser


def _add_validate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="the set")
    parser.set_defaults(run=_validate)


def _validate(options: argparse.Namespace) -> int:
    from .cases import open_set, validate

    with progress_bar("cases", "case", quiet=options.quiet) as advance:
        faults = validate(options.folder, advance)
    for fault in faults:
        say(str(fault))
    if faults:
        return fail(f"{options.folder}: {len(faults)} faults", 1)
    found = open_set(options.folder)
    say(f"{options.folder}: {found.name} {found.version}: {len(found.cases)} cases, {len(found.scored)} of them scored")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
