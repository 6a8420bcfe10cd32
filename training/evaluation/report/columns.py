"""How a metric is shown: its name, its arrow, and its numbers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..metrics.table import METRICS, metrics_of

PRESETS = {
    "clean": "Corrected definitions (preset clean)",
    "disco": "Definitions of the lineage, its flaws included (preset disco)",
    "other": "Metrics that this version does not know",
}
_ARROWS = {"higher": "\u2191", "lower": "\u2193", "": ""}


@dataclass(frozen=True)
class Column:
    """better: higher | lower, or nothing for a metric that this version does not know; such are not ranked."""

    name: str
    label: str
    better: str = ""
    unit: str = ""
    preset: str = "other"
    definition: str = ""

    @property
    def arrow(self) -> str:
        """Which way is better."""
        return _ARROWS[self.better]


def column(name: str) -> Column:
    """Of a metric's name."""
    metric = METRICS.get(name)
    if metric is None:
        return Column(name, name)
    words = f"{metric.definition} ({metric.source})"
    return Column(name, metric.display, metric.better, metric.unit, metric.preset, words)


def by_preset(names: Iterable[str]) -> dict[str, list[Column]]:
    """The columns of what a run has, by preset, in the order of the table of metrics."""
    order = {name: place for place, name in enumerate(METRICS)}
    found = [column(name) for name in sorted(set(names), key=lambda name: (order.get(name, len(order)), name))]
    return {preset: [one for one in found if one.preset == preset] for preset in PRESETS}


def absent(names: Iterable[str], preset: str) -> list[Column]:
    """Metrics of a preset that a run does not have."""
    there = set(names)
    return [column(metric.name) for metric in metrics_of(preset) if metric.name not in there]


def number(value: float) -> str:
    """As the papers print them: about four digits."""
    size = abs(value)
    if size == 0:
        return "0"
    if size < 1e-3 or size >= 1e6:
        return f"{value:.2E}"
    return f"{value:.{4 if size < 1 else 3 if size < 10 else 2}f}"
