"""Pictures, silhouettes and points of the same character agree, and all follow from the seed."""

import numpy as np
import pytest
from animatex_training.synthetic.__main__ import main
from animatex_training.synthetic.cast import TRAINING_MOTIONS, draw_figure, draw_looks
from animatex_training.synthetic.figures import Build, Figure
from animatex_training.synthetic.held_out import MOTIONS, factors, in_range
from animatex_training.synthetic.motion import standing
from animatex_training.synthetic.skeleton import about_up
from animatex_training.synthetic.stage import film
from scipy.ndimage import binary_dilation

from tests.training.synthetic.recordings import wild_motion

GREY = (0.5, 0.5, 0.5)


def figure(seed=0, **build):
    return Figure(Build(**build), draw_looks(np.random.default_rng(seed)).clothes)


def test_points_lie_on_the_silhouette_and_the_rest_is_background(renderer):
    clip = film(renderer, figure(), wild_motion(), GREY)
    assert clip.frames.shape == (6, 192, 128, 3) and clip.silhouettes.shape == (6, 192, 128)
    for frame, picture in enumerate(clip.frames):
        near = binary_dilation(clip.silhouettes[frame], iterations=2)
        inside = clip.poses.points[frame, 0, :20][clip.poses.scores[frame, 0, :20] > 0].round().astype(int)
        inside = inside[((inside >= 0) & (inside < (128, 192))).all(1)]
        assert len(inside) >= 12 and near[inside[:, 1], inside[:, 0]].all()
        np.testing.assert_array_equal(np.unique(picture[~near], axis=0), [[128, 128, 128]])
        assert 0.03 < clip.silhouettes[frame].mean() < 0.4


def test_a_standing_character_fills_the_pictures_height(renderer):
    for build in ({}, {"head": 0.4, "thigh": 0.15, "shin": 0.15, "trunk": 0.3}):
        rows = np.flatnonzero(film(renderer, figure(**build), standing(), GREY).silhouettes[0].any(1))
        assert rows[-1] - rows[0] + 1 == pytest.approx(0.7 * 192, abs=6)


def test_the_right_hand_is_on_the_left_of_who_faces_us(renderer):
    points = film(renderer, figure(), standing(), GREY).poses.points[0, 0]
    assert points[4, 0] < 64 < points[7, 0] and points[14, 0] < points[15, 0] and points[0, 1] < points[1, 1]


def test_what_is_not_seen_of_a_face_has_no_points(renderer):
    still = standing()

    def seen(angle):
        turned = type(still)("t", about_up(angle) @ still.rotations, still.path, still.clearance, 1.0)
        return set(np.flatnonzero(film(renderer, figure(), turned, GREY).poses.scores[0, 0, :18] == 0))

    assert seen(0.0) == set() and seen(np.pi) == {0, 14, 15}
    assert seen(np.pi / 2) == {17} or seen(np.pi / 2) == {16}
    assert seen(np.pi / 2) | seen(-np.pi / 2) == {16, 17}


def test_without_arms_nothing_is_where_arms_would_be(renderer):
    whole, less = (film(renderer, figure(**build), wild_motion(), GREY) for build in ({}, {"arm": 0.0, "fore": 0.0}))
    assert not (less.silhouettes & ~binary_dilation(whole.silhouettes, iterations=1)).any()
    assert less.silhouettes.sum() < 0.9 * whole.silhouettes.sum()
    assert (less.poses.scores[:, 0, [3, 4, 6, 7]] == 0).all()


def test_the_same_seed_gives_the_same_pictures(renderer):
    clips = []
    for _ in range(2):
        who, looks = draw_figure(np.random.default_rng(5))
        clips.append(film(renderer, who, wild_motion(), looks.background))
    assert np.array_equal(clips[0].frames, clips[1].frames)
    other, looks = draw_figure(np.random.default_rng(6))
    assert not np.array_equal(film(renderer, other, wild_motion(), looks.background).frames, clips[0].frames)


def test_held_out_motions_are_not_trained_on():
    assert len(MOTIONS) == 6 and not {source for source, _ in MOTIONS.values()} & set(TRAINING_MOTIONS)


def test_the_range_of_random_rescaling_decides_what_is_in_range():
    adult = figure()
    assert in_range(factors(adult, adult)) and in_range(factors(figure(thigh=0.3, shin=0.3), adult))
    assert in_range({name: 7 * value for name, value in factors(adult, adult).items()})  # size alone is free
    assert not in_range(factors(figure(thigh=0.08, shin=0.08, trunk=0.7), adult))
    assert "arms" not in factors(figure(arm=0.0, fore=0.0), adult)


def test_the_command_says_what_is_missing(tmp_path, capsys):
    assert main(["clips", str(tmp_path / "out"), "--motions", str(tmp_path / "none")]) == 1
    said = capsys.readouterr().err
    assert "no recording" in said and "pybullet" in said and not (tmp_path / "out").exists()
