"""A picture of a character cut up along its skeleton, each piece moved to where its joints should be.

What can be had without learning anything: the right colours and the right joints, but no side that the picture does
not show. Joints are numbered as in OpenPose's body of 18; one that is absent is not a number.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .metrics.colours import border_colour, foreground

LIMBS = ((8, 9), (9, 10), (11, 12), (12, 13), (2, 3), (3, 4), (5, 6), (6, 7))  # legs, then arms
TRUNK = (1, 2, 5, 8, 11)
HEAD = (0, 1, 14, 15, 16, 17)
_OVERLAP = 3.0  # pixels by which pieces reach into their neighbours, so that no gap opens at a joint
_SHORTEST = 0.15  # of a limb that points at the viewer, in its lengths

_HEAD_SIZES = (0.85, 1.2)  # a face that is turned away has its points closer, but is no smaller


@dataclass(frozen=True)
class Piece:
    """A part of the picture. joints: what moves it. mask: bool [H, W]."""

    joints: tuple[int, ...]
    mask: np.ndarray


class SkeletonWarp:
    """The pieces of a picture uint8 RGB [H, W, 3] whose joints [18, 2] are known, in pixels.

    Raises ValueError when the background is not plain, or nothing stands before it.
    """

    def __init__(self, picture: np.ndarray, joints: np.ndarray) -> None:
        colour, worn = border_colour(picture), foreground(picture)
        if colour is None or worn is None:
            raise ValueError("the picture to warp needs a character before a plain background")
        self.picture, self.joints, self.background = picture, joints, colour
        self.pieces = _cut(worn, joints)

    def moved(self, wanted: np.ndarray) -> np.ndarray:
        """The picture with its joints at `wanted` [18, 2]: legs behind the trunk, the head and then arms before it."""
        result = np.broadcast_to(self.background, self.picture.shape).copy()
        for piece in self.pieces:
            matrix = _transform(self.joints, wanted, piece.joints)
            if matrix is not None:
                _paint(result, self.picture, piece.mask, matrix)
        return result.round().clip(0, 255).astype(np.uint8)


def _cut(worn: np.ndarray, joints: np.ndarray) -> list[Piece]:
    """Each pixel goes to the bone that is nearest, and to all that are nearly as near."""
    y, x = np.mgrid[: worn.shape[0], : worn.shape[1]]
    at = np.stack([x + 0.5, y + 0.5], -1)
    parts: list[tuple[tuple[int, ...], np.ndarray]] = []
    for joints_of in (*LIMBS[:4], TRUNK, HEAD, *LIMBS[4:]):
        known = [joints[j] for j in joints_of if not np.isnan(joints[j]).any()]
        if len(known) < 2:
            continue
        if len(joints_of) == 2:
            parts.append((joints_of, _to_bone(at, known[0], known[1])))
        elif joints_of == TRUNK:
            parts.append((joints_of, _to_trunk(at, joints)))
        else:
            parts.append((joints_of, _to_head(at, joints)))
    nearest = np.min([away for _, away in parts], axis=0)
    return [Piece(joints_of, worn & (away <= nearest + _OVERLAP)) for joints_of, away in parts]


def _to_bone(at: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Distance [H, W] of the points [H, W, 2] from a bone."""
    along = end - start
    share = ((at - start) @ along / max(float(along @ along), 1e-6)).clip(0, 1)
    return np.linalg.norm(at - start - share[..., None] * along, axis=-1)


def _to_trunk(at: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """0 between shoulders and hips, else the distance from the lines between them."""
    corners = [joints[j] for j in (2, 5, 11, 8) if not np.isnan(joints[j]).any()]
    edges = list(zip(corners, [*corners[1:], corners[0]], strict=True))
    away = np.min([_to_bone(at, a, b) for a, b in edges], axis=0) if edges else np.full(at.shape[:2], np.inf)
    if len(corners) < 3:
        return away
    sides = [np.sign(_cross(b - a, at - a)) for a, b in edges]
    inside = np.all([side >= 0 for side in sides], axis=0) | np.all([side <= 0 for side in sides], axis=0)
    return np.where(inside, 0.0, away)


def _to_head(at: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """0 within the width of the face about its middle and above the neck, else the distance from there."""
    face = joints[[j for j in HEAD if j != 1 and not np.isnan(joints[j]).any()]]
    if not len(face):
        return np.full(at.shape[:2], np.inf)
    middle = face.mean(0)
    radius = max(float(np.linalg.norm(face - middle, axis=1).max()), 1.0)
    away = (np.linalg.norm(at - middle, axis=-1) - radius).clip(min=0)
    neck = joints[1]
    if np.isnan(neck).any():
        return away
    up = (middle - neck) / max(float(np.linalg.norm(middle - neck)), 1e-6)
    above = (at - neck) @ up > 0.5 * np.linalg.norm(middle - neck)
    return np.where(above, np.minimum(away, 0.25 * away), away)


def _transform(start: np.ndarray, end: np.ndarray, joints: tuple[int, ...]) -> np.ndarray | None:
    """Matrix [2, 3] from the picture to the result; None where too few joints are in both."""
    known = [j for j in joints if not (np.isnan(start[j]).any() or np.isnan(end[j]).any())]
    if len(joints) == 2:
        return _of_limb(start[known], end[known]) if len(known) == 2 else None
    if not known:
        return None
    return _similar(start[known], end[known]) if joints == HEAD or len(known) < 3 else _affine(start[known], end[known])


def _of_limb(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Turned and stretched along the bone, as thick as it was."""
    before, after = start[1] - start[0], end[1] - end[0]
    long, now = max(float(np.linalg.norm(before)), 1e-6), float(np.linalg.norm(after))
    u = before / long
    w = after / now if now > 1e-6 else u
    stretch = max(now / long, _SHORTEST)
    matrix = stretch * np.outer(w, u) + np.outer([-w[1], w[0]], [-u[1], u[0]])
    return np.column_stack([matrix, end[0] - matrix @ start[0]])


def _similar(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The nearest turn and change of size (Umeyama 1991); with one joint a shift."""
    a, b = start.mean(0), end.mean(0)
    x, y = start - a, end - b
    spread = float((x**2).sum())
    if len(start) < 2 or spread < 1e-6:
        return np.column_stack([np.eye(2), b - a])
    real, imaginary = float((x * y).sum()) / spread, float(_cross(x, y).sum()) / spread
    size = np.hypot(real, imaginary)
    kept = np.clip(size, *_HEAD_SIZES) / max(size, 1e-6)
    matrix = kept * np.array([[real, -imaginary], [imaginary, real]])
    return np.column_stack([matrix, b - matrix @ a])


def _affine(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Least squares, never thinner than what can still be seen."""
    a, b = start.mean(0), end.mean(0)
    matrix = np.linalg.lstsq(start - a, end - b, rcond=1e-3)[0].T
    u, sizes, v = np.linalg.svd(matrix)
    matrix = u @ np.diag(sizes.clip(0.3, 2.5)) @ v
    return np.column_stack([matrix, b - matrix @ a])


def _paint(result: np.ndarray, picture: np.ndarray, mask: np.ndarray, matrix: np.ndarray) -> None:
    """Draw a piece over the result, between pixels by their neighbours."""
    height, width = mask.shape
    back = np.linalg.inv(matrix[:, :2])
    y, x = np.mgrid[:height, :width]
    from_x, from_y = np.moveaxis((np.stack([x + 0.5, y + 0.5], -1) - matrix[:, 2]) @ back.T - 0.5, -1, 0)
    left, top = np.floor(from_x).astype(int), np.floor(from_y).astype(int)
    total, weight = np.zeros(result.shape), np.zeros(mask.shape)
    for dx in (0, 1):
        for dy in (0, 1):
            column, row = left + dx, top + dy
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            column, row = column.clip(0, width - 1), row.clip(0, height - 1)
            share = (1 - np.abs(from_x - column)).clip(0) * (1 - np.abs(from_y - row)).clip(0)
            share = share * (inside & mask[row, column])
            total += share[..., None] * picture[row, column]
            weight += share
    shown = weight > 1e-6
    result[shown] = result[shown] * (1 - weight[shown, None]) + total[shown]


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
