"""Mascots: humans in a stiff suit over head and trunk, which has a face, or with a very large head put on.

Of such a costume a network sees what it has to draw for a bottle that dances, while everything that moves is a human:
joints and motion are the body's (`costumes`). The own head of who wears a suit is inside it and not drawn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .body import Human
from .costumes import Colour, Costume, Extent, Piece, eyes, false_head, measured, on_head, padded
from .puppet import LEFT_EYE, RIGHT_EYE
from .shapes import Mesh, block, turned_shape

_INSIDE = ("Head", "Neck", "Neck1")
_PROFILES = 5  # kinds of suits that turn about an axis; one more is a box


@dataclass(frozen=True)
class Suit:
    """A stiff shape. outline: [n, 2], shares of its height from below and of its half width; half: [3]; middle: [3]."""

    outline: np.ndarray
    half: np.ndarray
    middle: np.ndarray
    square: bool

    def mesh(self) -> Mesh:
        """The shape, from the joint of the spine at rest."""
        if self.square:
            wide, deep, high = self.half
            return block(2 * wide, 2 * deep, -high, high).moved(self.middle)
        closed = np.concatenate([[(self.outline[0, 0], 0)], self.outline, [(self.outline[-1, 0], 0)]])
        closed[:, 0] = 2 * closed[:, 0] - 1
        return turned_shape(closed).scaled(self.half).moved(self.middle)

    def front(self, across: float, up: float) -> np.ndarray:
        """The place on its front at shares of the half width there (left is positive) and of the height."""
        reach = 1.0 if self.square else float(np.interp(up, *self.outline.T))
        deep = 1.0 if self.square else np.sqrt(1 - across**2)
        return self.middle + self.half * (across * reach, -deep * reach, 2 * up - 1)


def draw_mascot_costume(human: Human, colours: tuple[Colour, ...], rng: np.random.Generator) -> Costume:
    """A suit or a large head, with something on it more often than not, and sometimes padded limbs."""

    def colour() -> Colour:
        return colours[int(rng.integers(len(colours)))]

    at, head, trunk = measured(human)
    pieces = padded(human, at, (colour(), colour()), rng) if rng.random() < 0.3 else []
    if rng.random() < 0.5:
        mask, marks, head = false_head(head, (colour(), colour()), rng, 2.0, 4.0)
        crown = on_head(head, colour(), rng) if rng.random() < 0.6 else []
        return Costume((*pieces, *mask, *crown), marks)
    suit = draw_suit(head, trunk, at["Head"] - at["Spine"], rng)
    marks, look = _face(suit, rng)
    pieces += [Piece(trunk.joint, suit.mesh(), colour()), *look]
    if rng.random() < 0.3:
        top = Extent(trunk.joint, suit.middle + suit.half * (0, 0, 0.5), suit.half * (*2 * (suit.outline[-1, 1],), 0.5))
        pieces += on_head(top, colour(), rng)
    return Costume(tuple(pieces), marks, trunk.joint, _INSIDE)


def draw_suit(head: Extent, trunk: Extent, apart: np.ndarray, rng: np.random.Generator) -> Suit:
    """From the hips to about the top of the head; apart: from the joint of the trunk to that of the head, [3]."""
    low = trunk.middle[2] - trunk.half[2]
    high = low + (apart[2] + head.middle[2] + head.half[2] - low) * rng.uniform(0.75, 1.15)
    half = np.array([*trunk.half[:2] * (rng.uniform(1.1, 1.8), rng.uniform(1.1, 2.0)), (high - low) / 2])
    middle = np.array([*trunk.middle[:2], (low + high) / 2])
    kind = int(rng.integers(_PROFILES + 1))
    return Suit(_profile(kind, rng), half, middle, kind == _PROFILES)


def _profile(kind: int, rng: np.random.Generator) -> np.ndarray:
    """An outline from below to above: an egg, a cone either way up, a barrel, a bottle, or anything."""
    heights = np.linspace(0, 1, 9)
    if kind == 0:
        radii = np.sqrt(np.maximum(1 - (2 * heights - 1) ** 2, 0.0))
    elif kind == 1:
        below, above = rng.uniform(0.3, 1, 2)
        radii = np.linspace(float(below), float(above), 9)
    elif kind == 2:
        radii = 1 - rng.uniform(0.1, 0.5) * (2 * heights - 1) ** 2
    elif kind == 3:
        shoulder, neck = rng.uniform(0.35, 0.7), rng.uniform(0.25, 0.6)
        radii = np.interp(heights, (0, shoulder, shoulder + 0.2, 1), (rng.uniform(0.7, 1), 1, neck, neck))
    else:
        radii = np.interp(heights, np.linspace(0, 1, 5), rng.uniform(0.4, 1, 5))
    return np.stack([heights, radii / radii.max()], 1)


def _face(suit: Suit, rng: np.random.Generator) -> tuple[dict[int, np.ndarray], list[Piece]]:
    """Marks and eyes on the front of a suit."""
    up, across, white = rng.uniform(0.4, 0.85), rng.uniform(0.2, 0.5), rng.random() < 0.5
    places = suit.front(across, up), suit.front(-across, up)
    apart = float(places[0][0] - places[1][0])
    marks = {0: suit.front(0, up) - np.array([0, 0, 0.2 * apart]), LEFT_EYE: places[0], RIGHT_EYE: places[1]}
    for number, sign in ((17, 1), (16, -1)):
        edge = suit.front(sign, up)
        marks[number] = np.array([edge[0], suit.middle[1], edge[2]])
    size = min(0.35 * apart, float(suit.half.min()) * rng.uniform(0.12, 0.25))
    return marks, eyes("Spine", places, size, white)
