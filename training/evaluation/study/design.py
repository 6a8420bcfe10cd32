"""Which pairs of clips a study asks about, under names that say nothing."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from animatex_core.pose.strict_json import read_json

FORMAT = 1
TRUTH, SPOILT = "(truth)", "(spoilt)"  # of attention checks; no method can have a name with brackets


@dataclass(frozen=True)
class Trial:
    """Two clips of a case. better: the one that an attentive rater prefers in every question, in attention checks."""

    case: str
    a: str
    b: str
    better: str = ""


@dataclass(frozen=True)
class Study:
    """All that the organiser keeps, and the page must not tell: what the names stand for.

    references: case -> id of its picture. clips: id of a clip -> (case, method). trials: id -> its clips.
    forms: the trials that one rater sees; with several forms, raters share the cases.
    raters: who may take part; empty: anybody.
    """

    id: str
    setting: str
    methods: tuple[str, ...]
    cases: tuple[str, ...]
    references: Mapping[str, str]
    clips: Mapping[str, tuple[str, str]]
    trials: Mapping[str, Trial]
    forms: tuple[tuple[str, ...], ...]
    raters: tuple[str, ...]

    def method(self, clip: str) -> str:
        """Whose a clip is."""
        return self.clips[clip][1]

    def pairs(self) -> dict[str, tuple[str, str]]:
        """Trial -> its clips."""
        return {name: (trial.a, trial.b) for name, trial in self.trials.items()}

    def record(self) -> dict[str, Any]:
        """As JSON; `read_key` reads it back."""
        return {"format": FORMAT, "kind": "animate-x user study key"} | asdict(self)


@dataclass(frozen=True)
class Wish:
    """What a study should hold. cases_per_pair: cases of every pair of methods that one rater sees; 0: all."""

    setting: str
    methods: tuple[str, ...]
    cases: tuple[str, ...]
    cases_per_pair: int = 0
    checks: int = 3
    raters: tuple[str, ...] = ()


def design(wish: Wish, truth: Mapping[str, bool], secret: str) -> Study:
    """Every pair of methods on every case, and attention checks, under names that only the secret explains.

    truth: whether a case has a true clip; an attention check sets it, else a clip of a method, against a spoilt copy.
    """
    names = _Names(secret)
    clips: dict[str, tuple[str, str]] = {}

    def clip(case: str, method: str) -> str:
        name = names.of("clip", case, method)
        clips[name] = (case, method)
        return name

    grid = {
        (pair, case): (names.of("trial", *pair, case), Trial(case, clip(case, pair[0]), clip(case, pair[1])))
        for pair in combinations(wish.methods, 2)
        for case in wish.cases
    }
    checks = {}
    for number in range(wish.checks):
        case = wish.cases[number % len(wish.cases)]
        good = clip(case, TRUTH if truth[case] else wish.methods[number // len(wish.cases) % len(wish.methods)])
        spoilt = clip(case, f"{SPOILT} {number}")
        checks[names.of("check", str(number))] = Trial(case, good, spoilt, better=good)
    trials = dict(sorted([*grid.values(), *checks.items()]))
    forms = tuple(
        tuple(sorted([*form, *checks])) for form in _forms(wish, {at: name for at, (name, _) in grid.items()})
    )
    return Study(
        id=names.of("study"),
        setting=wish.setting,
        methods=wish.methods,
        cases=wish.cases,
        references={case: names.of("reference", case) for case in wish.cases},
        clips=dict(sorted(clips.items())),
        trials=trials,
        forms=forms,
        raters=wish.raters,
    )


def read_key(path: Path) -> Study:
    """The organiser's file. Raises ValueError naming it when it is none."""
    try:
        found = read_json(path)
        if found.get("kind") != "animate-x user study key" or found.get("format") != FORMAT:
            raise ValueError("expected the key file of a user study, format 1")
        return Study(
            id=found["id"],
            setting=found["setting"],
            methods=tuple(found["methods"]),
            cases=tuple(found["cases"]),
            references=dict(found["references"]),
            clips={name: (case, method) for name, (case, method) in found["clips"].items()},
            trials={name: Trial(**trial) for name, trial in found["trials"].items()},
            forms=tuple(map(tuple, found["forms"])),
            raters=tuple(found["raters"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: {getattr(error, 'strerror', None) or error}") from None


class _Names:
    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

    def of(self, *parts: str) -> str:
        """12 hexadecimal digits that nobody can trace back without the secret."""
        return hmac.new(self._secret, "\n".join(parts).encode(), hashlib.sha256).hexdigest()[:12]


def _forms(wish: Wish, grid: Mapping[tuple[tuple[str, str], str], str]) -> list[list[str]]:
    """One form with everything, or one a case: form f gives pair p the cases p + f, p + f + 1, ... in a circle.

    Over all forms every pair then meets every case equally often, and each form every pair.
    """
    cases, each = wish.cases, wish.cases_per_pair or len(wish.cases)
    pairs: Sequence[tuple[str, str]] = list(combinations(wish.methods, 2))
    count = 1 if each >= len(cases) else len(cases)
    return [
        [
            grid[pair, cases[(number + form + step) % len(cases)]]
            for number, pair in enumerate(pairs)
            for step in range(min(each, len(cases)))
        ]
        for form in range(count)
    ]
