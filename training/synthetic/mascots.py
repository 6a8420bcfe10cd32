"""Mascots: humans in a stiff suit in place of head and trunk, which has a face, or with a very large head put on.

Of such a costume a network sees what it has to draw for a bottle that dances, while everything that moves is a human:
joints and motion are the body's (`costumes`). What of the body is inside a suit is not drawn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .body import Human
from .costumes import (
    DARK,
    HEAD_BONES,
    TRUNK_BONES,
    Colour,
    Costume,
    Extent,
    Piece,
    eyes,
    false_head,
    measured,
    on_head,
    padded,
)
from .puppet import LEFT_EYE, RIGHT_EYE
from .shapes import Mesh, block, turned_shape
from .skeleton import SIDES

_INSIDE = (*HEAD_BONES, "Neck", "Neck1", *TRUNK_BONES)
_KINDS = 6  # of suits
_NEAR = 0.35  # colours nearer to dark eyes than this get white ones


@dataclass(frozen=True)
class Suit:
    """A stiff shape that turns about an upright axis, or a box.

    outline: [n, 2], shares of its height from below and of its half width there; None for a box. half: [3], half its
    sizes. middle: [3], from the joint of the spine at rest.
    """

    outline: np.ndarray | None
    half: np.ndarray
    middle: np.ndarray

    def mesh(self) -> Mesh:
        """The shape, from the joint of the spine at rest."""
        if self.outline is None:
            wide, deep, high = self.half
            return block(2 * wide, 2 * deep, -high, high).moved(self.middle)
        closed = np.concatenate([[(0, 0)], self.outline, [(1, 0)]])
        closed[:, 0] = 2 * closed[:, 0] - 1
        return turned_shape(closed).scaled(self.half).moved(self.middle)

    def radius(self, up: float) -> float:
        """The share of the half width at a share of the height."""
        return 1.0 if self.outline is None else float(np.interp(up, *self.outline.T))

    def front(self, across: float, up: float) -> np.ndarray:
        """The place [3] on its front at shares of the half width there (left is positive) and of the height."""
        deep = 1.0 if self.outline is None else np.sqrt(1 - across**2)
        reach = self.radius(up)
        return self.middle + self.half * (across * reach, -deep * reach, 2 * up - 1)


def draw_mascot_costume(human: Human, colours: tuple[Colour, ...], rng: np.random.Generator) -> Costume:
    """A large head or a suit, either maybe with something on top, and sometimes padded limbs."""
    at, head, trunk = measured(human)
    limbs = padded(human, at, (_one(colours, rng), _one(colours, rng)), rng) if rng.random() < 0.3 else []
    if rng.random() < 0.5:
        mask, marks, head = false_head(head, (_one(colours, rng), _one(colours, rng)), rng, 2.0, 4.0)
        crown = on_head(head, _one(colours, rng), rng) if rng.random() < 0.6 else []
        return Costume((*limbs, *mask, *crown), marks)
    suit = draw_suit(head, trunk, at["Head"] - at["Spine"], rng)
    pieces, marks = _dressed(suit, trunk.joint, colours, rng)
    bare = [f"{side}Shoulder" for side in SIDES if human.lacks(f"{side}Arm")]
    return Costume((*limbs, *pieces), marks, trunk.joint, (*_INSIDE, *bare))


def draw_suit(head: Extent, trunk: Extent, apart: np.ndarray, rng: np.random.Generator) -> Suit:
    """From the hips to about the top of the head; apart: from the joint of the trunk to that of the head, [3]."""
    low = trunk.middle[2] - trunk.half[2]
    high = low + (apart[2] + head.middle[2] + head.half[2] - low) * rng.uniform(0.8, 1.15)
    half = np.array([*trunk.half[:2] * (rng.uniform(1.1, 1.8), rng.uniform(1.1, 2.0)), (high - low) / 2])
    return Suit(_outline(rng), half, np.array([*trunk.middle[:2], (low + high) / 2]))


def _outline(rng: np.random.Generator) -> np.ndarray | None:
    """From below to above: an egg, a cone either way up, a barrel, a bottle, anything; none for a box."""
    heights, kind = np.linspace(0, 1, 9), int(rng.integers(_KINDS))
    if kind == 0:
        radii = np.sqrt(1 - (2 * heights - 1) ** 2)
    elif kind == 1:
        below, above = rng.uniform(0.3, 1, 2)
        radii = np.linspace(float(below), float(above), 9)
    elif kind == 2:
        radii = 1 - rng.uniform(0.1, 0.5) * (2 * heights - 1) ** 2
    elif kind == 3:
        shoulder, neck = rng.uniform(0.35, 0.7), rng.uniform(0.25, 0.6)
        radii = np.interp(heights, (0, shoulder, shoulder + 0.2, 1), (rng.uniform(0.7, 1), 1, neck, neck))
    elif kind == 4:
        radii = np.interp(heights, np.linspace(0, 1, 5), rng.uniform(0.4, 1, 5))
    else:
        return None
    return np.stack([heights, radii / radii.max()], 1)


def _dressed(
    suit: Suit, joint: str, colours: tuple[Colour, ...], rng: np.random.Generator
) -> tuple[list[Piece], dict[int, np.ndarray]]:
    """A suit with its face and sometimes ears or a hat, and the marks of the face."""
    colour = _one(colours, rng)
    marks = _face(suit, rng)
    apart = float(marks[LEFT_EYE][0] - marks[RIGHT_EYE][0])
    size = min(0.35 * apart, float(suit.half.min()) * rng.uniform(0.12, 0.25))
    white = rng.random() < 0.5 or float(np.linalg.norm(np.subtract(colour, DARK))) < _NEAR
    pieces = [Piece(joint, suit.mesh(), colour), *eyes(joint, (marks[LEFT_EYE], marks[RIGHT_EYE]), size, white)]
    if rng.random() < 0.3:
        wide = max(suit.radius(0.9), 0.3)
        top = Extent(joint, suit.middle + suit.half * (0, 0, 0.5), suit.half * (wide, wide, 0.5))
        pieces += on_head(top, _one(colours, rng), rng)
    return pieces, marks


def _face(suit: Suit, rng: np.random.Generator) -> dict[int, np.ndarray]:
    """Where eyes, nose and ears are: on the front of a suit, and where it ends left and right of that."""
    up, across = rng.uniform(0.4, 0.85), rng.uniform(0.2, 0.5)
    left, right, nose = suit.front(across, up), suit.front(-across, up), suit.front(0, up)
    marks = {0: nose - (0, 0, 0.2 * (left[0] - right[0])), LEFT_EYE: left, RIGHT_EYE: right}
    for number, sign in ((17, 1), (16, -1)):
        edge = suit.front(sign, up)
        marks[number] = np.array([edge[0], suit.middle[1], edge[2]])
    return marks


def _one(colours: tuple[Colour, ...], rng: np.random.Generator) -> Colour:
    return colours[int(rng.integers(len(colours)))]
