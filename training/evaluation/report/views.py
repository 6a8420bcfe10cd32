"""A run as the page shows it, read one case at a time."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from animatex_core.cli_output import Advance

from ..records import Bench, CaseScores, MethodScores, RunFolder
from .columns import PRESETS, Column, absent, by_preset, column
from .plots import line_plot, over_clip
from .quoted import Quote, quoted, why_none
from .tables import Table, case_table, method_table, settings_of
from .walls import Strip, Tile, Wall, make_strips, make_wall, tiles_of

log = logging.getLogger(__name__)
SETTINGS = {
    "self": "Self-driven",
    "rescaled": "Rescaled pose",
    "cross": "Cross-driven",
    "omitted": "Omitted limbs",
    "long": "Long video",
}
_ORDER_BY = ("lpips_alex", "lpips_vgg", "psnr", "lpips_vgg_disco", "psnr_disco")


@dataclass(frozen=True)
class Limits:
    """pictures: of so many cases of a run, the worst. frames: of a clip at most. bytes: of all videos of a run."""

    pictures: int
    frames: int
    bytes: int


@dataclass(frozen=True)
class Group:
    """A preset's part of a run. absent: metrics that it lacks, and why where the run says so."""

    preset: str
    title: str
    table: Table
    settings: Sequence[tuple[Column, str, str]]
    absent: Sequence[tuple[Column, str]]


@dataclass(frozen=True)
class CaseView:
    """scores: method -> metric -> value. why_no_wall: what to say in its place."""

    name: str
    facts: str
    scores: Mapping[str, Mapping[str, float]]
    tables: Sequence[tuple[str, Table]]
    plots: Sequence[tuple[Column, Any]]
    tiles: Sequence[Tile]
    wall: Wall | None
    why_no_wall: str
    strips: Sequence[Strip]


@dataclass(frozen=True)
class RunView:
    """order_by: metric of the first order of the cases; method is the first. missing: sentences."""

    setting: str
    title: str
    bench: Bench
    facts: Sequence[tuple[str, str]]
    groups: Sequence[Group]
    quote: Quote | None
    why_no_quote: str
    missing: Sequence[str]
    columns: Sequence[Column]
    order_by: str
    cases: Sequence[CaseView]


def view_run(folder: RunFolder, limits: Limits, fps: float | None, progress: Advance | None) -> RunView:
    """Read a run. Raises ValueError naming the file for one that is none, is damaged or has neither method nor case."""
    bench = folder.bench()
    if not bench.methods or not bench.cases:
        raise ValueError(f"{folder.root / 'bench.json'}: a report needs at least one method and one case")
    scores = {name: folder.method_scores(name) for name in bench.methods}
    values = {case: _plain(folder, bench, case) for case in bench.cases}
    of_cases = {metric for one in values.values() for found in one.values() for metric in found}
    names = {metric for one in scores.values() if one for metric in one.values}
    ranked = [one for columns in by_preset(of_cases).values() for one in columns if one.better]
    order_by = next((name for name in _ORDER_BY if name in of_cases), ranked[0].name if ranked else "")
    order = worst_first(values, order_by, bench.methods[0])
    cases = []
    for number, case in enumerate(order):
        cases.append(_view_case(folder, bench, case, limits if number < limits.pictures else None, fps or _fps(bench)))
        if progress:
            progress(number + 1, len(order))
    setting = bench.setting
    return RunView(
        setting=setting,
        title=SETTINGS.get(setting, setting),
        bench=bench,
        facts=_facts(bench),
        groups=_groups(bench, scores, names),
        quote=quoted(setting),
        why_no_quote=why_none(SETTINGS.get(setting, setting)),
        missing=_missing(bench, scores, values),
        columns=ranked,
        order_by=order_by,
        cases=cases,
    )


def worst_first(values: Mapping[str, Mapping[str, Mapping[str, float]]], metric: str, method: str) -> list[str]:
    """Cases from the worst of a method to the best; those without the metric at the end, in their own order."""
    sign = -1 if metric and column(metric).better == "lower" else 1

    def key(case: str) -> tuple[bool, float]:
        found = values[case].get(method, {}).get(metric)
        return found is None, 0.0 if found is None else sign * found

    return sorted(values, key=key)


def _view_case(folder: RunFolder, bench: Bench, case: str, limits: Limits | None, fps: float) -> CaseView:
    scores = {name: folder.case_scores(name, case) for name in bench.methods}
    found = {name: one.values for name, one in scores.items() if one}
    columns = by_preset({metric for one in found.values() for metric in one})
    tables = [(PRESETS[preset], case_table(found, some)) for preset, some in columns.items() if some]
    every = [one for some in columns.values() for one in some]
    tiles = tiles_of(folder, bench, case)
    wall, why = None, "Pictures are shown of the worst cases only." if limits is None else ""
    strips: Sequence[Strip] = ()
    plots: Sequence[tuple[Column, Any]] = ()
    if limits is not None:
        share = limits.bytes // max(min(limits.pictures, len(bench.cases)), 1)
        strips, plots = make_strips(tiles), _plots(scores, every, _skipped(bench))
        wall = make_wall(tiles, fps, most_frames=limits.frames, most_bytes=share)
        if wall is None:
            why = f"No video: there are no frames, or they do not fit into {share / 1e6:.2f} MB."
    return CaseView(
        case, _case_facts(scores), _values(found), tables, plots, tiles, wall, why, strips
    )  # fmt: skip


def _plots(
    scores: Mapping[str, CaseScores | None], columns: Sequence[Column], skipped: int
) -> list[tuple[Column, Any]]:  # fmt: skip
    """Every metric over the frames of the clip as the wall shows it. skipped: frames that were not measured."""
    plots = []
    for one in columns:
        series = {
            name: over_clip(found.values[one.name], found.frames, skipped)
            for name, found in scores.items()
            if found and one.name in found.values
        }
        series = {name: line for name, line in series.items() if line}
        if any(len(line) > 1 for line in series.values()):
            plots.append((one, line_plot(series, one.label)))
    return plots


def _plain(folder: RunFolder, bench: Bench, case: str) -> dict[str, dict[str, float]]:
    """Numbers alone, so that nothing grows with frames."""
    found = {name: folder.case_scores(name, case) for name in bench.methods}
    return _values({name: one.values for name, one in found.items() if one})


def _values(found: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    return {name: {metric: value.value for metric, value in values.items()} for name, values in found.items()}


def _groups(bench: Bench, scores: Mapping[str, MethodScores | None], names: set[str]) -> list[Group]:
    told = bench.options.get("absent")
    reasons = told if isinstance(told, Mapping) else {}
    groups = []
    for preset, columns in by_preset(names).items():
        if columns:
            table, settings = method_table(bench, scores, columns), settings_of(scores, columns)
            lacking = [(one, str(reasons.get(one.name, ""))) for one in absent(names, preset)]
            groups.append(Group(preset, PRESETS[preset], table, settings, lacking))
    return groups


def _facts(bench: Bench) -> list[tuple[str, str]]:
    facts = [("cases", str(len(bench.cases))), ("methods", ", ".join(bench.methods))]
    facts += [(name, _in_line(value)) for name, value in bench.options.items() if name not in ("absent", "digests")]
    return [*facts, *((f"version of {name}", version) for name, version in bench.versions.items())]


def _in_line(value: Any) -> str:
    """An option, in one line."""
    if isinstance(value, Mapping):
        return "; ".join(f"{name}: {_in_line(one)}" for name, one in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(_in_line, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _missing(
    bench: Bench, scores: Mapping[str, MethodScores | None], values: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    lines = []
    for name in bench.methods:
        without = [case for case in bench.cases if name not in values[case]]
        if without:
            some = ", ".join(without[:5]) + (", ..." if len(without) > 5 else "")
            lines.append(f"{name}: {len(without)} of {len(bench.cases)} cases are not measured ({some})")
        elif scores[name] is None:
            lines.append(f"{name}: the metrics over all cases are not there yet")
    return lines


def _case_facts(scores: Mapping[str, CaseScores | None]) -> str:
    shapes = {f"{one.frames} frames of {one.width}x{one.height}" for one in scores.values() if one}
    return "; ".join(sorted(shapes)) or "not measured"


def _skipped(bench: Bench) -> int:
    """How many frames of every clip a run leaves out at its beginning."""
    inputs = bench.options.get("inputs")
    return 1 if isinstance(inputs, Mapping) and inputs.get("skip_first") is True else 0


def _fps(bench: Bench) -> float:
    found = bench.options.get("fps")
    if isinstance(found, int | float) and not isinstance(found, bool) and found > 0:
        return float(found)
    log.warning("the run does not say its frames per second: videos of the report are shown at 8")
    return 8.0
