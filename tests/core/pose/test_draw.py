"""Pose pictures: OpenCV's own pictures are the expectation, and no pose can stop the drawing."""

from pathlib import Path

import numpy as np
import pytest

from animatex_core.pose.draw import DIMMED, LIMBS, RAINBOW, draw_poses
from animatex_core.pose.io import load_openpose
from animatex_core.pose.keypoints import FACE, LEFT_HAND, RIGHT_HAND, PoseSequence, empty

DATA = Path(__file__).parents[2] / "data" / "poses"
DRAWN = np.load(DATA / "drawn.npz")  # the released drawing by OpenCV 5.0.0, of random skeletons partly outside


def drawn_case(number):
    height, width = DRAWN[f"face{number}"].shape[:2]
    return PoseSequence(DRAWN[f"points{number}"][None, None], DRAWN[f"scores{number}"][None, None], width, height)


def stick_man(width=100, height=200):
    poses = empty(1, width, height)
    poses.points[0, 0, [1, 8, 9]] = [(50, 50), (50, 100), (50, 150)]
    poses.scores[0, 0, [1, 8, 9]] = 1
    return poses


@pytest.mark.parametrize("number", range(len(DRAWN.files) // 4))
def test_pixels_are_opencv_s(number):
    poses = drawn_case(number)
    np.testing.assert_array_equal(draw_poses(poses, palette="openpose")[0], DRAWN[f"body_hands{number}"])
    np.testing.assert_array_equal(draw_poses(poses, palette="openpose", face=True)[0], DRAWN[f"face{number}"])
    np.testing.assert_array_equal(draw_poses(poses)[0], DRAWN[f"body_hands{number}"][..., ::-1])


def test_frames_and_people_do_not_touch_each_other():
    cases = [drawn_case(0)] * 40
    clip = PoseSequence(np.concatenate([c.points for c in cases]), np.concatenate([c.scores for c in cases]), 96, 128)
    pictures = draw_poses(clip)
    assert (pictures == pictures[:1]).all() and pictures.shape == (40, 128, 96, 3)
    two = PoseSequence(np.repeat(clip.points[:1], 2, 1), np.repeat(clip.scores[:1], 2, 1), 96, 128)
    two.scores[0, 1] = 0
    np.testing.assert_array_equal(draw_poses(two)[0], pictures[0])
    two.scores[0, 1, :20] = clip.scores[0, 0, :20]  # the second person's limbs lie below all joints and hands
    np.testing.assert_array_equal(draw_poses(two)[0], pictures[0])


def test_trained_palette_and_dimming():
    trained, usual = draw_poses(stick_man())[0], draw_poses(stick_man(), palette="openpose")[0]
    assert tuple(usual[75, 50]) == tuple((RAINBOW[6] * DIMMED).astype(int)) and tuple(usual[50, 50]) == tuple(
        RAINBOW[1]
    )
    assert tuple(trained[50, 50]) == tuple(RAINBOW[1][::-1])
    np.testing.assert_array_equal(trained, usual[..., ::-1])


def test_stick_scales_with_the_height():
    poses = stick_man()
    across = [(draw_poses(poses, 768, 1536, stick=stick)[0, 600].any(-1)).sum() for stick in ("trained", "scaled")]
    assert across[1] > 1.6 * across[0] > 0
    np.testing.assert_array_equal(draw_poses(poses, 384, 768, stick="scaled"), draw_poses(poses, 384, 768))


def test_size_scales_the_points():
    poses = stick_man()
    picture = draw_poses(poses, 300, 400, palette="openpose")[0]
    assert picture.shape == (400, 300, 3)
    assert tuple(picture[100, 150]) == tuple(RAINBOW[1]) and tuple(picture[300, 150]) == tuple(RAINBOW[9])


def test_background_and_opacity():
    poses, grey = stick_man(), np.full((200, 100, 3), 100, np.uint8)
    plain, over = draw_poses(poses), draw_poses(poses, background=grey)
    figure = plain.any(-1)
    np.testing.assert_array_equal(over[figure], plain[figure])
    assert (over[~figure] == 100).all() and (grey == 100).all()
    half = draw_poses(poses, background=grey[None], opacity=0.25)
    np.testing.assert_allclose(half[figure], 100 + 0.25 * (plain[figure].astype(float) - 100), atol=0.5)
    assert (half[~figure] == 100).all() and (draw_poses(poses, background=grey, opacity=0) == 100).all()
    assert draw_poses(poses, background=np.zeros((50, 40, 3), np.uint8)).shape == (1, 50, 40, 3)


def test_hands_and_face_on_demand():
    poses = load_openpose(DATA / "dance.json")
    assert (draw_poses(poses) != draw_poses(poses, hands=False)).any()
    bare = empty(1, 64, 64)
    for part in (LEFT_HAND, RIGHT_HAND, FACE):
        bare.points[0, 0, part], bare.scores[0, 0, part] = (30, 30), 1
    assert not draw_poses(bare, hands=False).any() and draw_poses(bare).any()
    assert (draw_poses(bare, hands=False, face=True).reshape(-1, 3).max(0) == 255).all()
    np.testing.assert_array_equal(draw_poses(poses), draw_poses(poses, face=True))  # there is no face in it


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30, -1e30, 3e38, 1e7, -50.0, 0.0, -1.0])
def test_no_coordinate_stops_the_drawing(value, caplog):
    poses = load_openpose(DATA / "dance.json").frames(slice(0, 3))
    clean = draw_poses(poses, face=True)
    points, scores = poses.points.copy(), poses.scores.copy()
    points[1, 0, 3] = value
    points[1, 0, LEFT_HAND] = value
    points[2, 0, :, 1] = value
    pictures = draw_poses(PoseSequence(points, scores, poses.width, poses.height), face=True)
    np.testing.assert_array_equal(pictures[0], clean[0])
    assert pictures[1].any()
    if not abs(value) < 1e5:
        assert not pictures[2].any() and "left out" in caplog.text


def test_random_rubbish_is_drawn_without_complaint():
    rng = np.random.default_rng(5)
    points = rng.normal(size=(50, 3, 130, 2)).astype(np.float32) * 10.0 ** rng.integers(-3, 8, (50, 3, 130, 1))
    points[rng.random(points.shape) < 0.1] = np.nan
    points[:, :, 40:60] = points[:, :, 40:41]  # coincident
    scores = rng.choice(np.float32([0, 1, 7, np.nan, -3]), (50, 3, 130))
    pictures = draw_poses(
        PoseSequence(points.astype(np.float32), scores, 64, 48), face=True, stick="scaled", opacity=0.5
    )
    assert pictures.shape == (50, 48, 64, 3) and pictures.any()


def test_nobody_and_no_frames():
    assert draw_poses(empty(2, 30, 20)).shape == (2, 20, 30, 3) and not draw_poses(empty(2, 30, 20), face=True).any()
    assert not draw_poses(empty(2, 30, 20, people=0), face=True).any()
    assert draw_poses(empty(0, 30, 20)).shape == (0, 20, 30, 3)


def test_every_limb_and_every_joint_shows():
    grid = np.stack(np.meshgrid(np.arange(5), np.arange(4)), -1).reshape(20, 2) * 60 + 60.0
    assert len({tuple(sorted(limb)) for limb in LIMBS.tolist()}) == 19
    for limb, (a, b) in enumerate(LIMBS):
        poses = empty(1, 400, 300)
        poses.points[0, 0, [a, b]], poses.scores[0, 0, [a, b]] = grid[[a, b]], 1
        picture = draw_poses(poses, palette="openpose")[0]
        x, y = grid[[a, b]].mean(0).astype(int)
        assert tuple(picture[y, x]) == tuple((RAINBOW[limb] * DIMMED).astype(int))
        for joint in (a, b):
            assert tuple(picture[int(grid[joint, 1]), int(grid[joint, 0])]) == tuple(RAINBOW[joint])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"palette": "bgr"}, "palette must be"),
        ({"stick": "thick"}, "stick must be"),
        ({"opacity": 1.5}, "opacity must be in 0..1, found 1.5"),
        ({"opacity": float("nan")}, "opacity"),
        ({"width": 20_000}, "1 to 16384 pixels a side"),
        ({"width": -5}, "1 to 16384 pixels a side, found -5x200"),
        ({"background": np.zeros((200, 100, 3))}, "float64"),
        ({"background": np.zeros((200, 100), np.uint8)}, "the background must be"),
        ({"background": np.zeros((3, 200, 100, 3), np.uint8)}, "the background has 3 frames, the poses have 1"),
        ({"background": np.zeros((200, 100, 3), np.uint8), "width": 50}, "the background is 100x200"),
    ],
)
def test_options_that_make_no_picture(options, message):
    with pytest.raises(ValueError, match=message):
        draw_poses(stick_man(), **options)


def test_pictures_that_fit_no_memory_are_refused():
    with pytest.raises(ValueError, match="more than 16 GiB"):
        draw_poses(empty(30, 10, 10), 16_384, 16_384)
