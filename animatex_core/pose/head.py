"""The head as one piece: how heads are measured and compared. Where a character's face goes is in `face`.

A bone that keeps its direction is right for limbs, which a character holds as the driver does. It is wrong for a face:
how far a nose moves aside when a head turns is the size of the head, not the length of the neck. So a head is taken
apart into what carries it (from the neck to the middle between the ears) and what it is (nose, eyes and ears about that
middle), and each has a ratio of its own, anchor over driver. A face that is on a body, as an object's is, has no neck
to follow. Where driver or anchor has no ears, the middle is between the eyes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from .figure import Figure
from .gaps import interpolate_frames
from .proportions import LONG, quantile_of_valid, with_columns
from .skeleton import (
    FACE_COLUMN,
    LEFT_EAR,
    LEFT_EYE,
    LEFT_HIP,
    LEFT_SHOULDER,
    NECK,
    NOSE,
    RIGHT_EAR,
    RIGHT_EYE,
    RIGHT_HIP,
    RIGHT_SHOULDER,
)
from .trunk import Trunk

# The points that move as one; those of the face go with the nose.
HEAD = (NOSE, RIGHT_EYE, LEFT_EYE, RIGHT_EAR, LEFT_EAR)
_EARS, _EYES, _HIPS = [RIGHT_EAR, LEFT_EAR], [RIGHT_EYE, LEFT_EYE], [RIGHT_HIP, LEFT_HIP]
# From ear to ear in units of eye to eye: a person's, and between what bounds a clip is believed.
EARS_TO_EYES, _BELIEVED = 2.3, (1.0, 6.0)
# From ear to ear in units of how far the nose is before them. A head seen from the side shows its depth, not its width.
_EARS_TO_DEPTH = 1.5
# A head is about a ball on a neck: its middle is half its width above it, and a person's more than the whole. A face
# whose middle is less than this share of its width above the neck is on the body.
_ON_BODY = 0.4
# And one that is farther than this aside of the trunk is not: whose trunk lies flat, as on four legs, has a neck.
_BESIDE = 0.25


@dataclass(frozen=True)
class Head:
    """Where a figure's head is; complex64 pixels [F, P] unless said otherwise.

    middle: between the ears, or between the eyes. seen: [F, P] bool, frames in which it can be told.
    eyes: from the left to the right one; 0 where not both_eyes, [F, P] bool.
    carry: [P] float32, length from neck to middle. ear_width, eye_width: [P] float32; 0 where never seen.
    place: [P] complex64, the middle from the neck, over the trunk; known where placed, [P] bool.
    trunk: [F, P] complex64, from the neck to the middle of the hips.
    """

    middle: np.ndarray
    seen: np.ndarray
    eyes: np.ndarray
    both_eyes: np.ndarray
    carry: np.ndarray
    ear_width: np.ndarray
    eye_width: np.ndarray
    place: np.ndarray
    placed: np.ndarray
    trunk: np.ndarray

    @property
    def width(self) -> np.ndarray:
        """From ear to ear, [P] float32: by the ears, else as the eyes let expect."""
        return np.where(self.ear_width > 0, self.ear_width, EARS_TO_EYES * self.eye_width)

    @cached_property
    def on_body(self) -> np.ndarray:
        """Whose face is on the trunk and not beside it, [P] bool; the trunk points away from the neck."""
        long = quantile_of_valid(np.abs(self.trunk).T, self.seen.T, 0.5)
        low = -np.real(self.place) * long < _ON_BODY * self.width
        return self.placed & low & (np.abs(np.imag(self.place)) < _BESIDE)


@dataclass(frozen=True)
class Measures:
    """What two figures are measured by, so that like is compared with like; [P] bool.

    ears: the middle of the head is between the ears, else between the eyes. hips: the trunk ends there, else it hangs
    straight down and is as long as a shoulder is from the neck.
    """

    ears: np.ndarray
    hips: np.ndarray


def measures(driver: Figure, anchor: Figure) -> Measures:
    """What both show: the anchor ever, the driver in half of the frames that show a head, or a neck. A single ear in a
    clip without ears is a mistake of the detector, and so is a single hip.
    """
    both = []
    for points, whole in ((_EARS, HEAD), (_HIPS, (NECK,))):
        seen, theirs, usual = (
            np.any(body.present[..., which], axis=-1)
            for body, which in ((driver, points), (anchor, points), (driver, whole))
        )
        both.append((2 * seen.sum(0) >= usual.sum(0)) & seen.any(0) & theirs.any(0))
    return Measures(*both)


def head_of(body: Figure, trunk: np.ndarray, by: Measures, *, correct: bool = True) -> Head:
    """The head of every person of a clip; trunk: [F, P], as `trunk_of` has it.

    Eyes and ears lie across a head in the same direction, so where one ear is hidden the other one and the eyes tell
    the middle; where they do not, neighbouring frames do.
    correct: a head is as wide as the depth that its turns show lets expect, by ears alone; a snout counts as width.
    """
    z, here = body.points, body.present
    both_eyes = here[..., RIGHT_EYE] & here[..., LEFT_EYE]
    eyes = np.where(both_eyes, z[..., RIGHT_EYE] - z[..., LEFT_EYE], 0)
    eye_width = quantile_of_valid(np.abs(eyes).T, both_eyes.T, LONG)
    ears, known = _ears(body, eyes, both_eyes, eye_width)
    half, right, left = interpolate_frames(ears, known) / 2, here[..., RIGHT_EAR], here[..., LEFT_EAR]
    middle = np.where(right, z[..., RIGHT_EAR] - half, z[..., LEFT_EAR] + half)
    middle = np.where(by.ears, middle, z[..., _EYES].mean(-1))
    seen = np.where(by.ears, right | left, both_eyes) & body.known[..., NECK]
    place, placed = _on_trunk(body, middle, seen, trunk)
    across = np.where(by.ears, np.abs(ears), EARS_TO_EYES * np.abs(eyes))
    width = quantile_of_valid(across.T, (known & seen).T, LONG)
    lift = _lift(body, middle, seen, across, width) if correct else 1
    return Head(
        middle=np.where(seen, middle, 0).astype(np.complex64),
        seen=seen,
        eyes=eyes.astype(np.complex64),
        both_eyes=both_eyes,
        carry=quantile_of_valid(np.abs(middle - z[..., NECK]).T, seen.T, LONG),
        ear_width=(np.where(by.ears, width, 0) * lift).astype(np.float32),
        eye_width=(eye_width * lift).astype(np.float32),
        place=place,
        placed=placed,
        trunk=trunk,
    )


def _ears(
    body: Figure, eyes: np.ndarray, both_eyes: np.ndarray, eye_width: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """From the left to the right ear [F, P] complex64, and the frames that tell it: by the ears, else by the eyes."""
    both_ears = body.present[..., RIGHT_EAR] & body.present[..., LEFT_EAR]
    ears = np.where(both_ears, body.points[..., RIGHT_EAR] - body.points[..., LEFT_EAR], 0)
    front = both_ears & both_eyes & (np.abs(eyes) > np.maximum(eye_width / 4, np.float32(1e-6)))
    usual = quantile_of_valid((np.abs(ears) / np.where(front, np.abs(eyes), 1)).T, front.T, 0.5)
    ratio = np.where(front.any(0), np.clip(usual, *_BELIEVED), np.float32(EARS_TO_EYES))
    return np.where(both_ears, ears, ratio * eyes).astype(np.complex64), both_ears | both_eyes


def _lift(body: Figure, middle: np.ndarray, seen: np.ndarray, across: np.ndarray, width: np.ndarray) -> np.ndarray:
    """By how much a head is wider than it looks [P], 1 or more.

    across: [F, P] as wide as it looks; width: [P], over the clip. Turned by an angle it looks as wide as the cosine and
    as deep, from the ears to the nose, as the sine makes it, so one of them tells what the other hides.
    """
    carried = np.where(seen, middle - body.points[..., NECK], 0)
    up = carried / np.maximum(np.abs(carried), np.float32(1e-6))
    nosed = seen & body.present[..., NOSE]
    aside = np.where(nosed, np.abs(np.imag((body.points[..., NOSE] - middle) * np.conj(up))), 0)
    whole = quantile_of_valid(np.hypot(across, _EARS_TO_DEPTH * aside).T, seen.T, LONG)
    return np.where(width > 0, np.maximum(1, whole / np.maximum(width, np.float32(1e-6))), 1)


def trunk_of(pieces: Trunk, lengths: np.ndarray, by: Measures) -> np.ndarray:
    """From the neck to the middle of the hips [F, P] complex64, as neighbouring frames have it where they are hidden.

    lengths: [P, 23], as `proportions.measure` has them: what stands in for who has no hips, see `Measures`.
    """
    shoulders = 1j * np.maximum(lengths[:, RIGHT_SHOULDER], lengths[:, LEFT_SHOULDER])
    return np.where(by.hips, pieces.spine, shoulders).astype(np.complex64)


def _on_trunk(body: Figure, middle: np.ndarray, seen: np.ndarray, trunk: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The middle of the head from the neck over the trunk [P] complex64, the median over frames, and who has one."""
    whole = seen & (np.abs(trunk) > 1e-6)
    share = np.where(whole, middle - body.points[..., NECK], 0) / np.where(whole, trunk, 1)
    x, y = (quantile_of_valid(part.T, whole.T, 0.5) for part in (np.real(share), np.imag(share)))
    return (x + 1j * y).astype(np.complex64), np.any(whole, axis=0)


@dataclass(frozen=True)
class HeadRatios:
    """Anchor over driver, [P] float32 above 0.

    carry: of the way from the neck to the middle of the head; ears, eyes: of the distances across, ears of what is in
        between as well.
    limited: [P] bool, where one of them was held back. fitted: [P] bool, where there is a head in both to compare.
    on_body: [P] bool, where the anchor's face is on its trunk and the driver's is not; carry says nothing there.
    """

    carry: np.ndarray
    ears: np.ndarray
    eyes: np.ndarray
    limited: np.ndarray
    fitted: np.ndarray
    on_body: np.ndarray

    def among(self, people: np.ndarray) -> HeadRatios:
        """The same, fitted only where `people` [P] says so."""
        return replace(self, fitted=self.fitted & people)

    def in_columns(self, columns: np.ndarray, face: np.ndarray) -> np.ndarray:
        """Ratios by column [P, 23] with those of fitted heads in place.

        face: [P] bool, whose ratio of the face was measured and stays.
        """
        for ratio, which in ((self.carry, [NOSE]), (self.eyes, _EYES), (self.ears, _EARS)):
            columns = with_columns(columns, which, self.fitted, ratio)
        return with_columns(columns, [FACE_COLUMN], self.fitted & ~face, self.ears)

    def in_limited(self, limited: np.ndarray, face: np.ndarray) -> np.ndarray:
        """The same for which columns [P, 23] were held back."""
        limited = with_columns(limited, list(HEAD), self.fitted, self.limited)
        return with_columns(limited, [FACE_COLUMN], self.fitted & ~face, self.limited)


def head_ratios(
    driver: Head, anchor: Head, low: np.ndarray, high: np.ndarray, noise: np.ndarray | float = 0.0
) -> HeadRatios:
    """Ratios of heads; one anchor serves all people.

    low, high: [P] within which a ratio is held. noise: [P] pixels, below which a length of the driver says nothing.
    """
    ears, eyes = (_ratio(getattr(anchor, n), getattr(driver, n), noise) for n in ("ear_width", "eye_width"))
    ears, eyes = np.where(ears > 0, ears, eyes), np.where(eyes > 0, eyes, ears)
    carry = _ratio(anchor.carry, driver.carry, noise)
    on_body = (ears > 0) & anchor.on_body & driver.placed & ~driver.on_body
    fitted = (ears > 0) & ((carry > 0) | on_body)
    plain = [np.where(fitted, ratio, np.float32(1)) for ratio in (carry, ears, eyes)]
    held = [np.where(fitted, np.clip(ratio, low, high), ratio).astype(np.float32) for ratio in plain]
    for ratios in (plain, held):
        ratios[0] = np.where(on_body, np.float32(1), ratios[0])
    limited = np.any([a != b for a, b in zip(plain, held, strict=True)], axis=0)
    return HeadRatios(*held, limited=limited, fitted=fitted, on_body=on_body)


def _ratio(anchor: np.ndarray, driver: np.ndarray, noise: np.ndarray | float) -> np.ndarray:
    both = (anchor > 0) & (driver > 0) & (driver > noise)
    with np.errstate(over="ignore"):
        return np.where(both, anchor / np.where(both, driver, 1), 0).astype(np.float32)
