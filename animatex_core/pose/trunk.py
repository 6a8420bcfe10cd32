"""The trunk as two pieces: the spine, from the neck to the middle of the hips, and the hips across it.

OpenPose draws a trunk as two bones, from the neck to either hip. Stretched as they are, hips that are wider than the
driver's make a longer trunk, and one that leans to a side grows unevenly; taken apart, each piece keeps its direction
and has a ratio of its own. Whose hips are seldom seen together keeps the two bones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .figure import Figure
from .gaps import interpolate_frames
from .proportions import LONG, quantile_of_valid, with_columns
from .skeleton import (
    ADULT,
    LEFT_ANKLE,
    LEFT_HIP,
    LEFT_KNEE,
    LEFT_SHOULDER,
    LEFT_TOE,
    LIMITS,
    NECK,
    RIGHT_ANKLE,
    RIGHT_HIP,
    RIGHT_KNEE,
    RIGHT_SHOULDER,
    RIGHT_TOE,
)

_LEGS = (
    (RIGHT_HIP, (RIGHT_HIP, RIGHT_KNEE, RIGHT_ANKLE, RIGHT_TOE), 1),
    (LEFT_HIP, (LEFT_HIP, LEFT_KNEE, LEFT_ANKLE, LEFT_TOE), -1),
)
_HIPS = [RIGHT_HIP, LEFT_HIP]
_TRUNK = [RIGHT_SHOULDER, LEFT_SHOULDER, RIGHT_HIP, LEFT_HIP]
# From hip to hip in units of neck to hip: our own measurement of people who face the camera.
_ACROSS = 0.37
# Hips narrower than this share of a person's are seen from the side more often than they are built so; a spine shorter
# than this leans at the viewer. The latter is less than what `proportions` expects of a side of the body: characters
# have short trunks, and their pictures stand.
_NARROW, _SHORT = 0.9, 0.25


@dataclass(frozen=True)
class Trunk:
    """The pieces of a trunk; complex64 pixels [F, P], as neighbouring frames have them where hips are hidden.

    spine: from the neck to the middle of the hips. half: from there to the right hip. shown: [F, P] bool, frames with
    a neck and both hips. often: [P] bool, who shows them in half of the frames that show hips or shoulders: who shows
    hips only while far away is better measured by the two bones.
    """

    spine: np.ndarray
    half: np.ndarray
    shown: np.ndarray
    often: np.ndarray


def pieces_of(body: Figure, points: np.ndarray) -> Trunk:
    """The trunk of every person; points: [F, P, 130] complex64, those of the body or where they went.

    Where one hip is hidden the other one and the neighbours' width tell the middle. Zeros for who never shows a hip.
    """
    right, left = (body.present[..., hip] for hip in _HIPS)
    across = np.where(right & left, points[..., RIGHT_HIP] - points[..., LEFT_HIP], 0)
    half = interpolate_frames(across, right & left) / 2
    middle = np.where(right, points[..., RIGHT_HIP] - half, points[..., LEFT_HIP] + half)
    known = (right | left) & body.known[..., NECK]
    spine = interpolate_frames(np.where(known, middle - points[..., NECK], 0), known)
    shown = right & left & known
    often = 2 * shown.sum(0) >= np.maximum(body.present[..., _TRUNK].any(-1).sum(0), 1)
    return Trunk(spine.astype(np.complex64), half.astype(np.complex64), shown, often)


@dataclass(frozen=True)
class TrunkRatios:
    """Anchor over driver, [P] float32: of the spine and of the hips across; limited, fitted: [P] bool.

    fitted: who shows both hips often enough to be taken apart.
    """

    spine: np.ndarray
    across: np.ndarray
    limited: np.ndarray
    fitted: np.ndarray

    def among(self, people: np.ndarray) -> TrunkRatios:
        """The same, fitted only where `people` [P] says so."""
        return replace(self, fitted=self.fitted & people)

    def in_columns(self, columns: np.ndarray) -> np.ndarray:
        """Ratios by column [P, 23]; a side of the body has that of the spine."""
        return with_columns(columns, _HIPS, self.fitted, self.spine)

    def in_limited(self, limited: np.ndarray) -> np.ndarray:
        """The same for which columns [P, 23] were held back."""
        return with_columns(limited, _HIPS, self.fitted, self.limited)


def trunk_ratios(
    driver: tuple[Trunk, np.ndarray], anchor: tuple[Trunk, np.ndarray], whole: np.ndarray, *, correct: bool = True
) -> TrunkRatios:
    """Ratios of trunks; one anchor serves all people.

    driver, anchor: a trunk and the size of its body [P], as `proportions.body_size` has it. whole: [P], the ratio of
    the whole figures, about which a ratio is held. correct: lift what is implausibly short or narrow.
    """
    (mine, width), (theirs, their_width) = (_measured(*who, correct) for who in (driver, anchor))
    fitted = driver[0].often & anchor[0].often & (mine > 0) & (theirs > 0)
    spine = np.where(fitted, theirs / np.where(fitted, mine, 1), np.float32(1))
    both = fitted & (width > 0) & (their_width > 0)
    across = np.where(both, their_width / np.where(both, width, 1), spine)
    low, high = (np.maximum(whole, np.float32(1e-6)) * LIMITS[RIGHT_HIP, end] for end in (0, 1))
    held = [np.where(fitted, np.clip(ratio, low, high), 1).astype(np.float32) for ratio in (spine, across)]
    limited = fitted & ((held[0] != spine) | (held[1] != across))
    return TrunkRatios(held[0], held[1], limited, fitted)


def _measured(pieces: Trunk, size: np.ndarray, correct: bool) -> tuple[np.ndarray, np.ndarray]:
    """Length of the spine and width of the hips [P] float32; 0 for who never shows both hips."""
    length, width = (
        quantile_of_valid(np.abs(piece).T, pieces.shown.T, LONG) for piece in (pieces.spine, 2 * pieces.half)
    )
    if correct:
        length = np.where(length > 0, np.maximum(length, _SHORT * ADULT[RIGHT_HIP] * size), 0)
        width = np.where(width > 0, np.maximum(width, _NARROW * _ACROSS * size), 0)
    return length.astype(np.float32), width.astype(np.float32)


def fit_trunk(body: Figure, offset: np.ndarray, pieces: Trunk, ratios: TrunkRatios, columns: np.ndarray) -> np.ndarray:
    """`offset` [F, P, 130] of `figure.stretch` for columns [P, 23], with the hips where the two pieces put them.

    pieces: the trunk of `body`. The legs go with the hips, also where a hip is hidden and its leg hangs from the neck
    meanwhile. A trunk of the driver's own measures moves by nothing, to the last bit.
    """
    middle, half = (ratios.spine - 1) * pieces.spine, (ratios.across - 1) * pieces.half
    result = offset.copy()
    for hip, leg, side in _LEGS:
        hanging = (columns[:, leg[1]] - 1) * (pieces.spine + side * pieces.half)
        hung = np.where(body.present[..., hip], offset[..., hip], hanging)
        change = np.where(ratios.fitted, middle + side * half - hung, 0)
        result[..., leg] += change[..., None].astype(np.complex64)
    return result
