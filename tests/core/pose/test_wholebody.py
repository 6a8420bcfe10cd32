"""The pose network's input and answer, against plain loops and by known places."""

import numpy as np
import pytest

from animatex_core.pose.keypoints import BODY, FACE, LEFT_HAND, RIGHT_HAND, TOES
from animatex_core.pose.wholebody import MEAN, STD, crop, crop_frame, decode_simcc, to_openpose, to_pose

SIZE = (48, 36)  # small, of the network's aspect


def slow_crop(picture, box):
    """One pixel at a time: bilinear, black outside."""
    center, extent = crop_frame(box, SIZE)
    out = np.empty((3, *SIZE))

    def at(y, x):
        inside = 0 <= y < picture.shape[0] and 0 <= x < picture.shape[1]
        return picture[y, x].astype(float) if inside else np.zeros(3)

    for row in range(SIZE[0]):
        for column in range(SIZE[1]):
            x = center[0] + (column - SIZE[1] / 2) * extent[0] / SIZE[1]
            y = center[1] + (row - SIZE[0] / 2) * extent[1] / SIZE[0]
            i, j = int(np.floor(y)), int(np.floor(x))
            v, u = y - i, x - j
            above, below = (at(r, j) * (1 - u) + at(r, j + 1) * u for r in (i, i + 1))
            out[:, row, column] = (np.floor(above * (1 - v) + below * v + 0.5)[::-1] - MEAN) / STD
    return out


@pytest.mark.parametrize(
    "box", [(10, 5, 40, 60), (-30, 20, 50, 90), (60, 70, 61, 71), (0, 0, 64, 80), (900, 900, 950, 990)]
)
def test_crop(box):
    picture = np.random.default_rng(3).integers(0, 256, (80, 64, 3)).astype(np.uint8)
    out = np.empty((3, *SIZE), np.float32)
    crop(picture, np.array(box, float), SIZE, out)
    difference = np.abs(out - slow_crop(picture, box)) * STD[:, None, None]
    assert (difference > 1e-3).mean() < 2e-3 and difference.max() < 1.01  # a rounding of a half may fall either way


def test_crop_frame_pads_and_keeps_the_aspect():
    center, extent = crop_frame((80, 30, 320, 582), (384, 288))
    np.testing.assert_allclose([*center, *extent], [200, 306, 517.5, 690])
    np.testing.assert_allclose(crop_frame((0, 0, 400, 100), (384, 288))[1], [500, 500 / 0.75])
    np.testing.assert_allclose(crop_frame((5, 5, 5, 5), (384, 288))[1], [0, 0])


def test_decode_simcc():
    along_x, along_y = np.zeros((133, 576), np.float32), np.zeros((133, 768), np.float32)
    along_x[:, 288], along_y[:, 384] = 0.9, 0.8
    along_x[7, 100], along_y[7, 50] = 0.95, 0.99
    along_x[9], along_y[9] = -1, -1
    places, scores = decode_simcc(along_x, along_y, np.array([200, 306]), np.array([517.5, 690]), (384, 288))
    np.testing.assert_allclose(places[0], [200, 306])
    np.testing.assert_allclose(places[7], [200 - 517.5 / 2 + 50 / 288 * 517.5, 306 - 345 + 25 / 384 * 690])
    np.testing.assert_allclose(scores[[0, 7, 9]], [0.8, 0.95, -1], atol=1e-6)


def test_openpose_order():
    """COCO: nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles, each left then right, then the rest."""
    number = np.arange(133.0)
    places, scores = to_openpose(np.stack([number, number], -1), np.ones(133))
    assert places[:18, 0].tolist() == [0, 5.5, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3]
    assert places[18:, 0].tolist() == list(range(17, 133)) and (scores == 1).all()


def test_neck_needs_both_shoulders():
    scores = np.ones((3, 133))
    scores[1, 5], scores[2, 6] = 0.3, 0.1
    assert to_openpose(np.zeros((3, 133, 2)), scores)[1][:, 1].tolist() == [1, 0, 0]


def test_to_pose_places_every_part():
    places = np.stack([np.arange(134.0) + 1, np.arange(134.0) + 1], -1)
    points, scores = to_pose(places, np.full(134, 0.9))
    assert points[BODY, 0].tolist() == list(range(1, 19))
    assert points[TOES, 0].tolist() == [
        19.5,
        22.5,
    ]  # big and small toe of the left foot are 18 and 19, of the right 21 and 22
    assert points[FACE, 0].tolist() == list(range(25, 93))
    assert points[LEFT_HAND, 0].tolist() == list(range(93, 114)) and points[RIGHT_HAND, 0].tolist() == list(
        range(114, 135)
    )
    np.testing.assert_allclose(scores, 0.9, atol=1e-6)


def test_uncertain_points_are_absent():
    places, scores = np.full((134, 2), 7.0), np.full(134, 0.9)
    scores[[3, 19, 30]] = 0.3
    scores[5], places[6, 0], scores[7] = np.nan, np.inf, 3.0
    points, certain = to_pose(places, scores)
    absent = [3, 5, 6, 18, 62 + 30 - 24]
    assert np.flatnonzero(certain == 0).tolist() == absent and not points[absent].any()
    assert certain.max() == 1 and certain.dtype == np.float32 and points.dtype == np.float64
