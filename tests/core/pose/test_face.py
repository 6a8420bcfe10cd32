"""Where a face goes: balls, faces on bodies that turn with the shoulders, and heads that are left alone."""

from dataclasses import replace

import numpy as np
import pytest

from animatex_core.pose.epi import realign
from animatex_core.pose.head import HEAD
from animatex_core.pose.io import load_openpose
from tests.core.pose.test_epi import moved
from tests.core.pose.test_head import BALL, DATA, DRIVER, figure_of, hidden, turned
from tests.core.pose.test_realign import STANDING, pose, stacked, without

LOW = turned(yaw=0, size=2.0, neck=-25.0)


def squared(turn):
    """STANDING with shoulders, and the head with them, turned by an angle."""
    joints = dict(STANDING)
    for shoulder, arm in ((2, (3, 4)), (5, (6, 7))):
        x, y = STANDING[shoulder]
        joints[shoulder] = (200 + (x - 200) * np.cos(turn), y)
        for part in arm:
            joints[part] = (STANDING[part][0] - x + joints[shoulder][0], STANDING[part][1])
    return joints


def across(poses, right, left):
    return poses.points[:, 0, right] - poses.points[:, 0, left]


def test_a_face_on_a_body_turns_as_the_shoulders_do_and_not_as_the_head_does():
    """The driver turns his shoulders by 60 degrees, then looks the other way."""
    driver = stacked(pose(squared(0) | turned(yaw=0)), pose(squared(np.pi / 3) | turned(yaw=0)),
                     pose(squared(np.pi / 3) | turned(yaw=-1.2)))  # fmt: skip
    result = realign(driver, pose(STANDING | LOW), mode="character").poses
    for right, left in ((16, 17), (14, 15)):
        front = np.subtract(LOW[right], LOW[left])
        np.testing.assert_allclose(across(result, right, left), front * [[1], [0.5], [0.5]], atol=0.3)


def test_its_nose_stays_before_a_body_that_does_not_turn():
    driver = stacked(*(pose(STANDING | turned(yaw=yaw)) for yaw in (0.0, 0.8, -1.2)))
    nose = realign(driver, pose(STANDING | LOW), mode="character").poses.points[:, 0, 0]
    np.testing.assert_allclose(nose, np.tile(LOW[0], (3, 1)), atol=0.5)


@pytest.mark.parametrize("gone", [(), (16, 17)])
@pytest.mark.parametrize("near", [1.0, 0.5])
@pytest.mark.parametrize("head", [0.6, 1.2])
@pytest.mark.parametrize("turn", [0.9, -0.9])
def test_its_nose_and_eyes_go_aside_as_the_body_turns(turn, head, near, gone):
    """By 0.58 of a person's, whose nose is two thirds of the way from ear to ear before the middle. It is no matter
    whether the picture shows ears, nor how far away the driver is meanwhile."""
    other = moved(pose(squared(turn) | turned(yaw=turn * head)), near, 0, 0)
    front = pose(squared(0) | turned(yaw=0))
    driver = stacked(front, moved(front, near, 0, 0), other)
    points = realign(driver, pose(without(STANDING | LOW, *gone)), mode="character").poses.points[1:, 0]
    points = points - points[:, 1:2]
    aside = near * 0.58 * 2 / 3 * 64 * np.sin(turn)
    for seen in (points[:, 0], points[:, [14, 15]].mean(1)):
        assert seen[1] - seen[0] == pytest.approx([aside, 0], abs=1)


def test_it_stays_where_it_is_on_a_body_that_comes_nearer():
    driver = stacked(*(moved(pose(STANDING | turned(yaw=0)), near, 0, 0) for near in (0.5, 0.8, 1.0)))
    points = realign(driver, pose(STANDING | LOW), mode="character").poses.points[:, 0]
    offsets = points[:, [0, 14, 15]] - points[:, [16, 17]].mean(1)[:, None]
    for near, offset in zip((0.5, 0.8, 1.0), offsets, strict=True):
        np.testing.assert_allclose(offset, near * offsets[2], atol=0.5)


@pytest.mark.parametrize("name", ["dance_60", "fashion_76"])
def test_on_real_motion_it_is_no_more_restless_than_the_drivers_own(name):
    driver = load_openpose(DATA / f"{name}.json")
    result = realign(driver, pose(STANDING | LOW), mode="character").poses
    own, its = (np.abs(np.diff(p.points[:, 0, 0] - p.points[:, 0, 1], axis=0)).max(1) for p in (driver, result))
    there = driver.present[:, 0, 0] & driver.present[:, 0, 1]
    there = there[1:] & there[:-1]
    assert np.quantile(its[there], 0.9) < np.quantile(own[there], 0.9) and its[there].max() < own[there].max()


def test_it_bends_down_as_the_body_does():
    """The trunk looks half as long, and the head looks down: 60 degrees, and what it is lower by is half as much."""
    long = STANDING[8][1] - STANDING[1][1]
    bent = {n: (x, y + long / 2 * (n < 8)) for n, (x, y) in STANDING.items()}
    bent |= {n: (x, y + long / 2 + 17 * (n in (0, 14, 15))) for n, (x, y) in turned(yaw=0).items()}
    points = realign(stacked(pose(STANDING | turned(yaw=0)), pose(bent)), pose(STANDING | LOW), mode="character")
    nose = points.poses.points[:, 0, 0, 1] - points.poses.points[:, 0, [16, 17], 1].mean(1)
    low = LOW[0][1] - LOW[16][1]
    assert nose == pytest.approx([low, low / 2 + 0.58 * 2 / 3 * 64 * np.sin(np.pi / 3)], abs=1)


@pytest.mark.parametrize("gone", [(2,), (2, 5)])
def test_without_both_shoulders_it_turns_as_the_head_does(gone):
    driver = hidden(stacked(*(pose(STANDING | turned(yaw=yaw)) for yaw in (0.0, 0.8))), slice(None), *gone)
    result = realign(driver, pose(STANDING | LOW), mode="character")
    ears = across(result.poses, 16, 17)[:, 0]
    assert result.modes == ("character",) and ears[1] / ears[0] == pytest.approx(np.cos(0.8), abs=0.05)


@pytest.mark.parametrize(("size", "neck", "low"), [(1.0, 45.0, False), (3.0, 90.0, False), (3.0, 60.0, False),
                                                   (3.0, 30.0, True), (2.0, 20.0, True), (1.0, 5.0, True)])  # fmt: skip
def test_a_face_nearer_to_the_neck_than_a_ball_could_be_is_on_the_body(size, neck, low):
    """A head on it follows the driver's lean of the head; a face on a body stays over the trunk."""
    driver = stacked(figure_of(yaw=0), figure_of(yaw=0, roll=0.6))
    result = realign(driver, figure_of(yaw=0, size=size, neck=neck, kind=BALL), mode="character").poses
    middle = (result.points[:, 0, 16] + result.points[:, 0, 17]) / 2 - result.points[:, 0, 1]
    assert (abs(middle[1, 0] - middle[0, 0]) < 0.5) == low


def test_eyes_and_nose_of_a_large_head_are_as_high_as_in_the_picture():
    high = {
        n: (x, y + up)
        for (n, (x, y)), up in zip(turned(yaw=0, size=3.0, neck=90.0).items(), (-20, 12, 12, 0, 0), strict=True)
    }
    result = realign(DRIVER, pose(STANDING | high), mode="character").poses
    for point in (0, 14, 15):
        assert result.points[0, 0, point] == pytest.approx(high[point], abs=0.1)


@pytest.mark.parametrize("gone", [(14,), (0,), (14, 15)])
@pytest.mark.parametrize("where", [{"size": 3.0, "neck": 90.0}, {"size": 2.0, "neck": -25.0}])
def test_what_the_picture_does_not_show_is_not_moved_up_or_down(gone, where):
    """A nose or eyes that are hidden in the picture keep the driver's height; the rest is as ever."""
    joints = STANDING | turned(yaw=0, kind=BALL, **where)
    whole = realign(DRIVER, pose(joints), mode="character").poses.points[0, 0]
    result = realign(DRIVER, pose(without(joints, *gone)), mode="character").poses.points[0, 0]
    np.testing.assert_allclose(result[[16, 17]], whole[[16, 17]], atol=0.1)
    points, kept = ([0], [14, 15]) if gone == (0,) else ([14, 15], [0])
    np.testing.assert_allclose(result[kept], whole[kept], atol=0.1)
    depth = 0.58 if where["neck"] < 0 else 0.78
    above = np.mean(whole[[16, 17]], 0)[1] - result[points][:, 1].mean()
    driver = DRIVER.points[0, 0, [16, 17], 1].mean() - DRIVER.points[0, 0, points, 1].mean()
    assert above == pytest.approx(depth * where["size"] * driver, abs=0.5)


def test_a_face_on_a_body_is_held_within_its_limits_and_keeps_its_eyes_apart():
    large = realign(DRIVER, pose(STANDING | turned(yaw=0, size=20.0, neck=-25.0)), mode="character")
    ears = np.abs(across(large.poses, 16, 17)[:, 0]).max()
    assert ears == pytest.approx(32 * large.ratios[0, 16], rel=0.02) and large.ratios[0, 16] < 15
    eyeless = realign(DRIVER, pose(without(STANDING | LOW, 14, 15)), mode="character").poses
    assert np.abs(across(eyeless, 14, 15)[0, 0]) == pytest.approx(2 * 32 / 2.3, abs=0.5)


def test_shoulders_that_are_seen_once_decide_nothing():
    clip = stacked(*(figure_of(yaw=0) for _ in range(9)))
    side = pose(squared(1.4) | turned(yaw=0))
    points = clip.points.copy()
    points[4] = side.points[0]
    once = hidden(replace(clip, points=points), [0, 1, 2, 3, 5, 6, 7, 8], 2)
    result = realign(once, pose(STANDING | LOW), mode="character").poses
    assert np.abs(across(result, 16, 17)[:, 0]).min() == pytest.approx(64, abs=1)


@pytest.mark.parametrize("tilt", [0.0, 1.0, -2.0])
def test_an_anchor_that_lies_has_the_same_face(tilt):
    def tilted(poses):
        z = (poses.points[..., 0] + 1j * poses.points[..., 1] - (200 + 200j)) * np.exp(1j * tilt) + 200 + 200j
        there = poses.scores[..., None] > 0
        return replace(poses, points=np.where(there, np.stack([z.real, z.imag], -1), 0).astype(np.float32))

    for anchor in (pose(STANDING | LOW), figure_of(yaw=0, size=3.0, neck=90.0, kind=BALL)):
        plain, result = (
            realign(DRIVER, a, mode="character").poses.points[:, 0, HEAD] for a in (anchor, tilted(anchor))
        )
        np.testing.assert_allclose(result - result[:, :1], plain - plain[:, :1], atol=0.3)


def test_two_faces_on_bodies_stay_upright():
    driver, anchor = (pose(STANDING | turned(yaw=0, size=size, neck=-25.0)) for size in (1.5, 3.5))
    result = realign(driver, anchor, mode="character").poses.points[0, 0]
    assert result[16, 1] - result[14, 1] == pytest.approx(3.5 * 5.12, abs=1.5)
