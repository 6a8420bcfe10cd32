"""How an upright figure stands: steady hips, planted feet, and a place that does not depend on the driver's legs."""

from dataclasses import replace

import numpy as np
import pytest

from animatex_core.pose.epi import realign
from animatex_core.pose.figure import figure
from animatex_core.pose.placement import FEET, rest, supports
from tests.core.pose.test_head import turned
from tests.core.pose.test_realign import STANDING, pose, stacked


def standing(hips=20.0, legs=1.0):
    """STANDING with other hips and legs, on the same ground."""
    joints = STANDING | turned(yaw=0)
    for hip, below, side in ((8, (9, 10, 19), -1), (11, (12, 13, 18), 1)):
        joints[hip] = (200 + side * hips, 198 + (1 - legs) * 159)
        for part in below:
            x, y = np.subtract(STANDING[part], STANDING[hip]) * legs + joints[hip]
            joints[part] = (x, y)
    return pose(joints)


def march(frames=12, lift=40.0):
    """A person who marches on the spot: hips and neck stay, one foot after the other is lifted."""
    return stacked(*(_stepping(lift * np.sin(2 * np.pi * t / frames)) for t in range(frames)))


def _stepping(height):
    joints = STANDING | turned(yaw=0)
    for ankle, toe, up in ((10, 19, max(height, 0)), (13, 18, max(-height, 0))):
        for part in (ankle, toe):
            joints[part] = (STANDING[part][0], STANDING[part][1] - up)
    return pose(joints)


@pytest.mark.parametrize("mode", ["full", "character"])
def test_wide_hips_on_short_legs_do_not_sway_at_every_step(mode):
    result = realign(march(), standing(hips=45.0, legs=0.4), mode=mode).poses.points[:, 0]
    sway = np.ptp(result[:, 1, 0])
    assert sway < 0.01 if mode == "character" else sway > 10


def test_feet_are_on_the_ground_all_the_same():
    anchor = standing(hips=45.0, legs=0.4)
    result = realign(march(), anchor, mode="character").poses.points[:, 0]
    lowest = result[:, [10, 13], 1].max(1)
    assert np.ptp(lowest) < 0.5 and lowest.mean() == pytest.approx(357, abs=0.5)


def test_the_new_feet_rest_where_the_references_do():
    for anchor in (standing(hips=45.0, legs=0.4), standing(hips=8.0, legs=1.3)):
        result, model = figure(realign(march(), anchor, mode="character").poses), figure(anchor)
        leg = np.float32([np.abs(model.points[0, 0, [9, 10]] - model.points[0, 0, [8, 9]]).sum()])
        new, wanted = (rest(supports(body, leg)[FEET], body)[0] for body in (result, model))
        assert abs(new - wanted) < 0.1


def test_a_path_is_scaled_by_the_legs():
    clip = march()
    walk = replace(
        clip, points=clip.points + np.linspace(-60, 60, len(clip), dtype=np.float32)[:, None, None, None] * (1, 0)
    )
    walk = replace(walk, points=np.where(clip.present[..., None], walk.points, 0).astype(np.float32))
    result = realign(walk, standing(legs=0.4), mode="character").poses.points[:, 0, [8, 11], 0].mean(1)
    assert np.ptp(result) == pytest.approx(0.4 * 120, abs=0.5)


def test_the_lower_foot_of_the_new_body_is_on_the_ground_in_every_frame():
    """Hips that tilt by 20 degrees lift one foot; wider ones lift it more, and it may be another one that stands."""

    def tilted(angle):
        joints = STANDING | turned(yaw=0)
        for hip, below in ((8, (9, 10, 19)), (11, (12, 13, 18))):
            x = STANDING[hip][0] - 200
            moved = np.array([200 + x * np.cos(angle), 198 + x * np.sin(angle)])
            for part in (hip, *below):
                joints[part] = tuple(np.subtract(STANDING[part], STANDING[hip]) + moved)
        lowest = max(joints[10][1], joints[13][1])
        return pose({n: (x, y + 357 - lowest) for n, (x, y) in joints.items()})

    clip = stacked(*(tilted(0.35 * np.sin(t)) for t in range(12)))
    result = realign(clip, standing(hips=45.0, legs=0.4), mode="character").poses.points[:, 0]
    lowest = result[:, [10, 13], 1].max(1)
    assert np.ptp(lowest) < 4 and np.median(lowest) == pytest.approx(357, abs=2)


@pytest.mark.parametrize("shown", [0, 1])
def test_with_hips_that_are_seldom_seen_the_feet_lead(shown):
    """They stay where they are, whatever the neck does; as in `full`."""
    gone = march()
    points, scores = gone.points.copy(), gone.scores.copy()
    sway = np.sin(np.arange(len(gone)))[:, None, None, None] * np.float32([80, 0])
    points[:, :, [0, 1, 2, 3, 4, 5, 6, 7, 14, 15, 16, 17]] += sway.astype(np.float32)
    scores[shown:, :, [8, 11]] = 0
    clip, anchor = replace(gone, points=points, scores=scores), standing(legs=0.4)
    mine, full = (realign(clip, anchor, mode=mode).poses.points[:, 0, 1, 0] for mode in ("character", "full"))
    np.testing.assert_allclose(mine - mine[0], full - full[0], atol=2)
