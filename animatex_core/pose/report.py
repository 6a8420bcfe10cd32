"""What is wrong with a clip's poses, before hours are spent on them.

One look at the first person: joints missing by frame, empty frames, jitter, left and right exchanged, spikes, joints
out of the picture, and how unlike the reference's body the driver's is. Nothing is changed; each finding names the
step that mends it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .changes import Change
from .figure import as_complex, figure, sound
from .keypoints import PoseSequence
from .manual import JOINTS
from .outliers import remove_outliers
from .proportions import body_size, measure, ratios_between
from .skeleton import COLUMN_NAMES, CORE, LIMITS, NECK
from .swaps import repair_swaps

COUNT = len(JOINTS)
# Shaking of the joints between frames, in parts of neck to hip, above which a clip looks shaky: ours, from dance and
# fashion clips, whose median frames lie between 0.01 and 0.05.
SHAKY = 0.08
# Findings in fewer frames than this part of the clip are told, but are no reason to worry.
_FEW = 0.02
# Bones that differ from the whole figure's ratio by more than this are named.
_UNLIKE = 1.3
_SMALL, _LARGE = 0.6, 1.6


@dataclass(frozen=True)
class Mismatch:
    """The reference's body against the driver's.

    scale: reference over driver as parts of their pictures' heights; 0 when they have no bone in common.
    bones: names of bones that differ from that, with their own factor on top of it, the most unlike first.
    """

    scale: float
    bones: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class PoseReport:
    """The findings; arrays have one row a frame and the 20 joints of manual.JOINTS.

    missing: [F, 20] bool, joints that are not there. outside: [F, 20] bool, joints out of the picture.
    people: [F] int, how many are there. jitter: [F] float32, how far the joints are from a steady motion, in parts of
    neck to hip; NaN where it cannot be told. size: [F] float32, the figure's size (neck to hip of an adult) in parts of
    the picture's height, 0 where unknown. swaps, outliers: what repairing them would change.
    mismatch: None without a reference. warnings: what to do something about, in words.
    """

    missing: np.ndarray
    outside: np.ndarray
    people: np.ndarray
    jitter: np.ndarray
    size: np.ndarray
    swaps: Change
    outliers: Change
    mismatch: Mismatch | None
    warnings: tuple[str, ...]
    fps: float | None

    @property
    def empty(self) -> np.ndarray:
        """Frames in which the person is not seen at all, their numbers."""
        return np.flatnonzero(self.missing.all(1))

    @property
    def usual_jitter(self) -> float:
        """The median over the frames; 0 where it cannot be told."""
        told = self.jitter[np.isfinite(self.jitter)]
        return float(np.median(told)) if told.size else 0.0

    def text(self) -> str:
        """The report in words: facts first, then what to do about them."""
        return "\n".join([*_facts(self), *(f"! {warning}" for warning in self.warnings or ("nothing to worry about",))])


def examine(poses: PoseSequence, reference: PoseSequence | None = None) -> PoseReport:
    """Look at a clip; reference: the pose of the character (one frame or a clip). Never raises for a pose."""
    first = poses.person(0)
    there = sound(first)[:, 0, :COUNT]
    report = PoseReport(
        missing=~there,
        outside=_outside(first, there),
        people=sound(poses)[..., :COUNT].any(-1).sum(1),
        jitter=_jitter(first, there),
        size=_sizes(first),
        swaps=repair_swaps(first)[1],
        outliers=remove_outliers(first)[1],
        mismatch=None if reference is None else _mismatch(first, reference.person(0)),
        warnings=(),
        fps=poses.fps,
    )
    return replace(report, warnings=tuple(_warnings(report)))


def _outside(poses: PoseSequence, there: np.ndarray) -> np.ndarray:
    points = poses.points[:, 0, :COUNT]
    with np.errstate(invalid="ignore"):
        return there & ((points < 0) | (points > [poses.width, poses.height])).any(-1)


def _jitter(poses: PoseSequence, there: np.ndarray) -> np.ndarray:
    """The mean over the joints of their distance from the middle of the frames before and after."""
    jitter = np.full(len(poses), np.nan, np.float32)
    size = float(body_size(measure(figure(poses)).lengths)[0]) if len(poses) else 0.0
    if len(poses) < 3 or size <= 0:
        return jitter
    z = np.where(there, as_complex(poses)[:, 0, :COUNT], 0)
    known = there[:-2] & there[1:-1] & there[2:]
    away = np.where(known, np.abs(z[1:-1] - (z[:-2] + z[2:]) / 2), 0).sum(1)
    count = known.sum(1)
    jitter[1:-1] = np.where(count > 0, away / np.maximum(count, 1) / size, np.nan)
    return jitter


def _sizes(poses: PoseSequence) -> np.ndarray:
    """Every frame measured as a person of its own."""
    if len(poses) == 0:
        return np.zeros(0, np.float32)
    turned = PoseSequence(poses.points.swapaxes(0, 1), poses.scores.swapaxes(0, 1), poses.width, poses.height)
    return body_size(measure(figure(turned)).lengths) / np.float32(poses.height)


def _mismatch(driver: PoseSequence, reference: PoseSequence) -> Mismatch:
    if len(driver) == 0 or len(reference) == 0:
        return Mismatch(0.0, ())
    ratios = ratios_between(measure(figure(driver)), measure(figure(reference)), LIMITS)
    overall = float(ratios.overall[0])
    if overall <= 0:
        return Mismatch(0.0, ())
    own = ratios.columns[0] / overall
    named = [c for c in CORE if c != NECK and ratios.compared[0, c] and not 1 / _UNLIKE <= own[c] <= _UNLIKE]
    named.sort(key=lambda c: -abs(np.log(own[c])))
    bones = tuple((COLUMN_NAMES[c], float(own[c])) for c in named)
    return Mismatch(overall * driver.height / reference.height, bones)


def _facts(report: PoseReport) -> list[str]:
    frames = len(report.missing)
    rate = f" at {report.fps:g} frames a second" if report.fps else ""
    lines = [f"{frames} frames{rate}, {_crowd(report.people)}"]
    seen = np.delete(report.missing, report.empty, 0)
    lines.append(f"without a person: {_frames(report.empty)}")
    if len(seen):
        absent = [(JOINTS[j], part) for j, part in enumerate(seen.mean(0)) if part > 0]
        absent.sort(key=lambda item: -item[1])
        told = ", ".join(f"{name} {part:.0%}" for name, part in absent[:6]) or "none"
        lines.append(f"missing joints: {seen.sum(1).mean():.1f} of {COUNT} on average; {told}")
        lines.append(f"out of the picture: {_frames(np.flatnonzero(report.outside.any(1)))}")
        worst = f", {np.nanmax(report.jitter):.3f} at most" if np.isfinite(report.jitter).any() else ""
        lines.append(f"jitter: {report.usual_jitter:.3f} of neck to hip in a usual frame{worst}")
        lines += [f"{change.line()} (would be repaired)" for change in (report.swaps, report.outliers)]
    if report.mismatch:
        lines.append(_compared(report.mismatch))
    return lines


def _compared(mismatch: Mismatch) -> str:
    if mismatch.scale == 0:
        return "the reference has no bone in common with the driver"
    unlike = ", ".join(f"{name} x{factor:.2f}" for name, factor in mismatch.bones[:6]) or "none"
    return f"the reference is {mismatch.scale:.2f} times as large; bones unlike the rest: {unlike}"


def _crowd(people: np.ndarray) -> str:
    most = int(people.max(initial=0))
    return "nobody" if most == 0 else "one person" if most == 1 else f"up to {most} people (the first is looked at)"


def _frames(numbers: np.ndarray) -> str:
    if len(numbers) == 0:
        return "no frame"
    shown = ", ".join(map(str, numbers[:8]))
    return f"{len(numbers)} frames ({shown}{', ...' if len(numbers) > 8 else ''})"


def _warnings(report: PoseReport) -> list[str]:
    frames = len(report.missing)
    if frames == 0 or len(report.empty) == frames:
        return ["nobody is seen in any frame: place joints by hand, or extract without the person detector"]
    few = _FEW * frames
    found = []
    if not (report.size > 0).any():
        found.append("no bone can be measured: too few joints, or all in one place")
    if len(report.empty):
        found.append(f"{len(report.empty)} frames without a person: clean the poses (hold or interpolate)")
    if report.people.max() > 1:
        found.append("several people: clean the poses to follow one of them")
    if len(report.swaps.frames):
        found.append(f"left and right exchanged in {len(report.swaps.frames)} frames: clean the poses")
    if len(report.outliers.frames) > few:
        found.append(f"joints in impossible places in {len(report.outliers.frames)} frames: clean the poses")
    if report.usual_jitter > SHAKY:
        found.append(f"shaky (jitter {report.usual_jitter:.3f}, above {SHAKY}): clean the poses with smoothing")
    if (report.outside.sum(1) > COUNT // 4).sum() > few:
        found.append("a good part of the body is out of the picture in many frames")
    return found + _unlike(report.mismatch)


def _unlike(mismatch: Mismatch | None) -> list[str]:
    if mismatch is None:
        return []
    if mismatch.scale == 0:
        return ["driver and reference have no bone in common: check the reference's pose, or place its joints by hand"]
    found = []
    if not _SMALL <= mismatch.scale <= _LARGE:
        found.append(f"the reference is {mismatch.scale:.2f} times as large as the driver: fit the motion to it")
    if mismatch.bones:
        found.append("the reference is built unlike the driver: fit the motion to the character (full)")
    return found
