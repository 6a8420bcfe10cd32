"""Joints by hand: what is read, what is refused, and what becomes of joints that nobody placed."""

from __future__ import annotations

import json

import numpy as np
import pytest

from animatex_core.pose import epi
from animatex_core.pose.keypoints import LEFT_HAND, empty
from animatex_core.pose.manual import (
    CANVAS_PARTS,
    JOINTS,
    canvas_figure,
    move_detected,
    parse_joints,
    place_figure,
    template_figure,
)
from animatex_core.pose.skeleton import ADULT, BODY_PARENT, LEFT_WRIST, PARTS

NOSE, NECK, LEFT_ELBOW = 0, 1, 6


def joints(**fields):
    return parse_joints(json.dumps({"version": 1, **fields}))


def test_an_empty_text_places_nothing():
    assert not parse_joints("  \n").placed.any()


def test_the_standing_figure_has_adult_lengths_and_fits_into_the_picture():
    for width, height in ((300, 500), (500, 300), (64, 640)):
        figure = template_figure(width, height)
        assert (figure > 0).all() and (figure < [width, height]).all()
        child = [i for i in range(20) if i != NECK]
        lengths = np.linalg.norm(figure[child] - figure[np.array(BODY_PARENT)[child]], axis=1)
        unit = lengths[child.index(8)]
        assert lengths / unit == pytest.approx(ADULT[child], rel=1e-5)
        assert figure[JOINTS.index("right wrist"), 0] < figure[JOINTS.index("left wrist"), 0]


def test_placed_joints_stay_where_they_were_put():
    result = place_figure(joints(joints={"nose": [0.5, 0.25], "left wrist": [0.9, -0.1]}), 200, 400)
    points = result.poses.points[0, 0]
    assert points[NOSE] == pytest.approx([100, 100])
    assert points[LEFT_WRIST] == pytest.approx([180, -40])
    assert "2 joints placed by hand; 18 from the template" in result.report


def test_absent_parts_are_absent_even_when_they_have_a_place():
    given = joints(joints={"left elbow": [0.5, 0.5]}, absent=["left arm", "toes", "nose"])
    result = place_figure(given, 100, 100)
    present = result.poses.present[0, 0]
    assert not present[[LEFT_ELBOW, LEFT_WRIST, 18, 19, NOSE]].any()
    assert present[[NECK, 5]].all() and present.sum() == 15
    assert "5 that the character does not have (left arm, toes, nose)" in result.report


def test_without_completing_only_what_was_placed_is_there():
    result = place_figure(joints(joints={"nose": [0.5, 0.2], "neck": [0.5, 0.4]}), 100, 100, complete=False)
    assert np.flatnonzero(result.poses.present[0, 0]).tolist() == [NOSE, NECK]
    assert "18 left out" in result.report


def test_joints_nobody_placed_keep_the_figure_connected():
    """A wrist pulled away takes its arm along bone by bone, and leaves the other limbs nearly alone."""
    still = place_figure(joints(joints={"neck": [0.5, 0.3], "right hip": [0.45, 0.6]}), 1000, 1000).poses.points[0, 0]
    placed = {"neck": [0.5, 0.3], "right hip": [0.45, 0.6], "left wrist": [0.9, 0.1]}
    pulled = place_figure(joints(joints=placed), 1000, 1000).poses.points[0, 0]
    scale = np.linalg.norm(pulled[3] - pulled[2]) / np.linalg.norm(still[3] - still[2])
    moved = np.linalg.norm((pulled - pulled[NECK]) - (still - still[NECK]) * scale, axis=-1)
    assert moved[NECK] < moved[5] < moved[LEFT_ELBOW] < moved[LEFT_WRIST]
    assert moved[[2, 3, 4]] == pytest.approx(0, abs=0.01)


def test_a_guess_is_used_as_it_stands():
    guess = template_figure(300, 300) * 0.5 + 20
    guess[3] = np.nan
    result = place_figure(joints(absent=["left leg"]), 300, 300, guess=guess, source="the mask")
    points, present = result.poses.points[0, 0], result.poses.present[0, 0]
    assert not present[[3, 12, 13, 18]].any() and present[:20].sum() == 16
    assert points[4] == pytest.approx(guess[4], abs=1e-4)
    assert "16 from the mask" in result.report and "right elbow" in result.report


def test_detected_hands_follow_a_wrist_that_is_moved():
    detected = empty(1, 200, 200)
    detected.points[0, 0, :20] = template_figure(200, 200)
    detected.points[0, 0, LEFT_HAND] = detected.points[0, 0, LEFT_WRIST] + np.arange(21)[:, None]
    detected.scores[0, 0, :20] = detected.scores[0, 0, LEFT_HAND] = 0.7
    points = move_detected(detected, joints(joints={"left wrist": [0.25, 0.75]})).poses.points[0, 0]
    assert points[LEFT_WRIST] == pytest.approx([50, 150])
    assert points[LEFT_HAND] == pytest.approx(50.0 + np.arange(21)[:, None] + np.array([0, 100]), abs=1e-3)
    without = move_detected(detected, joints(absent=["left arm"])).poses
    assert not without.present[0, 0, LEFT_HAND].any()


def test_a_detector_that_saw_nobody_gives_the_template():
    result = move_detected(empty(1, 120, 240), parse_joints(""))
    assert result.poses.present[0, 0, :20].all() and "saw nobody" in result.report
    assert (result.poses.width, result.poses.height) == (120, 240)


def test_a_hand_placed_character_can_be_an_anchor():
    """The main road for cartoons: a dance realigned to a character with a large head and no left arm."""
    driver = empty(5, 200, 200)
    driver.points[:, 0, :20] = template_figure(200, 200) + np.arange(5)[:, None, None]
    driver.scores[:, 0, :20] = 1
    anchor = place_figure(joints(joints={"nose": [0.5, 0.2], "neck": [0.5, 0.5]}, absent=["left arm"]), 100, 100)
    result = epi.realign(driver, anchor.poses, mode="full", drop_absent=True)
    assert result.modes == ("full",) and not result.poses.present[..., [6, 7]].any()
    assert np.isfinite(result.poses.points).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[1]", "expected an object"),
        ('{"version": 2}', r"joints.version: expected 1, found 2"),
        ('{"joints": []}', "joints.joints: expected an object of joints, found list"),
        ('{"joints": {"tail": [0, 0]}}', "unknown joint 'tail'"),
        ('{"joints": {"nose": [0.5]}}', r"joints.joints\['nose'\]: expected two fractions"),
        ('{"joints": {"nose": [0.5, 7]}}', r"joints.joints\['nose'\]"),
        ('{"joints": {"nose": [0.5, NaN]}}', r"joints.joints\['nose'\]"),
        ('{"joints": {"nose": [0.5, true]}}', r"joints.joints\['nose'\]"),
        ('{"joints": {"nose": "0.5 0.5"}}', r"joints.joints\['nose'\]"),
        ('{"absent": "left arm"}', "joints.absent: expected a list"),
        ('{"absent": ["wing"]}', "unknown part 'wing'"),
        ('{"absent": [["left arm"]]}', "unknown part"),
        ("[" * 50_000, "not JSON"),
        (" " * 200_000 + "{}", "at most 100000 characters"),
    ],
)
def test_bad_texts_are_refused_by_the_field(text, message):
    with pytest.raises(ValueError, match=message):
        parse_joints(text)


def test_the_canvas_gets_the_same_figure_and_the_same_parts():
    figure = canvas_figure()
    assert json.loads(json.dumps(figure)) == figure
    template = np.array(figure["template"]) * [figure["aspect"], 1]
    ours = template_figure(1000, 500)
    ours = (ours - ours.min(0)) / np.ptp(ours[:, 1])
    assert template == pytest.approx(ours, abs=1e-4)
    assert figure["buttons"] == list(CANVAS_PARTS) and figure["parts"].keys() == PARTS.keys()
    for name in CANVAS_PARTS:
        absent = joints(absent=[name]).absent
        assert figure["parts"][name] == np.flatnonzero(absent).tolist() and absent.any() and name in PARTS
