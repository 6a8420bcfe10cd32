"""Cleaning of detected poses, in the order in which the steps need each other, each with a record of what it changed.

A person is followed, left and right are put back, outliers are taken out, empty frames and gaps are filled, and what is
left of the jitter is smoothed. Every step can be had alone (`tracks`, `swaps`, `outliers`, `gaps`, `smooth`) or here.
"""

from __future__ import annotations

from dataclasses import dataclass

from .changes import Change
from .gaps import POLICIES, fill_frames, fill_gaps
from .keypoints import PoseSequence
from .outliers import remove_outliers
from .smooth import one_euro, savitzky_golay
from .swaps import repair_swaps
from .tracks import ORDERS, select_person, track_people

__all__ = [
    "Change",
    "CleanOptions",
    "Cleaned",
    "clean",
    "fill_frames",
    "fill_gaps",
    "one_euro",
    "remove_outliers",
    "repair_swaps",
    "savitzky_golay",
    "select_person",
    "track_people",
]

SMOOTHERS = ("one-euro", "savitzky-golay", "none")


@dataclass(frozen=True)
class CleanOptions:
    """What to clean.

    person: who is kept: an order of tracks.ORDERS (the first person in it, followed through the clip), a slot number as
    it stands, or "all" (everybody, followed). swaps: put left and right back. outliers: take out points in impossible
    places. max_gap: frames; points missing no longer are filled, 0 fills none. missing: what frames without the person
    get: "hold", "interpolate" or "blank". smoothing: "one-euro", "savitzky-golay" or "none"; strength: times the usual
    amount, 0.1 to 10.
    """

    person: str | int = "main"
    swaps: bool = True
    outliers: bool = True
    max_gap: int = 8
    missing: str = "hold"
    smoothing: str = "one-euro"
    strength: float = 1.0

    def __post_init__(self) -> None:
        for name, known in (("missing", POLICIES), ("smoothing", SMOOTHERS)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}; got {getattr(self, name)!r}")
        if isinstance(self.person, str) and self.person not in (*ORDERS, "all"):
            raise ValueError(f"person must be a number or one of {', '.join(ORDERS)}, all; got {self.person!r}")
        if self.max_gap < 0:
            raise ValueError(f"max_gap must be 0 or more frames, got {self.max_gap}")
        if not 0.1 <= self.strength <= 10:
            raise ValueError(f"strength must be 0.1 to 10, got {self.strength}")


@dataclass(frozen=True)
class Cleaned:
    """The cleaned poses and one record a step."""

    poses: PoseSequence
    changes: tuple[Change, ...]

    def summary(self) -> str:
        """One line a step, for a report."""
        return "\n".join(change.line() for change in self.changes)


def clean(poses: PoseSequence, options: CleanOptions | None = None) -> Cleaned:
    """Clean a clip. Never raises for a pose; ValueError for a person's number that the clip does not have."""
    o = options or CleanOptions()
    poses, change = track_people(poses) if o.person == "all" else select_person(poses, o.person)
    changes = [change]
    if o.swaps:
        poses, change = repair_swaps(poses)
        changes.append(change)
    if o.outliers:
        poses, change = remove_outliers(poses)
        changes.append(change)
    poses, change = fill_frames(poses, o.missing)
    changes.append(change)
    if o.max_gap:
        poses, change = fill_gaps(poses, o.max_gap)
        changes.append(change)
    if o.smoothing != "none":
        poses, change = _smooth(poses, o.smoothing, o.strength)
        changes.append(change)
    return Cleaned(poses, tuple(changes))


def _smooth(poses: PoseSequence, how: str, strength: float) -> tuple[PoseSequence, Change]:
    if how == "one-euro":
        return one_euro(poses, min_cutoff=1.5 / strength, beta=10.0 / strength)
    half = max(1, min(round(3 * strength), 30))
    return savitzky_golay(poses, window=2 * half + 1, order=2)
