"""How a stored clip becomes a sample, and the data side of the paper's ablations as settings.

The Explicit Pose Indicator (section 3.2): with probability lambda a driving pose is realigned to an anchor from the
pool and then rescaled by a random combination of operations. The geometry is `animatex_core.pose.epi`. Every setting
changes what it says and nothing else: the other numbers of a sample stay the same under the same seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from animatex_core.pose.epi import Augmentation, PosePool, Transformed, transform
from animatex_core.pose.keypoints import PoseSequence

# Setting -> group of operations of `animatex_core.pose.pool`; the paper's names are in table 5.
_GROUPS = {
    "body_shoulders": "body and shoulders",
    "neck_face": "neck and face",
    "arms_legs": "arms and legs",
    "add": "add",
    "drop": "drop",
}
MAX_INTERVAL = 16


@dataclass(frozen=True, kw_only=True)
class ReadSettings:
    """How clips are read in training; the keys of `[data.settings]` of a training configuration.

    What the paper's tables take away:

    | paper                  | setting                  |
    |------------------------|--------------------------|
    | w/o EPI, baseline      | `probability = 0.0`      |
    | lambda (table 6)       | `probability = 0.98` ... |
    | w/o Realign            | `realign = false`        |
    | w/o Rescalings         | `rescale = false`        |
    | w/o BS, NF, AL         | `body_shoulders`, `neck_face`, `arms_legs` `= false` |
    | w/o Add, w/o Drop      | `add = false`, `drop = false` |
    """

    probability: float = 0.98  # lambda
    realign: bool = True
    rescale: bool = True  # false: none of the operations, whatever the next five say
    body_shoulders: bool = True
    neck_face: bool = True
    arms_legs: bool = True
    add: bool = True
    drop: bool = True
    pool: str = ""  # index file of a pose pool; empty: the anchors of the data set itself
    intervals: tuple[int, ...] = (1, 2, 3, 4)  # every which frame; drawn among those that the clip is long enough for
    hands: bool = True  # in the drawn poses
    still: float = 1.0  # share of samples whose reference is the picture given beside the video, where there is one
    cross: float = 1.0  # share of samples whose IPI reads the driver given beside the video, where there is one
    without_video: float = 0.0  # share of samples whose IPI reads the reference at every frame, as without a video
    details: float = 0.0  # how much more the loss counts at eyes, nose and wrists (`animatex_training.emphasis`)
    vae: str = ""  # encodes data sets that hold frames instead of latents
    validation_share: float = 0.0  # of the videos, held out from training

    def __post_init__(self) -> None:
        for name in ("probability", "still", "cross", "without_video", "validation_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"data.settings.{name}: expected 0 to 1, got {getattr(self, name)}")
        if not 0 <= self.details < np.inf:
            raise ValueError(f"data.settings.details: expected a number of 0 or more, got {self.details}")
        if not self.intervals or any(not 1 <= interval <= MAX_INTERVAL for interval in self.intervals):
            raise ValueError(
                f"data.settings.intervals: expected numbers from 1 to {MAX_INTERVAL}, got {list(self.intervals)}"
            )

    @property
    def augmentation(self) -> Augmentation:
        """What the core's random transformation may do."""
        groups = tuple(group for name, group in _GROUPS.items() if self.rescale and getattr(self, name))
        return Augmentation(probability=self.probability, realign=self.realign, groups=groups)


def read_settings(values: Mapping[str, Any]) -> ReadSettings:
    """Settings from a configuration. Raises ValueError naming an unknown key or a value of another type."""
    known = {f.name: f.default for f in fields(ReadSettings)}
    for name, value in values.items():
        if name not in known:
            raise ValueError(f"data.settings.{name}: unknown; the settings are {', '.join(known)}")
        if not _same_kind(value, known[name]):
            raise ValueError(f"data.settings.{name}: expected something like {known[name]!r}, got {value!r}")
    typed: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in values.items()}
    return ReadSettings(**typed)


def _same_kind(value: Any, example: Any) -> bool:
    if isinstance(example, tuple):
        return isinstance(value, list | tuple) and all(type(v) is int for v in value)
    if isinstance(example, float):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is type(example)


@dataclass(frozen=True)
class Window:
    """Which frames of a clip make a sample, and which of its pictures is the reference."""

    start: int
    interval: int
    frames: int
    reference: int  # number among the clip's pictures

    @property
    def span(self) -> slice:
        """The frames, in the clip."""
        return slice(self.start, self.start + (self.frames - 1) * self.interval + 1, self.interval)


def draw_window(
    rng: np.random.Generator, length: int, references: int, frames: int, intervals: tuple[int, ...]
) -> Window:
    """A random window of a clip of `length` frames; always draws three numbers.

    Raises ValueError when the clip is too short even for the smallest interval.
    """
    interval, start, reference = rng.random(3)
    possible = [i for i in sorted(intervals) if (frames - 1) * i < length]
    if not possible:
        raise ValueError(f"a clip of {length} frames is too short for {frames} frames at intervals {list(intervals)}")
    chosen = possible[int(interval * len(possible))]
    last = length - (frames - 1) * chosen
    return Window(int(start * last), chosen, frames, int(reference * references))


def explicit_pose(poses: PoseSequence, pool: PosePool, rng: np.random.Generator, settings: ReadSettings) -> Transformed:
    """The poses to draw. What the Implicit Pose Indicator reads is to be taken from `poses`, untransformed."""
    return transform(poses, pool, rng, settings.augmentation)
