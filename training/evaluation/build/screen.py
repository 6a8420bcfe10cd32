"""Poses of a set's clips, and which of them can be relied on: the scored cases.

    SET/CASE/poses.json, image_pose.json   what was found
    SET/.poses/CASE.json                   what they were found with
    SET/screening.json, screening.png      all cases at one glance

The paper screened by eye (appendix B.2); here rules come first, and `accept` and `reject` have the last word, which
screening.json keeps.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from animatex_core.contact_sheet import contact_sheet, save_picture
from animatex_core.pictures import load_picture
from animatex_core.pose.draw import draw_poses
from animatex_core.pose.io import load_openpose, save_openpose
from animatex_core.pose.keypoints import BODY, PoseSequence
from animatex_core.pose.report import examine
from animatex_core.pose.strict_json import read_json, write_json

from ..cases import Case, CaseSet, open_set, write_set
from ..extraction import Extraction
from ..methods import file_sha256

LOG = logging.getLogger(__name__)
NOTES = ".poses"
_FILES = ("poses.json", "image_pose.json")
_SHEET_ROWS = 24
_USUAL_FPS = 24.0


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What good poses are. Shares are of the clip's frames, but for `missing`, which is of all body points.

    empty: frames without anybody. missing: body points that are not there. swaps: frames in which left and right are
    exchanged. outliers: frames with a point that jumps away. jitter: usual distance of joints from a steady motion, in
    parts of neck to hip, at 24 frames a second or more; slower clips may have so much more, for their steps are longer.
    most: how many cases are scored, the best ones; 0 for all that are good.
    """

    empty: float = 0.02
    missing: float = 0.15
    swaps: float = 0.05
    outliers: float = 0.2
    jitter: float = 0.08
    most: int = 100


def screen(
    folder: Path, extraction: Extraction | None, rules: Rules, *, accept: Sequence[str] = (),
    reject: Sequence[str] = (), by_rules: Sequence[str] = (), again: bool = False,
    progress: Callable[[int, int, str], None] | None = None,
) -> dict[str, dict[str, Any]]:  # fmt: skip
    """Find poses where there are none yet, judge them, and list the good cases as scored; case -> what was found.

    extraction: None judges the poses that are there. again: poses that were not found here (somebody's own, or
    corrected by hand) are replaced; else they stay. accept, reject: cases that are scored, or not, whatever the rules
    say, in later runs as well; by_rules: cases of which that was said before and no longer holds. Raises ValueError for
    a name in these that is no case, or is in two of them.
    """
    found = open_set(folder)
    by_hand = _by_hand(found, {"accepted": accept, "rejected": reject, "": by_rules})
    (folder / NOTES).mkdir(exist_ok=True)
    judged = {}
    for number, name in enumerate(found.cases):
        if progress:
            progress(number, len(found.cases), name)
        judged[name] = _judge(found, name, extraction, rules, again)
        judged[name] |= {"by hand": by_hand[name]} if by_hand.get(name) else {}
    scored = _best(judged, rules)
    for name, record in judged.items():
        record["scored"] = name in scored
    write_json(folder / "screening.json", {"rules": vars(rules), "cases": judged})
    write_set(folder, found.name, found.version, list(found.cases), [n for n in found.cases if n in scored])
    _sheet(found, judged)
    return judged


def _by_hand(found: CaseSet, said: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """What a person decided on each case, now or in a run before: accepted, rejected, or nothing ("")."""
    named = [name for names in said.values() for name in set(names)]
    wrong = {name for name in named if name not in found.cases or named.count(name) > 1}
    if wrong:
        raise ValueError(f"accept, reject, by rules: no case of {found.folder}, or in two: {', '.join(sorted(wrong))}")
    return _decided(found.folder / "screening.json") | {name: word for word, names in said.items() for name in names}


def _decided(path: Path) -> dict[str, str]:
    """What screening.json of a run before says of cases by hand. Raises ValueError where it cannot be understood."""
    if not path.is_file():
        return {}
    try:
        return {name: record["by hand"] for name, record in read_json(path)["cases"].items() if "by hand" in record}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path}: not what this command writes ({error}); what was accepted and rejected by hand stands in it: "
            "mend it, or move it away and say that again"
        ) from error


def _judge(found: CaseSet, name: str, extraction: Extraction | None, rules: Rules, again: bool) -> dict[str, Any]:
    plain = replace(found, scored=())  # what a scored case must have is what is being made
    case = plain.open(name)
    if case.video is None:
        return {"good": False, "reasons": ["there is no video"]}
    if extraction is not None:
        _extract(found.folder, case, extraction, again)
        case = plain.open(name)
    if case.poses is None:
        return {"good": False, "reasons": ["nobody was found in any frame" if extraction else "there are no poses"]}
    return judge(load_openpose(case.poses).person(0), rules)


def judge(poses: PoseSequence, rules: Rules) -> dict[str, Any]:
    """Numbers and, in words, which rules a clip breaks."""
    report = examine(poses)
    frames = max(1, len(poses))
    numbers = {
        "empty": len(report.empty) / frames,
        "missing": 1 - float(poses.present[:, 0, BODY].mean()),
        "swaps": len(report.swaps.frames) / frames,
        "outliers": len(report.outliers.frames) / frames,
        "jitter": report.usual_jitter,
    }
    limits = {name: getattr(rules, name) for name in numbers}
    limits["jitter"] *= max(1.0, _USUAL_FPS / (poses.fps or _USUAL_FPS))
    reasons = [f"{n}: {v:.3f}, the limit is {limits[n]:g}" for n, v in numbers.items() if v > limits[n]]
    return {"good": not reasons, "reasons": reasons, **{name: round(value, 6) for name, value in numbers.items()}}


def _extract(folder: Path, case: Case, extraction: Extraction, again: bool) -> None:
    """Write poses.json and image_pose.json of a case, unless they were found in the same files by the same means."""
    path = folder / NOTES / f"{case.name}.json"
    bare = replace(case, prompt="", poses=None, image_pose=None, driver=None, driver_poses=None)
    key = {"clip": bare.digest(), "by": extraction.facts}
    note = _read(path)
    wrote = note.get("wrote", {})
    there = {name: _digest(case.folder / name) for name in _FILES}
    own = [name for name in _FILES if there[name] not in ("", wrote.get(name))]
    kept = [] if again else own
    if kept:
        LOG.info("%s: %s stays: not found here, or changed since", case.name, " and ".join(kept))
    done = note == key | {"wrote": wrote} and all(there[name] == wrote.get(name) or name in kept for name in _FILES)
    if done or len(kept) == len(_FILES):
        return
    fps, frames = case.clip("video").open(isolated=True)
    looked = {_FILES[0]: (frames, fps), _FILES[1]: ([load_picture(case.image)], None)}
    for name in [name for name in _FILES if name not in kept]:
        _save(case.folder / name, extraction.extract(looked[name][0]), looked[name][1])
        wrote = wrote | {name: _digest(case.folder / name)}
    write_json(path, key | {"wrote": wrote})


def _save(path: Path, poses: PoseSequence, fps: float | None) -> None:
    """Where nobody was found there is no file: a case does not have poses without a person."""
    if poses.present.any():
        save_openpose(path, replace(poses.person(0), fps=fps))
    else:
        path.unlink(missing_ok=True)


def _digest(path: Path) -> str:
    """sha256 of a file, empty without one."""
    return file_sha256(path) if path.is_file() else ""


def _read(path: Path) -> dict[str, Any]:
    try:
        found = read_json(path)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _best(judged: dict[str, dict[str, Any]], rules: Rules) -> set[str]:
    """Those accepted by hand, then the good ones with the fewest missing and shaking points."""
    accepted = [name for name, record in judged.items() if record.get("by hand") == "accepted"]
    for name in accepted:
        if "missing" not in judged[name]:
            raise ValueError(f"accept: {name}: {'; '.join(judged[name]['reasons'])}")
    good = [n for n, record in judged.items() if record["good"] and "by hand" not in record]
    good.sort(key=lambda name: judged[name]["missing"] + judged[name]["jitter"])
    every = [*accepted, *good]
    return set(every[: max(rules.most, len(accepted))] if rules.most else every)


def _sheet(found: CaseSet, judged: dict[str, dict[str, Any]]) -> None:
    """Some frames of the first cases with their poses over them, the doubtful ones first."""
    order = sorted(judged, key=lambda name: judged[name]["good"])
    rows = {}
    for name in order[:_SHEET_ROWS]:
        case = replace(found, scored=()).open(name)
        if case.video is None or case.poses is None:
            continue
        poses = load_openpose(case.poses).person(0)
        wanted = np.unique(np.linspace(0, len(poses) - 1, 6).round().astype(int)).tolist()
        frames = [f for i, f in enumerate(case.clip("video").open(isolated=True)[1]) if i in wanted]
        one = [poses.frames(slice(i, i + 1)) for i in wanted]
        drawn = [
            draw_poses(p, palette="openpose", stick="scaled", background=f)[0] for p, f in zip(one, frames, strict=True)
        ]
        rows[f"{name}{'' if judged[name]['good'] else ' (doubtful)'}"] = drawn
    if rows:
        save_picture(found.folder / "screening.png", contact_sheet(rows, 6), overwrite=True)
