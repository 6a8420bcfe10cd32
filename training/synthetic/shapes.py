"""Meshes of simple shapes: everything that has an outline and turns about an axis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Mesh:
    """vertices [V, 3] and faces [T, 3]."""

    vertices: np.ndarray
    faces: np.ndarray

    def moved(self, by: ArrayLike) -> Mesh:
        """The mesh elsewhere."""
        return Mesh(self.vertices + np.asarray(by, float), self.faces)

    def scaled(self, by: ArrayLike) -> Mesh:
        """The mesh, longer or shorter along each axis."""
        return Mesh(self.vertices * np.asarray(by, float), self.faces)


def turned_shape(outline: ArrayLike, around: int = 24) -> Mesh:
    """What an outline [n, 2] of (height, radius) makes when it turns about z; with `around` 4, a box."""
    heights, radii = np.asarray(outline, float).T
    angles = 2 * np.pi * (np.arange(around) + 0.5) / around
    circle = np.stack([np.cos(angles), np.sin(angles)], 1)
    rings = np.concatenate(
        [radii[:, None, None] * circle, np.broadcast_to(heights[:, None, None], (len(heights), around, 1))], 2
    )
    first = np.arange((len(heights) - 1) * around).reshape(-1, around)
    second = np.roll(first, -1, 1)
    quads = np.stack([first, second, second + around, first + around], -1).reshape(-1, 4)
    return Mesh(rings.reshape(-1, 3), np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(np.int32))


def ball(radius: float | ArrayLike) -> Mesh:
    """A ball, or what is as long as `radius` [3] along each axis, about the origin."""
    angles = np.linspace(-np.pi / 2, np.pi / 2, 15)
    return turned_shape(np.stack([np.sin(angles), np.cos(angles)], 1), 24).scaled(np.broadcast_to(radius, 3))


def limb(direction: ArrayLike, length: float, thick: float, thin: float | None = None) -> Mesh:
    """A rounded limb from the origin: radius `thick` where it begins, `thin` (the same) where it ends."""
    end = thick if thin is None else thin
    angles = np.linspace(0, np.pi / 2, 5)
    start_cap = np.stack([-thick * np.cos(angles), thick * np.sin(angles)], 1)
    end_cap = np.stack([length + end * np.sin(angles), end * np.cos(angles)], 1)
    mesh = turned_shape(np.concatenate([start_cap, end_cap]), 12)
    return Mesh(mesh.vertices @ _frame(np.asarray(direction, float)), mesh.faces)


def block(width: float, depth: float, low: float, high: float, edge: float = 0.12) -> Mesh:
    """A box from height `low` to `high` with its edges cut; `edge` is the share that is cut."""
    cut = edge * (high - low)
    inner = 1 - edge
    outline = [(low, 0), (low, inner), (low + cut, 1), (high - cut, 1), (high, inner), (high, 0)]
    return turned_shape(outline, 4).scaled((width / np.sqrt(2), depth / np.sqrt(2), 1))


def _frame(direction: np.ndarray) -> np.ndarray:
    """Rows: axes of a frame whose last points along a direction."""
    last = direction / np.linalg.norm(direction)
    helper = np.array([1.0, 0, 0]) if abs(last[0]) < 0.9 else np.array([0, 1.0, 0])
    first = np.cross(helper, last)
    first /= np.linalg.norm(first)
    return np.stack([first, np.cross(last, first), last])
