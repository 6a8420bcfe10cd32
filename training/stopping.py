"""SIGTERM and Ctrl-C end a run after the step at hand, with a checkpoint."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOPS = (signal.SIGTERM, signal.SIGINT)


class StopRequest:
    """Whether somebody asked for the end, by which signal (0: nobody)."""

    def __init__(self) -> None:
        self.signal = 0

    def ask(self, number: int, _: FrameType | None = None) -> None:
        """A handler for signals. A second Ctrl-C interrupts at once."""
        if self.signal == signal.SIGINT == number:
            raise KeyboardInterrupt
        self.signal = number


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Listen while this lasts; for the main thread of a program."""
    request = StopRequest()
    before = {number: signal.signal(number, request.ask) for number in STOPS}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def starting_processes() -> Iterator[None]:
    """Around the start of worker processes, which inherit it: the signals wait, here until the end of this, in the
    workers until `ignore_stops`. Where signals cannot be held back (Windows) nothing happens."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ignore_stops(_: int = 0) -> None:
    """For a worker process: a signal to the whole process group is for the trainer, which needs it until the end."""
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
