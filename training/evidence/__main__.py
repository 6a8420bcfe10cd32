"""Commands: python -m animatex_training.evidence record | bars | leak | driven | parts | compare | tables | sheet."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

# Commands import what they need when they run: no --help waits for torch.
from animatex_core.cli_output import fail, say


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit code: 1 for an error, and where a bar or the leak test is not passed."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options) or 0
    except (ValueError, OSError, ImportError) as error:
        return fail(str(error), 1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m animatex_training.evidence", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run, words: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=words, description=words)
        made.set_defaults(run=run)
        return made

    def of_run(name: str, run, words: str) -> argparse.ArgumentParser:
        made = command(name, run, words)
        made.add_argument("folder", type=Path, metavar="RUN")
        made.add_argument("--set", type=Path, required=True, help="the synthetic set that was run")
        return made

    one = of_run("record", _record, "a run on the synthetic set as a small file")
    one.add_argument("--out", type=Path, required=True, help="the .json to write")
    one.add_argument("--methods", default="", help="names with commas between; default: all that are complete")
    one.add_argument("--cases", default="", help="names with commas between; default: all of the run")
    one = command("bars", _bars, "whether a model passes the bars, in all and by group")
    one.add_argument("record", type=Path)
    one.add_argument("--method", default="mini", help="default: %(default)s")
    one.add_argument("--oracles", type=Path, help="record with still, warp and wrong; default: the same one")
    one.add_argument("--leak", type=Path, help="record of the leak test")
    one = command("leak", _leak, "whether results move when the driver's clothes change colour")
    one.add_argument("runs", type=Path, nargs=2, metavar="RUN", help="of the set, and of that with other clothes")
    one.add_argument("--sets", type=Path, nargs=2, required=True, help="the two sets, in the same order")
    one.add_argument("--method", default="mini", help="default: %(default)s")
    one.add_argument("--out", type=Path, help="the .json to write")
    one = command("driven", _driven, "how far the aligned pose, which a model is asked for, is from the true one")
    one.add_argument("set", type=Path, metavar="SET")
    words = "how the pose is aligned; default: %(default)s"
    one.add_argument("--mode", choices=("similarity", "full", "character"), default="character", help=words)
    one.add_argument("--parts", action="store_true", help="part by part")
    one = of_run("parts", _parts, "the joint error part by part, behind each what the network finds in the truth")
    one.add_argument("--joints", type=Path, required=True, help="weights of the mini keypoint network")
    one.add_argument("--method", default="mini", help="default: %(default)s")
    one.add_argument("--cases", default="", help="names with commas between; default: all that are made")
    one = command("compare", _compare, "paired difference of two records, with its interval over characters")
    one.add_argument("records", type=Path, nargs=2, metavar="RECORD")
    one.add_argument("--methods", nargs=2, default=("mini", "mini"), help="one of each record; default: mini mini")
    one = command("tables", _tables, "rewrite the tables of the document from its records")
    one.add_argument("document", type=Path, nargs="?", default=Path("docs/evidence.md"), help="default: %(default)s")
    one.add_argument("--records", type=Path, help="default: the folder named as the document without its ending")
    one = of_run("sheet", _sheet, "a picture: reference, and at some frames driver, pose, truth and results")
    one.add_argument("--methods", default="mini", help="names with commas between; default: %(default)s")
    one.add_argument("--cases", default="", help="names with commas between; default: about ten")
    one.add_argument("--columns", type=int, default=3, help="frames shown; default: %(default)s")
    one.add_argument("--out", type=Path, required=True, help="the .png to write")
    return parser


def _record(options: argparse.Namespace) -> None:
    from .records import gather, write_record

    record = gather(options.folder, options.set, _names(options.methods), _names(options.cases))
    write_record(options.out, record)
    say(f"{options.out}: {len(record.cases)} cases of {', '.join(record.values)}")


def _bars(options: argparse.Namespace) -> int:
    from .bars import bar_rows, bars
    from .leak import read_leak
    from .records import read_record
    from .tables import markdown

    record = read_record(options.record)
    oracles = read_record(options.oracles) if options.oracles else None
    leak = read_leak(options.leak) if options.leak else None
    say(markdown(bar_rows(record, options.method, oracles, leak)))
    passed = all(bar.passed for bar in bars(record, options.method, oracles)) and leak is not None and leak.passed
    say("all bars are passed" if passed else "not all bars are passed")
    return 0 if passed else 1


def _leak(options: argparse.Namespace) -> int:
    from .leak import measure_leak, write_leak
    from .tables import leak_table, markdown

    leak = measure_leak(tuple(options.runs), tuple(options.sets), options.method)
    if options.out:
        write_leak(options.out, leak)
    say(markdown(leak_table({}, leak)))
    above = [found.character for found in leak.characters if found.share >= leak.limit]
    say(f"{'passed' if leak.passed else 'not passed'}: {100 * leak.share:.1f} %, limit {100 * leak.limit:g} %")
    if above:
        say(f"above the limit: {', '.join(above)}")
    return 0 if leak.passed else 1


def _driven(options: argparse.Namespace) -> None:
    from .driven import driven_errors, driven_parts, driven_rows
    from .joint_parts import part_rows
    from .tables import markdown

    if options.parts:
        say(markdown(part_rows(driven_parts(options.set, options.mode))))
    else:
        say(markdown(driven_rows(driven_errors(options.set, options.mode))))


def _parts(options: argparse.Namespace) -> None:
    from ..evaluation.metrics.mini_keypoints import load_keypoints
    from .joint_parts import part_errors, part_rows
    from .tables import markdown

    network = load_keypoints(options.joints)
    errors = part_errors(options.folder, options.set, network, options.method, _names(options.cases))
    say(markdown(part_rows(errors)))


def _compare(options: argparse.Namespace) -> None:
    from .records import GROUPS, read_record
    from .statistics import difference
    from .tables import COLUMNS, markdown

    sides = [(read_record(path), name) for path, name in zip(options.records, options.methods, strict=True)]
    groups = ["", *(group for group in GROUPS if group in sides[0][0].groups)]
    rows = [["metric", *(group or "all" for group in groups)]]
    joints = [record.joints for record, _ in sides]
    words = "found by other networks" if all(joints) else "not told by which network"
    for metric in COLUMNS:
        if metric.startswith("joint_") and joints[0] != joints[1]:
            rows.append([metric, *([words] * len(groups))])
        elif all(record.has(name, metric) for record, name in sides):
            found = [difference(sides[0], sides[1], metric, group) for group in groups]
            rows.append([metric, *(f"{d.mean:+.4g} ({d.low:+.4g} to {d.high:+.4g})" for d in found)])
    say(markdown(rows))


def _tables(options: argparse.Namespace) -> None:
    from .tables import write_tables

    changed = write_tables(options.document, options.records or options.document.with_suffix(""))
    say(f"{options.document}: {'rewritten' if changed else 'says so already'}")


def _sheet(options: argparse.Namespace) -> None:
    from animatex_core.contact_sheet import save_picture

    from .sheet import sheet

    picture = sheet(options.folder, options.set, _names(options.methods), _names(options.cases), options.columns)
    save_picture(options.out, picture, overwrite=True)
    say(str(options.out))


def _names(text: str) -> list[str]:
    """Each once, in their order."""
    return list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


if __name__ == "__main__":
    sys.exit(main())
