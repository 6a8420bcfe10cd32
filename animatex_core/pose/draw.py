"""Pose pictures, drawn from keypoints as the network was trained on them.

Limbs are filled ellipses that are dimmed once all are drawn, then come the joints, the hands and, on demand, the face.
The released program drew with the OpenPose palette but saved its pictures with red and blue exchanged: "trained" is
what the network saw, "openpose" what the world is used to.
"""

from __future__ import annotations

import logging
from typing import Literal, NamedTuple

import numpy as np

from .keypoints import BODY, FACE, LEFT_HAND, RIGHT_HAND, TOES, PoseSequence
from .raster import Spans, discs, ellipses, lines, paint

LIMBS = np.array(
    [
        (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13),
        (1, 0), (0, 14), (14, 16), (0, 15), (15, 17), (13, 18), (10, 19),
    ]
)  # fmt: skip
RAINBOW = np.array(
    [
        (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0), (0, 255, 0), (0, 255, 85),
        (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255), (0, 0, 255), (85, 0, 255), (170, 0, 255),
        (255, 0, 255), (255, 0, 170), (255, 0, 85), (170, 255, 255), (255, 255, 0),
    ]
)  # fmt: skip
FINGERS = np.array([(0 if joint % 4 == 1 else joint - 1, joint) for joint in range(1, 21)])
KNUCKLE = np.array([[0, 0, 255]])
WHITE = np.array([[255, 255, 255]])
DIMMED = 0.6
TRAINED_HEIGHT = 768  # the stick is 4 pixels wide at this height when it is scaled

MAX_SIDE = 16_384
MAX_BYTES = 16 * 2**30  # of all pictures together
_FRAMES_AT_ONCE = 32
_REACH = 8  # a point further outside than this many canvases is no pose any more

log = logging.getLogger(__name__)


class _Layer(NamedTuple):
    """Shapes of one kind: their spans, and frame [N] and colour [N, 3] of each shape."""

    spans: Spans
    frame: np.ndarray
    colour: np.ndarray


class _Canvas(NamedTuple):
    width: int
    height: int
    stick: float


def draw_poses(
    poses: PoseSequence,
    width: int | None = None,
    height: int | None = None,
    *,
    palette: Literal["trained", "openpose"] = "trained",
    hands: bool = True,
    face: bool = False,
    stick: Literal["trained", "scaled"] = "trained",
    background: np.ndarray | None = None,
    opacity: float = 1.0,
) -> np.ndarray:
    """Draw every person of every frame; returns [F, H, W, 3] uint8, RGB.

    width, height: of the pictures, points are scaled to it; default the background's, else the pose's own canvas.
    palette: "trained" as the network saw it, "openpose" with the usual colours.
    stick: "trained" draws limbs 8 pixels wide at any size, as the released program; "scaled" by the picture's height.
    background: [H, W, 3] or [F, H, W, 3] uint8 to draw on (left as it is); black without.
    opacity: of the figure, 0..1.
    Points that are absent, not finite or far outside of the canvas are left out (the last two are said in the log), and
    so is each limb that lacks an end. Raises ValueError for options and sizes that make no picture.
    """
    size = _size(poses, width, height, background)
    _check(palette, stick, opacity, len(poses), size)
    canvas = _Canvas(*size, 1.0 if stick == "trained" else size[1] / TRAINED_HEIGHT)
    pictures = _blank(len(poses), canvas, background)
    points, present = _place(poses, canvas)
    for start in range(0, len(poses), _FRAMES_AT_ONCE):
        part = slice(start, start + _FRAMES_AT_ONCE)
        layers = list(_layers(points[part], present[part], canvas, hands, face))
        _paint(pictures[part], layers, opacity, swap=palette == "trained")
    return pictures


def _size(poses: PoseSequence, width: int | None, height: int | None, background: np.ndarray | None) -> tuple[int, int]:
    default = (poses.width, poses.height)
    if background is not None:
        if background.dtype != np.uint8 or background.ndim not in (3, 4) or background.shape[-1] != 3:
            raise ValueError(
                f"the background must be [H, W, 3] or [F, H, W, 3] uint8, found {background.shape} {background.dtype}"
            )
        default = (background.shape[-2], background.shape[-3])
    size = (width or default[0], height or default[1])
    if background is not None and size != default:
        raise ValueError(f"the background is {default[0]}x{default[1]}, the pictures are to be {size[0]}x{size[1]}")
    return size


def _check(palette: str, stick: str, opacity: float, frames: int, size: tuple[int, int]) -> None:
    if palette not in ("trained", "openpose"):
        raise ValueError(f'palette must be "trained" or "openpose", found "{palette}"')
    if stick not in ("trained", "scaled"):
        raise ValueError(f'stick must be "trained" or "scaled", found "{stick}"')
    if not 0 <= opacity <= 1:
        raise ValueError(f"opacity must be in 0..1, found {opacity}")
    if not all(1 <= side <= MAX_SIDE for side in size):
        raise ValueError(f"pictures must have 1 to {MAX_SIDE} pixels a side, found {size[0]}x{size[1]}")
    if frames * size[0] * size[1] * 3 > MAX_BYTES:
        raise ValueError(
            f"{frames} pictures of {size[0]}x{size[1]} are more than {MAX_BYTES >> 30} GiB: draw fewer at once"
        )


def _blank(frames: int, canvas: _Canvas, background: np.ndarray | None) -> np.ndarray:
    shape = (frames, canvas.height, canvas.width, 3)
    if background is None:
        return np.zeros(shape, np.uint8)
    if background.ndim == 4 and len(background) not in (1, frames):
        raise ValueError(f"the background has {len(background)} frames, the poses have {frames}")
    return np.broadcast_to(background, shape).copy()


def _place(poses: PoseSequence, canvas: _Canvas) -> tuple[np.ndarray, np.ndarray]:
    """Points in pixels of the pictures, [F, P, 130, 2] float64, and which of them can be drawn."""
    size = np.array([canvas.width, canvas.height])
    with np.errstate(invalid="ignore"):
        # divided first: the released program keeps points as fractions, and truncation sees the difference
        points = poses.points.astype(np.float64) / [poses.width, poses.height] * size
        near = (np.abs(points) <= _REACH * size.max()).all(-1)
    lost = int((poses.present & ~near).sum())
    if lost:
        log.warning("pose drawing: %d points are not finite or far outside of the canvas and are left out", lost)
    present = poses.present & near
    return np.where(present[..., None], points, 0), present


def _layers(points: np.ndarray, present: np.ndarray, canvas: _Canvas, hands: bool, face: bool) -> list[_Layer]:
    body = np.r_[BODY, TOES]
    layers = [
        _draw_limbs(points[:, :, body], present[:, :, body], canvas),
        _draw_dots(points[:, :, body], present[:, :, body], RAINBOW, 4, canvas),
    ]
    # the released program tells an absent hand or face point by its place: nothing is drawn in the first row and column
    present = present & (points >= 1).all(-1)
    for hand in (LEFT_HAND, RIGHT_HAND) if hands else ():
        for person in range(points.shape[1]):
            of_hand = points[:, person : person + 1, hand], present[:, person : person + 1, hand]
            layers += [_draw_fingers(*of_hand, canvas), _draw_dots(*of_hand, KNUCKLE, 4, canvas)]
    if face:
        layers.append(_draw_dots(points[:, :, FACE], present[:, :, FACE], WHITE, 3, canvas))
    return layers


def _draw_limbs(points: np.ndarray, present: np.ndarray, canvas: _Canvas) -> _Layer:
    limb, person, frame = np.nonzero(np.transpose(present[:, :, LIMBS].all(-1), (2, 1, 0)))
    a, b = (points[frame, person, LIMBS[limb, end]] for end in (0, 1))
    center = ((a + b) / 2).astype(np.int64)
    away = a - b
    half_length = (np.sqrt((away**2).sum(-1)) / 2).astype(np.int64)
    degrees = np.degrees(np.arctan2(away[:, 1], away[:, 0])).astype(np.int64)
    spans = ellipses(center, half_length, _thick(4, canvas), degrees, canvas.width, canvas.height)
    return _Layer(spans, frame, (RAINBOW * DIMMED).astype(np.int64)[limb])


def _draw_dots(points: np.ndarray, present: np.ndarray, colours: np.ndarray, radius: int, canvas: _Canvas) -> _Layer:
    dot, person, frame = np.nonzero(present.transpose(2, 1, 0))
    center = points[frame, person, dot].astype(np.int64)
    spans = discs(center, _thick(radius, canvas), canvas.width, canvas.height)
    return _Layer(spans, frame, colours[dot % len(colours)])


def _draw_fingers(points: np.ndarray, present: np.ndarray, canvas: _Canvas) -> _Layer:
    bone, person, frame = np.nonzero(np.transpose(present[:, :, FINGERS].all(-1), (2, 1, 0)))
    start, end = (points[frame, person, FINGERS[bone, i]].astype(np.int64) for i in (0, 1))
    spans = lines(start, end, _thick(2, canvas), canvas.width, canvas.height)
    return _Layer(spans, frame, _hues(len(FINGERS))[bone])


def _hues(count: int) -> np.ndarray:
    """Colours around the whole circle of hues, [count, 3] in 0..255."""
    hue = np.arange(count) / float(count) * 6
    sector = hue.astype(np.int64)
    rising = hue - sector
    falling = 1.0 - rising
    one, zero = np.ones(count), np.zeros(count)
    table = [
        (one, rising, zero), (falling, one, zero), (zero, one, rising),
        (zero, falling, one), (rising, zero, one), (one, zero, falling),
    ]  # fmt: skip
    colours = np.array(table)[sector, :, np.arange(count)]
    return np.rint(colours * 255).astype(np.int64)


def _thick(pixels: int, canvas: _Canvas) -> int:
    return max(1, round(pixels * canvas.stick))


def _paint(pictures: np.ndarray, layers: list[_Layer], opacity: float, swap: bool) -> None:
    first = np.cumsum([0] + [len(layer.frame) for layer in layers])
    parts = [layer.spans._replace(shape=layer.spans.shape + at) for layer, at in zip(layers, first, strict=False)]
    spans = Spans(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    colour = np.concatenate([layer.colour for layer in layers])
    frame = np.concatenate([layer.frame for layer in layers])
    paint(pictures, frame, spans, colour[:, ::-1] if swap else colour, opacity)
