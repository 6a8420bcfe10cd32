"""Whether the result moves as the driving pose says: distances between body points."""

from __future__ import annotations

import numpy as np

from animatex_core.pose.keypoints import BODY, PoseSequence

from ..records import Value
from .gauges import mean_value

PCK = 0.1
"""Share of the diagonal of the driving pose's box within which a point counts as found."""


def pose_values(found: PoseSequence, driving: PoseSequence) -> dict[str, Value]:
    """`pose_error`, `pose_pck` and `pose_missing` of a result.

    found: poses seen in the result; in each frame the person nearest to the driver counts. driving: what drove, its
    first person. Canvases of different sizes are brought to the driver's. Frames in which the driver has fewer than
    two body points, or points in one place, have no scale: left out, and said.
    Raises ValueError when the lengths differ.
    """
    if len(found) != len(driving):
        raise ValueError(f"{len(found)} frames of poses in the result, {len(driving)} driving ones: nothing is cut")
    wanted, there = driving.person(0).points[:, 0, BODY], driving.person(0).present[:, 0, BODY]
    seen = found.points[:, :, BODY] * np.array([driving.width / found.width, driving.height / found.height])
    scales = [_diagonal(wanted[t][there[t]]) for t in range(len(driving))]
    frames = [t for t, scale in enumerate(scales) if scale > 0]
    rows = {t: _frame(seen[t], found.present[t][:, BODY], wanted[t], there[t], scales[t]) for t in frames}
    told = {"points": "18 of the body", "scale": "diagonal of the driving pose's box", "pck": PCK}
    values = {}
    for index, name in enumerate(("pose_error", "pose_pck", "pose_missing")):
        known = {t: value for t, row in rows.items() if (value := row[index]) is not None}
        if known:
            subset = None if len(known) == len(driving) else tuple(known)
            values[name] = mean_value(tuple(known.values()), told, subset)
    return values


def _diagonal(points: np.ndarray) -> float:
    return float(np.linalg.norm(np.ptp(points, axis=0))) if len(points) > 1 else 0.0


def _frame(
    seen: np.ndarray, present: np.ndarray, wanted: np.ndarray, there: np.ndarray, scale: float
) -> tuple[float | None, float, float]:
    """Error (None where no point is in both), PCK and missing share of the person who is nearest.

    seen: [P, 18, 2], present: [P, 18]; wanted: [18, 2], there: [18].
    """
    best: tuple[float | None, float, float] = (None, 0.0, 1.0)
    for points, exists in zip(seen, present, strict=True):
        both = exists & there
        if not both.any():
            continue
        distances = np.linalg.norm(points[both] - wanted[both], axis=1) / scale
        row = (
            float(distances.mean()),
            float((distances <= PCK).sum() / there.sum()),
            float(1 - both.sum() / there.sum()),
        )
        # most points in place first, so that one lucky point of a passer-by does not win
        if best[0] is None or (row[1], -row[0]) > (best[1], -best[0]):
            best = row
    return best
