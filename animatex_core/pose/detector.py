"""Finding people: what YOLOX is fed and what its answer means.

The released DWPose feeds its person detector a letterboxed picture in BGR, 0..255, resized with OpenCV's bilinear rule,
which has 11 bits of fixed point. The same integers are computed here, so that the boxes are the same.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

PAD = 114.0
STRIDES = (8, 16, 32)
PERSON = 0  # class number
MIN_SCORE = 0.3
MAX_OVERLAP = 0.45
MAX_CANDIDATES = 1000  # boxes compared with one another; a sound detector gives some dozens
_BITS = 11
_ROWS_AT_ONCE = 64  # what is worked on stays in the processor's cache


def letterbox(picture: np.ndarray, size: tuple[int, int], out: np.ndarray) -> float:
    """Fill `out` with the detector's input; returns the ratio of detector pixels to picture pixels.

    picture: [H, W, 3] uint8 RGB; size: (height, width) of the detector; out: [3, height, width] float32, becomes BGR
    in 0..255, the picture in the upper left corner and 114 around it.
    """
    height, width = picture.shape[:2]
    ratio = min(size[0] / height, size[1] / width)
    rows, columns = max(1, int(height * ratio)), max(1, int(width * ratio))
    out[:, rows:] = PAD
    out[:, :rows, columns:] = PAD
    above, below, down = _taps(height, rows)
    left, right, across = _taps(width, columns)
    blue_first = np.array([2, 1, 0])[:, None]
    left, right = (3 * left + blue_first).ravel(), (3 * right + blue_first).ravel()
    across = np.tile(across, 3)
    flat = np.ascontiguousarray(picture).reshape(height, 3 * width)
    for start in range(0, rows, _ROWS_AT_ONCE):
        part = slice(start, min(start + _ROWS_AT_ONCE, rows))
        needed, place = np.unique(np.concatenate([above[part], below[part]]), return_inverse=True)
        resized = _lerp_rows(_lerp_columns(flat[needed], left, right, across), place, down[part])
        out[:, part, :columns] = resized.reshape(-1, 3, columns).transpose(1, 0, 2)
    return ratio


def _taps(source: int, target: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The two source pixels of each target pixel, and the weight of the second in 1/2048."""
    place = (np.arange(target) + 0.5) * (source / target) - 0.5
    first = np.floor(place).astype(np.int64)
    weight = (place - first).astype(np.float32)
    weight[(first < 0) | (first >= source - 1)] = 0
    first = np.clip(first, 0, source - 1)
    return first, np.minimum(first + 1, source - 1), np.rint(weight * (1 << _BITS)).astype(np.int16)


def _lerp_columns(rows: np.ndarray, left: np.ndarray, right: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Rows interpolated across, in 1/128 of a grey level: first * 128 + (difference * weight >> 4).

    The product is made of two parts, each of which fits 16 bits: that halves the time.
    """
    first, step = rows.take(left, 1).astype(np.int16), rows.take(right, 1).astype(np.int16)
    step -= first
    result = step * (weight >> 4)
    step *= weight & 15
    step >>= 4
    result += step
    first <<= _BITS - 4
    result += first
    return result


def _lerp_rows(rows: np.ndarray, place: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Whole grey levels between rows `place[:n]` and `place[n:]`; each product is cut off, as OpenCV does."""
    weight = weight.astype(np.int32)[:, None]
    above = np.multiply(rows[place[: len(weight)]], (1 << _BITS) - weight, dtype=np.int32)
    below = np.multiply(rows[place[len(weight) :]], weight, dtype=np.int32)
    above >>= 16
    below >>= 16
    above += below
    above += 2
    above >>= 2
    return above


def decode_boxes(raw: np.ndarray, size: tuple[int, int], ratio: float) -> tuple[np.ndarray, np.ndarray]:
    """The people in a picture from YOLOX's answer, best first.

    raw: [cells, 5 + classes] (center and log size relative to a cell, objectness, class scores); size: (height, width)
    of the detector's input; ratio: as `letterbox` gave it.
    Returns boxes [N, 4] (x1, y1, x2, y2) in pixels of the picture, and scores [N], float64. N may be 0.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        scores = raw[:, 4] * raw[:, 5 + PERSON]
    # Suppression goes from the best box down, so what is below the threshold can be dropped before it.
    candidate = np.flatnonzero(scores > MIN_SCORE)
    if len(candidate) > MAX_CANDIDATES:
        candidate = candidate[np.argsort(scores[candidate], kind="stable")[-MAX_CANDIDATES:]]
    cells = _cells(size)[candidate]
    # Single precision as in the released program: a pixel's place is truncated later on, which sees the last bit.
    with np.errstate(over="ignore", invalid="ignore"):
        center = ((raw[candidate, :2] + cells[:, :2]) * cells[:, 2:]).astype(np.float32)
        half = (np.exp(raw[candidate, 2:4]) * cells[:, 2:]).astype(np.float32) / 2
        boxes = np.concatenate([center - half, center + half], 1) / np.float32(ratio)
    finite = (np.abs(boxes) < 1e6).all(1)
    boxes, scores = boxes[finite], scores[candidate[finite]]
    keep = _suppress(boxes, scores)
    return boxes[keep].astype(np.float64), scores[keep].astype(np.float64)


def count_cells(size: tuple[int, int]) -> int:
    """How many cells YOLOX answers for with an input of this (height, width): 8400 for 640x640."""
    return sum((size[0] // stride) * (size[1] // stride) for stride in STRIDES)


@lru_cache(maxsize=4)
def _cells(size: tuple[int, int]) -> np.ndarray:
    """Column, row and stride of each cell, [cells, 3]."""
    grids = []
    for stride in STRIDES:
        row, column = np.mgrid[: size[0] // stride, : size[1] // stride]
        grids.append(np.stack([column.ravel(), row.ravel(), np.full(row.size, stride)], 1))
    return np.concatenate(grids)


def _suppress(boxes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Greedy non-maximum suppression; pixels are counted inclusively. Returns the kept boxes, best first."""
    order = np.argsort(scores, kind="stable")[::-1]
    x1, y1, x2, y2 = boxes.T
    area = (x2 - x1 + 1) * (y2 - y1 + 1)
    keep = []
    while len(order):
        best, rest = order[0], order[1:]
        keep.append(best)
        across = np.minimum(x2[best], x2[rest]) - np.maximum(x1[best], x1[rest]) + 1
        down = np.minimum(y2[best], y2[rest]) - np.maximum(y1[best], y1[rest]) + 1
        shared = np.maximum(across, 0) * np.maximum(down, 0)
        order = rest[shared / (area[best] + area[rest] - shared) <= MAX_OVERLAP]
    return np.array(keep, np.int64)
