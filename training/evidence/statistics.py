"""Paired differences of two methods, with an interval over characters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .records import Record

RESAMPLES = 4000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Difference:
    """Mean over cases of one minus the other, and the ends of its interval, which one character alone does not have.

    characters: that were drawn from.
    """

    mean: float
    low: float
    high: float
    characters: int


def difference(
    one: tuple[Record, str], other: tuple[Record, str], metric: str, group: str = "", seed: int = 0
) -> Difference:
    """One method minus another on the same cases; each is (record, method).

    The interval is the percentile bootstrap over characters, drawn whole with all their cases: cases of one character
    are not independent. Raises ValueError when the cases are not the same.
    """
    if not one[0].same_cases(other[0]):
        raise ValueError("the two records have other cases, or another version of the set: differences are paired")
    gaps = one[0].of(one[1], metric, group) - other[0].of(other[1], metric, group)
    pairs = zip(one[0].characters, one[0].groups, strict=True)
    names = np.array([character for character, of in pairs if group in ("", of)])
    if not len(gaps):
        raise ValueError(f"no case is in the group {group!r}")
    low, high = np.percentile(_resampled(gaps, names, seed), (50 - 50 * CONFIDENCE, 50 + 50 * CONFIDENCE))
    if len(set(names)) == 1:
        low = high = np.nan
    return Difference(float(gaps.mean()), float(low), float(high), len(set(names)))


def _resampled(gaps: np.ndarray, names: np.ndarray, seed: int) -> np.ndarray:
    """Means of the values over characters drawn with replacement."""
    each = sorted(set(names))
    totals = np.array([gaps[names == name].sum() for name in each])
    counts = np.array([(names == name).sum() for name in each])
    drawn = np.random.default_rng(seed).integers(len(each), size=(RESAMPLES, len(each)))
    return totals[drawn].sum(1) / counts[drawn].sum(1)
