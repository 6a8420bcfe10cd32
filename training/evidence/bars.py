"""The bars that a mini model has to pass, from the record of a run that has it and the oracles."""

from __future__ import annotations

from dataclasses import dataclass

from .leak import Leak
from .records import GROUPS, Record, check_alike, check_joints

EXTRA = 0.05  # most extra foreground, of the silhouette
OF_STILL, OF_WARP = 0.5, 1.5  # most joint error, of these oracles'


@dataclass(frozen=True)
class Bar:
    """One bar. found: what the model has. limit: what it must stay below."""

    name: str
    found: float
    limit: float

    @property
    def passed(self) -> bool:
        """Whether it is below."""
        return self.found < self.limit


def bars(record: Record, method: str, oracles: Record | None = None, group: str = "") -> list[Bar]:
    """The bars of all cases, or of one group.

    oracles: the record with `still`, `warp` and `wrong`, of the same cases; the same record when left out. Raises
    ValueError naming what a record lacks, or as `check_alike` and `check_joints` do.
    """
    known = record if oracles is None else oracles
    check_alike(record, known)
    check_joints(record, known)

    def mean(of: Record, name: str, metric: str) -> float:
        return float(of.of(name, metric, group).mean())

    error = mean(record, method, "joint_error")
    return [
        Bar("joint error against half the still picture's", error, OF_STILL * mean(known, "still", "joint_error")),
        Bar("joint error against 1.5 times the warp's", error, OF_WARP * mean(known, "warp", "joint_error")),
        Bar("extra-limb rate", mean(record, method, "extra_limb_rate"), EXTRA),
        Bar(
            "colour distance against the wrong reference's",
            mean(record, method, "colour_distance"),
            mean(known, "wrong", "colour_distance"),
        ),
    ]


def bar_rows(record: Record, method: str, oracles: Record | None, leak: Leak | None) -> list[list[str]]:
    """A table: one row a bar, `all` and every group that has cases as columns.

    Raises ValueError as `bars` does, and for a leak test of another version of the set.
    """
    if leak is not None and leak.version != record.version:
        raise ValueError(f"the leak test is of version {leak.version} of the set, the record of {record.version}")
    there = ["", *(group for group in GROUPS if group in record.groups)]
    columns = [bars(record, method, oracles, group) for group in there]
    rows = [["bar", *(group or "all" for group in there)]]
    for number, bar in enumerate(columns[0]):
        rows.append([bar.name, *(_cell(column[number]) for column in columns)])
    told = "not run" if leak is None else _cell(Bar("", leak.share, leak.limit))
    rows.append(["leak test", told, *([""] * (len(there) - 1))])
    return rows


def _cell(bar: Bar) -> str:
    return f"{bar.found:.3g} < {bar.limit:.3g}" if bar.passed else f"**{bar.found:.3g}, not < {bar.limit:.3g}**"
