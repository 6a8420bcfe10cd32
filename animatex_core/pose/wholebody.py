"""Whole-body keypoints: what the DWPose network is fed and what its answer means.

A person's box is enlarged by a quarter, brought to the network's aspect and resampled; the answer is one distribution
along x and one along y for each of 133 points (SimCC, Li et al. 2022), which are put into OpenPose's order with a neck.
"""

from __future__ import annotations

import numpy as np

from .keypoints import BODY, FACE, LEFT_HAND, POINTS, RIGHT_HAND, TOES, toes_from_feet

WHOLE_BODY = 133
PADDING = 1.25
SPLIT = 2.0  # steps of a SimCC distribution per pixel
MIN_SCORE = 0.3
# Listed for RGB, but the network was run with these on BGR: the order stays, the channels are swapped.
MEAN = np.array([123.675, 116.28, 103.53], np.float32)
STD = np.array([58.395, 57.12, 57.375], np.float32)
# COCO point of each OpenPose body point; the neck is made
_COCO = np.array([0, 0, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3])
_NECK, _SHOULDERS = 1, [5, 6]
_ROWS_AT_ONCE = 64


def crop_frame(box: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Center (x, y) and extent (width, height) of the part of the picture that the network sees, in pixels.

    box: x1, y1, x2, y2; size: (height, width) of the network's input.
    """
    x1, y1, x2, y2 = np.asarray(box, np.float64)
    width, height = PADDING * (x2 - x1), PADDING * (y2 - y1)
    aspect = size[1] / size[0]
    width, height = max(width, height * aspect), max(height, width / aspect)
    return np.array([x1 + x2, y1 + y2]) / 2, np.array([width, height])


def crop(picture: np.ndarray, box: np.ndarray, size: tuple[int, int], out: np.ndarray) -> None:
    """Fill `out` [3, height, width] float32 with the pose network's input for a person.

    picture: [H, W, 3] uint8 RGB; outside of it is black. The input is BGR, rounded to whole grey levels, normalised.
    """
    center, extent = crop_frame(box, size)
    above, below, up, down = _taps(picture.shape[0], size[0], center[1], extent[1])
    left, right, west, east = _taps(picture.shape[1], size[1], center[0], extent[0])
    start = min(left.min(), right.min())
    blue_first = np.array([2, 1, 0])[:, None]
    left, right = (3 * (left - start) + blue_first).ravel(), (3 * (right - start) + blue_first).ravel()
    west, east = np.tile(west, 3), np.tile(east, 3)
    columns = np.ascontiguousarray(picture[:, start : start + right.max() // 3 + 1])
    flat = columns.reshape(len(columns), -1)
    for row in range(0, size[0], _ROWS_AT_ONCE):
        part = slice(row, row + _ROWS_AT_ONCE)
        rows = flat[above[part]] * up[part, None]
        rows += flat[below[part]] * down[part, None]
        grey = rows.take(left, 1) * west
        grey += rows.take(right, 1) * east
        grey += 0.5
        np.floor(grey, out=grey)
        planes = grey.reshape(-1, 3, size[1]).transpose(1, 0, 2)
        np.multiply(planes, (1 / STD)[:, None, None], out=out[:, part])
    out -= (MEAN / STD)[:, None, None]


def _taps(source: int, target: int, center: float, extent: float) -> tuple[np.ndarray, ...]:
    """The two source pixels of each target pixel and their weights, 0 for what is outside of the picture."""
    place = center + (np.arange(target) - target / 2) * (extent / target)
    first = np.floor(np.clip(place, -2, source + 1)).astype(np.int64)
    weight = np.clip(place - first, 0, 1)
    inside = [(pixel >= 0) & (pixel < source) for pixel in (first, first + 1)]
    near, far = ((1 - weight) * inside[0]).astype(np.float32), (weight * inside[1]).astype(np.float32)
    return np.clip(first, 0, source - 1), np.clip(first + 1, 0, source - 1), near, far


def decode_simcc(
    along_x: np.ndarray, along_y: np.ndarray, center: np.ndarray, extent: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Places and scores of the 133 points of one person.

    along_x: [133, 2 x width], along_y: [133, 2 x height]; center, extent: of `crop_frame`; size: (height, width).
    Returns [133, 2] in pixels of the picture and [133], float64; a score is the lower of the two peaks.
    """
    scores = np.minimum(along_x.max(-1), along_y.max(-1)).astype(np.float64)
    peaks = np.stack([along_x.argmax(-1), along_y.argmax(-1)], -1).astype(np.float64)
    peaks[scores <= 0] = -1
    return peaks / SPLIT / [size[1], size[0]] * extent + center - extent / 2, scores


def to_openpose(places: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """134 points in OpenPose's order from COCO-WholeBody's 133: body with neck, feet, face, left hand, right hand.

    places: [..., 133, 2], scores: [..., 133]. The neck lies between the shoulders; its score is 1 where both are
    certain, else 0.
    """
    body, body_scores = places[..., _COCO, :], scores[..., _COCO]
    body[..., _NECK, :] = places[..., _SHOULDERS, :].mean(-2)
    body_scores[..., _NECK] = (scores[..., _SHOULDERS] > MIN_SCORE).all(-1)
    return np.concatenate([body, places[..., 17:, :]], -2), np.concatenate([body_scores, scores[..., 17:]], -1)


def to_pose(places: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points and scores of a PoseSequence from the 134 of `to_openpose`; uncertain points (0.3 or less) are absent.

    places: [..., 134, 2], scores: [..., 134]. Returns [..., 130, 2] float64 and [..., 130] float32: drawing truncates
    angles to whole degrees, and a limb of exactly 45 degrees is drawn at 44 from places in single precision.
    """
    scores = np.where((scores > MIN_SCORE) & np.isfinite(places).all(-1), scores, 0)
    points = np.zeros((*scores.shape[:-1], POINTS, 2))
    certain = np.zeros(points.shape[:-1])
    points[..., TOES, :], certain[..., TOES] = toes_from_feet(places[..., 18:24, :], scores[..., 18:24])
    for part, of_134 in ((BODY, slice(0, 18)), (FACE, slice(24, 92)), (LEFT_HAND, slice(92, 113))):
        points[..., part, :], certain[..., part] = places[..., of_134, :], scores[..., of_134]
    points[..., RIGHT_HAND, :], certain[..., RIGHT_HAND] = places[..., 113:, :], scores[..., 113:]
    certain = np.clip(certain, 0, 1).astype(np.float32)
    return np.where(certain[..., None] > 0, points, 0), certain
