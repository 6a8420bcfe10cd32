"""From answer files to win rates and Bradley-Terry scores with intervals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .answers import Answers, check_finished, checks_passed, read_answers
from .design import FORMAT, Study
from .questions import NAMES, QUESTIONS
from .strengths import PRIOR, strengths, tiers

CONFIDENCE = 0.95
Interval = tuple[float, float]
Intervals = list[Interval | None]


@dataclass(frozen=True)
class Rules:
    """least_passed: share of a rater's attention questions that must be right. unfinished: take those who stopped.

    resamples: of the raters, for the intervals. seed: of the resampling. prior: see `strengths`.
    """

    least_passed: float = 0.8
    unfinished: bool = False
    resamples: int = 1000
    seed: int = 0
    prior: float = PRIOR


@dataclass(frozen=True)
class Standing:
    """A method in one question. Intervals are percentiles over resampled raters; None with a single rater."""

    wins: int
    comparisons: int
    win_rate: float
    win_rate_interval: Interval | None
    score: float
    score_interval: Interval | None


@dataclass(frozen=True)
class Outcome:
    """One question: standings by method, wins [row over column], and groups whose distance is not known (`tiers`)."""

    standings: dict[str, Standing]
    wins: list[list[int]]
    tiers: list[list[str]]


@dataclass(frozen=True)
class Analysis:
    """What a study says. refused: file and reason. left_out: rater and reason. left_share: of all choices."""

    study: Study
    rules: Rules
    raters: tuple[str, ...]
    refused: tuple[tuple[str, str], ...]
    left_out: tuple[tuple[str, str], ...]
    left_share: float
    median_seconds: float
    outcomes: dict[str, Outcome]

    def record(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "format": FORMAT,
            "kind": "animate-x user study analysis",
            "study": self.study.id,
            "setting": self.study.setting,
            "methods": list(self.study.methods),
            "cases": list(self.study.cases),
            "confidence": CONFIDENCE,
            "rules": asdict(self.rules),
            "raters": list(self.raters),
            "refused": [{"file": file, "reason": reason} for file, reason in self.refused],
            "left_out": [{"rater": rater, "reason": reason} for rater, reason in self.left_out],
            "left_share": self.left_share,
            "median_seconds": self.median_seconds,
            "titles": {question.name: question.title for question in QUESTIONS},
            "questions": {name: asdict(outcome) for name, outcome in self.outcomes.items()},
        }


def analyse(study: Study, files: Iterable[Path], rules: Rules | None = None) -> Analysis:
    """Read the files, leave out what cannot be used, and say how the methods stand.

    Raises ValueError, with every reason, when nothing is left.
    """
    rules = rules or Rules()
    if not 0 <= rules.least_passed <= 1 or rules.resamples < 100 or rules.prior < 0:
        raise ValueError("least_passed is from 0 to 1, resamples at least 100, prior not negative")
    answers, refused = _read(study, files, rules)
    kept, left_out = _attentive(study, answers, rules)
    if not kept:
        reasons = "".join(f"\n{name}: {reason}" for name, reason in [*refused, *left_out])
        raise ValueError(f"no answers that can be used{reasons}")
    choices = [choice for one in kept for choice in one.choices]
    return Analysis(
        study=study,
        rules=rules,
        raters=tuple(one.rater for one in kept),
        refused=tuple(refused),
        left_out=tuple(left_out),
        left_share=float(np.mean([choice.left_preferred[name] for choice in choices for name in NAMES])),
        median_seconds=float(np.median([choice.seconds for choice in choices])),
        outcomes={name: _outcome(study, kept, name, rules) for name in NAMES},
    )


def _read(study: Study, files: Iterable[Path], rules: Rules) -> tuple[list[Answers], list[tuple[str, str]]]:
    answers: dict[str, Answers] = {}
    refused = []
    for path in sorted(files):
        try:
            found = read_answers(path, study)
            if not rules.unfinished:
                check_finished(found)
            if found.rater in answers:
                raise ValueError(f"a second file of rater {found.rater!r}")
        except ValueError as error:
            refused.append((path.name, str(error)))
        else:
            answers[found.rater] = found
    return list(answers.values()), refused


def _attentive(study: Study, answers: Sequence[Answers], rules: Rules) -> tuple[list[Answers], list[tuple[str, str]]]:
    kept, left_out = [], []
    for one in answers:
        right, of = checks_passed(one, study)
        if of and right < rules.least_passed * of:
            left_out.append((one.rater, f"{right} of {of} attention questions answered as expected"))
        elif all(study.trials[choice.trial].better for choice in one.choices):
            left_out.append((one.rater, "no pair of methods was judged"))
        else:
            kept.append(one)
    return kept, left_out


def _outcome(study: Study, raters: Sequence[Answers], question: str, rules: Rules) -> Outcome:
    each = np.stack([_wins(study, rater, question) for rater in raters])
    wins = each.sum(0)
    rates, scores = _rates(wins), strengths(wins, rules.prior)
    rate_ends, score_ends = _intervals(each, rules)
    standings = {
        name: Standing(
            wins=int(wins[row].sum()),
            comparisons=int(wins[row].sum() + wins[:, row].sum()),
            win_rate=float(rates[row]),
            win_rate_interval=rate_ends[row],
            score=float(scores[row]),
            score_interval=score_ends[row],
        )
        for row, name in enumerate(study.methods)
    }
    groups = [[study.methods[row] for row in group] for group in tiers(wins)]
    return Outcome(standings, wins.astype(int).tolist(), groups)


def _wins(study: Study, answers: Answers, question: str) -> np.ndarray:
    """[M, M]: how often this rater preferred the row's method to the column's."""
    place = {name: row for row, name in enumerate(study.methods)}
    wins = np.zeros((len(place), len(place)))
    for choice in answers.choices:
        if not study.trials[choice.trial].better:
            left, right = place[study.method(choice.left)], place[study.method(choice.right)]
            winner, loser = (left, right) if choice.left_preferred[question] else (right, left)
            wins[winner, loser] += 1
    return wins


def _rates(wins: np.ndarray) -> np.ndarray:
    """Share of its comparisons that each method won; half where it had none."""
    won, all_of = wins.sum(1), wins.sum(1) + wins.sum(0)
    return np.where(all_of > 0, won / np.maximum(all_of, 1), 0.5)


def _intervals(each: np.ndarray, rules: Rules) -> tuple[Intervals, Intervals]:
    """Percentile bootstrap over raters: what one rater says is not independent, so raters are drawn whole."""
    count, methods = each.shape[:2]
    if count < 2:
        return [None] * methods, [None] * methods
    rng = np.random.default_rng(rules.seed)
    drawn = [each[rng.integers(count, size=count)].sum(0) for _ in range(rules.resamples)]
    # a resample may lack the one loss of a method that nearly always wins: only a prior keeps its score finite
    prior = rules.prior or PRIOR
    ends = (50 - 50 * CONFIDENCE, 50 + 50 * CONFIDENCE)

    def spread(values: list[np.ndarray]) -> Intervals:
        low, high = np.percentile(values, ends, axis=0).tolist()
        return list(zip(low, high, strict=True))

    return spread([_rates(wins) for wins in drawn]), spread([strengths(wins, prior) for wins in drawn])
