"""Who drives a case, and with which poses: the geometry behind the settings."""

from __future__ import annotations

import logging
import zlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from animatex_core.pose.epi import PosePool, on_canvas, realign
from animatex_core.pose.io import load_openpose
from animatex_core.pose.keypoints import PoseSequence
from animatex_core.pose.skeleton import part_points

from ..sources import Source
from .anchor_pool import pool_digest
from .cases import Case, CaseSet, SetError
from .settings import OMITTED, Options

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Driving:
    """drawn: the poses that drive. read: those that the IPI reads. clip: the driver's video. index: its chosen frames.

    length: of the driver, all its frames. own: the driver is the case itself or one that it brings, so the truth is
    known. facts: what was drawn, as JSON.
    """

    drawn: PoseSequence
    read: PoseSequence
    clip: Source
    index: np.ndarray
    length: int
    fps: float
    own: bool
    facts: dict[str, Any]

    def chosen(self, poses: PoseSequence) -> PoseSequence:
        """The chosen frames of the truth's poses. Raises SetError when they have another length than the driver."""
        if len(poses) != self.length:
            raise SetError(
                f"{self.clip.title}: {self.length} frames, the poses of the truth have {len(poses)}: a driver and the "
                "truth belong together frame by frame"
            )
        return poses.frames(self.index)


def drive(found: CaseSet, case: Case, options: Options, anchors: PosePool | None) -> Driving:
    """The driver of a case under a setting. Raises SetError naming the case when it cannot be had."""
    rng = np.random.default_rng([options.seed, zlib.crc32(case.name.encode())])
    if options.setting == "cross":
        return _cross(found, case, options, rng)
    base = _by(case, "video", "poses", options, {"driver": case.name}, own=True)
    if options.setting == "rescaled":
        if anchors is None:
            raise SetError("the setting `rescaled` needs a pool of anchors")
        return _aligned(_rescaled(base, anchors, rng), case, options)
    if options.setting == "omitted":
        return _omitted(base, options, rng)
    return base


def _by(case: Case, clip: str, poses: str, options: Options, facts: dict[str, Any], *, own: bool) -> Driving:
    """Driven by a clip of a case and its first person's poses."""
    path, source = getattr(case, poses), case.clip(clip)
    if path is None:
        raise SetError(f"{case.name}: {poses}: this setting needs it, and the case has none")
    sequence = load_openpose(path).person(0)
    fps = _rate(case, source, sequence)
    index = np.arange(options.start, len(sequence), options.stride)[: options.frames or None]
    chosen = replace(sequence.frames(index), fps=fps / options.stride)
    return Driving(chosen, chosen, source, index, len(sequence), fps / options.stride, own, facts)


def _rate(case: Case, clip: Source, poses: PoseSequence) -> float:
    """Frames a second: what the poses say, or the case, or the file."""
    return poses.fps or case.fps or clip.open(isolated=True)[0]


def _rescaled(base: Driving, anchors: PosePool, rng: np.random.Generator) -> Driving:
    """The case's motion on the body of a random human, standing where the human stands."""
    name, anchor = anchors.draw(rng)
    done = realign(base.drawn, on_canvas(anchor, base.drawn.width, base.drawn.height))
    facts = base.facts | {"anchor": name, "anchor digest": pool_digest(PosePool((anchor,), (name,)))}
    facts |= {"mode": done.modes[0], "reason": done.reasons[0]}
    facts |= {"anchor scale": round(float(done.scale[0]), 6), "confidence": round(float(done.confidence[0]), 6)}
    return replace(base, drawn=replace(done.poses, fps=base.fps), facts=facts)


def _omitted(base: Driving, options: Options, rng: np.random.Generator) -> Driving:
    """Some parts are missing in some frames in a row, for the IPI as well: no detector saw them."""
    which, where = rng.random(2)
    parts = options.omit or (OMITTED[int(which * len(OMITTED))],)
    length = max(1, round(options.omit_share * len(base.drawn)))
    start = int(where * (len(base.drawn) - length + 1))
    gone = np.zeros(base.drawn.scores.shape, bool)
    gone[start : start + length] = part_points(parts)
    points, scores = np.where(gone[..., None], 0, base.drawn.points), np.where(gone, 0, base.drawn.scores)
    poses = replace(base.drawn, points=points.astype(np.float32), scores=scores.astype(np.float32))
    facts = base.facts | {"omitted": list(parts), "from": start, "frames": length}
    return replace(base, drawn=poses, read=poses, facts=facts)


def _cross(found: CaseSet, case: Case, options: Options, rng: np.random.Generator) -> Driving:
    """The case's own driver where it brings one, else another case of the set."""
    if case.driver is not None and not options.driver:
        base = _by(case, "driver", "driver_poses", options, {"driver": f"{case.name}/driver"}, own=True)
    else:
        driver = found.open(_other(found, case, options, rng))
        facts = {"driver": driver.name, "driver digest": driver.digest()}
        base = _by(driver, "video", "poses", options, facts, own=False)
    return _aligned(base, case, options)


def _other(found: CaseSet, case: Case, options: Options, rng: np.random.Generator) -> str:
    if options.driver:
        if options.driver not in found.scored:
            raise SetError(f"driver: {options.driver!r} is no scored case of {found.folder}")
        return options.driver
    others = [name for name in found.scored if name != case.name]
    if not others:
        raise SetError(f"{case.name}: the setting `cross` needs another scored case, and the set has none")
    return others[int(rng.random() * len(others))]


def _aligned(base: Driving, case: Case, options: Options) -> Driving:
    """Alignment before driving, as a creator would do it; the IPI reads the driver's own poses.

    Raises SetError for a case without a pose of its picture: unaligned poses would be scored as aligned ones.
    """
    if options.align == "off":
        return base
    if options.align == "truth":
        return _true(base, case)
    if case.image_pose is None:
        raise SetError(
            f"{case.name}: image_pose.json: --align {options.align} fits the motion to the body in it, and there is "
            "none: let `build poses` find it, leave the case out, or choose --align off"
        )
    anchor = load_openpose(case.image_pose).person(0)
    done = realign(base.drawn, anchor, mode=options.align, drop_absent=options.drop_absent)
    if done.modes[0] != options.align:
        LOG.warning("%s: align: %s instead of %s: %s", case.name, done.modes[0], options.align, done.reasons[0])
    facts = base.facts | {"align": done.modes[0], "reason": done.reasons[0]}
    if options.drop_absent:
        facts |= {"dropped": list(done.dropped[0])}
    return replace(base, drawn=replace(done.poses, fps=base.fps), facts=facts)


def _true(base: Driving, case: Case) -> Driving:
    """What a perfect alignment would draw: the poses of the right answer, which must be the driver's frame by frame."""
    if not base.own or case.poses is None:
        raise SetError(f"{case.name}: --align truth needs a driver of the case's own and poses.json, its right answer")
    poses = base.chosen(load_openpose(case.poses).person(0))
    return replace(base, drawn=replace(poses, fps=base.fps), facts=base.facts | {"align": "truth"})
