"""Distances between poses, computed by hand."""

import numpy as np
import pytest
from animatex_training.evaluation.metrics.pose_error import pose_values
from animatex_training.evaluation.metrics.presets import ClipMeter

from animatex_core.pose.keypoints import empty


def poses(frames=2, people=1, width=100, height=100):
    """Every person the same: 18 points on the diagonal from (10, 10) to (40, 50), 50 pixels long."""
    sequence = empty(frames, width, height, people)
    line = np.linspace([10, 10], [40, 50], 18)
    sequence.points[:, :, :18], sequence.scores[:, :, :18] = line, 1
    return sequence


def test_the_same_poses():
    values = pose_values(poses(), poses())
    assert {name: v.value for name, v in values.items()} == {"pose_error": 0, "pose_pck": 1, "pose_missing": 0}
    assert values["pose_error"].n == 2 and "frames" not in values["pose_error"].settings


def test_a_shift_is_measured_in_diagonals():
    found = poses()
    found.points[0, :, :18, 0] += 4  # 4 of 50: within a tenth
    found.points[1, :, :18, 0] += 6  # 6 of 50: not
    values = pose_values(found, poses())
    assert values["pose_error"].per_frame == pytest.approx((0.08, 0.12))
    assert values["pose_pck"].per_frame == (1, 0)


def test_absent_points_are_no_error_but_misses():
    found, driving = poses(), poses()
    found.scores[:, :, :9] = 0
    values = pose_values(found, driving)
    assert (values["pose_error"].value, values["pose_pck"].value, values["pose_missing"].value) == (0, 0.5, 0.5)
    driving.scores[:, :, :9] = 0  # nobody asks for them: the limb is omitted
    assert pose_values(found, driving)["pose_missing"].value == 0


def test_nobody_in_the_result():
    found = poses()
    found.scores[1] = 0
    values = pose_values(found, poses())
    assert values["pose_error"].n == 1 and values["pose_error"].settings["frames"] == [0]
    assert values["pose_missing"].per_frame == (0, 1) and values["pose_pck"].per_frame == (1, 0)
    assert set(pose_values(empty(2, 100, 100, people=0), poses())) == {"pose_pck", "pose_missing"}


def test_frames_without_a_driver_have_no_scale():
    driving = poses(3)
    driving.scores[1] = 0
    values = pose_values(poses(3), driving)
    assert values["pose_pck"].n == 2 and values["pose_pck"].settings["frames"] == [0, 2]
    assert pose_values(poses(3), empty(3, 100, 100)) == {}


def test_the_nearest_person_counts():
    found = poses(people=2)
    found.points[:, 0, :18] += 30
    assert pose_values(found, poses())["pose_error"].value == 0
    assert found.points[0, 0, 0, 0] == 40  # the arrays are untouched


def test_canvases_of_other_sizes():
    found = poses(width=200, height=50)
    found.points[..., 0] *= 2
    found.points[..., 1] /= 2
    assert pose_values(found, poses())["pose_error"].value == pytest.approx(0, abs=1e-9)


def test_lengths_must_agree_and_the_meter_asks_the_extractor():
    with pytest.raises(ValueError, match="3 frames of poses in the result, 2 driving"):
        pose_values(poses(3), poses(2))
    clip = [np.zeros((8, 8, 3), np.uint8)] * 2
    meter = ClipMeter("clean", only=["pose_error"], extract=lambda frames: poses(sum(1 for _ in frames)))
    assert meter.measure_clip(clip, poses=poses())["pose_error"].value == 0
    assert ClipMeter("clean", only=["pose_error"]).absent() == {"pose_error": "no extractor of poses given"}
