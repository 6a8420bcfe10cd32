"""Which joints of a result are wrong: a run's joint error part by part, beside what the network finds in the truth.

One number for eighteen joints hides where a model fails. What a part has above the truth's own error is of the aligned
pose (`driven`, part by part as well) and of the model together, and errors of three kinds do not simply add up.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from animatex_core.pose.io import load_openpose
from animatex_core.pose.keypoints import PoseSequence

from ..evaluation.cases import Case, open_set
from ..evaluation.frames import read_clip
from ..evaluation.metrics.joints import joint_distances
from ..evaluation.metrics.mini_keypoints import MiniKeypoints
from ..evaluation.records import RunFolder
from .records import by_group, version_of

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


def part_errors(
    folder: Path, benchmark: Path, network: MiniKeypoints, method: str, cases: Sequence[str] = ()
) -> dict[str, list[np.ndarray]]:
    """By group, for every case that the method has made in the run: [2, parts], of the result and of the truth, pixels.

    cases: some of them. NaN for a part that is absent. Raises ValueError: a run of another version of the set; a case,
    which is named, without frames or poses, or made in another size or with other frames than it has in the set.
    """
    run, found = RunFolder(folder), open_set(benchmark)
    bench = run.bench()
    if version_of(bench.options) != found.version:
        raise ValueError(f"{folder}: is of version {version_of(bench.options)}, {benchmark} of {found.version}")
    names = cases or [name for name in bench.cases if run.frames(method, name).is_dir()]
    if not names:
        raise ValueError(f"{folder}: no case of {method!r} is made")
    return by_group((case, _case(network, case, run, method)) for case in map(found.open, names))


def by_part(distances: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Means [parts] of distances [F, 18] over the joints and frames that are there, bool [F, 18]; NaN for none."""
    parts = [distances[:, joints][there[:, joints]] for joints in PARTS.values()]
    return np.array([part.mean() if len(part) else np.nan for part in parts])


def part_rows(errors: dict[str, list[np.ndarray]]) -> list[list[str]]:
    """A table of errors [1 or 2, parts] a case: all cases and every group; the second number in brackets."""
    every = {"all": [case for cases in errors.values() for case in cases], **errors}
    rows = [["characters", "cases", *PARTS]]
    for group, cases in every.items():
        rows.append([group, str(len(cases)), *map(_cell, np.array(cases).transpose(2, 1, 0))])
    return rows


def _cell(numbers: np.ndarray) -> str:
    """[1 or 2, cases]; cases without the part are left out."""
    means = [f"{one[np.isfinite(one)].mean():.1f}" for one in numbers if np.isfinite(one).any()]
    return f"{means[0]} ({means[1]})" if len(means) == 2 else "".join(means) or "-"


def _case(network: MiniKeypoints, case: Case, run: RunFolder, method: str) -> np.ndarray:
    if case.poses is None:
        raise ValueError(f"{case.name}: there is no poses.json")
    poses = load_openpose(case.poses)
    sides = (run.frames(method, case.name), run.case(case.name) / "truth")
    return np.stack([_found(network, side, poses) for side in sides])


def _found(network: MiniKeypoints, where: Path, poses: PoseSequence) -> np.ndarray:
    if not where.is_dir():
        raise ValueError(f"{where}: no frames there")
    frames = np.stack(list(read_clip(where)))
    wanted = (len(poses), poses.height, poses.width)
    if frames.shape[:3] != wanted:
        told = " and ".join(f"{n} of {w}x{h}" for n, h, w in (frames.shape[:3], wanted))
        raise ValueError(f"{where}: frames and poses of the set differ: {told}")
    return by_part(*joint_distances(network, frames, poses))
