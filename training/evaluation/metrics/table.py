"""Every metric once: what it is called, what it measures, which way is better, whose definition it is."""

from __future__ import annotations

from .metric import PROXY, Metric
from .table_clips import OF_CLIPS
from .table_sets import OF_SETS

__all__ = ["METRICS", "PROXY", "Metric", "metrics_of"]

METRICS: dict[str, Metric] = {metric.name: metric for metric in (*OF_CLIPS, *OF_SETS)}


def metrics_of(preset: str, of: str | None = None) -> tuple[Metric, ...]:
    """The metrics of a preset, in the order of the table; of clips or of sets alone when `of` says so."""
    return tuple(m for m in METRICS.values() if m.preset == preset and of in (None, m.of))
