"""The head as one piece: where a character's face goes when its head is not built like a person's.

A bone that keeps its direction is right for limbs, which a character holds as the driver does. It is wrong for a face:
how far a nose moves aside when a head turns is the size of the head, not the length of the neck. So a head is taken
apart into what carries it (from the neck to the middle between the ears) and what it is (nose, eyes and ears about that
middle), and each has a ratio of its own, anchor over driver. A face that is on a body, as an object's is, has no neck
to follow and stays where it is on the trunk. Where driver or anchor has no ears, the middle is between the eyes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .figure import Figure
from .gaps import interpolate_frames
from .keypoints import FACE
from .proportions import quantile_of_valid
from .skeleton import FACE_COLUMN, LEFT_EAR, LEFT_EYE, LEFT_HIP, NECK, NOSE, RIGHT_EAR, RIGHT_EYE, RIGHT_HIP

HEAD = (NOSE, RIGHT_EYE, LEFT_EYE, RIGHT_EAR, LEFT_EAR)
# From ear to ear in units of eye to eye, for a clip that never shows both ears and both eyes: a person's.
_EARS_TO_EYES = 2.3
# A face whose middle is less than this share of the trunk above the neck is on the body.
_ON_BODY = 0.1
_LONG = 0.9  # the quantile that is a length, as in `proportions`


@dataclass(frozen=True)
class Head:
    """Where a figure's head is; complex64 pixels [F, P] unless said otherwise.

    middle: between the ears, or between the eyes. seen: [F, P] bool, frames in which it can be told.
    eyes: from the left to the right one; 0 where not both_eyes, [F, P] bool.
    carry: [P] float32, length from neck to middle. ear_width, eye_width: [P] float32; 0 where never seen.
    above: [P] float32, how far the middle is above the neck, in trunks. place: [P] complex64, the middle from the neck,
    over the trunk (from the neck to the middle of the hips); both 0 where no frame shows head, neck and hips.
    """

    middle: np.ndarray
    seen: np.ndarray
    eyes: np.ndarray
    both_eyes: np.ndarray
    carry: np.ndarray
    ear_width: np.ndarray
    eye_width: np.ndarray
    above: np.ndarray
    place: np.ndarray


def has_ears(body: Figure) -> np.ndarray:
    """Who ever shows an ear, [P] bool."""
    return np.any(body.present[..., [RIGHT_EAR, LEFT_EAR]], axis=(0, 2))


def head_of(body: Figure, by_ears: np.ndarray) -> Head:
    """The head of every person of a clip; by_ears: [P] bool, whose middle is between the ears and not between the eyes.

    Eyes and ears lie across a head in the same direction, so where one ear is hidden the other one and the eyes tell
    the middle. In profile, where the eyes do not show, the ear is the middle.
    """
    z, here = body.points, body.present
    both_eyes = here[..., RIGHT_EYE] & here[..., LEFT_EYE]
    both_ears = here[..., RIGHT_EAR] & here[..., LEFT_EAR]
    eyes = np.where(both_eyes, z[..., RIGHT_EYE] - z[..., LEFT_EYE], 0)
    ears = np.where(both_ears, z[..., RIGHT_EAR] - z[..., LEFT_EAR], 0)
    ears = np.where(both_eyes & ~both_ears, _ears_to_eyes(eyes, ears, both_eyes & both_ears) * eyes, ears)
    right, left = here[..., RIGHT_EAR], here[..., LEFT_EAR]
    middle = np.where(right, z[..., RIGHT_EAR] - ears / 2, z[..., LEFT_EAR] + ears / 2)
    middle = np.where(by_ears, middle, z[..., [RIGHT_EYE, LEFT_EYE]].mean(-1))
    seen = np.where(by_ears, right | left, both_eyes) & body.known[..., NECK]
    across = by_ears & (both_eyes | both_ears)
    place = _on_trunk(body, middle, seen)
    return Head(
        middle=np.where(seen, middle, 0).astype(np.complex64),
        seen=seen,
        eyes=eyes.astype(np.complex64),
        both_eyes=both_eyes,
        carry=quantile_of_valid(np.abs(middle - z[..., NECK]).T, seen.T, _LONG),
        ear_width=quantile_of_valid(np.abs(np.broadcast_to(ears, across.shape)).T, across.T, _LONG),
        eye_width=quantile_of_valid(np.abs(eyes).T, both_eyes.T, _LONG),
        above=-np.real(place).astype(np.float32),
        place=place,
    )


def _on_trunk(body: Figure, middle: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """The middle of the head from the neck over the trunk [P] complex64, the median; 0 where it is never seen."""
    hips = [RIGHT_HIP, LEFT_HIP]
    trunk = body.points[..., hips].mean(-1) - body.points[..., NECK]
    whole = seen & body.present[..., hips].all(-1) & (np.abs(trunk) > 0)
    share = np.where(whole, middle - body.points[..., NECK], 0) / np.where(whole, trunk, 1)
    return (_median(np.real(share), whole) + 1j * _median(np.imag(share), whole)).astype(np.complex64)


def _ears_to_eyes(eyes: np.ndarray, ears: np.ndarray, both: np.ndarray) -> np.ndarray:
    """From ear to ear over eye to eye [P], the median over the frames that show all four."""
    both = both & (np.abs(eyes) > 0)
    usual = _median(np.abs(ears) / np.where(both, np.abs(eyes), 1), both)
    return np.where(both.any(0), usual, np.float32(_EARS_TO_EYES))


def _median(values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    return quantile_of_valid(values.T, valid.T, 0.5)


@dataclass(frozen=True)
class HeadRatios:
    """Anchor over driver, [P] float32 above 0.

    carry: of the way from the neck to the middle of the head; ears, eyes: of the distances across, ears of what is in
        between as well.
    limited: [P] bool, where one of them was held back. fitted: [P] bool, where there is a head in both to compare.
    on_body: [P] bool, where the anchor's face is on its trunk and the driver's is not.
    """

    carry: np.ndarray
    ears: np.ndarray
    eyes: np.ndarray
    limited: np.ndarray
    fitted: np.ndarray
    on_body: np.ndarray

    def columns(self, columns: np.ndarray, fitted: np.ndarray, face: np.ndarray) -> np.ndarray:
        """The ratios [P, 23] of `full` with those of fitted heads in place of its own, for a report and for the face.

        fitted: [P] bool. face: [P] bool, whose ratio of the face was measured and stays.
        """
        result = columns.copy()
        for ratio, which in (
            (self.carry, [NOSE]),
            (self.eyes, [RIGHT_EYE, LEFT_EYE]),
            (self.ears, [RIGHT_EAR, LEFT_EAR]),
        ):
            result[:, which] = np.where(fitted[:, None], ratio[:, None], result[:, which])
        result[:, FACE_COLUMN] = np.where(fitted & ~face, self.ears, result[:, FACE_COLUMN])
        return result


def head_ratios(driver: Head, anchor: Head, low: np.ndarray, high: np.ndarray) -> HeadRatios:
    """Ratios of heads; one anchor serves all people. low, high: [P] within which a ratio is held."""
    ears, eyes = (_ratio(getattr(anchor, n), getattr(driver, n)) for n in ("ear_width", "eye_width"))
    ears, eyes = np.where(ears > 0, ears, eyes), np.where(eyes > 0, eyes, ears)
    carry = _ratio(anchor.carry, driver.carry)
    fitted = (ears > 0) & (carry > 0)
    plain = [np.where(fitted, ratio, np.float32(1)) for ratio in (carry, ears, eyes)]
    held = [np.where(fitted, np.clip(ratio, low, high), ratio).astype(np.float32) for ratio in plain]
    limited = np.any([a != b for a, b in zip(plain, held, strict=True)], axis=0)
    trunks = (anchor.place != 0) & (driver.place != 0)
    on_body = fitted & trunks & (anchor.above < _ON_BODY) & (driver.above >= _ON_BODY)
    return HeadRatios(*held, limited=limited, fitted=fitted, on_body=on_body)


def _ratio(anchor: np.ndarray, driver: np.ndarray) -> np.ndarray:
    both = (anchor > 0) & (driver > 0)
    return np.where(both, anchor / np.where(both, driver, 1), 0).astype(np.float32)


def fit_head(
    body: Figure, offset: np.ndarray, driver: Head, anchor: Head, ratios: HeadRatios, face: np.ndarray
) -> np.ndarray:
    """`offset` [F, P, 130] of `figure.stretch`, with the head moved as one piece.

    face: [P] float32, the ratio of the 68 points about the nose. Frames that do not show where the head is move it as
    their neighbours do. A head of the driver's own measures moves by nothing, to the last bit.
    """
    z, seen = body.points, driver.seen
    carry, ears, eyes = (ratio - 1 for ratio in (ratios.carry, ratios.ears, ratios.eyes))
    to_middle = carry * (driver.middle - z[..., NECK])
    hips = [RIGHT_HIP, LEFT_HIP]
    trunk = (z[..., hips] + offset[..., hips]).mean(-1) - z[..., NECK]
    to_middle = np.where(ratios.on_body, anchor.place * trunk - (driver.middle - z[..., NECK]), to_middle)
    seen = seen & (~ratios.on_body | body.known[..., hips].all(-1))
    eye_middle = np.where(driver.both_eyes, z[..., [RIGHT_EYE, LEFT_EYE]].mean(-1), 0)
    result = offset.copy()
    for point in HEAD:
        wanted = to_middle + ears * (z[..., point] - driver.middle)
        if point in (RIGHT_EYE, LEFT_EYE):
            half = driver.eyes / (2 if point == RIGHT_EYE else -2)
            apart = to_middle + ears * (eye_middle - driver.middle) + eyes * half
            wanted = np.where(driver.both_eyes, apart, wanted)
        change = interpolate_frames(np.where(seen, wanted - offset[..., point], 0).astype(np.complex64), seen)
        result[..., point] += np.where(ratios.fitted, change, 0)
    about = result[..., NOSE, None] + (face - 1)[:, None] * (z[..., FACE] - z[..., NOSE, None])
    result[..., FACE] = np.where(ratios.fitted[:, None], about, result[..., FACE])
    return result
