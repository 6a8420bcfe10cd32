"""Humans dressed up: hats and ears, large heads to put on, padded clothes, skirts, barrels and boxes about the trunk.

The EPI makes a skeleton unlike a human's; what a picture of such a body shows does not follow from a skeleton alone.
A costume changes the outline of a human and leaves the joints: so that a network learns to read the outline from the
reference. Who wears it is a human in every frame: the joints, and the motion, are the body's.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .body import LIMBS, Human
from .puppet import LEFT_EYE, RIGHT_EYE, Posed
from .shapes import Mesh, ball, block, limb, turned_shape
from .skeleton import INDEX, SIDES, rest_direction

Colour = tuple[float, float, float]
DARK: Colour = (0.06, 0.06, 0.08)
TRUNK_BONES, HEAD_BONES = ("Hips", "LHipJoint", "RHipJoint", "LowerBack", "Spine", "Spine1"), ("Head",)


@dataclass(frozen=True)
class Piece:
    """Something worn: a mesh about a joint at rest, which turns with the segment that begins there."""

    joint: str
    mesh: Mesh
    colour: Colour


@dataclass(frozen=True)
class Costume:
    """What somebody wears.

    marks: points of a face that is put on, from the joint `face` at rest; it looks where the segment looks that begins
    there. hides: bones of which nothing is seen, since they are inside.
    """

    pieces: tuple[Piece, ...] = ()
    marks: dict[int, np.ndarray] = field(default_factory=dict)
    face: str = "Head"
    hides: tuple[str, ...] = ()


@dataclass(frozen=True)
class Extent:
    """The box about a part of a body at rest, from its joint: the middle and half the sizes, both [3]."""

    joint: str
    middle: np.ndarray
    half: np.ndarray


class Dressed:
    """A human in a costume; a `Puppet`."""

    def __init__(self, human: Human, costume: Costume):
        self.human, self.costume, self.leg = human, costume, human.leg
        sizes = [len(piece.mesh.vertices) for piece in costume.pieces]
        starts = len(human.colours) + np.cumsum([0, *sizes])
        self._joint = np.repeat([INDEX[piece.joint] for piece in costume.pieces], sizes).astype(int)
        self._worn = np.concatenate([np.zeros((0, 3)), *(piece.mesh.vertices for piece in costume.pieces)])
        meshes = [piece.mesh.faces + start for piece, start in zip(costume.pieces, starts, strict=False)]
        self.faces = np.concatenate([_seen(human, costume.hides), *meshes]).astype(np.int32)
        paint = [np.tile(piece.colour, (size, 1)) for piece, size in zip(costume.pieces, sizes, strict=True)]
        self.colours = np.concatenate([human.colours, *paint])
        shod = np.isin(self._joint, [INDEX[f"{side}Foot"] for side in SIDES])
        self.soles = np.concatenate([human.soles, len(human.colours) + np.flatnonzero(shod)])
        straight = self.pose(np.tile(np.eye(3), (1, len(INDEX), 1, 1))).vertices
        self.standing = float(np.ptp(straight[:, np.unique(self.faces), 2]))

    def pose(self, rotations: np.ndarray) -> Posed:
        """See `Puppet`."""
        posed, heads = self.human.with_joints(rotations)
        places = heads[:, self._joint] + np.einsum("fvij,vj->fvi", rotations[:, self._joint], self._worn)
        points, face = posed.points.copy(), INDEX[self.costume.face]
        for number, mark in self.costume.marks.items():
            points[:, number] = heads[:, face] + rotations[:, face] @ mark
        front = rotations[:, face] @ (0.0, -1.0, 0.0)
        return Posed(np.concatenate([posed.vertices, places], 1), points, front)


def _seen(human: Human, hidden: tuple[str, ...]) -> np.ndarray:
    """The faces [T, 3] of a human without those about some bones."""
    if not hidden:
        return human.faces
    inside = np.isin(np.array(human.model.bones)[human.model.dominant], hidden)
    return human.faces[~inside[human.faces].all(1)]


def draw_costume(human: Human, colours: tuple[Colour, ...], rng: np.random.Generator) -> Costume:
    """Some of everything, in some of the colours; each kind has a chance of its own.

    A human without arms wears nothing on them.
    """

    def colour() -> Colour:
        return colours[int(rng.integers(len(colours)))]

    at, head, trunk = measured(human)
    pieces, marks = [], {}
    if rng.random() < 0.4:
        pieces += padded(human, at, (colour(), colour()), rng)
    if rng.random() < 0.35:
        pieces += _about_trunk(trunk, colour(), rng)
    elif rng.random() < 0.25:
        pieces += _skirt(human, trunk, colour(), rng)
    if rng.random() < 0.25:
        pieces += _bag(trunk, colour(), rng)
    if rng.random() < 0.5:
        mask, marks, head = false_head(head, (colour(), colour()), rng)
        pieces += mask
    if rng.random() < 0.6:
        pieces += on_head(head, colour(), rng)
    return Costume(tuple(pieces), marks)


def measured(human: Human) -> tuple[dict[str, np.ndarray], Extent, Extent]:
    """Where the joints of a human are at rest, and the boxes about head and trunk."""
    rest, joints = human.with_joints(np.tile(np.eye(3), (1, len(INDEX), 1, 1)))
    at = {joint: joints[0, number] for joint, number in INDEX.items()}
    head = extent(human, rest.vertices[0], HEAD_BONES, "Head", at["Head"])
    return at, head, extent(human, rest.vertices[0], TRUNK_BONES, "Spine", at["Spine"])


def extent(human: Human, vertices: np.ndarray, bones: tuple[str, ...], joint: str, at: np.ndarray) -> Extent:
    """The box about what some bones move most: of vertices [V, 3] at rest, measured from a joint at `at` [3]."""
    found = vertices[np.isin(np.array(human.model.bones)[human.model.dominant], bones)] - at
    low, high = found.min(0), found.max(0)
    return Extent(joint, (low + high) / 2, (high - low) / 2)


def padded(
    human: Human, at: dict[str, np.ndarray], colours: tuple[Colour, Colour], rng: np.random.Generator
) -> list[Piece]:
    """Sleeves, legs, gloves and shoes, as thick as the leg is long or short; an arm that lacks a part stays bare."""
    thick = human.leg * rng.uniform(0.05, 0.13)
    ends, pieces = thick * rng.uniform(0.7, 1.1), []
    for side in SIDES:
        for start, end in LIMBS.items():
            bones = f"{side}Arm", f"{side}ForeArm"
            if side + start in bones and any(human.lacks(bone) for bone in (*bones, f"{side}Hand")):
                continue
            length = float(np.linalg.norm(at[side + end] - at[side + start]))
            shape = limb(rest_direction(side + start), length, thick, ends)
            pieces.append(Piece(side + start, shape, colours[1] if "Leg" in start else colours[0]))
        if not any(human.lacks(f"{side}{part}") for part in ("Arm", "ForeArm", "Hand")):
            glove = ball(1.2 * ends).moved(ends * rest_direction(f"{side}Hand"))
            pieces.append(Piece(f"{side}Hand", glove, colours[1]))
        shoe = ball((1.1 * ends, 1.9 * ends, 0.8 * ends)).moved((0, -0.9 * ends, -0.3 * ends))
        pieces.append(Piece(f"{side}Foot", shoe, colours[0]))
    return pieces


def _about_trunk(trunk: Extent, colour: Colour, rng: np.random.Generator) -> list[Piece]:
    """A stiff box, barrel, ball or cone from the hips to the shoulders, which hides the trunk."""
    wide, deep, half = trunk.half * (rng.uniform(1.0, 1.5), rng.uniform(1.0, 1.8), rng.uniform(0.9, 1.15))
    kind = int(rng.integers(4))
    if kind == 0:
        mesh = block(2 * wide, 2 * deep, -half, half)
    elif kind == 1:
        mesh = ball((1.15 * wide, 1.15 * deep, 1.1 * half))
    else:
        top, middle, low = (1.0, 1.15, 1.0) if kind == 2 else rng.uniform(0.6, 1.25, 3)
        outline = [(-half, 0), (-half, low), (0, middle), (half, top), (half, 0)]
        mesh = turned_shape(outline).scaled((wide, deep, 1))
    return [Piece(trunk.joint, mesh.moved(trunk.middle), colour)]


def _skirt(human: Human, trunk: Extent, colour: Colour, rng: np.random.Generator) -> list[Piece]:
    long, wide, deep = human.leg * rng.uniform(0.2, 0.55), trunk.half[0] * rng.uniform(0.8, 1.0), trunk.half[1]
    flare = rng.uniform(1.2, 2.0)
    outline = [(-long, 0), (-long, flare), (0.1 * long, 1.0), (0.25 * long, 0.9), (0.25 * long, 0)]
    return [Piece("Hips", turned_shape(outline).scaled((wide, 1.1 * deep, 1)), colour)]


def _bag(trunk: Extent, colour: Colour, rng: np.random.Generator) -> list[Piece]:
    wide, deep, half = trunk.half * rng.uniform((0.5, 0.4, 0.4), (1.0, 1.0, 0.8))
    behind = trunk.middle + np.array([0, trunk.half[1] + 0.7 * deep, 0.2 * trunk.half[2]])
    mesh = block(2 * wide, 2 * deep, -half, half) if rng.random() < 0.5 else ball((wide, deep, half))
    return [Piece(trunk.joint, mesh.moved(behind), colour)]


def false_head(
    head: Extent, colours: tuple[Colour, Colour], rng: np.random.Generator, least: float = 1.1, most: float = 2.3
) -> tuple[list[Piece], dict[int, np.ndarray], Extent]:
    """A head of another shape over the own one, with eyes; its marks, and its box.

    Its half sizes are `least` to `most` times half the own width or depth, whichever is larger, and up to half as much
    again upwards.
    """
    half = np.max(head.half[:2]) * rng.uniform(least, most) * rng.uniform((0.8, 0.8, 0.8), (1.2, 1.0, 1.5))
    half = np.maximum(half, 1.1 * head.half)
    middle = head.middle + np.array([0, 0, 0.9 * (half[2] - head.half[2])])
    kind = int(rng.integers(3))
    if kind == 0:
        mesh = ball(half)
    elif kind == 1:
        mesh = block(2 * half[0], 2 * half[1], -half[2], half[2], rng.uniform(0.1, 0.3))
    else:
        outline = [(-1, 0), (-1, rng.uniform(0.5, 1)), (0, 1), (1, rng.uniform(0.4, 1)), (1, 0)]
        mesh = turned_shape(outline).scaled(half)
    pieces = [Piece("Head", mesh.moved(middle), colours[0])]
    if kind == 0 and rng.random() < 0.7:
        cap = ball(half * (1.06, 0.95, 0.85)).moved(middle + half * (0, 0.15, 0.3))
        pieces.append(Piece("Head", cap, colours[1]))
    side, front, up = (0.36, 0.84, 0.1) if kind == 0 else (0.36, 0.95, 0.1)
    size, white = half.min() * rng.uniform(0.12, 0.24), rng.random() < 0.4
    marks = {0: middle + half * (0, -front, -0.2)}
    for sign, eye, ear in ((1, LEFT_EYE, 17), (-1, RIGHT_EYE, 16)):
        marks[eye] = middle + half * (sign * side, -front, up)
        marks[ear] = middle + half * (sign * 0.95, 0, 0)
    pieces += eyes("Head", (marks[LEFT_EYE], marks[RIGHT_EYE]), size, white)
    return pieces, marks, Extent(head.joint, middle, half)


def eyes(joint: str, places: tuple[np.ndarray, np.ndarray], size: float, white: bool) -> list[Piece]:
    """Balls of a radius; white ones have a pupil, others are dark."""
    pieces = []
    for place in places:
        pieces.append(Piece(joint, ball(size).moved(place), (0.96, 0.96, 0.94) if white else DARK))
        if white:
            pieces.append(Piece(joint, ball(0.55 * size).moved(place - (0, 0.65 * size, 0)), DARK))
    return pieces


def on_head(head: Extent, colour: Colour, rng: np.random.Generator) -> list[Piece]:
    """Ears, horns, buns, a hat or a tuft."""
    kind, size = int(rng.integers(5)), head.half
    if kind < 3:
        return _pair(head, colour, rng)
    high, wide = size[2] * rng.uniform(0.3, 1.4), rng.uniform(0.4, 0.9)
    if kind == 3:  # a hat, pointed or not
        outline = [(0, 0), (0, 1.3 * wide), (0.15 * high, wide), (high, wide * rng.uniform(0, 1)), (high, 0)]
        mesh = turned_shape(outline).scaled((*size[:2], 1)).moved(head.middle + np.array([0, 0, 0.75 * size[2]]))
        return [Piece(head.joint, mesh, colour)]
    mesh = ball(size * wide).moved(head.middle + size * (0, rng.uniform(0, 0.8), rng.uniform(0.6, 1.2)))
    return [Piece(head.joint, mesh, colour)]


def _pair(head: Extent, colour: Colour, rng: np.random.Generator) -> list[Piece]:
    """Two of the same, left and right on the head: balls of any length, or horns, which may lean."""
    size, lean = head.half, rng.uniform(-0.2, 0.9)
    tall, wide = size[2] * rng.uniform(0.2, 1.3), size[0] * rng.uniform(0.15, 0.45)
    out, up = (0.55, 0.75) if rng.random() < 0.7 else (0.95, 0.1)
    pointed = rng.random() < 0.3
    pieces = []
    for sign in (1.0, -1.0):
        way = (sign * lean, 0, 1)
        if pointed:
            mesh = limb(way, 2 * tall, 0.7 * wide, 0.15 * wide)
        else:
            mesh = limb(way, max(2 * tall - wide, 0.1 * wide), wide).scaled((1, 0.5, 1))
        pieces.append(Piece(head.joint, mesh.moved(head.middle + size * (sign * out, 0, up)), colour))
    return pieces
