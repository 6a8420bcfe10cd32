"""The pose report on real clips with faults put in, so that what must be found is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from animatex_core.pose import epi
from animatex_core.pose.io import load_openpose
from animatex_core.pose.keypoints import PoseSequence, empty
from animatex_core.pose.report import COUNT, SHAKY, examine
from animatex_core.pose.report_plot import WIDTH, plot

DANCE = Path(__file__).parents[2] / "data/poses/dance_60.json"


@pytest.fixture(scope="module")
def dance():
    return load_openpose(DANCE)


def without(poses, frames, points):
    scores = poses.scores.copy()
    scores[np.ix_(frames, [0], points)] = 0
    return replace(poses, scores=scores)


def test_missing_joints_and_empty_frames_are_counted(dance):
    report = examine(without(without(dance, range(20), [4]), [30, 31], range(130)))
    assert report.missing[:20, 4].all() and not report.missing[20:30, 4].any()
    assert report.empty.tolist() == [30, 31]
    assert "without a person: 2 frames (30, 31)" in report.text()
    assert "right wrist 34%" in report.text()  # 20 of the 58 frames with a person
    assert any("clean the poses (hold or interpolate)" in warning for warning in report.warnings)


def test_shaking_is_measured_and_warned_about(dance):
    rng = np.random.default_rng(1)
    calm = examine(dance)
    shaken = examine(replace(dance, points=dance.points + rng.normal(0, 15, dance.points.shape).astype(np.float32)))
    assert calm.usual_jitter < SHAKY < shaken.usual_jitter
    assert not any("shaky" in w for w in calm.warnings) and any("shaky" in w for w in shaken.warnings)


def test_a_steady_motion_has_no_jitter(dance):
    still = dance.frames(np.zeros(9, int))
    moving = replace(still, points=still.points + 4 * np.arange(9, dtype=np.float32)[:, None, None, None])
    jitter = examine(moving).jitter
    assert np.isnan(jitter[[0, -1]]).all() and jitter[1:-1] == pytest.approx(0, abs=1e-5)


def test_exchanged_sides_are_found(dance):
    points = dance.points.copy()
    right, left = [2, 3, 4, 8, 9, 10], [5, 6, 7, 11, 12, 13]
    points[40:43, 0, right], points[40:43, 0, left] = dance.points[40:43, 0, left], dance.points[40:43, 0, right]
    report = examine(replace(dance, points=points))
    assert set(report.swaps.frames) & {40, 41, 42}
    assert any("left and right exchanged" in warning for warning in report.warnings)


def test_joints_out_of_the_picture_are_found(dance):
    report = examine(replace(dance, points=dance.points + np.float32([dance.width, 0]) * dance.present[..., None]))
    assert report.outside[~report.missing].all()
    assert any("out of the picture" in warning for warning in report.warnings)


def test_another_body_is_told_by_its_bones(dance):
    same = examine(dance, dance)
    assert same.mismatch.scale == pytest.approx(1) and same.mismatch.bones == ()
    chibi = epi.rescale(dance, epi.PRESETS["chibi"]).poses
    report = examine(dance, chibi)
    bones = dict(report.mismatch.bones)
    assert bones["neck to nose"] > 1.3 and bones["left thigh"] < 0.8
    assert any("built unlike" in warning for warning in report.warnings)
    small = epi.rescale(dance, epi.Rescale(size=0.4)).poses
    assert examine(dance, small).mismatch.scale == pytest.approx(0.4, rel=1e-3)
    assert examine(dance, small).mismatch.bones == ()


def test_several_people_are_told(dance):
    two = PoseSequence(
        np.repeat(dance.points, 2, 1), np.repeat(dance.scores, 2, 1), dance.width, dance.height, dance.fps
    )
    assert "up to 2 people" in examine(two).text()


@pytest.mark.parametrize(
    "poses",
    [
        empty(0, 8, 8), empty(1, 8, 8), empty(4, 8, 8, people=0), empty(3, 8, 8, people=2),
        replace(empty(6, 8, 8), scores=np.ones((6, 1, 130), np.float32)),
        PoseSequence(np.full((5, 1, 130, 2), np.nan, np.float32), np.ones((5, 1, 130), np.float32), 8, 8),
        PoseSequence(np.full((5, 1, 130, 2), 1e38, np.float32), np.ones((5, 1, 130), np.float32), 8, 8),
    ],
)  # fmt: skip
def test_no_pose_breaks_the_report(poses, dance):
    for reference in (None, poses, dance):
        report = examine(poses, reference)
        assert report.text() and report.warnings
        assert plot(report).shape[1] == WIDTH
    assert examine(dance, poses).text()


def test_the_plot_shows_what_is_missing_where(dance):
    calm, holed = plot(examine(dance)), plot(examine(without(dance, range(30, 60), [4])))
    assert calm.dtype == np.uint8 and calm.shape == holed.shape
    changed = np.argwhere((calm != holed).any(-1))
    heat = changed[changed[:, 0] < 40 + 11 * COUNT]
    assert heat[:, 1].min() >= 120 + 820 // 2 - 1  # the second half of the frames
    assert np.ptp(heat[:, 0]) < 11  # one joint's row


def test_a_clip_longer_than_the_plot_is_wide_keeps_a_single_missing_frame(dance):
    long = dance.frames(np.tile(np.arange(60), 100))
    calm, holed = plot(examine(long)), plot(examine(without(long, [3000], range(130))))
    assert (calm != holed).any()
