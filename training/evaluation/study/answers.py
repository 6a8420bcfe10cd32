"""Answer files that raters send back, read with suspicion: a file is whole and of this study, or it is refused."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from animatex_core.pose.strict_json import read_json

from .design import FORMAT, Study
from .draws import Screen, screens, sides
from .questions import NAMES

KIND = "animate-x user study answers"
RATER = re.compile(r"[a-z0-9][a-z0-9_.-]{0,39}")


@dataclass(frozen=True)
class Choice:
    """One pair as it was judged: the clips (left, right), and per question whether the left one was preferred."""

    trial: str
    left: str
    right: str
    left_preferred: Mapping[str, bool]
    seconds: float

    def preferred(self, question: str) -> str:
        """The clip."""
        return self.left if self.left_preferred[question] else self.right


@dataclass(frozen=True)
class Answers:
    """All that a rater said."""

    rater: str
    choices: tuple[Choice, ...]
    screens: int


def read_answers(path: Path, study: Study) -> Answers:
    """One file. Raises ValueError that says why it is not taken: not JSON, of another study, not as it was shown."""
    try:
        found = read_json(path)
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from None
    if not isinstance(found, dict) or found.get("kind") != KIND:
        raise ValueError("no answers of a user study")
    if found.get("format") != FORMAT:
        raise ValueError(f"answers of format {found.get('format')}, expected {FORMAT}")
    if found.get("study") != study.id:
        raise ValueError(f"answers of another study ({str(found.get('study'))[:40]!r}, this one is {study.id!r})")
    rater = found.get("rater")
    if not isinstance(rater, str) or not RATER.fullmatch(rater):
        raise ValueError(f"rater {str(rater)[:40]!r}: expected letters, digits, '.', '_' and '-'")
    if study.raters and rater not in study.raters:
        raise ValueError(f"rater {rater!r} is not one of this study's")
    shown = screens(study.id, rater, study.raters, study.forms)
    answers = found.get("answers")
    if not isinstance(answers, list) or len(answers) > len(shown):
        raise ValueError(f"'answers' is not a list of at most {len(shown)} screens")
    return Answers(rater, tuple(_choices(answers, shown, study)), len(shown))


def check_finished(answers: Answers) -> None:
    """Raise ValueError for a rater who stopped on the way."""
    if len(answers.choices) < answers.screens:
        raise ValueError(f"unfinished: {len(answers.choices)} of {answers.screens} pairs were judged")


def checks_passed(answers: Answers, study: Study) -> tuple[int, int]:
    """How many questions of attention checks were answered as expected, and how many there were."""
    of_checks = [(choice, study.trials[choice.trial].better) for choice in answers.choices]
    right = [choice.preferred(name) == better for choice, better in of_checks if better for name in NAMES]
    return sum(right), len(right)


def _choices(answers: Sequence[Any], shown: Sequence[Screen], study: Study) -> list[Choice]:
    """In the order shown. A rater cannot skip, so the answers are those of the first screens."""
    pairs = study.pairs()
    return [
        _choice(f"answers[{number}]", found, screen.trial, sides(screen, pairs))
        for number, (found, screen) in enumerate(zip(answers, shown, strict=False))
    ]


def _choice(where: str, found: Any, trial: str, clips: tuple[str, str]) -> Choice:
    if not isinstance(found, dict):
        raise ValueError(f"{where}: not an object")
    for name, expected in (("trial", trial), ("left", clips[0]), ("right", clips[1])):
        if found.get(name) != expected:
            raise ValueError(f"{where}.{name}: {str(found.get(name))[:40]!r} is not what this rater was shown")
    for name in NAMES:
        if found.get(name) not in ("left", "right"):
            raise ValueError(f"{where}.{name}: expected left or right, got {str(found.get(name))[:40]!r}")
    seconds = found.get("seconds")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < 1e9:
        raise ValueError(f"{where}.seconds: expected a number, got {str(seconds)[:40]!r}")
    return Choice(trial, clips[0], clips[1], {name: found[name] == "left" for name in NAMES}, float(seconds))
