"""Cleaning: every step finds what was broken on purpose, leaves the rest alone and says what it did."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from animatex_core.pose.clean import (
    CleanOptions,
    clean,
    fill_frames,
    fill_gaps,
    one_euro,
    remove_outliers,
    repair_swaps,
    savitzky_golay,
)
from animatex_core.pose.io import load_openpose
from animatex_core.pose.keypoints import LEFT_HAND, RIGHT_HAND, PoseSequence, empty

DATA = Path(__file__).parents[2] / "data" / "poses"
ARMS = np.r_[2:8, 20:62]
RIGHT_ARM, LEFT_ARM = np.r_[2:5, 41:62], np.r_[5:8, 20:41]


@pytest.fixture(scope="module")
def dance():
    return load_openpose(DATA / "dance_60.json")


@pytest.fixture(scope="module")
def fashion():
    return load_openpose(DATA / "fashion_76.json")


def smooth_body(frames=60, fps=30.0):
    """A figure whose points all move on slow sines."""
    rng = np.random.default_rng(5)
    still = load_openpose(DATA / "dance.json").frames(slice(0, 1))
    time = np.arange(frames)[:, None, None, None] / fps
    swing = rng.uniform(-1, 1, (1, 1, 130, 2)) * 15 * np.sin(2 * np.pi * 0.4 * time + rng.uniform(0, 6, (1, 1, 130, 2)))
    scores = np.repeat(still.scores, frames, 0)
    points = np.where(scores[..., None] > 0, still.points + swing, 0).astype(np.float32)
    return PoseSequence(points, scores, 512, 758, fps)


def hidden(poses, frames, points=slice(None)):
    scores, xy = poses.scores.copy(), poses.points.copy()
    scores[frames, :, points], xy[frames, :, points] = 0, 0
    return replace(poses, scores=scores, points=xy)


def broken_clips():
    rng = np.random.default_rng(0)
    noise = rng.uniform(-1e4, 1e4, (12, 2, 130, 2))
    noise[rng.random(noise.shape[:3]) < 0.1] = np.nan
    noise[rng.random(noise.shape[:3]) < 0.1] = np.inf
    noise[rng.random(noise.shape[:3]) < 0.1] = 1e30
    scores = np.where(rng.random(noise.shape[:3]) < 0.3, 0, rng.normal(0.5, 1, noise.shape[:3]))
    yield PoseSequence(noise.astype(np.float32), scores.astype(np.float32), 64, 96)
    yield from (empty(9, 64, 96), empty(0, 64, 96), empty(4, 64, 96, people=0), empty(1, 64, 96, people=3))
    yield PoseSequence(np.full((9, 1, 130, 2), 7, np.float32), np.ones((9, 1, 130), np.float32), 64, 96)


# gaps


def test_a_short_gap_is_filled_on_the_line_and_a_long_one_is_not():
    poses = smooth_body()
    broken = hidden(hidden(poses, slice(10, 14), 4), slice(30, 50), 7)
    result, change = fill_gaps(broken, 8)
    assert change.frames == (10, 11, 12, 13) and change.points == 4
    ends = broken.points[[9, 14], 0, 4]
    np.testing.assert_allclose(result.points[11, 0, 4], ends[0] + 2 / 5 * (ends[1] - ends[0]), rtol=1e-5)
    assert result.present[10:14, 0, 4].all() and not result.present[30:50, 0, 7].any()
    assert 0 < result.scores[11, 0, 4] <= 1
    np.testing.assert_allclose(result.points[11, 0, 4], poses.points[11, 0, 4], atol=3)
    assert change.line() == "gaps filled: 4 points in 4 frames (10-13)"


def test_a_filled_hand_goes_with_its_wrist():
    poses = smooth_body()
    points = poses.points.copy()
    points[:, 0, 2:62] += np.where(poses.present[:, 0, 2:62, None], 300 * np.sin(np.arange(60) / 3)[:, None, None], 0)
    swinging = replace(poses, points=points.astype(np.float32))
    result, change = fill_gaps(hidden(swinging, slice(20, 28), LEFT_HAND), 8)
    assert change.points == 8 * 21
    apart = np.abs(result.points[20:28, 0, LEFT_HAND] - swinging.points[20:28, 0, LEFT_HAND]).max()
    assert apart < 20  # the arm itself moves by 300 pixels
    without_wrist = hidden(hidden(swinging, slice(20, 29), LEFT_HAND), slice(20, 29), 7)
    assert not fill_gaps(without_wrist, 8)[0].present[20:29, 0, LEFT_HAND].any()


def test_gaps_at_the_ends_and_frames_without_anybody_are_not_gaps():
    broken = hidden(hidden(smooth_body(), slice(0, 3), 4), slice(20, 22))
    _, change = fill_gaps(broken, 8)
    assert change.points == 0 and change.line() == "gaps filled: nothing"
    with pytest.raises(ValueError, match="max_gap must be 0 or more"):
        fill_gaps(broken, -1)


@pytest.mark.parametrize("policy", ["hold", "interpolate", "blank"])
def test_frames_without_a_person_follow_the_policy(policy):
    poses = smooth_body()
    broken = hidden(hidden(hidden(poses, slice(0, 3)), slice(20, 25)), slice(57, 60))
    result, change = fill_frames(broken, policy)
    missing = (0, 1, 2, 20, 21, 22, 23, 24, 57, 58, 59)
    assert change.frames == missing
    on = poses.present[0, 0]
    if policy == "blank":
        assert result is broken and change.points == 0 and change.note == "left empty"
        return
    assert change.points == len(missing) * on.sum()
    np.testing.assert_array_equal(result.points[1], broken.points[3])
    np.testing.assert_array_equal(result.points[58], broken.points[56])
    middle = broken.points[19] if policy == "hold" else (broken.points[19] + broken.points[25]) / 2
    np.testing.assert_allclose(result.points[22], middle, atol=1e-3)
    np.testing.assert_array_equal(result.points[5], poses.points[5])


def test_a_clip_without_anybody_says_so():
    result, change = fill_frames(empty(5, 64, 64), "hold")
    assert not result.present.any()
    assert change.frames == (0, 1, 2, 3, 4) and change.note == "nobody in the whole clip"
    with pytest.raises(ValueError, match="unknown policy 'freeze'"):
        fill_frames(empty(5, 64, 64), "freeze")


def test_of_several_people_who_has_left_has_left():
    one = smooth_body()
    both = replace(one, points=np.concatenate([one.points] * 2, 1), scores=np.concatenate([one.scores] * 2, 1))
    scores = both.scores.copy()
    scores[40:, 1] = 0
    scores[10:12, 1] = 0
    result, change = fill_frames(replace(both, scores=scores), "hold")
    assert change.frames == (10, 11) and not result.present[40:, 1].any()


# outliers


def test_spikes_are_found_and_the_rest_is_kept():
    poses = smooth_body()
    points = poses.points.copy()
    points[12, 0, 4] += (120, -90)
    points[30:32, 0, 9] += (80, 60)
    points[44, 0, 45] += (100, 0)
    result, change = remove_outliers(replace(poses, points=points))
    gone = poses.present & ~result.present
    assert sorted(zip(*np.nonzero(gone), strict=True)) == [(12, 0, 4), (30, 0, 9), (31, 0, 9), (44, 0, 45)]
    assert change.frames == (12, 30, 31, 44) and change.points == 4 and "4 spikes" in change.note
    keep = result.present
    np.testing.assert_array_equal(result.points[keep], points[keep])
    assert not result.points[gone].any()


def test_a_bone_that_stays_overlong_loses_its_end():
    poses = smooth_body()
    points = poses.points.copy()
    points[20:26, 0, 3] = points[20:26, 0, 2] + (400, 0)  # for longer than a spike
    result, change = remove_outliers(replace(poses, points=points))
    assert not result.present[20:26, 0, 3].any()
    assert set(range(20, 26)) <= set(change.frames)
    assert result.present[:, 0, 8:14].all()


def test_real_dancing_is_not_an_outlier(dance, fashion):
    for poses in (dance, fashion):
        result, _ = remove_outliers(poses)
        body = poses.present[..., :18]
        assert (body & ~result.present[..., :18]).sum() < 0.02 * body.sum()
    with pytest.raises(ValueError, match="odd number of frames from 3, got 4"):
        remove_outliers(dance, 4)


def test_fast_motion_at_few_frames_a_second_is_no_outlier(dance):
    slow = replace(dance.frames(slice(None, None, 6)), fps=dance.fps / 6)
    gone, as_if_quick = (remove_outliers(replace(slow, fps=fps))[1].points for fps in (slow.fps, 25.0))
    assert gone < 0.02 * slow.present.sum() and as_if_quick > 3 * gone
    wrist = slow.points.copy()
    wrist[5, 0, 4] += (400, -300)  # a real mistake is found at any rate
    assert not remove_outliers(replace(slow, points=wrist))[0].present[5, 0, 4]


# swaps


def exchanged(poses, frames, right, left):
    points, scores = poses.points.copy(), poses.scores.copy()
    for array, source in ((points, poses.points), (scores, poses.scores)):
        array[frames, 0, right[0] : right[0] + 0] = source[frames, 0, right[0] : right[0] + 0]
        for a, b in ((right, left), (left, right)):
            array[np.ix_(frames, [0], a)] = source[np.ix_(frames, [0], b)]
    return replace(poses, points=points, scores=scores)


@pytest.mark.parametrize("frames", [[20], [20, 21, 22], list(range(10, 20)), [0, 1], [58, 59], [5, 6, 30, 31, 32]])
def test_swapped_arms_are_put_back(frames):
    poses = smooth_body()
    result, change = repair_swaps(exchanged(poses, frames, RIGHT_ARM, LEFT_ARM))
    np.testing.assert_array_equal(result.points, poses.points)
    np.testing.assert_array_equal(result.scores, poses.scores)
    assert change.frames == tuple(frames) and f"arms {len(frames)}" in change.note


def test_arms_and_legs_are_judged_apart():
    poses = smooth_body()
    right, left = np.array([8, 9, 10, 19]), np.array([11, 12, 13, 18])
    legs = exchanged(poses, [15, 16], right, left)
    result, change = repair_swaps(exchanged(legs, [40], RIGHT_ARM, LEFT_ARM))
    np.testing.assert_array_equal(result.points, poses.points)
    assert change.frames == (15, 16, 40) and change.note.startswith("frames by part: arms 1, legs 2")


def test_a_turn_is_believed_and_real_dancing_is_left_alone(dance):
    turned = exchanged(smooth_body(), list(range(25, 60)), RIGHT_ARM, LEFT_ARM)
    result, _ = repair_swaps(turned)
    np.testing.assert_array_equal(result.points, turned.points)
    result, change = repair_swaps(dance)
    np.testing.assert_array_equal(result.points, dance.points)
    assert change.points == 0 and change.note == ""


def test_a_real_mix_up_is_found(fashion):
    """The model turns her back in frames 22 to 46, which is believed; in frame 40 the detector mixed up her arms."""
    result, change = repair_swaps(fashion)
    assert change.frames == (40,) and "arms 1" in change.note
    before, after = (np.abs(np.diff(p.points[39:42, 0, [2, 5]], axis=0)).sum() for p in (fashion, result))
    assert after < 0.8 * before


def test_hands_on_the_wrong_wrists_are_exchanged():
    poses = smooth_body()
    result, change = repair_swaps(exchanged(poses, [7, 8], np.r_[RIGHT_HAND], np.r_[LEFT_HAND]))
    np.testing.assert_array_equal(result.points, poses.points)
    assert "hands 2" in change.note
    with pytest.raises(ValueError, match="max_seconds must be above 0"):
        repair_swaps(poses, 0)


# smoothing


@pytest.mark.parametrize("smoother", [one_euro, savitzky_golay])
def test_smoothing_takes_noise_out_without_lag(smoother):
    poses = smooth_body(120)
    rng = np.random.default_rng(1)
    on = poses.present
    noisy = replace(poses, points=np.where(on[..., None], poses.points + rng.normal(0, 2, poses.points.shape), 0))
    noisy = replace(noisy, points=noisy.points.astype(np.float32))
    result, change = smoother(noisy)

    def error(p):
        return np.sqrt(np.mean((p.points[on] - poses.points[on]) ** 2))

    def jitter(p):
        return np.abs(np.diff(p.points[:, 0, :18], n=2, axis=0)).mean()

    assert error(result) < 0.75 * error(noisy)
    assert jitter(result) < 0.5 * jitter(noisy)
    shifted = [np.mean((result.points[5:-5, 0, :18] - poses.points[5 + d : 115 + d, 0, :18]) ** 2) for d in (-2, 0, 2)]
    assert shifted[1] < min(shifted[0], shifted[2])
    np.testing.assert_array_equal(result.present, noisy.present)
    assert change.points == on.sum() and "pixels on average" in change.note


def test_savitzky_golay_keeps_a_polynomial_to_the_very_ends_and_across_gaps():
    time = np.linspace(-1, 1, 30)[:, None, None]
    rng = np.random.default_rng(2)
    a, b, c = rng.uniform(-100, 100, (3, 1, 130, 2))
    points = (300 + a[None] * time[..., None] ** 2 + b[None] * time[..., None] + c[None]).astype(np.float32)
    scores = (rng.random((30, 1, 130)) > 0.2).astype(np.float32)
    poses = PoseSequence(points * scores[..., None], scores, 512, 768)
    result, _ = savitzky_golay(poses, window=9, order=2)
    np.testing.assert_allclose(result.points, poses.points, atol=2e-3)
    line, _ = savitzky_golay(poses, window=9, order=1)
    assert np.abs(line.points - poses.points).max() > 1


def test_one_euro_lets_fast_motion_through_and_starts_anew_after_a_gap():
    poses = smooth_body(60)
    points = poses.points.copy()
    points[30:, 0, :, 0] += 200 * poses.present[30:, 0]
    scores = poses.scores.copy()
    scores[28:30] = 0
    result, _ = one_euro(replace(poses, points=points, scores=scores))
    on = poses.present[30, 0]
    assert np.abs(result.points[30:, 0, on] - points[30:, 0, on]).max() < 3
    fast, _ = one_euro(replace(poses, points=points))
    assert np.abs(fast.points[33, 0, on, 0] - points[33, 0, on, 0]).max() < 25


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (lambda p: savitzky_golay(p, 4), "window must be odd"),
        (lambda p: savitzky_golay(p, 3, 3), "above order"),
        (lambda p: one_euro(p, min_cutoff=0), "min_cutoff must be above 0"),
        (lambda p: one_euro(p, beta=-1), "beta must be 0 or more"),
    ],
)
def test_bad_settings_of_the_smoothers(step, message):
    with pytest.raises(ValueError, match=message):
        step(empty(3, 9, 9))


# the whole


def test_clean_mends_a_clip_broken_in_every_way():
    poses = smooth_body(90)
    points = poses.points.copy()
    points[12, 0, 4] += (120, -90)
    broken = exchanged(replace(poses, points=points), [50, 51], RIGHT_ARM, LEFT_ARM)
    broken = hidden(hidden(broken, slice(30, 34), 10), slice(70, 73))
    result = clean(broken, CleanOptions(missing="interpolate"))
    error = np.abs(result.poses.points - poses.points)[poses.present]
    assert error.max() < 12 and error.mean() < 1
    np.testing.assert_array_equal(result.poses.present, poses.present)
    steps = [change.step for change in result.changes]
    assert steps == [
        "person selected", "left and right exchanged", "outliers removed", "frames without a person", "gaps filled",
        "smoothed (One-Euro)",
    ]  # fmt: skip
    assert len(result.summary().splitlines()) == 6
    assert "frames without a person: " in result.summary() and "(70-72); interpolated" in result.summary()


@pytest.mark.parametrize("smoothing", ["one-euro", "savitzky-golay"])
@pytest.mark.parametrize("missing", ["hold", "interpolate", "blank"])
@pytest.mark.parametrize("person", ["main", "all", "central"])
def test_nothing_raises_and_everything_shown_stays_usable(smoothing, missing, person):
    for poses in broken_clips():
        before = poses.points.copy()
        result = clean(poses, CleanOptions(person=person, missing=missing, smoothing=smoothing)).poses
        assert len(result) == len(poses)
        good = poses.present & np.isfinite(poses.points).all(-1)
        if not good.any():
            assert not (result.present & np.isfinite(result.points).all(-1)).any()
        np.testing.assert_array_equal(poses.points, before)


def test_real_motion_keeps_its_motion(dance):
    result = clean(dance).poses
    on = dance.present & result.present
    apart = np.hypot(*(result.points[on] - dance.points[on]).T)
    assert np.median(apart) < 2.5 and on.sum() > 0.98 * dance.present.sum()
    assert result.present[..., ARMS].sum() >= dance.present[..., ARMS].sum()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"missing": "skip"}, "missing must be one of hold, interpolate, blank"),
        ({"smoothing": "median"}, "smoothing must be one of"),
        ({"person": "tallest"}, "person must be a number or one of"),
        ({"max_gap": -1}, "max_gap must be 0 or more"),
        ({"strength": 0.0}, "strength must be 0.1 to 10"),
    ],
)
def test_bad_options_are_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        CleanOptions(**options)
