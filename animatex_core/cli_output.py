"""What the command line shows people: results, errors, the log, and progress bars."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from tqdm import tqdm


class Advance(Protocol):
    """Tells a bar how many are done, of how many and at what, where that is known or changes."""

    def __call__(self, done: int, total: int | None = None, what: str | None = None, /) -> None: ...


def say(text: str) -> None:
    """The one place that writes results for people."""
    sys.stdout.write(text + "\n")


def fail(message: str, code: int) -> int:
    """Say what went wrong; returns the exit code."""
    sys.stderr.write(f"animate-x: {message}\n")
    return code


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its kind where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def set_up_log(quiet: bool) -> None:
    """Log to the standard error: everything, or warnings and errors only."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    for name in ("animatex_core", "animatex_training"):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(logging.WARNING if quiet else logging.INFO)


@contextmanager
def progress_bar(what: str, unit: str, *, quiet: bool) -> Iterator[Advance]:
    """A bar that appears with the first step, so that an error before it is said without one, and closes with errors.

    The unit "B" counts bytes.
    """
    bars: list[tqdm] = []

    def advance(done: int, total: int | None = None, now: str | None = None, /) -> None:
        if quiet:
            return
        if not bars:
            bars.append(_bar(now or what, unit, done, total))
        bar = bars[0]
        bar.total = total
        if now is not None:
            bar.set_description(now)
        bar.update(done - bar.n)

    try:
        yield advance
    finally:
        for bar in bars:
            bar.close()


def _bar(what: str, unit: str, done: int, total: int | None) -> tqdm:
    from tqdm import tqdm

    in_bytes = unit == "B"
    # initial: what was done before the clock of the bar started says nothing of the speed
    return tqdm(
        desc=what, unit=unit, total=total, initial=done, unit_scale=in_bytes, unit_divisor=1024 if in_bytes else 1000
    )
