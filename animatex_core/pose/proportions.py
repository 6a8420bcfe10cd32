"""How long a figure's bones are, measured robustly over a clip, and the ratios between two figures.

A picture shows a bone foreshortened, never lengthened, so the long end of what a clip shows is the truth: the 90th
percentile of the apparent lengths. Driver and anchor go through the same estimate, so a figure measured against itself
gives ratios of exactly 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .figure import Figure
from .keypoints import FACE, LEFT_HAND, RIGHT_HAND
from .skeleton import (
    ADULT,
    BODY_COLUMNS,
    BODY_PARENT,
    COLUMNS,
    CORE,
    FACE_COLUMN,
    KNUCKLES,
    LEFT_HAND_COLUMN,
    LEFT_HIP,
    LEFT_SHOULDER,
    NECK,
    PAIRS,
    RIGHT_HAND_COLUMN,
    RIGHT_HIP,
    RIGHT_SHOULDER,
)

ABSENT, MEASURED, OTHER_SIDE, PRIOR = 0, 1, 2, 3

# The quantile of the apparent lengths that is taken for the length.
LONG = 0.9
# A foot's apparent length says more about where it points than about the foot, so its usual length counts.
_QUANTILE = np.where(np.isin(np.arange(COLUMNS), (18, 19)), 0.5, LONG)
# A bone below this fraction of an adult's (for the size of the figure) points at the camera. Narrow shoulders or a
# short trunk are a body seen from the side, or one that leans, far more often than a body built so.
_FLOOR = np.where(np.isin(np.arange(COLUMNS), (2, 5, 8, 11)), 0.5, 0.25).astype(np.float32)
# In one limb, a segment below this fraction of what the other segment lets expect points at the camera.
_LIMB_FLOOR = 0.5
_LIMB_SEGMENTS = ((3, 4), (6, 7), (9, 10), (12, 13))
# Below this fraction of the figure's size a length is the noise of coincident points, not a bone.
NOISE = 1e-3
# What a column that cannot be measured takes its ratio from, best first; then the ratio of the whole figure.
_DONORS = (
    (3, (4,)), (4, (3,)), (6, (7,)), (7, (6,)), (9, (10,)), (10, (9,)), (12, (13,)), (13, (12,)),
    (14, (16, 0)), (15, (17, 0)), (16, (14, 0)), (17, (15, 0)), (18, (13,)), (19, (10,)),
    (20, (7,)), (21, (4,)), (22, (16, 14, 0)), (0, (16, 14)),
)  # fmt: skip


@dataclass(frozen=True)
class Proportions:
    """Lengths of a figure's bones.

    lengths: [P, 23] float32 pixels, by column (see skeleton.COLUMN_NAMES); 0 where unknown.
    source: [P, 23] uint8: ABSENT, MEASURED, OTHER_SIDE (taken from the other side), PRIOR (lifted to what a body
        of this size has at least, because the bone seems to point at the camera).
    """

    lengths: np.ndarray
    source: np.ndarray

    @property
    def known(self) -> np.ndarray:
        return self.source != ABSENT


def quantile_of_valid(values: np.ndarray, valid: np.ndarray, q: float | np.ndarray) -> np.ndarray:
    """The q-quantile over the last axis of the valid values only (an order statistic, no interpolation); 0 if none."""
    ordered = np.sort(np.where(valid, values, np.float32(np.inf)), axis=-1)
    count = valid.sum(-1)
    rank = np.floor(np.asarray(q) * np.maximum(count - 1, 0) + 0.5).astype(np.int64)
    picked = np.take_along_axis(ordered, rank[..., None], axis=-1)[..., 0]
    return np.where(count > 0, picked, np.float32(0)).astype(np.float32)


def with_columns(columns: np.ndarray, which: list[int], people: np.ndarray, values: np.ndarray) -> np.ndarray:
    """A copy of `columns` [P, 23] in which some of them have the values [P] for some of the people [P] bool."""
    result = columns.copy()
    result[:, which] = np.where(people[:, None], values[:, None], result[:, which])
    return result


def measure(body: Figure, *, correct: bool = True) -> Proportions:
    """The proportions of every person of a clip.

    correct: take the longer of left and right for both, and lift what is implausibly short: a single frame is
        foreshortened somewhere, and its other side or a usual body knows better. False measures and no more.
    """
    lengths, valid = _apparent_lengths(body)
    ruler, ruled = _ruler(lengths, valid)
    together = valid & ruled
    # a bone seen only while the figure was far away is compared with the trunk of those same frames
    enough = together.sum(-1) * 2 >= valid.sum(-1)
    seen = np.where(enough[..., None], together, valid)
    length = quantile_of_valid(lengths, seen, _QUANTILE[:, None])
    there = quantile_of_valid(np.broadcast_to(ruler, lengths.shape), together, LONG)
    overall = quantile_of_valid(ruler, ruled, LONG)
    with np.errstate(divide="ignore", invalid="ignore"):
        length = np.where(enough & (there > 0), length * (overall / there), length)
    length = np.ascontiguousarray(length.T, np.float32)
    source = np.where(length > 0, MEASURED, ABSENT).astype(np.uint8)
    return _corrected(length, source) if correct else Proportions(length, source)


def _apparent_lengths(body: Figure) -> tuple[np.ndarray, np.ndarray]:
    """Lengths by frame [23, P, F] and where they can be measured."""
    frames, people = body.points.shape[:2]
    lengths = np.zeros((COLUMNS, people, frames), np.float32)
    valid = np.zeros(lengths.shape, bool)
    child = np.array([c for c in range(BODY_COLUMNS) if c != NECK])
    parent = np.array(BODY_PARENT)[child]
    lengths[child] = np.abs(body.points[..., child] - body.points[..., parent]).T
    valid[child] = (body.present[..., child] & body.present[..., parent]).T
    for column, hand in ((LEFT_HAND_COLUMN, LEFT_HAND), (RIGHT_HAND_COLUMN, RIGHT_HAND)):
        knuckles, wrist = hand.start + KNUCKLES, hand.start
        lengths[column] = np.abs(body.points[..., knuckles] - body.points[..., wrist, None]).mean(-1).T
        valid[column] = (body.present[..., knuckles].all(-1) & body.present[..., wrist]).T
    face, there = body.points[..., FACE], body.present[..., FACE].all(-1)
    if there.any():
        lengths[FACE_COLUMN] = np.abs(face - face.mean(-1, keepdims=True)).mean(-1).T
        valid[FACE_COLUMN] = there.T
    return lengths, valid


def _ruler(lengths: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What a frame's scale is read from [P, F]: the trunk, or the shoulders where a clip seldom shows the hips."""
    sides = [RIGHT_HIP, LEFT_HIP]
    shoulders = [RIGHT_SHOULDER, LEFT_SHOULDER]
    trunk_seen, shoulders_seen = valid[sides].any(0), valid[shoulders].any(0)
    by_trunk = trunk_seen.sum(-1) * 2 >= shoulders_seen.sum(-1)
    trunk, width = (np.where(valid[c], lengths[c], 0).max(0) for c in (sides, shoulders))
    pick = by_trunk[:, None]
    return np.where(pick, trunk, width), np.where(pick, trunk_seen, shoulders_seen)


def _corrected(length: np.ndarray, source: np.ndarray) -> Proportions:
    """Foreshortening taken out by the other side of the body and by what bodies usually look like."""
    length, source = length.copy(), source.copy()
    right, left = (np.array(side) for side in zip(*PAIRS, strict=True))
    longer = np.maximum(length[:, right], length[:, left])
    for side in (right, left):
        source[:, side] = np.where(longer > length[:, side], OTHER_SIDE, source[:, side])
        length[:, side] = longer
    floor = _FLOOR * ADULT * body_size(length)[:, None]
    for upper, lower in _LIMB_SEGMENTS:
        floor[:, upper] = np.maximum(floor[:, upper], _LIMB_FLOOR * ADULT[upper] / ADULT[lower] * length[:, lower])
        floor[:, lower] = np.maximum(floor[:, lower], _LIMB_FLOOR * ADULT[lower] / ADULT[upper] * length[:, upper])
    lift = (source != ABSENT) & (length < floor)
    return Proportions(np.where(lift, floor, length), np.where(lift, PRIOR, source).astype(np.uint8))


def body_size(lengths: np.ndarray) -> np.ndarray:
    """The size of a figure [P], in pixels of an adult's neck-to-hip: the median over the core bones that are known."""
    core = lengths[:, CORE]
    return quantile_of_valid(core / ADULT[CORE], core > 0, 0.5)


@dataclass(frozen=True)
class Ratios:
    """Anchor over driver.

    columns: [P, 23] float32, above 0 and finite.
    overall: [P] float32, the ratio of the whole figures; 0 where nothing could be compared.
    compared: [P, 23] bool, columns measured in both (the others inherit from a neighbour or from the whole).
    limited: [P, 23] bool, columns held back by skeleton.LIMITS.
    """

    columns: np.ndarray
    overall: np.ndarray
    compared: np.ndarray
    limited: np.ndarray


def ratios_between(driver: Proportions, anchor: Proportions, limits: np.ndarray) -> Ratios:
    """Anchor over driver by column (one anchor serves all people): gaps filled, held within `limits` [23, 2]."""
    a, d = np.broadcast_arrays(anchor.lengths, driver.lengths)
    noise = NOISE * np.maximum(body_size(d), np.float32(1e-6))[:, None]
    compared = (a > 0) & (d > noise)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = np.where(compared, a / np.where(compared, d, 1), np.float32(0))
    overall = _overall(a, d, compared)
    filled = _inherit(ratio, compared)
    whole = np.where(overall > 0, overall, np.float32(1))[:, None]
    filled = np.where(filled > 0, filled, whole)
    held = np.clip(filled, whole * limits[:, 0], whole * limits[:, 1]).astype(np.float32)
    held[:, NECK] = 1
    return Ratios(held, overall, compared, (held != filled) & (np.arange(COLUMNS) != NECK))


def _overall(a: np.ndarray, d: np.ndarray, compared: np.ndarray) -> np.ndarray:
    """Sum over sum of the core bones that both have; of any bone, when they share no core bone."""
    core = np.zeros(COLUMNS, bool)
    core[CORE] = True
    use = np.where((compared & core).any(-1, keepdims=True), compared & core, compared)
    total_a, total_d = (np.where(use, x, 0).sum(-1) for x in (a, d))
    return np.where(total_d > 0, total_a / np.maximum(total_d, np.float32(1e-12)), 0).astype(np.float32)


def _inherit(ratio: np.ndarray, compared: np.ndarray) -> np.ndarray:
    ratio, has = ratio.copy(), compared.copy()
    for right, left in PAIRS:
        for mine, other in ((right, left), (left, right)):
            ratio[:, mine] = np.where(~has[:, mine] & compared[:, other], ratio[:, other], ratio[:, mine])
    has = ratio > 0
    for column, donors in _DONORS:
        for donor in donors:
            take = (ratio[:, column] == 0) & has[:, donor]
            ratio[:, column] = np.where(take, ratio[:, donor], ratio[:, column])
    return ratio
