"""Where a face goes on a character's head, or on its body.

A person's nose is two thirds of the way from ear to ear before the middle of the head. A picture from the front does
not show how far a character's is, so its kind tells: a head much larger than a person's is nearly a ball, whose face is
half its width before the middle, and a face on a body is flatter still. How high eyes and nose are, the picture shows.
And a face that is on a body turns and bends with it, as trunk and shoulders tell, whatever the driver's head does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .facing import facing
from .figure import Figure
from .gaps import interpolate_frames
from .head import HEAD, Head, HeadRatios
from .keypoints import FACE
from .proportions import LONG, quantile_of_valid
from .skeleton import (
    ADULT,
    LEFT_EAR,
    LEFT_EYE,
    LEFT_SHOULDER,
    NECK,
    NOSE,
    RIGHT_EAR,
    RIGHT_EYE,
    RIGHT_SHOULDER,
)

_EYES = [RIGHT_EYE, LEFT_EYE]
_SIDES = {RIGHT_EYE: 1, LEFT_EYE: -1, RIGHT_EAR: 1, LEFT_EAR: -1}
# How far before the middle a person's nose is, in units of the way from ear to ear.
_DEPTH = 2 / 3
# How far before the middle a face is, in units of a person's: on a head like a ball, and on a body. The first is the
# geometry of a ball; with it, the second is what our rendered costumes of mascots have.
_ROUND, _FLAT = 0.78, 0.58
# A head becomes a ball while it grows from the one to the other, in units of the ratio of the whole figures.
_PERSON, _BALL = 1.2, 1.8
# How high a person's nose and eyes are above the middle between the ears, in units of the way from ear to ear: our own
# measurement on dance and fashion clips, of frames that face the camera.
_NOSE_RISE, _EYES_RISE = -0.05, 0.16
# Shoulders that never look wider than this share of a person's are seen from the side.
_SIDELONG = 0.9


@dataclass(frozen=True)
class Layout:
    """How a character's face differs from a person's, [P] float32.

    depth: how far before the middle it is, in units of a person's on a head of its width. nose, eyes: how much higher
    they are than a person's, in pixels of the anchor. It is 1, 0 and 0 for a head like a person's that is on a neck.
    """

    depth: np.ndarray
    nose: np.ndarray
    eyes: np.ndarray


def layout(model: Figure, anchor: Head, driver: Head, ratios: HeadRatios, whole: np.ndarray) -> Layout:
    """The layout of every anchor's face; whole: [P] float32 above 0, the ratio of the whole figures.

    model: the figure that the anchor is the head of. A driver whose own face is on the body has it already.
    """
    ball = np.clip((ratios.ears / whole - _PERSON) / (_BALL - _PERSON), 0, 1)
    special = np.where(driver.on_body, 0, np.where(ratios.on_body, 1, ball)).astype(np.float32)
    depth = 1 - special * (1 - np.where(ratios.on_body, np.float32(_FLAT), np.float32(_ROUND)))
    usual = depth * ratios.ears
    nose, eyes = (
        special * np.where(seen, rise - _persons_rise(driver, person) * usual, 0)
        for (rise, seen), person in (
            (_rise(model, anchor, [NOSE]), _NOSE_RISE),
            (_rise(model, anchor, _EYES), _EYES_RISE),
        )
    )
    return Layout(depth.astype(np.float32), nose.astype(np.float32), eyes.astype(np.float32))


def _rise(model: Figure, head: Head, points: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """How high points of a face are above the middle of the head [P], the median over frames, and who shows them."""
    seen = head.seen & np.all(model.present[..., points], axis=-1)
    up = _up(head.on_body, head.trunk, head.middle - model.points[..., NECK])
    above = np.real((model.points[..., points].mean(-1) - head.middle) * np.conj(up))
    return quantile_of_valid(np.where(seen, above, 0).T, seen.T, 0.5), np.any(seen, axis=0)


def _persons_rise(driver: Head, share: float) -> np.ndarray:
    """How high a point of the driver's face is above what counts as the middle, [P], were all heads a person's."""
    return (share - np.where(driver.ear_width > 0, np.float32(0), np.float32(_EYES_RISE))) * driver.width


def _up(on_body: np.ndarray, trunk: np.ndarray, carried: np.ndarray) -> np.ndarray:
    """Which way is up for a face, [F, P], 1 long: along the trunk that it is on, else from the neck to the head."""
    along = np.where(on_body, -trunk, carried)
    return along / np.maximum(np.abs(along), np.float32(1e-6))


def shoulder_line(body: Figure, size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Across the shoulders, to the person's right, [F, P] complex64: 1 long facing the viewer; and who shows it, [P].

    size: [P], as `proportions.body_size` has it. It is shown by who has both shoulders in half of the frames.
    """
    both = np.all(body.present[..., [RIGHT_SHOULDER, LEFT_SHOULDER]], axis=-1)
    line = np.where(both, body.points[..., RIGHT_SHOULDER] - body.points[..., LEFT_SHOULDER], 0)
    width = np.maximum(quantile_of_valid(np.abs(line).T, both.T, LONG), 2 * _SIDELONG * ADULT[RIGHT_SHOULDER] * size)
    shown = both.any(0) & (2 * both.sum(0) >= body.known[..., NECK].sum(0))
    return interpolate_frames(line / np.maximum(width, np.float32(1e-6)), both).astype(np.complex64), shown


def fit_head(
    body: Figure, offset: np.ndarray, driver: Head, place: np.ndarray, ratios: HeadRatios, face: Layout,
    trunk: np.ndarray, size: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """`offset` [F, P, 130] of `figure.stretch`, with the head moved as one piece.

    place: [P], where an anchor's face is on its trunk; trunk: [F, P], the fitted one. size: [P] of the driver's body.
    Frames that do not show where the head is move it as their neighbours do. A head of the driver's own measures moves
    by nothing, to the last bit.
    """
    carried = driver.middle - body.points[..., NECK]
    to_middle = np.where(ratios.on_body, place * trunk - carried, (ratios.carry - 1) * carried)
    up = _up(ratios.on_body, trunk, carried)
    line, shown = shoulder_line(body, size)
    squared = ratios.on_body & shown
    apart = interpolate_frames(driver.eyes / 2, driver.both_eyes)
    rises = {NOSE: face.nose, RIGHT_EYE: face.eyes, LEFT_EYE: face.eyes}
    before = _before(body, driver, face.depth * ratios.ears, trunk, line, rises) if squared.any() else {}
    result = offset.copy()
    for point in HEAD:
        about, side = body.points[..., point] - driver.middle, _SIDES.get(point, 0)
        # what lies across the head, which has a width of its own; the rest is before the middle
        if point in (RIGHT_EAR, LEFT_EAR):
            across, ratio, width = about, ratios.ears, driver.width
        else:
            across, ratio, width = side * apart, ratios.eyes, driver.eye_width
        on_head = (face.depth * ratios.ears - 1) * (about - across) + (ratio - 1) * across + rises.get(point, 0) * up
        on_body = before.get(point, 0) + side * ratio * width / 2 * line - about
        wanted = to_middle + np.where(squared, on_body, on_head)
        change = np.where(driver.seen, wanted - offset[..., point], 0).astype(np.complex64)
        result[..., point] += np.where(ratios.fitted, interpolate_frames(change, driver.seen), 0)
    return result


def _before(
    body: Figure, driver: Head, ratio: np.ndarray, trunk: np.ndarray, line: np.ndarray, rises: dict[int, np.ndarray]
) -> dict[int, np.ndarray]:  # fmt: skip
    """How far nose and eyes of a face on a body are from its middle, but for what lies across: pixels, [F, P] each.

    ratio: [P], by which it is farther before the middle than the driver's. trunk: [F, P] in pixels, from the neck.
    line: [F, P], across the shoulders as `shoulder_line` has it. rises: pixels [P], as `Layout` has them.
    """
    look, known = _look(body, driver)
    long = quantile_of_valid(np.abs(trunk).T, np.ones(trunk.T.shape, bool), LONG)
    up = -trunk / np.maximum(long, np.float32(1e-6))
    ahead, size = facing(up, line, interpolate_frames(look, known))
    ahead = ratio * _DEPTH * driver.width * size * ahead
    persons = {NOSE: _NOSE_RISE, RIGHT_EYE: _EYES_RISE, LEFT_EYE: _EYES_RISE}
    return {p: ahead + (rises[p] + _persons_rise(driver, share) * ratio) * up for p, share in persons.items()}


def _look(body: Figure, driver: Head) -> tuple[np.ndarray, np.ndarray]:
    """Where the driver's head looks, [F, P] complex64 as `facing` takes it, and the frames that tell.

    By the ears wherever the driver has them, also where the anchor has none: a nose is hardly before the eyes.
    """
    both = np.all(body.present[..., [RIGHT_EAR, LEFT_EAR]], axis=-1)
    middle = np.where(both, body.points[..., [RIGHT_EAR, LEFT_EAR]].mean(-1), driver.middle)
    carried = (driver.middle - body.points[..., NECK]) / np.maximum(driver.carry, np.float32(1e-6))
    rise = np.where(both | (driver.ear_width > 0), _NOSE_RISE, _NOSE_RISE - _EYES_RISE) * driver.width
    look = (body.points[..., NOSE] - middle - carried * rise) / np.maximum(_DEPTH * driver.width, np.float32(1e-6))
    told = driver.seen & body.present[..., NOSE]
    by_ears = told & (both | (driver.ear_width > 0))
    return look.astype(np.complex64), np.where(by_ears.any(0), by_ears, told)


def fit_face(body: Figure, offset: np.ndarray, fitted: np.ndarray, ratio: np.ndarray) -> np.ndarray:
    """`offset` with the 68 points of fitted heads [P] about the nose; ratio: [P] float32, theirs."""
    about = body.points[..., FACE] - body.points[..., NOSE, None]
    result = offset.copy()
    moved = result[..., NOSE, None] + (ratio - 1)[:, None] * about
    result[..., FACE] = np.where(fitted[:, None], moved, result[..., FACE])
    return result
