"""Paired differences of two methods, with an interval over characters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .records import Record, check_alike, check_joints, first_difference

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
    one: tuple[Record, str],
    other: tuple[Record, str],
    metric: str,
    group: str = "",
    seed: int = 0,
    *,
    same_method: bool = False,
) -> Difference:
    """One method minus another on the same cases; each is (record, method).

    The interval is the percentile bootstrap over characters, drawn whole with all their cases: cases of one character
    are not independent. same_method: the two differ in what they were given alone, and not in what they are. Raises
    ValueError naming both records and what differs where `check_alike` finds it, or the methods do in how they sample
    or, with same_method, in anything.
    """
    check_alike(one[0], other[0])
    if metric.startswith("joint_"):
        check_joints(one[0], other[0])
    _check_methods(one, other, same_method)
    gaps = one[0].of(one[1], metric, group) - other[0].of(other[1], metric, group)
    pairs = zip(one[0].characters, one[0].groups, strict=True)
    names = np.array([character for character, of in pairs if group in ("", of)])
    if not len(gaps):
        raise ValueError(f"no case is in the group {group!r}")
    low, high = np.percentile(_resampled(gaps, names, seed), (50 - 50 * CONFIDENCE, 50 + 50 * CONFIDENCE))
    if len(set(names)) == 1:
        low = high = np.nan
    return Difference(float(gaps.mean()), float(low), float(high), len(set(names)))


def _check_methods(one: tuple[Record, str], other: tuple[Record, str], same: bool) -> None:
    """Methods that do not sample, oracles and results of others, are held against any."""
    facts = [record.methods.get(name, {}) for record, name in (one, other)]
    told = first_difference(facts[0], facts[1], "method") if same else ""
    if not same and all("sampling" in fact for fact in facts):
        told = first_difference(facts[0]["sampling"], facts[1]["sampling"], "method.sampling")
    if told:
        wanted = "one and the same method" if same else "the same sampling"
        raise ValueError(
            f"{one[0].place} ({one[1]}) and {other[0].place} ({other[1]}): {told}: expected {wanted} in both"
        )


def _resampled(gaps: np.ndarray, names: np.ndarray, seed: int) -> np.ndarray:
    """Means of the values over characters drawn with replacement."""
    each = sorted(set(names))
    totals = np.array([gaps[names == name].sum() for name in each])
    counts = np.array([(names == name).sum() for name in each])
    drawn = np.random.default_rng(seed).integers(len(each), size=(RESAMPLES, len(each)))
    return totals[drawn].sum(1) / counts[drawn].sum(1)
