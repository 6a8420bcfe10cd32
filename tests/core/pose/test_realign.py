"""Realign: modes and fallbacks that say why, foreshortened anchors, parts that go, feet that stay on the ground."""

from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from animatex_core.choices import AlignMode
from animatex_core.pose.io import load_openpose
from animatex_core.pose.keypoints import FACE, POINTS, PoseSequence, empty
from animatex_core.pose.realign import MODES, realign
from animatex_core.pose.skeleton import PARTS

DATA = Path(__file__).parents[2] / "data" / "poses"
# a standing adult, 18 body points and two toes, neck to hip 100 pixels
STANDING = {
    0: (200, 60), 1: (200, 100), 14: (193, 54), 15: (207, 54), 16: (184, 57), 17: (216, 57),
    2: (170, 100), 3: (160, 155), 4: (155, 203), 5: (230, 100), 6: (240, 155), 7: (245, 203),
    8: (180, 198), 9: (178, 277), 10: (178, 357), 11: (220, 198), 12: (222, 277), 13: (222, 357),
    18: (232, 385), 19: (168, 385),
}  # fmt: skip


def pose(joints, width=400, height=500):
    """One frame of one person from {point: (x, y)}."""
    figure = empty(1, width, height)
    points, scores = figure.points.copy(), figure.scores.copy()
    for index, position in joints.items():
        points[0, 0, index], scores[0, 0, index] = position, 0.9
    return replace(figure, points=points, scores=scores)


def without(joints, *gone):
    return {k: v for k, v in joints.items() if k not in gone}


def stacked(*poses):
    return replace(
        poses[0], points=np.concatenate([p.points for p in poses]), scores=np.concatenate([p.scores for p in poses])
    )


@pytest.fixture(scope="module")
def dance():
    return load_openpose(DATA / "dance_60.json")


@pytest.fixture(scope="module")
def fashion():
    return load_openpose(DATA / "fashion_76.json")


def test_the_settings_know_the_same_modes():
    assert get_args(AlignMode) == MODES


def test_off_is_the_driver_itself(dance, fashion):
    result = realign(dance, fashion, mode="off")
    assert result.poses is dance
    assert result.modes == ("off",)


def test_full_puts_the_driver_where_the_anchor_stands_on_its_canvas(dance, fashion):
    anchor = fashion.frames(slice(0, 1))
    result = realign(dance, anchor)
    assert result.modes == ("full",) and result.confidence[0] > 0.8
    assert (result.poses.width, result.poses.height) == (720, 940)
    ankles = np.sort(result.poses.points[:, 0, [10, 13], 1], axis=1)[:, 1]
    assert abs(np.median(ankles) - anchor.points[0, 0, [10, 13], 1].max()) < 15
    assert result.poses.fps == dance.fps


def test_similarity_is_one_scale_and_one_shift(dance, fashion):
    result = realign(dance, fashion, mode="similarity")
    assert result.modes == ("similarity",)
    on = dance.present
    before, after = dance.points[on].astype(np.float64), result.poses.points[on].astype(np.float64)
    shift = (after - before * float(result.scale[0])).mean(0)
    np.testing.assert_allclose(after, before * float(result.scale[0]) + shift, atol=0.01)


@pytest.mark.parametrize(
    ("anchor", "mode", "reason"),
    [
        (empty(1, 400, 500), "identity", "no bone can be measured in the anchor"),
        (empty(0, 400, 500), "identity", "no bone can be measured in the anchor"),
        (empty(1, 400, 500, people=0), "identity", "no bone can be measured in the anchor"),
        (pose({0: STANDING[0]}), "identity", "no bone can be measured in the anchor"),
        (pose({18: (3, 4), 13: (9, 9), 0: (1, 1)}), "similarity", "neither shoulders nor hips"),
        (pose({k: STANDING[k] for k in (0, 1)}), "similarity", "neither shoulders nor hips"),
        (pose({k: STANDING[k] for k in (0, 1, 2, 5, 14, 15)}), "similarity", "too little of the body"),
        (pose({k: STANDING[k] for k in range(12)}), "full", "as asked"),
        (pose(dict.fromkeys(STANDING, (7.0, 7.0))), "identity", "no bone can be measured in the anchor"),
        (pose({k: (np.inf, np.nan) for k in STANDING}), "identity", "no bone can be measured in the anchor"),
    ],
)
def test_it_falls_back_and_says_why(dance, anchor, mode, reason):
    result = realign(dance, anchor)
    assert result.modes == (mode,)
    assert reason in result.reasons[0] and mode in result.summary()
    assert np.isfinite(result.poses.points).all()
    if mode == "identity":
        np.testing.assert_array_equal(result.poses.points, dance.points)
        assert (result.poses.width, result.poses.height) == (dance.width, dance.height)


def test_a_driver_without_anybody_is_returned_as_it_is(fashion):
    for driver in (empty(5, 64, 64), empty(5, 64, 64, people=0), empty(0, 64, 64)):
        result = realign(driver, fashion)
        assert set(result.modes) <= {"identity"}
        assert result.poses.points.shape == driver.points.shape and not result.poses.present.any()


def test_confidence_falls_with_what_the_anchor_lacks(dance):
    parts = [set(STANDING), set(range(14)), set(range(12)) - {3, 4}, {0, 1, 2, 5}]
    confidences = [realign(dance, pose({k: STANDING[k] for k in part})).confidence[0] for part in parts]
    assert confidences == sorted(confidences, reverse=True) and len(set(confidences)) >= 3


def test_a_foreshortened_arm_of_the_anchor_takes_the_length_of_the_other(dance):
    whole = realign(dance, pose(STANDING))
    towards_camera = STANDING | {6: (231, 106), 7: (232, 110)}
    bent = realign(dance, pose(towards_camera))
    np.testing.assert_allclose(bent.ratios[0, 3:8], whole.ratios[0, 3:8], rtol=1e-5)
    taken_literally = realign(dance, pose(towards_camera), correct=False)
    assert taken_literally.ratios[0, 6] < 0.3 * whole.ratios[0, 6]


def test_both_forearms_towards_the_camera_are_lifted_by_the_upper_arms(dance):
    whole = realign(dance, pose(STANDING))
    anchor = STANDING | {4: (160, 158), 7: (240, 158)}
    corrected = realign(dance, pose(anchor)).ratios[0, 4] / whole.ratios[0, 4]
    literal = realign(dance, pose(anchor), correct=False).ratios[0, 4] / whole.ratios[0, 4]
    assert literal < 0.3 and 0.4 < corrected < 1


def test_an_anchor_seen_from_the_side_keeps_shoulders(dance, fashion):
    side = fashion.frames(slice(24, 25))
    width = abs(side.points[0, 0, 2, 0] - side.points[0, 0, 5, 0])
    assert width < 60  # it really is seen from the side
    result = realign(dance, side)
    frontal = realign(dance, fashion.frames(slice(0, 1)))
    assert result.modes == ("full",)
    assert 0.4 < result.ratios[0, 2] / frontal.ratios[0, 2] < 1.2


def test_legs_seen_only_from_afar_are_measured_against_the_trunk_of_those_frames(fashion):
    """Coming closer, the driver's legs leave the picture: they must not count as short for that."""
    grow = np.linspace(1, 2.5, len(fashion))[:, None, None, None].astype(np.float32)
    points, scores = fashion.points * grow, fashion.scores.copy()
    scores[15:, :, [9, 10, 12, 13, 18, 19]] = 0
    anchor = fashion.frames(slice(0, 1))
    coming = realign(replace(fashion, points=points, scores=scores), anchor)
    relative = coming.ratios[0] / coming.ratios[0, 8]
    assert 0.85 < relative[9] < 1.15 and 0.85 < relative[10] < 1.15


def test_one_bad_frame_of_the_driver_changes_nothing_elsewhere(dance, fashion):
    """No ratio hangs on a single frame, so none can explode."""
    anchor = fashion.frames(slice(0, 1))
    points = dance.points.copy()
    points[0, 0, 3:8] = points[0, 0, 2]  # both arms collapsed in the very first frame
    points[7, 0, 4] = (5000, -3000)  # and a wrist thrown far away in another
    broken = replace(dance, points=points)
    good, bad = realign(dance, anchor), realign(broken, anchor)
    np.testing.assert_allclose(bad.ratios, good.ratios, rtol=0.06)


def test_short_limbs_that_the_driver_never_shows_whole_do_not_explode(fashion):
    """A driver whose arms always point at the camera must not get arms many times too long."""
    points = fashion.points.copy()
    for shoulder, elbow, wrist in ((2, 3, 4), (5, 6, 7)):
        for joint in (elbow, wrist):
            points[:, 0, joint] = points[:, 0, shoulder] + 0.05 * (points[:, 0, joint] - points[:, 0, shoulder])
    result = realign(replace(fashion, points=points), pose(STANDING))
    arms = result.ratios[0, [3, 4, 6, 7]] / result.scale[0]
    assert (arms <= 4.001).all()


def test_a_crouch_keeps_the_feet_on_the_ground():
    """Feet fixed, knees bending; the anchor has legs of half the length. A figure pinned at the neck would sink."""
    frames = []
    for bend in np.linspace(0, 1, 15):
        down = 60 * bend
        joints = {k: (x, y + down) if k not in (9, 10, 12, 13, 18, 19) else (x, y) for k, (x, y) in STANDING.items()}
        joints |= {9: (178 - 55 * bend, 277 + 20 * bend), 12: (222 + 55 * bend, 277 + 20 * bend)}
        frames.append(pose(joints))
    driver = stacked(*frames)
    short = STANDING | {9: (179, 238), 10: (179, 278), 12: (221, 238), 13: (221, 278)}
    result = realign(driver, pose(without(short, 18, 19)))
    assert result.modes == ("full",)
    feet = result.poses.points[:, 0, [10, 13]]
    middle = feet.mean(1)
    assert np.ptp(middle, axis=0).max() < 0.01
    assert abs(middle[0, 1] - 278) < 0.5
    assert (np.diff(result.poses.points[:, 0, 1, 1]) > 0).all()


def test_nothing_jumps_when_the_feet_leave_the_picture(dance, fashion):
    anchor = fashion.frames(slice(0, 1))
    whole = realign(dance, anchor).poses.points[:, 0, 1]
    scores = dance.scores.copy()
    scores[20:30, :, [9, 10, 12, 13, 18, 19]] = 0
    cropped = realign(replace(dance, scores=scores), anchor).poses.points[:, 0, 1]
    np.testing.assert_allclose(np.diff(cropped[:20], axis=0), np.diff(whole[:20], axis=0), atol=0.5)
    steps = np.abs(np.diff(cropped, axis=0)).max()
    assert steps < np.abs(np.diff(whole, axis=0)).max() + 6


def test_a_wrist_without_its_elbow_hangs_on_the_shoulder_by_the_whole_arm(fashion):
    """The anchor's forearms are short: a wrist whose elbow is hidden moves by both segments' ratios, not by one."""
    anchor = pose(STANDING | {4: (158, 174), 7: (242, 174)})
    scores = fashion.scores.copy()
    scores[:, :, 3] = 0
    whole = realign(fashion, anchor)
    result = realign(replace(fashion, scores=scores), anchor).poses
    assert whole.ratios[0, 4] < 0.6 * whole.ratios[0, 3]
    assert not result.present[:, 0, 3].any()
    both = result.present[:, 0, 4] & fashion.present[:, 0, 3]
    apart = np.hypot(*(result.points[both, 0, 4] - whole.poses.points[both, 0, 4]).T)
    assert np.median(apart) < 6


@pytest.mark.parametrize("part", PARTS)
def test_parts_are_dropped_on_demand(dance, fashion, part):
    for mode in MODES:
        result = realign(dance, fashion, mode=mode, drop=part)
        assert not result.poses.present[..., PARTS[part]].any()
        assert not result.poses.points[..., PARTS[part], :].any()
        others = np.setdiff1d(np.arange(POINTS), PARTS[part])
        np.testing.assert_array_equal(result.poses.present[..., others], dance.present[..., others])
        assert result.dropped == ((part,),)


def test_what_the_character_lacks_goes_when_asked(dance):
    armless = pose(without(STANDING, 3, 4, 6, 7))
    result = realign(dance, armless, drop_absent=True)
    assert not result.poses.present[..., PARTS["arms"]].any()
    others = np.setdiff1d(np.arange(20), [3, 4, 6, 7])
    np.testing.assert_array_equal(result.poses.present[..., others], dance.present[..., others])
    assert {"right arm", "left arm"} <= set(result.dropped[0])
    assert "without right arm, left arm" in result.summary()
    kept = realign(dance, armless)
    np.testing.assert_array_equal(kept.poses.present, dance.present)


def test_a_legless_character_is_carried_by_its_hips(dance):
    result = realign(dance, pose(STANDING), drop=("legs",))
    assert "hips" in result.reasons[0]
    hips = result.poses.points[:, 0, [8, 11]].mean(1)
    assert np.abs(np.median(hips, axis=0) - (200, 198)).max() < 1


def test_each_person_has_an_anchor_or_all_share_one(dance, fashion):
    two = replace(
        dance,
        points=np.concatenate([dance.points, dance.points * np.float32(0.5)], 1),
        scores=np.concatenate([dance.scores, dance.scores], 1),
    )
    shared = realign(two, fashion)
    assert shared.modes == ("full", "full")
    np.testing.assert_allclose(shared.poses.points[:, 0], shared.poses.points[:, 1], atol=0.05)
    anchors = replace(two.frames(slice(0, 1)), scores=two.scores[:1] * np.array([1, 0], np.float32)[None, :, None])
    assert realign(two, anchors).modes == ("full", "identity")
    with pytest.raises(ValueError, match="the anchor has 2 people and the driver 1"):
        realign(dance, anchors)


def test_inputs_are_left_alone(dance, fashion):
    before = dance.points.copy(), dance.scores.copy(), fashion.points.copy()
    realign(dance, fashion, drop=("arms",))
    for old, new in zip(before, (dance.points, dance.scores, fashion.points), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"mode": "fully"}, "unknown realign mode 'fully'"), ({"drop": ("wings",)}, "unknown body part 'wings'")],
)
def test_bad_options_are_refused_by_name(dance, options, message):
    with pytest.raises(ValueError, match=message):
        realign(dance, dance, **options)


def test_the_face_follows_the_head(dance):
    rng = np.random.default_rng(0)
    points, scores = dance.points.copy(), dance.scores.copy()
    points[..., FACE, :] = points[..., :1, :] + rng.normal(0, 9, (1, 1, 68, 2))
    scores[..., FACE] = 1
    driver = PoseSequence(points, scores, dance.width, dance.height)
    result = realign(driver, pose(STANDING)).poses
    offsets = result.points[:, 0, FACE] - result.points[:, 0, :1]
    factor = offsets / (driver.points[:, 0, FACE] - driver.points[:, 0, :1])
    assert np.ptp(factor) < 0.05 * abs(factor.mean())
