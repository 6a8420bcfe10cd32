"""Which joints of a result are wrong: a run's joint error part by part, beside what the network finds in the truth.

One number for eighteen joints hides where a model fails. What a part has above the truth's own error is the result's.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from animatex_core.pose.io import load_openpose
from animatex_core.pose.keypoints import PoseSequence

from ..evaluation.cases import open_set
from ..evaluation.frames import read_clip
from ..evaluation.metrics.joints import joint_distances
from ..evaluation.metrics.mini_keypoints import MiniKeypoints
from ..evaluation.records import RunFolder
from .records import GROUPS, group_of

PARTS = {
    "nose, eyes": (0, 14, 15),
    "ears": (16, 17),
    "neck": (1,),
    "shoulders": (2, 5),
    "elbows": (3, 6),
    "wrists": (4, 7),
    "hips": (8, 11),
    "knees": (9, 12),
    "ankles": (10, 13),
}
Errors = tuple[np.ndarray, np.ndarray]  # of the result and of the truth [parts], in pixels; NaN where none is asked for


def part_errors(
    folder: Path, benchmark: Path, network: MiniKeypoints, method: str, cases: Sequence[str] = ()
) -> dict[str, list[Errors]]:
    """By group, the errors of every case that the method has made in the run.

    cases: some of them. Raises ValueError: a case that is not made, has no poses, or was made in another size than it
    has in the set.
    """
    run, found = RunFolder(folder), open_set(benchmark)
    names = cases or [name for name in run.bench().cases if run.frames(method, name).is_dir()]
    if not names:
        raise ValueError(f"{folder}: no case of {method!r} is made")
    errors: dict[str, list[Errors]] = {group: [] for group in GROUPS}
    for name in names:
        case = found.open(name)
        if case.poses is None or not run.frames(method, name).is_dir():
            raise ValueError(f"{name}: needs poses.json in {benchmark} and frames of {method!r} in {folder}")
        poses = load_openpose(case.poses)
        sides = [_by_part(network, where, poses) for where in (run.frames(method, name), run.case(name) / "truth")]
        errors[group_of(case.facts)].append((sides[0], sides[1]))
    return {group: values for group, values in errors.items() if values}


def part_rows(errors: dict[str, list[Errors]]) -> list[list[str]]:
    """A table: all cases and every group, in each cell the result's error and behind it the truth's."""
    every = {"all": [pair for pairs in errors.values() for pair in pairs], **errors}
    rows = [["characters", "cases", *PARTS]]
    for group, pairs in every.items():
        rows.append([group, str(len(pairs)), *map(_cell, *np.array(pairs).transpose(1, 2, 0))])
    return rows


def _cell(made: np.ndarray, truth: np.ndarray) -> str:
    asked = np.isfinite(made)
    return f"{made[asked].mean():.1f} ({truth[asked].mean():.1f})" if asked.any() else "-"


def _by_part(network: MiniKeypoints, where: Path, poses: PoseSequence) -> np.ndarray:
    frames = np.stack(list(read_clip(where)))
    if frames.shape[1:3] != (poses.height, poses.width):
        raise ValueError(f"{where}: {frames.shape[2]}x{frames.shape[1]}, its poses {poses.width}x{poses.height}")
    distances, there = joint_distances(network, frames, poses)
    parts = [distances[:, joints][there[:, joints]] for joints in PARTS.values()]
    return np.array([part.mean() if len(part) else np.nan for part in parts])
