"""Tables in the style of the papers: the best of a column bold, the second underlined."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..records import Bench, MethodScores, Value
from .columns import Column, number


@dataclass(frozen=True)
class Cell:
    """value: to sort by; None where there is none. rank: best | second, or nothing. note: why there is no rank."""

    text: str
    value: float | None = None
    rank: str = ""
    note: str = ""


@dataclass(frozen=True)
class Row:
    """method: to hide it by; empty for rows that are quoted."""

    label: str
    cells: tuple[Cell, ...]
    method: str = ""
    note: str = ""


@dataclass(frozen=True)
class Table:
    """notes: beneath it."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


def ranks(values: Sequence[float | None], better: str) -> list[str]:
    """best, second or nothing for each. Equal values share a rank; a lone or unknown one has none."""
    there = sorted({value for value in values if value is not None}, reverse=better == "higher")
    if not better or sum(value is not None for value in values) < 2:
        return [""] * len(values)
    names = dict(zip(there, ("best", "second"), strict=False))
    return [names.get(value, "") if value is not None else "" for value in values]


def method_table(bench: Bench, scores: Mapping[str, MethodScores | None], columns: Sequence[Column]) -> Table:
    """A row a method. What cannot be compared is shown without a rank, and why is said beneath.

    That is: methods that were not measured on all cases, and metrics whose settings differ between the methods.
    """
    found = {name: (one.values if one else {}) for name, one in scores.items()}
    whole = [name for name, one in scores.items() if one and set(one.cases) == set(bench.cases)]
    cells: dict[str, list[Cell]] = {name: [] for name in bench.methods}
    notes = []
    for column in columns:
        values = {name: found[name][column.name] for name in bench.methods if column.name in found[name]}
        compared = {name: value for name, value in values.items() if name in whole}
        if len({_settings(value) for value in compared.values()}) > 1:
            notes.append(f"{column.label}: measured with different settings, so not ranked")
            compared = {}
        ranked = dict(zip(compared, ranks([value.value for value in compared.values()], column.better), strict=True))
        for name in bench.methods:
            cells[name].append(_cell(values.get(name), ranked.get(name, "")))
    rows = [Row(name, tuple(cells[name]), name, _row_note(bench, scores[name])) for name in bench.methods]
    return Table(tuple(columns), tuple(rows), (*notes, *(f"{row.label}: {row.note}" for row in rows if row.note)))


def case_table(scores: Mapping[str, Mapping[str, Value]], columns: Sequence[Column]) -> Table:
    """A row a method, of one case."""
    rows = {name: [] for name in scores}
    for column in columns:
        values = [one[column.name].value if column.name in one else None for one in scores.values()]
        for cells, one, rank in zip(rows.values(), scores.values(), ranks(values, column.better), strict=True):
            cells.append(_cell(one.get(column.name), rank))
    return Table(tuple(columns), tuple(Row(name, tuple(cells), name) for name, cells in rows.items()))


def settings_of(scores: Mapping[str, MethodScores | None], columns: Sequence[Column]) -> list[tuple[Column, str, str]]:
    """Column, n, and the settings that its numbers depend on; several where the methods differ."""
    lines = []
    for column in columns:
        values = [one.values[column.name] for one in scores.values() if one and column.name in one.values]
        counts = ", ".join(map(str, sorted({value.n for value in values})))
        texts = sorted({_settings(value) for value in values})
        lines.append((column, counts, " | ".join(map(as_text, texts))))
    return lines


def as_text(settings: str) -> str:
    """JSON settings as `name: value` pairs."""
    fields = json.loads(settings)
    return "; ".join(f"{name}: {_plain(value)}" for name, value in fields.items()) or "none"


def _plain(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value)


def _settings(value: Value) -> str:
    return json.dumps(value.settings, sort_keys=True)


def _cell(value: Value | None, rank: str) -> Cell:
    if value is None:
        return Cell("\u2013", note="not measured")
    return Cell(number(value.value), value.value, rank)


def _row_note(bench: Bench, scores: MethodScores | None) -> str:
    if scores is None:
        return "not measured yet"
    there = len(set(scores.cases) & set(bench.cases))
    if there < len(bench.cases) or set(scores.cases) != set(bench.cases):
        return f"measured on {there} of {len(bench.cases)} cases, so not ranked"
    return ""
