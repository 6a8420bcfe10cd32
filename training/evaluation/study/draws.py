"""What a rater is shown, in which order and on which sides: drawn from the rater's name, the same here and in the page.

The page has no Python, so the generator is one that fits in a few lines of JavaScript (`page.js` has the same ones):
FNV-1a over the text as seed, mulberry32 for the numbers. It need not be secret, only fixed and evenly spread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_MASK = 0xFFFFFFFF


@dataclass(frozen=True)
class Screen:
    """One pair as it stands before a rater: `flipped` shows clip b on the left."""

    trial: str
    flipped: bool


class Draws:
    """Whole numbers from a text."""

    def __init__(self, text: str) -> None:
        self._state = 0x811C9DC5
        for byte in text.encode():
            self._state = ((self._state ^ byte) * 0x01000193) & _MASK

    def below(self, count: int) -> int:
        """A whole number from 0 to count - 1."""
        self._state = (self._state + 0x6D2B79F5) & _MASK
        mixed = ((self._state ^ (self._state >> 15)) * (self._state | 1)) & _MASK
        mixed ^= (mixed + ((mixed ^ (mixed >> 7)) * (mixed | 61) & _MASK)) & _MASK
        return ((mixed ^ (mixed >> 14)) * count) >> 32

    def shuffled(self, items: Sequence[str]) -> list[str]:
        """The items in another order."""
        mixed = list(items)
        for last in range(len(mixed) - 1, 0, -1):
            other = self.below(last + 1)
            mixed[last], mixed[other] = mixed[other], mixed[last]
        return mixed


def form_of(study: str, rater: str, raters: Sequence[str], forms: int) -> int:
    """Which of the forms a rater fills in: by turns where the raters are known beforehand, else drawn."""
    return raters.index(rater) % forms if raters else Draws(f"{study}/form/{rater}").below(forms)


def screens(study: str, rater: str, raters: Sequence[str], forms: Sequence[Sequence[str]]) -> list[Screen]:
    """All that a rater is shown. Raises ValueError for one who is not among the raters, where those are known."""
    draws = Draws(f"{study}/{rater}")
    trials = draws.shuffled(forms[form_of(study, rater, raters, len(forms))])
    return [Screen(trial, draws.below(2) == 1) for trial in trials]


def sides(screen: Screen, trials: Mapping[str, tuple[str, str]]) -> tuple[str, str]:
    """The clips (left, right) of a screen."""
    a, b = trials[screen.trial]
    return (b, a) if screen.flipped else (a, b)
