"""Where a reshaped figure stands: its support (feet, hips or neck) follows the driver's by one similarity.

When legs grow shorter, a figure pinned at the neck would float, and a crouch would push its feet through the floor. So
the point that carries the figure is placed instead: the lower ankle (both, softly, when they are level), else the
middle of the hips, else the neck. The driver's support moves along some path; the new support moves along the same
path, scaled by the ratio of the legs and starting from where the reference stands.

Where hips lead, feet carry a figure up and down alone. Sideways the middle of the hips follows the path: were it the
lower foot, hips that are wider than the legs are long would be thrown aside at every step, by what their width and the
driver's differ. And as the other foot may be the lower one once a body has changed, it is the lower one of the new feet
that is put on the path, and that rests where the reference's does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .figure import Figure
from .gaps import interpolate_frames
from .proportions import quantile_of_valid
from .skeleton import LEFT_ANKLE, LEFT_HIP, NECK, RIGHT_ANKLE, RIGHT_HIP

FEET, HIPS, ROOT = 0, 1, 2
SUPPORT_NAMES = ("feet", "hips", "neck")
# Ankles whose heights differ by less than this part of the legs' length share the weight.
_LEVEL = 0.05
# No point ends farther outside the canvas than this many canvases.
MARGIN = 4.0


@dataclass(frozen=True)
class Support:
    """The point that carries a figure, as weights on its points.

    joints: the two joints of this kind of support.
    weights: [F, P, 2] float32, summing to 1 where seen.
    seen: [F, P] bool, frames in which this support can be placed.
    """

    joints: tuple[int, int]
    weights: np.ndarray
    seen: np.ndarray

    def of(self, values: np.ndarray) -> np.ndarray:
        """The weighted mean over the joints of `values` [F, P, 130]."""
        first, second = self.joints
        return values[..., first] * self.weights[..., 0] + values[..., second] * self.weights[..., 1]


def supports(body: Figure, leg: np.ndarray) -> tuple[Support, Support, Support]:
    """The three kinds of support of every person; leg: [P] length of thigh and shin in pixels."""
    ankles, hips = body.points[..., [RIGHT_ANKLE, LEFT_ANKLE]], [RIGHT_HIP, LEFT_HIP]
    soft = np.maximum(_LEVEL * leg, np.float32(1e-6))
    lean = np.clip(np.imag(ankles[..., 0] - ankles[..., 1]) / soft, -30, 30)
    right = 1 / (1 + np.exp(-lean))
    seen = body.present[..., [RIGHT_ANKLE, LEFT_ANKLE]]
    right = np.where(seen.all(-1), right, seen[..., 0])
    feet = Support((RIGHT_ANKLE, LEFT_ANKLE), _two(right, 1 - right), np.any(seen, axis=-1))
    seen = body.present[..., hips]
    right = np.where(seen.all(-1), 0.5, seen[..., 0])
    middle = Support((RIGHT_HIP, LEFT_HIP), _two(right, 1 - right), np.any(seen, axis=-1))
    whole = np.ones(seen.shape[:2], np.float32)
    return feet, middle, Support((NECK, NECK), _two(whole, 0 * whole), body.known[..., NECK])


def _two(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.stack([first, second], -1).astype(np.float32)


def stand(
    body: Figure,
    offset: np.ndarray,
    columns: np.ndarray,
    lengths: np.ndarray,
    model: Figure,
    model_lengths: np.ndarray,
    gone: np.ndarray,
    hips_lead: np.ndarray | bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Where each reshaped person moves [F, P] complex64, and the kind of support that carries them [P].

    offset: [F, P, 130] what `figure.stretch` gave for columns [P, 23]; lengths: [P, 23] of the driver before that.
    model: who shows where to stand (the driver itself keeps its own place). gone: [P, 130] bool, points to be dropped.
    hips_lead: [P] bool, whose hips lead sideways; where they are seldom seen the feet do.
    """
    own, other = supports(body, _leg(lengths)), supports(model, _leg(model_lengths))
    legs_left = ~np.all(gone[:, [RIGHT_ANKLE, LEFT_ANKLE]], axis=-1)
    kinds = _choose(own, other, legs_left)
    shift = np.zeros(body.points.shape[:2], np.complex64)
    for kind in np.unique(kinds):
        path = path_scale(lengths, columns, int(kind))
        start, goal = rest(own[kind], body), rest(other[kind], model)
        moved = _place(body, offset, own[kind], path, start, goal)
        if kind == FEET and np.any(hips_lead):
            hips = _both_hips(body)
            often = 2 * hips.seen.sum(0) >= np.maximum(body.known[..., NECK].sum(0), 1)
            along = np.where(often, _place(body, offset, hips, path, start, goal), moved)
            new = replace(body, points=body.points + offset)
            led = _led_by_hips(new, own[FEET], supports(new, _leg(lengths * columns))[FEET], moved, along, goal)
            moved = np.where(hips_lead, led, moved)
        shift = np.where(kinds == kind, moved, shift)
    return shift, kinds


def _led_by_hips(
    new: Figure, driver: Support, feet: Support, moved: np.ndarray, along: np.ndarray, goal: np.ndarray
) -> np.ndarray:
    """How far a figure of another shape moves [F, P]: sideways as its hips do, up and down by its own lower foot.

    driver: the feet that carried the driver; feet: those that carry the new figure. moved, along: [F, P], by the
    driver's feet and by the hips. goal: [P], where the new feet shall rest.
    """
    other = np.where(feet.seen, driver.of(new.points) - feet.of(new.points), 0)
    up = moved + interpolate_frames(other.astype(np.complex64), feet.seen)
    led = (np.real(along) + 1j * np.imag(up)).astype(np.complex64)
    return led + (goal - rest(feet, replace(new, points=new.points + led[..., None])))


def _both_hips(body: Figure) -> Support:
    """The middle of the hips, in frames that show both."""
    weights = np.full((*body.points.shape[:2], 2), 0.5, np.float32)
    return Support((RIGHT_HIP, LEFT_HIP), weights, np.all(body.present[..., [RIGHT_HIP, LEFT_HIP]], axis=-1))


def _leg(lengths: np.ndarray) -> np.ndarray:
    """Thigh and shin [P] in pixels, the longer leg."""
    return np.maximum(lengths[:, 9] + lengths[:, 10], lengths[:, 12] + lengths[:, 13])


def path_scale(lengths: np.ndarray, columns: np.ndarray, kind: int) -> np.ndarray:
    """By how much the path of a support is scaled [P]: as the legs are on feet, else as the sides of the body are."""
    carriers = [9, 10, 12, 13] if kind == FEET else [8, 11]
    factors, weight = columns[:, carriers], np.maximum(lengths[:, carriers], np.float32(1e-6))
    mean = (weight * factors).sum(-1) / weight.sum(-1)
    # one common factor is kept to the last bit, so that a ratio of 1 stays the identity
    return np.where((factors == factors[:, :1]).all(-1), factors[:, 0], mean)


def rest(support: Support, body: Figure) -> np.ndarray:
    """Where a support usually is, [P] complex64: the median over the frames that show it."""
    path = support.of(body.points).T
    x, y = (quantile_of_valid(part, support.seen.T, 0.5) for part in (np.real(path), np.imag(path)))
    return (x + 1j * y).astype(np.complex64)


def _choose(driver: tuple[Support, ...], anchor: tuple[Support, ...], legs_left: np.ndarray) -> np.ndarray:
    """The kind of support for each person [P]: the first that the driver mostly shows and the anchor shows at all."""
    somebody = np.maximum(driver[ROOT].seen.sum(0), 1)
    usable = np.stack([(d.seen.sum(0) * 2 >= somebody) & a.seen.any(0) for d, a in zip(driver, anchor, strict=True)], 1)
    usable[:, FEET] &= legs_left
    usable[:, ROOT] = True
    return usable.argmax(1)


def _place(
    body: Figure, offset: np.ndarray, support: Support, scale: np.ndarray, start: np.ndarray, goal: np.ndarray
) -> np.ndarray:
    """How far the whole figure moves, [F, P] complex64, so that its support keeps to the driver's path.

    scale: [P] of the path. start, goal: [P], where the driver's support rests and where the new one shall. Frames that
    do not show the support move as their neighbours do.
    """
    shift = _similarity(support.of(body.points), scale, start, goal) - support.of(offset)
    if support.seen.all():
        return shift
    plain = _similarity(body.points[..., NECK], scale, start, goal)
    return plain + interpolate_frames(np.where(support.seen, shift - plain, 0), support.seen)


def _similarity(points: np.ndarray, scale: np.ndarray, start: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """The displacement that scaling about `start` and moving to `goal` gives: exactly 0 when nothing changes."""
    return (scale - 1) * (points - start) + (goal - start)


def hold(points: np.ndarray, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Points [F, P, 130] held within MARGIN canvases of the canvas, and which were held."""
    x, y = np.real(points), np.imag(points)
    held = np.zeros(points.shape, bool)
    bounds = []
    for part, side in ((x, width), (y, height)):
        low, high = -MARGIN * side, (1 + MARGIN) * side
        if part.size and not low <= part.min() <= part.max() <= high:
            held |= (part < low) | (part > high)
        bounds.append((low, high))
    if not held.any():
        return points, held
    x, y = (np.clip(part, *limits) for part, limits in zip((x, y), bounds, strict=True))
    return np.where(held, x + 1j * y, points).astype(np.complex64), held
