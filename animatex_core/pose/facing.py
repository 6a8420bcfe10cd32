"""Which way a trunk faces, from what a picture shows of it: how long it looks, and the line of its shoulders.

Seen from afar an axis of a body looks as long as it is times the cosine of how far it leans out of the picture, so its
depth is known but for the sign (Taylor 2000, "Reconstruction of articulated objects from point correspondences in a
single uncalibrated image"). Two such axes, up the trunk and across the shoulders, make the third, along which the body
faces. Of the signs those are taken that leave the two most nearly upright on each other and let the body face where the
head looks: nobody's head is turned round on the trunk.
"""

from __future__ import annotations

import numpy as np

# A hair less than its length would be a lean by the root of a hair: so much of a depth is taken off, smoothly.
_SOFT = 0.03
_SIGNS = ((1, 1), (1, -1), (-1, 1), (-1, -1))


def forward(up: np.ndarray, right: np.ndarray, look: np.ndarray) -> np.ndarray:
    """The axis that a body faces along as the picture shows it, complex of any shape; 0 where it faces the viewer.

    up: from the hips to the neck; right: to the person's right; both complex in pictures' axes (y down) and as long as
    they look beside what they are, 1 where they lie in the picture; longer counts as 1. look: likewise where the head
    looks.
    """
    up, right = (axis / np.maximum(1, np.abs(axis)) for axis in (up, right))
    squares = (np.maximum(0, 1 - np.abs(axis) ** 2) for axis in (up, right))
    up_depth, right_depth = (np.sqrt(square + _SOFT**2) - _SOFT for square in squares)
    flat = np.real(up * np.conj(right))
    found, least = np.zeros_like(look), np.full(np.shape(look), np.inf)
    for up_sign, right_sign in _SIGNS:
        u, r = up_sign * up_depth, right_sign * right_depth
        facing = _cross(up, u, right, r)
        off = np.abs(facing - look) ** 2 + (u * r + flat) ** 2
        found, least = np.where(off < least, facing, found), np.minimum(off, least)
    return found


def _cross(a: np.ndarray, a_depth: np.ndarray, b: np.ndarray, b_depth: np.ndarray) -> np.ndarray:
    """What the picture shows of a x b; axes right, down, into the picture."""
    return np.imag(a) * b_depth - a_depth * np.imag(b) + 1j * (a_depth * np.real(b) - np.real(a) * b_depth)
