"""How far the pose that drives is from the truth, when it is aligned: the alignment's share of a joint error.

Joint errors of results are found by a network with an error of its own, so the two do not simply add up.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from animatex_core.pose.io import load_openpose
from animatex_core.pose.keypoints import BODY
from animatex_core.pose.realign import realign

from ..evaluation.cases import Case, open_set
from ..evaluation.metrics.joints import body_in_picture
from .joint_parts import by_part
from .records import by_group


def driven_errors(benchmark: Path, mode: str = "character") -> dict[str, list[float]]:
    """By group, the mean distance of the body's joints in pixels of the set's own pictures, one number a case.

    mode: of `pose.realign`. Raises ValueError naming a case without the truth's poses, the driver's or the picture's.
    """
    return {group: [_mean(*one) for one in found] for group, found in _distances(benchmark, mode).items()}


def driven_parts(benchmark: Path, mode: str = "character") -> dict[str, list[np.ndarray]]:
    """The same part by part, [1, parts] a case: see `joint_parts`."""
    return {group: [by_part(*one)[None] for one in found] for group, found in _distances(benchmark, mode).items()}


def driven_rows(errors: dict[str, list[float]]) -> list[list[str]]:
    """A table of one row: all cases, and every group."""
    every = [value for values in errors.values() for value in values]
    means = [f"{np.mean(values):.1f}" for values in (every, *errors.values())]
    return [["", "all", *errors], ["aligned pose to true pose, px", *means]]


def _distances(benchmark: Path, mode: str) -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
    """By group and case, pixels [F, 18] from the aligned pose to the true one, and which joints both have."""
    found = open_set(benchmark)
    return by_group((case, _aligned(case, mode)) for case in map(found.open, found.cases))


def _aligned(case: Case, mode: str) -> tuple[np.ndarray, np.ndarray]:
    if case.poses is None or case.driver_poses is None or case.image_pose is None:
        raise ValueError(f"{case.name}: needs poses.json, driver_poses.json and image_pose.json")
    truth, driver, picture = map(load_openpose, (case.poses, case.driver_poses, case.image_pose))
    aligned = realign(driver, picture, mode=mode).poses
    if len(aligned) != len(truth):
        raise ValueError(f"{case.name}: {len(truth)} frames in poses.json, {len(aligned)} in driver_poses.json")
    wanted, there = body_in_picture(truth)
    seen = there & aligned.present[:, 0, BODY]
    if not seen.any():
        raise ValueError(f"{case.name}: no joint is in poses.json and in driver_poses.json")
    return np.linalg.norm(wanted - aligned.points[:, 0, BODY], axis=-1), seen


def _mean(distances: np.ndarray, seen: np.ndarray) -> float:
    """Over the joints of a frame, then over the frames that have any."""
    return float(np.mean([distances[t][seen[t]].mean() for t in np.flatnonzero(seen.any(1))]))
