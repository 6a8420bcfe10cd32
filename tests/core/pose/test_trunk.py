"""The trunk as two pieces: wide hips do not lengthen it, and what cannot be taken apart stays as it was."""

from dataclasses import replace

import numpy as np
import pytest

from animatex_core.pose.epi import realign
from animatex_core.pose.figure import figure
from animatex_core.pose.trunk import pieces_of
from tests.core.pose.test_head import DRIVER, figure_of, hidden, turned
from tests.core.pose.test_realign import STANDING, pose, stacked

LEGS = {8: (9, 10, 19), 11: (12, 13, 18)}


def leaning(angle, hips=20.0, spine=98.0, turn=0.0):
    """STANDING with a trunk that leans and hips that are tilted the other way, their legs hanging from them."""
    middle = np.array([200.0, 100.0]) + spine * np.array([np.sin(angle), np.cos(angle)])
    across = np.array([np.cos(angle), np.sin(angle)]) * hips * np.cos(turn)
    joints = STANDING | turned(yaw=0)
    for hip, side in ((8, -1), (11, 1)):
        joints[hip] = tuple(middle + side * across)
        for below in LEGS[hip]:
            joints[below] = tuple(np.array(STANDING[below]) - STANDING[hip] + joints[hip])
    return pose(joints)


def trunk(poses):
    body = figure(poses)
    return pieces_of(body, body.points)


def test_spine_and_hips_each_have_their_own_ratio():
    """Twice as wide and half as long: as two bones from the neck, hips that lean would go neither along nor across."""
    driver = stacked(*(leaning(angle) for angle in (-0.5, -0.2, 0.0, 0.4)))
    result = realign(driver, leaning(0.0, hips=40.0, spine=49.0), mode="character")
    assert result.modes == ("character",) and result.ratios[0, [8, 11]] == pytest.approx(0.5)
    mine, theirs = trunk(result.poses), trunk(driver)
    np.testing.assert_allclose(mine.spine, 0.5 * theirs.spine, atol=0.01)
    np.testing.assert_allclose(mine.half, 2 * theirs.half, atol=0.01)
    for hip, below in LEGS.items():
        moved = result.poses.points[:, 0, below] - result.poses.points[:, 0, [hip]]
        np.testing.assert_allclose(moved, driver.points[:, 0, below] - driver.points[:, 0, [hip]], atol=0.01)


def test_the_hips_of_full_are_bones_from_the_neck():
    driver, anchor = stacked(leaning(0.0), leaning(0.4)), leaning(0.0, hips=40.0, spine=49.0)
    mine = trunk(realign(driver, anchor, mode="full").poses)
    assert np.abs(mine.half / trunk(driver).half - 2).max() > 0.3


@pytest.mark.parametrize("which", ["driver", "anchor"])
def test_hips_that_are_seen_from_the_side_are_about_as_wide_as_a_persons(which):
    side, front = leaning(0.0, turn=1.4), stacked(leaning(0.0), leaning(0.3))
    driver, anchor = (side, front) if which == "driver" else (front, side)
    mine, theirs = trunk(realign(driver, anchor, mode="character").poses), trunk(driver)
    wider = np.abs(mine.half) / np.abs(theirs.half)
    assert 0.75 < wider.min() and wider.max() < 1.3
    bare = trunk(realign(driver, anchor, mode="character", correct=False).poses)
    ratio = (np.abs(bare.half) / np.abs(theirs.half)).mean()
    assert ratio < 0.2 if which == "anchor" else ratio > 3  # as it looks, and no more


def test_hips_that_are_only_seen_from_afar_make_no_long_trunk():
    """Half as far away the picture ends at the waist."""
    far, near = figure_of(yaw=0), figure_of(yaw=0)
    near = hidden(replace(near, points=near.points * 2), 0, 8, 9, 10, 11, 12, 13, 18, 19)
    clip = stacked(*[far] * 10, *[near] * 20)
    result = realign(clip, figure_of(yaw=0), mode="character")
    assert result.ratios[0, [2, 3, 8, 11]] == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("gone", [(8, 11), (8, 9, 10), (8, 11, 9, 12)])
def test_a_frame_without_hips_moves_the_rest_as_its_neighbours_do(gone):
    clip, anchor = stacked(*(leaning(0.1) for _ in range(9))), leaning(0.0, hips=34.0, spine=60.0)
    whole = realign(clip, anchor, mode="character").poses.points[:, 0]
    result = realign(hidden(clip, 4, *gone), anchor, mode="character").poses.points[:, 0]
    left = [n for n in STANDING if n not in gone and n not in (19, 18)]
    np.testing.assert_allclose(result[:, left], whole[:, left], atol=1.0)


@pytest.mark.parametrize("gone", [(8,), (11,), (8, 11)])
def test_who_never_shows_both_hips_keeps_the_two_bones(gone):
    anchor = hidden(leaning(0.0, hips=40.0, spine=60.0), 0, *gone)
    result = realign(DRIVER, anchor, mode="character")
    full = realign(DRIVER, anchor, mode="full")
    for hip in LEGS:
        np.testing.assert_allclose(result.ratios[:, hip], full.ratios[:, hip])
        bone = result.poses.points[:, 0, hip] - result.poses.points[:, 0, 1]
        np.testing.assert_allclose(bone, full.poses.points[:, 0, hip] - full.poses.points[:, 0, 1], atol=0.01)


@pytest.mark.parametrize("hip", [8, 11])
def test_a_hip_that_flickers_moves_no_leg(hip):
    clip = stacked(*(leaning(0.1) for _ in range(9)))
    anchor = leaning(0.0, hips=34.0, spine=60.0)
    whole = realign(clip, anchor, mode="character").poses
    flicker = realign(hidden(clip, 4, hip), anchor, mode="character").poses
    other = 19 - hip
    legs = [1, other, *LEGS[hip], *LEGS[other]]
    np.testing.assert_allclose(flicker.points[:, 0, legs], whole.points[:, 0, legs], atol=0.5)


def test_a_trunk_that_is_held_back_is_named():
    result = realign(DRIVER, leaning(0.0, hips=1500.0), mode="character")
    assert "right side of the body" in result.reasons[0] and result.clamped[:, 0, [8, 11]].all()
