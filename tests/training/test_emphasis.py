"""Where the loss counts more: at eyes, nose and wrists of the clip's own poses, fitted as its pictures are."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from animatex_training.augment import ReadSettings
from animatex_training.emphasis import DETAILS, place_weights

from animatex_core.fit import plan_fit
from animatex_core.pose.keypoints import empty

NOSE, RIGHT_EYE, LEFT_WRIST, NECK = 0, 14, 7, 1


def poses(places):
    """Two frames of 64x96; joints with a place in the second one."""
    made = empty(2, 64, 96)
    points, scores = made.points.copy(), made.scores.copy()
    for joint, place in places.items():
        points[1, 0, joint], scores[1, 0, joint] = place, 1
    return replace(made, points=points, scores=scores)


def weights(sequence, target=(64, 96), mode="crop", details=8.0):
    return place_weights(sequence, plan_fit((64, 96), target, mode), details)


def test_the_place_under_a_joint_counts_most_and_far_places_once():
    found = weights(poses({NOSE: (20, 36)}))  # the middle of cell 2, 4
    assert found.shape == (2, 12, 8) and found.dtype == torch.float32
    assert found[1, 4, 2] == found.max() == 9
    assert found[1, 4, 3] == pytest.approx(1 + 8 * np.exp(-0.5)) and found[1, 11, 7] == pytest.approx(1, abs=1e-6)
    assert (found[0] == 1).all()  # nobody is there


def test_two_joints_in_one_place_do_not_add_up():
    assert torch.equal(weights(poses({NOSE: (20, 36), RIGHT_EYE: (20, 36)})), weights(poses({NOSE: (20, 36)})))
    both = weights(poses({NOSE: (20, 36), LEFT_WRIST: (60, 4)}))
    assert both[1, 4, 2] == both[1, 0, 7] == 9


def test_other_joints_ask_for_nothing():
    assert NECK not in DETAILS and (weights(poses({NECK: (20, 36)})) == 1).all()


def test_joints_go_where_the_pictures_go():
    stretched = weights(poses({NOSE: (20, 36)}), (128, 96), "stretch")
    assert stretched.shape == (2, 12, 16) and stretched[1, 4].argmax() in (4, 5)
    outside = weights(poses({NOSE: (20, 2)}), (64, 32), "crop")  # 30 pixels above the part that is kept
    assert outside.max() < 1.1
    padded = weights(poses({NOSE: (20, 36)}), (160, 96), "pad")  # bars of 48 pixels
    assert padded[1, 4].argmax() == 8


def test_a_joint_outside_of_the_canvas_asks_for_nothing_nor_does_nobody():
    assert (weights(poses({NOSE: (-20, 36)}), (160, 96), "pad") == 1).all()
    assert (weights(empty(2, 64, 96, people=0)) == 1).all()


def test_none_asked_for_is_the_plain_mean():
    assert torch.equal(weights(poses({NOSE: (20, 36)}), details=0.0), torch.ones(2, 12, 8))
    assert ReadSettings().details == 0
    for wrong in (-1.0, np.inf, np.nan):
        with pytest.raises(ValueError, match=rf"data\.settings\.details: expected a number of 0 or more, got {wrong}"):
            ReadSettings(details=wrong)
