"""What a character of any kind gives to the stage: its mesh, its colours, and its posed vertices and joints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

POINTS = 20  # of a PoseSequence that are known: the body's 18 and two toes
RIGHT_EYE, LEFT_EYE = 14, 15


@dataclass(frozen=True)
class Posed:
    """A character in F poses, its hips at (0, 0, 0).

    vertices: [F, V, 3]. points: [F, 20, 3], the first points of a PoseSequence; not a number where there is none.
    front: [F, 3], where the face looks, of length 1.
    """

    vertices: np.ndarray
    points: np.ndarray
    front: np.ndarray


class Puppet(Protocol):
    """A character that can be posed.

    faces: [T, 3] int32. colours: [V, 3] in 0..1. leg: length of thigh and shin. standing: height from sole to crown
    at rest. soles: indices of the vertices that may touch the ground.
    """

    faces: np.ndarray
    colours: np.ndarray
    leg: float
    standing: float
    soles: np.ndarray

    def pose(self, rotations: np.ndarray) -> Posed:
        """The character with the rotations [F, 23, 3, 3] of a Motion."""
        ...
