"""Pose realign of the Explicit Pose Indicator (paper, 3.2 and appendix A): the driver's motion on the anchor's body.

Every bone keeps the direction the driver gives it and its length is multiplied by one ratio for the whole clip, anchor
over driver, so a bone that the driver foreshortens stays foreshortened. That is `full`, and what training transforms
by; `character` does the same with the limbs, while the trunk is two pieces (see `trunk`), the head goes as one (`head`,
`face`) and the hips lead sideways (`placement`). Nothing here depends on a single frame of the driver, and nothing
raises on a bad pose: a person whose head cannot be compared falls back from `character` to `full`, and one whose
proportions cannot be trusted to `similarity` (one scale and one shift, what the paper does at inference) to `identity`,
and the result says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from .face import Layout, fit_face, fit_head, layout
from .figure import Figure, canvas_fit, figure, inherited, stretch, to_sequence
from .head import HEAD, Head, HeadRatios, Measures, head_of, head_ratios, measures, trunk_of
from .keypoints import POINTS, PoseSequence, empty
from .placement import SUPPORT_NAMES, hold, stand
from .proportions import (
    ABSENT,
    MEASURED,
    NOISE,
    OTHER_SIDE,
    PRIOR,
    Proportions,
    Ratios,
    body_size,
    measure,
    ratios_between,
)
from .skeleton import (
    COLUMN,
    COLUMN_NAMES,
    COLUMNS,
    CORE,
    FACE_COLUMN,
    LIMITS,
    NECK,
    NOSE,
    PARTS,
    part_points,
)
from .trunk import Trunk, TrunkRatios, fit_trunk, pieces_of, trunk_ratios

MODES = ("off", "similarity", "full", "character")
_FITTED = ("full", "character")  # bone by bone
# Below this confidence a body is not fitted bone by bone.
TRUSTED = 0.45

# What a bone of the anchor is worth as evidence, by where its length came from.
_EVIDENCE = np.zeros(4, np.float32)
_EVIDENCE[[ABSENT, MEASURED, OTHER_SIDE, PRIOR]] = 0.15, 1.0, 0.8, 0.5
_HELD_BACK = 0.5
# A sound trunk matters more than a sound forearm.
_WEIGHTS = np.array([1, 2, 1, 1, 2, 1, 1, 2, 1, 1, 2, 1, 1], np.float32)
_TRUNK = [2, 5, 8, 11]
# Parts whose absence in a reference means the character has none; a reference without toes or face points only has
# a detector without them.
_TELLING_PARTS = (
    "right arm", "left arm", "right forearm", "left forearm", "right hand", "left hand",
    "right leg", "left leg", "right shin", "left shin", "eyes", "ears", "head",
)  # fmt: skip


@dataclass(frozen=True)
class Realigned:
    """What realign did; arrays and tuples have one entry a person unless said otherwise.

    poses: the result on the anchor's canvas (the driver itself, on its own canvas, where nothing could be done).
    modes: "off", "character", "full", "similarity" or "identity": what was really applied; reasons says why.
    confidence: [P] float32 in 0..1, how much of the driver's body was measured in the anchor.
    ratios: [P, 130] float32, by which each bone (named by its far end) was multiplied; in "character" the nose has the
        ratio of the way from the neck to the middle of the head, eyes and ears those of the distances across, the hips
        that of the spine.
    scale: [P] float32, anchor over driver as whole figures (1 where nothing could be compared).
    clamped: [F, P, 130] bool, points that are not where the plain geometry puts them, seen from the neck: a bone
        between was held back by its limit, or they were held near the canvas, or they were not finite.
    dropped: names of the parts taken away.
    """

    poses: PoseSequence
    modes: tuple[str, ...]
    reasons: tuple[str, ...]
    confidence: np.ndarray
    ratios: np.ndarray
    scale: np.ndarray
    clamped: np.ndarray
    dropped: tuple[tuple[str, ...], ...]

    def summary(self) -> str:
        """One line a person, for a report."""
        lines = []
        for i, (mode, reason) in enumerate(zip(self.modes, self.reasons, strict=True)):
            gone = f"; without {', '.join(self.dropped[i])}" if self.dropped[i] else ""
            lines.append(f"person {i}: {mode} (confidence {self.confidence[i]:.2f}): {reason}{gone}")
        return "\n".join(lines)


def realign(
    driver: PoseSequence,
    anchor: PoseSequence,
    *,
    mode: str = "full",
    drop: Iterable[str] = (),
    drop_absent: bool = False,
    correct: bool = True,
) -> Realigned:
    """The driver's motion with the anchor's body shape, placed where the anchor stands.

    driver: the motion. anchor: one frame or a clip of the character; one person, or as many as the driver has.
    mode: "off" returns the driver as it is; "similarity" scales and shifts the whole figure; "full" fits every bone;
        "character" fits trunk and head by pieces of their own besides, for builds unlike a person's, large heads and
        faces that are on a body.
    drop: parts to take away (names of skeleton.PARTS). drop_absent: take away what the anchor does not have as well.
    correct: undo the anchor's foreshortening by its other side and by what bodies usually look like.
    Raises ValueError for an unknown mode or part and for numbers of people that do not match; never for a pose.
    """
    if mode not in MODES:
        raise ValueError(f"unknown realign mode {mode!r}; expected one of {', '.join(MODES)}")
    names = (drop,) if isinstance(drop, str) else tuple(drop)
    gone = part_points(names)
    if driver.people == 0 or len(driver) == 0:
        return _unmoved(driver, "off" if mode == "off" else "identity", "the driver has nobody in it", names, gone)
    if mode == "off":
        return _unmoved(driver, mode, "as asked", names, gone)
    if anchor.people not in (0, 1, driver.people):
        raise ValueError(f"the anchor has {anchor.people} people and the driver {driver.people}: give one or as many")
    if len(anchor) == 0 or anchor.people == 0:
        anchor = empty(1, anchor.width, anchor.height)
    pair = _compare(driver, anchor, correct)
    lost, absent = _dropped(pair.model, driver.people, names, drop_absent)
    return _fit(pair, driver, anchor, mode, correct, lost, absent)


@dataclass(frozen=True)
class _Pair:
    """Driver (body, mine) and anchor (model, theirs) measured against each other."""

    body: Figure
    model: Figure
    mine: Proportions
    theirs: Proportions
    ratios: Ratios


def _compare(driver: PoseSequence, anchor: PoseSequence, correct: bool) -> _Pair:
    body, model = figure(driver), figure(anchor)
    mine, theirs = measure(body, correct=correct), measure(model, correct=correct)
    return _Pair(body, model, mine, theirs, ratios_between(mine, theirs, LIMITS))


def _fit(
    pair: _Pair,
    driver: PoseSequence,
    anchor: PoseSequence,
    mode: str,
    correct: bool,
    dropped: tuple[tuple[str, ...], ...],
    gone: np.ndarray,
) -> Realigned:
    body, ratios = pair.body, pair.ratios
    confidence = _confidence(pair, gone)
    build = _build(pair, correct) if mode == "character" else None
    modes, reasons = _decide(mode, pair, confidence, build, gone)
    moved, full = modes != "identity", np.isin(modes, _FITTED)
    overall = np.where(moved, ratios.overall, np.float32(1))
    columns = np.where(full[:, None], ratios.columns, overall[:, None]).astype(np.float32)
    columns[:, NECK] = 1
    ratio, limited = columns, ratios.limited & full[:, None]
    offset = stretch(body, columns)
    if build is not None:
        fitting = build.among(modes == "character")
        columns, ratio, limited = fitting.in_columns(columns, limited, ratios.compared[:, FACE_COLUMN])
        offset = fitting.fit(body, offset, columns, pair.theirs.lengths, ratio[:, FACE_COLUMN])
    lengths = pair.mine.lengths, pair.theirs.lengths
    shift, kinds = stand(body, offset, columns, lengths[0], pair.model, lengths[1], gone, modes == "character")
    canvas = (anchor.width, anchor.height) if moved.any() else (driver.width, driver.height)
    still = canvas_fit(driver, *canvas)(body.points) - body.points
    points, held = hold(body.points + np.where(moved[:, None], offset + shift[..., None], still), *canvas)
    stands = zip(reasons, kinds, moved, strict=True)
    return Realigned(
        poses=to_sequence(points, body.present & ~gone, driver, *canvas),
        modes=tuple(modes.tolist()),
        reasons=tuple(f"{why}; carried by its {SUPPORT_NAMES[kind]}" if m else why for why, kind, m in stands),
        confidence=confidence,
        ratios=ratio[:, COLUMN],
        scale=overall,
        clamped=(held & body.present) | inherited(limited[:, COLUMN]) | body.wild,
        dropped=dropped,
    )


@dataclass(frozen=True)
class _Build:
    """What goes by pieces of its own in "character": heads and trunks, and what they were measured by.

    pieces: of the drivers' trunks; size: [P] of their bodies.
    """

    by: Measures
    driver: Head
    anchor: Head
    ratios: HeadRatios
    face: Layout
    pieces: Trunk
    trunk: TrunkRatios
    size: np.ndarray

    def among(self, people: np.ndarray) -> _Build:
        """The same, fitted only where `people` [P] says so."""
        return replace(self, ratios=self.ratios.among(people), trunk=self.trunk.among(people))

    def in_columns(
        self, columns: np.ndarray, limited: np.ndarray, face: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Ratios by column [P, 23] with those of trunks in place, then of heads as well, and which were held back.

        face: [P] bool, whose ratio of the face was measured and stays.
        """
        columns, limited = self.trunk.in_columns(columns), self.trunk.in_limited(limited)
        return columns, self.ratios.in_columns(columns, face), self.ratios.in_limited(limited, face)

    def fit(
        self, body: Figure, offset: np.ndarray, columns: np.ndarray, lengths: np.ndarray, face: np.ndarray
    ) -> np.ndarray:
        """`offset` [F, P, 130] of `figure.stretch` for columns [P, 23], with trunks and heads as they shall be.

        lengths: [P, 23] of the anchor. face: [P], the ratio of the 68 points.
        """
        offset = fit_trunk(body, offset, self.pieces, self.trunk, columns)
        trunk = trunk_of(pieces_of(body, body.points + offset), lengths, self.by)
        offset = fit_head(body, offset, self.driver, self.anchor.place, self.ratios, self.face, trunk, self.size)
        return fit_face(body, offset, self.ratios.fitted, face)


def _build(pair: _Pair, correct: bool) -> _Build:
    by = measures(pair.body, pair.model)
    pieces, theirs = (pieces_of(figure, figure.points) for figure in (pair.body, pair.model))
    driver = head_of(pair.body, trunk_of(pieces, pair.mine.lengths, by), by, correct=correct)
    anchor = head_of(pair.model, trunk_of(theirs, pair.theirs.lengths, by), by, correct=correct)
    whole = np.maximum(pair.ratios.overall, np.float32(1e-6))
    size = body_size(pair.mine.lengths)
    ratios = head_ratios(driver, anchor, whole * LIMITS[NOSE, 0], whole * LIMITS[NOSE, 1], NOISE * size)
    face = layout(pair.model, anchor, driver, ratios, whole)
    trunk = trunk_ratios((pieces, size), (theirs, body_size(pair.theirs.lengths)), whole, correct=correct)
    return _Build(by, driver, anchor, ratios, face, pieces, trunk, size)


def _confidence(pair: _Pair, gone: np.ndarray) -> np.ndarray:
    """[P] in 0..1: over the core bones that the driver shows and keeps, how well the anchor shows them."""
    ratios, known = pair.ratios, pair.mine.known
    evidence = np.where(ratios.compared, _EVIDENCE[pair.theirs.source], _EVIDENCE[ABSENT])
    evidence = np.where(ratios.limited, _HELD_BACK * evidence, evidence)[:, CORE]
    weight = _WEIGHTS * (known & ~gone[:, :COLUMNS])[:, CORE]
    total = weight.sum(-1)
    return np.where(total > 0, (weight * evidence).sum(-1) / np.maximum(total, 1), 0).astype(np.float32)


def _decide(
    mode: str, pair: _Pair, confidence: np.ndarray, build: _Build | None, gone: np.ndarray
) -> tuple[np.ndarray, list[str]]:
    """The mode that is really applied to each person, and why."""
    ratios = pair.ratios
    trunk = np.any(ratios.compared[:, _TRUNK], axis=-1)
    modes = np.where(ratios.overall > 0, "similarity", "identity").astype("<U10")
    limited = ratios.limited & ratios.compared
    if mode in _FITTED:
        modes = np.where((ratios.overall > 0) & trunk & (confidence >= TRUSTED), mode, modes)
    if build is not None:
        lost = ~build.ratios.fitted & ~gone[:, HEAD].all(-1)  # who shall have no head needs none to compare
        modes = np.where((modes == "character") & lost, "full", modes)
        limited = build.trunk.among(modes == mode).in_limited(limited)
        limited = build.ratios.in_limited(limited, ratios.compared[:, FACE_COLUMN])
    driver_empty = ~np.any(pair.mine.known, axis=-1)
    anchor_empty = np.broadcast_to(~np.any(pair.theirs.known, axis=-1), modes.shape)
    reasons = []
    for i, applied in enumerate(modes):
        if applied == mode:
            reasons.append("as asked" + _held_bones(limited[i]))
        elif applied == "full":
            reasons.append("the heads cannot be compared, neither by ears nor by both eyes" + _held_bones(limited[i]))
        elif applied == "similarity":
            few = f"too little of the body can be compared (confidence below {TRUSTED})"
            reasons.append(few if trunk[i] else "neither shoulders nor hips can be compared")
        elif driver_empty[i] or anchor_empty[i]:
            reasons.append(f"no bone can be measured in the {'driver' if driver_empty[i] else 'anchor'}")
        else:
            reasons.append("driver and anchor have no bone in common")
    return modes, reasons


def _held_bones(limited: np.ndarray) -> str:
    held = [COLUMN_NAMES[c] for c in np.flatnonzero(limited)]
    return f", held back by its limit: {', '.join(held)}" if held else ""


def _dropped(
    model: Figure, people: int, drop: tuple[str, ...], drop_absent: bool
) -> tuple[tuple[tuple[str, ...], ...], np.ndarray]:
    """Names of the parts that go, by person, and the points they cover [P, 130]."""
    seen = np.broadcast_to(model.present.any(0), (people, POINTS))
    gone = np.broadcast_to(part_points(drop), (people, POINTS)).copy()
    lacking: list[list[str]] = [list(drop) for _ in range(people)]
    if drop_absent:
        somebody = seen.any(-1)
        for name in _TELLING_PARTS:
            lost = somebody & ~seen[:, PARTS[name]].any(-1) & ~gone[:, PARTS[name]].all(-1)
            gone[np.ix_(lost, PARTS[name])] = True
            for i in np.flatnonzero(lost):
                lacking[i].append(name)
    return tuple(map(tuple, lacking)), gone


def _unmoved(driver: PoseSequence, mode: str, reason: str, drop: tuple[str, ...], gone: np.ndarray) -> Realigned:
    """The driver as it is, or only without the parts to drop."""
    people, poses = driver.people, driver
    if gone.any():
        points, scores = np.where(gone[:, None], 0, driver.points), np.where(gone, 0, driver.scores)
        poses = replace(driver, points=points.astype(np.float32), scores=scores.astype(np.float32))
    return Realigned(
        poses=poses,
        modes=(mode,) * people,
        reasons=(reason,) * people,
        confidence=np.zeros(people, np.float32),
        ratios=np.ones((people, POINTS), np.float32),
        scale=np.ones(people, np.float32),
        clamped=np.zeros(driver.scores.shape, bool),
        dropped=(drop,) * people,
    )
