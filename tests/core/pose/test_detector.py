"""The detector's input and boxes, against plain loops."""

import numpy as np
import pytest

from animatex_core.pose.detector import count_cells, decode_boxes, letterbox
from tests.parity.networks import planted_answer


def slow_letterbox(picture, side=640):
    """One pixel at a time with OpenCV's integers."""
    height, width = picture.shape[:2]
    ratio = min(side / height, side / width)
    rows, columns = int(height * ratio), int(width * ratio)
    out = np.full((3, side, side), 114.0)

    def tap(i, source, target):
        place = (i + 0.5) * (source / target) - 0.5
        first = int(np.floor(place))
        if first < 0 or first >= source - 1:
            return min(max(first, 0), source - 1), 0, 0
        return first, 1, round(float(np.float32(place - first)) * 2048)

    for y in range(rows):
        row, down, v = tap(y, height, rows)
        for x in range(columns):
            column, right, u = tap(x, width, columns)
            for channel in range(3):
                grey = picture[..., 2 - channel].astype(int)
                lines = [(grey[r, column] * (2048 - u) + grey[r, column + right] * u) >> 4 for r in (row, row + down)]
                out[channel, y, x] = ((lines[0] * (2048 - v) >> 16) + (lines[1] * v >> 16) + 2) >> 2
    return out, ratio


@pytest.mark.parametrize("size", [(7, 5), (40, 90), (130, 64), (90, 90)])
def test_letterbox(size):
    picture = np.random.default_rng(1).integers(0, 256, (*size, 3)).astype(np.uint8)
    out = np.empty((3, 96, 96), np.float32)
    ratio = letterbox(picture, (96, 96), out)
    expected, expected_ratio = slow_letterbox(picture, 96)
    assert ratio == expected_ratio
    np.testing.assert_array_equal(out, expected)


def test_letterbox_takes_views():
    picture = np.random.default_rng(2).integers(0, 256, (50, 60, 3)).astype(np.uint8)
    a, b = np.empty((2, 3, 64, 64), np.float32)
    letterbox(picture[..., ::-1], (64, 64), a)
    letterbox(np.ascontiguousarray(picture[..., ::-1]), (64, 64), b)
    np.testing.assert_array_equal(a, b)


def decode(boxes, width=400, height=600):
    ratio = min(640 / height, 640 / width)
    return decode_boxes(planted_answer(boxes, width, height)[0], (640, 640), ratio)


def test_boxes_come_back_best_first():
    first, second = (10, 20, 110, 320, 0.5, 0, 1), (200, 100, 390, 590, 0.8, 0, 2)
    boxes, scores = decode([first, second])
    np.testing.assert_allclose(boxes, [second[:4], first[:4]], atol=1e-3)
    np.testing.assert_allclose(scores, [0.8, 0.5], atol=1e-6)


def test_overlapping_weak_and_foreign_boxes_are_dropped():
    best = (80, 30, 320, 582, 0.92, 0, 2)
    rivals = [
        (88, 36, 316, 576, 0.55, 0, 1),  # the same person
        (200, 300, 360, 540, 0.99, 16, 1),  # a dog
        (40, 60, 80, 120, 0.3, 0, 0),  # not above the threshold
    ]
    boxes, _ = decode([best, *rivals])
    np.testing.assert_allclose(boxes, [best[:4]], atol=1e-3)
    assert decode([])[0].shape == (0, 4) and decode(rivals[1:])[0].shape == (0, 4)


@pytest.mark.parametrize(("shift", "left"), [(37, 1), (39, 2)])
def test_overlap_threshold(shift, left):
    """Two boxes of 100x100, counted inclusively, overlap by 0.45 at a shift of 38.3."""
    boxes, _ = decode([(50, 50, 150, 150, 0.9, 0, 0), (50 + shift, 50, 150 + shift, 150, 0.8, 0, 1)])
    assert len(boxes) == left


def test_count_cells():
    assert count_cells((640, 640)) == 8400 and count_cells((416, 416)) == 3549
