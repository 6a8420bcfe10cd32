"""The mini benchmark: 20 characters and 6 motions that nothing is trained on, and a human driver for each motion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np

from animatex_core.pose.pool import TABLE

from .body import AnnyModel, Human
from .cast import Looks, draw_looks, draw_shape, redressed
from .figures import Build, Figure
from .motion import Motion
from .puppet import Puppet
from .skeleton import INDEX

FRAMES, FPS = 16, 12.0
# Recording and the second it begins at; shorter recordings are stretched to 16 frames.
MOTIONS = {
    "dance_b_1": ("dance_b", 0.0),
    "dance_b_2": ("dance_b", 1.2),
    "kick": ("kick", 0.0),
    "spinkick": ("spinkick", 0.0),
    "punch": ("punch", 0.4),
    "jump": ("jump", 0.2),
}
_SEED = 9_000_000  # of everybody here; training draws from smaller seeds
_HUMANS = {
    "child": {"age": 0.3, "height": 0.3},
    "heavy": {"weight": 1.0, "muscle": 0.3, "age": 0.7},
    "tall": {"height": 0.95, "weight": 0.3, "age": 0.6, "proportions": 0.8},
    "strong": {"muscle": 0.95, "gender": 0.9, "weight": 0.55, "age": 0.55},
}
HUMANS = tuple(_HUMANS)
_IN_RANGE = {
    "doll": Build(head=0.2, thigh=0.36, shin=0.36, arm=0.26, fore=0.24, trunk=0.5, neck=0.08),
    "bear": Build(
        head=0.22, thigh=0.3, shin=0.3, arm=0.25, fore=0.22, trunk=0.6, shoulder=0.24, thick=0.1, ears="round"
    ),
    "hare": Build(head=0.19, thigh=0.42, shin=0.42, arm=0.26, fore=0.26, trunk=0.5, shoulder=0.17, ears="long"),
    "gnome": Build(head=0.22, thigh=0.24, shin=0.24, arm=0.22, fore=0.2, trunk=0.5, shoulder=0.22, thick=0.09),
}
_OUT_OF_RANGE = {
    "bighead": Build(head=0.46, thigh=0.24, shin=0.24, arm=0.16, fore=0.15, trunk=0.36, shoulder=0.16, neck=0.05),
    "stubby": Build(head=0.36, thigh=0.1, shin=0.1, arm=0.13, fore=0.12, trunk=0.62, shoulder=0.26, thick=0.09),
    "armless": Build(head=0.42, thigh=0.3, shin=0.3, arm=0.0, fore=0.0, trunk=0.42, shoulder=0.15, neck=0.05),
    "penguin": Build(head=0.38, thigh=0.09, shin=0.09, arm=0.0, fore=0.0, trunk=0.66, shoulder=0.3, thick=0.1),
    "longarm": Build(head=0.17, thigh=0.26, shin=0.26, arm=0.4, fore=0.34, trunk=0.22, shoulder=0.18),
    "mouse": Build(head=0.44, thigh=0.2, shin=0.2, arm=0.15, fore=0.14, trunk=0.4, shoulder=0.15, ears="round"),
    "rabbit": Build(head=0.4, thigh=0.13, shin=0.13, arm=0.12, fore=0.11, trunk=0.4, shoulder=0.14, ears="long"),
    "stilt": Build(head=0.42, thigh=0.66, shin=0.66, arm=0.2, fore=0.18, trunk=0.24, shoulder=0.13, thick=0.05),
}  # fmt: skip
_OBJECTS = {
    "box": Build(shape="box", thigh=0.26, shin=0.26, arm=0.22, fore=0.2, trunk=0.5, shoulder=0.26, thick=0.045),
    "ball": Build(shape="ball", thigh=0.3, shin=0.3, arm=0.24, fore=0.22, trunk=0.4, shoulder=0.34, thick=0.045),
    "cup": Build(shape="cup", thigh=0.24, shin=0.24, arm=0.22, fore=0.2, trunk=0.42, shoulder=0.26, thick=0.045),
    "bottle": Build(shape="bottle", thigh=0.28, shin=0.28, arm=0.0, fore=0.0, trunk=0.6, shoulder=0.24, thick=0.05),
}
KINDS = ("in range", "out of range", "object")


@dataclass(frozen=True)
class Member:
    """A character of the benchmark; kind is one of KINDS."""

    name: str
    kind: str
    puppet: Puppet
    looks: Looks


def members(model: AnnyModel) -> list[Member]:
    """All 20, in a fixed order."""
    makers = {name: ("in range", partial(_human, model, change)) for name, change in _HUMANS.items()}
    for kind, builds in zip(KINDS, (_IN_RANGE, _OUT_OF_RANGE, _OBJECTS), strict=True):
        makers |= {name: (kind, partial(_figure, build)) for name, build in builds.items()}
    found = []
    for number, (name, (kind, make)) in enumerate(makers.items()):
        rng = np.random.default_rng([_SEED, number])
        looks = draw_looks(rng, human=name in _HUMANS)
        found.append(Member(name, kind, make(rng, looks), looks))
    return found


def drivers(model: AnnyModel, clothes: int = 0) -> dict[str, tuple[Puppet, Looks]]:
    """The human that drives each motion, in its own clothes, or in others for the leak test."""
    found = {}
    for number, motion in enumerate(MOTIONS):
        rng = np.random.default_rng([_SEED + 1, number])
        looks = draw_looks(rng)
        shape = draw_shape(rng) | {"age": 0.6, "weight": 0.4, "height": 0.5}
        if clothes:
            looks = redressed(looks, np.random.default_rng([_SEED + 2, number, clothes]))
        found[motion] = (Human(model, shape, looks.clothes), looks)
    return found


def held_out_motions(recordings: Mapping[str, Motion]) -> dict[str, Motion]:
    """The 6 motions, 16 frames each, of the recordings that MOTIONS names."""
    return {name: recordings[source].window(start, FRAMES, FPS).facing() for name, (source, start) in MOTIONS.items()}


def _human(model: AnnyModel, change: Mapping[str, float], rng: np.random.Generator, looks: Looks) -> Puppet:
    return Human(model, draw_shape(rng) | dict(change), looks.clothes)


def _figure(build: Build, rng: np.random.Generator, looks: Looks) -> Puppet:
    return Figure(build, looks.clothes)


def factors(puppet: Puppet, adult: Puppet) -> dict[str, float]:
    """Lengths of a character at rest, relative to an adult's, by the operation of `rescale` that changes them.

    Without arms there is none for them.
    """
    own, other = _lengths(puppet), _lengths(adult)
    return {name: value / other[name] for name, value in own.items() if not np.isnan(value)}


def in_range(shape: Mapping[str, float]) -> bool:
    """Whether the random rescaling of training can make this shape of an adult, of any size.

    A size s and factors within the table must give all lengths: low <= length / s <= high.
    """
    ranges = {line.operation: (line.low, line.high) for line in TABLE}
    least = max(value / ranges[name][1] for name, value in shape.items())
    most = min(value / ranges[name][0] for name, value in shape.items())
    return least <= most


def _lengths(puppet: Puppet) -> dict[str, float]:
    points = puppet.pose(np.tile(np.eye(3), (1, len(INDEX), 1, 1))).points[0]

    def along(*path: int) -> float:
        return float(sum(np.linalg.norm(points[a] - points[b]) for a, b in pairwise(path)))

    hips: Sequence[float] = (points[8] + points[11]) / 2
    return {
        "body": float(np.linalg.norm(points[1] - hips)), "shoulders": along(1, 2), "neck": along(1, 0),
        "face": along(16, 17), "arms": along(2, 3, 4), "legs": along(8, 9, 10),
    }  # fmt: skip
