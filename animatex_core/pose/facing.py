"""Which way a trunk faces, from what a picture shows of it: how long it looks, and the line of its shoulders.

Up along the trunk and across the shoulders are two axes of one plane, the body's front. Seen from afar a plane that is
turned or bent away is as wide as ever along the line in which it meets the picture, and narrower across that line by
the cosine of the angle. So the picture tells the angle and in which direction it is, but not which of the two sides
comes nearer: the body faces one way along that direction or the other (Taylor 2000, "Reconstruction of articulated
objects from point correspondences in a single uncalibrated image"). The head, which looks more or less ahead, decides.
"""

from __future__ import annotations

import numpy as np

# A body faces aside as much as its plane says once the head looks aside by this share of it. Less would follow the
# plane sooner, and jump from one side to the other where a head looks straight at the viewer.
_AGREED = 0.5
# Noise of a length is a small angle's square: so much of the sine is taken off, smoothly.
_SOFT = 0.03


def facing(up: np.ndarray, right: np.ndarray, look: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The axis that a body faces along as the picture shows it, and how large the body looks; arrays of one shape.

    up: from the hips to the neck; right: to the person's right; complex in a picture's axes (y down), as long as they
    look beside what they are, and shorter the farther away the body is. look: likewise the axis that the head looks
    along. The first answer is complex, at most 1 long, and 0 where the body faces the viewer or turns its back. The
    second is float, 1 for a body as near as the one whose lengths are 1. Nothing is raised: where both axes are 0 the
    body has no size.
    """
    squares, spread = np.abs(up) ** 2 + np.abs(right) ** 2, up**2 + right**2
    # singular values of the plane as it is seen: along the line in which it meets the picture, and across
    along, across = (np.maximum(0, squares + sign * np.abs(spread)) / 2 for sign in (1, -1))
    sine = np.sqrt(1 - across / np.maximum(along, 1e-12) + _SOFT**2) - _SOFT
    direction = 1j * np.exp(0.5j * np.angle(spread))
    size = np.sqrt(along)
    aside = np.clip(np.real(look * np.conj(direction)) / np.maximum(_AGREED * size, 1e-6), -sine, sine)
    return aside * direction, size
