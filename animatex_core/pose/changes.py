"""What a cleaning step changed: every step returns the new poses and a Change."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Steps that think in seconds take a clip that does not say for one of so many frames a second.
USUAL_FPS = 25.0


@dataclass(frozen=True)
class Change:
    """One step's record.

    step: what was done. points: how many points of the clip it changed. frames: the frames with such a point, counted
    from 0. note: more about it in words, or "".
    """

    step: str
    points: int
    frames: tuple[int, ...]
    note: str = ""

    @classmethod
    def of(cls, step: str, changed: np.ndarray, note: str = "") -> Change:
        """The record of the changed points [F, P, 130] bool."""
        frames = np.flatnonzero(changed.reshape(len(changed), -1).any(-1)) if len(changed) else []
        return cls(step, int(changed.sum()), tuple(int(f) for f in frames), note)

    def line(self) -> str:
        """One line for a report."""
        where = f"{self.points} points in {len(self.frames)} frames{_ranges(self.frames)}" if self.points else "nothing"
        return f"{self.step}: {where}{'; ' if self.note else ''}{self.note}"


def _ranges(frames: tuple[int, ...], most: int = 6) -> str:
    """Frames as " (3-7, 12)", at most so many ranges."""
    if not frames:
        return ""
    breaks = [i for i in range(1, len(frames)) if frames[i] != frames[i - 1] + 1]
    runs = [frames[a:b] for a, b in zip([0, *breaks], [*breaks, len(frames)], strict=True)]
    shown = [str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs[:most]]
    return f" ({', '.join(shown)}{', ...' if len(runs) > most else ''})"
