"""The analysis of a user study as the report shows it: the shape of the paper's Table 3, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from animatex_core.pose.strict_json import read_json

from .columns import Column
from .tables import Cell, Row, Table, ranks


@dataclass(frozen=True)
class StudyView:
    """One table of win rates and one of Bradley-Terry scores, a column a question."""

    title: str
    win_rates: Table
    scores: Table
    notes: Sequence[str]


def view_study(path: Path) -> StudyView:
    """Read what `study analyse` wrote. Raises ValueError naming the file when it is none."""
    try:
        found = read_json(path)
        if found["kind"] != "animate-x user study analysis" or found["format"] != 1:
            raise ValueError("not an analysis of a user study, format 1")
        tables = [_table(found, value, form) for value, form in (("win_rate", "{:.1%}"), ("score", "{:+.2f}"))]
        return StudyView(f"User study {found['study']}", *tables, notes=_notes(found))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else getattr(error, "strerror", None) or error
        raise ValueError(f"{path}: {reason}") from None


def _table(found: dict[str, Any], value: str, form: str) -> Table:
    questions = found["questions"]
    cells: dict[str, list[Cell]] = {name: [] for name in found["methods"]}
    for outcome in questions.values():
        standings = [outcome["standings"][name] for name in found["methods"]]
        ranked = ranks([one[value] for one in standings], "higher")
        for name, one, rank in zip(found["methods"], standings, ranked, strict=True):
            cells[name].append(Cell(_text(one[value], one[f"{value}_interval"], form), one[value], rank))
    columns = tuple(Column(name, found["titles"][name], "higher") for name in questions)
    return Table(columns, tuple(Row(name, tuple(row), name) for name, row in cells.items()))


def _text(value: float, interval: Sequence[float] | None, form: str) -> str:
    ends = "" if interval is None else f" [{', '.join(form.format(end) for end in interval)}]"
    return form.format(value) + ends


def _notes(found: dict[str, Any]) -> list[str]:
    raters, cases = len(found["raters"]), len(found["cases"])
    what = f"setting {found['setting']}, {raters} raters, {cases} cases"
    notes = [f"{what}; intervals: {found['confidence']:.0%}, raters resampled"]
    for name, outcome in found["questions"].items():
        if len(outcome["tiers"]) > 1:
            order = " > ".join("{" + ", ".join(group) + "}" for group in outcome["tiers"])
            notes.append(
                f"{name}: every comparison between these groups went one way: {order}; scores rest on the prior"
            )
    notes += [f"left out: {one['rater']}: {one['reason']}" for one in found["left_out"]]
    return [*notes, *(f"refused: {one['file']}: {one['reason']}" for one in found["refused"])]
