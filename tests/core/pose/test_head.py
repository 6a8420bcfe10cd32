"""The head as one piece: heads that turn, faces on bodies, ears that hide, and the exact properties besides."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from animatex_core.pose.epi import PRESETS, realign, rescale
from animatex_core.pose.figure import figure
from animatex_core.pose.head import HEAD, Head, head_of, measures, trunk_of
from animatex_core.pose.io import load_openpose
from animatex_core.pose.keypoints import FACE, PoseSequence
from animatex_core.pose.proportions import measure
from animatex_core.pose.trunk import pieces_of
from tests.core.pose.test_epi import moved, random_skeletons, usable
from tests.core.pose.test_realign import STANDING, pose, stacked, without

SOME = 2_000
DATA = Path(__file__).parents[2] / "data" / "poses"
# a head in its own axes (left, forward, up), the middle between the ears at the origin: nose, eyes and ears
HUMAN = {0: (0, 20, -1.6), 14: (-16 / 2.3, 17, 5.12), 15: (16 / 2.3, 17, 5.12), 16: (-16, 0, 0), 17: (16, 0, 0)}
# a head that is nearly a ball: the face is less far before the middle, and low
BALL = HUMAN | {0: (0, 0.78 * 20, -6), 14: (-16 / 2.3, 0.78 * 17, 1), 15: (16 / 2.3, 0.78 * 17, 1)}


def turned(yaw, roll=0.0, size=1.0, neck=45.0, at=(200.0, 100.0), kind=HUMAN):
    """The points of a head of some size on a neck, seen from the front: {point: (x, y)}."""
    up = np.array([np.sin(roll), -np.cos(roll)])
    across = np.array([np.cos(roll), np.sin(roll)])
    middle = np.array(at) + neck * up
    return {
        number: tuple(middle + size * ((np.cos(yaw) * left + np.sin(yaw) * forward) * across + upward * up))
        for number, (left, forward, upward) in kind.items()
    }


def figure_of(**head):
    return pose(STANDING | turned(**head))


def head(poses: PoseSequence) -> Head:
    body = figure(poses)
    by = measures(body, body)
    return head_of(body, trunk_of(pieces_of(body, body.points), measure(body).lengths, by), by)


def hidden(poses, frame, *points):
    scores = poses.scores.copy()
    for point in points:
        scores[frame, 0, point] = 0
    return replace(poses, scores=scores)


DRIVER = stacked(*(figure_of(yaw=yaw, roll=roll) for yaw, roll in ((0, 0), (0.6, 0.1), (-0.8, 0.2), (0.3, -0.4))))


@pytest.fixture(scope="module", params=[(1, SOME), (SOME, 1)], ids=["people", "clip"])
def batch(request):
    frames, people = request.param
    driver, anchor = random_skeletons(1, frames, people), random_skeletons(3, 1, people)
    if people == 1:  # the one anchor of the clip is a whole one
        whole = np.random.default_rng(4).uniform(0, 1, anchor.points.shape) * (512, 768)
        anchor = replace(anchor, points=whole.astype(np.float32), scores=np.ones_like(anchor.scores))
    return driver, anchor, realign(driver, anchor, mode="character", correct=False)


def test_a_large_head_on_a_long_neck_turns_as_it_would():
    turns = ((0, 0), (0.6, 0.1), (-0.8, 0.2), (0.3, -0.4))
    anchor = figure_of(yaw=0, size=3.0, neck=90.0, kind=BALL)
    result = realign(DRIVER, anchor, mode="character")
    assert result.modes == ("character",) and not result.clamped.any()
    expected = stacked(*(figure_of(yaw=y, roll=r, size=3.0, neck=90.0, kind=BALL) for y, r in turns))
    np.testing.assert_allclose(result.poses.points[:, 0, :20], expected.points[:, 0, :20], atol=0.01)
    full = realign(DRIVER, anchor, mode="full").poses.points
    assert np.abs(full[:, 0, 0] - expected.points[:, 0, 0]).max() > 10  # what this mode is for
    assert result.ratios[0, 0] == pytest.approx(2) and result.ratios[0, [14, 15, 16, 17]] == pytest.approx(3)


@pytest.mark.parametrize("size", [0.6, 1.0, 1.1])
def test_a_head_about_as_large_as_a_persons_turns_as_a_persons(size):
    turns = ((0, 0), (0.6, 0.1), (-0.8, 0.2), (0.3, -0.4))
    result = realign(DRIVER, figure_of(yaw=0, size=size), mode="character")
    expected = stacked(*(figure_of(yaw=y, roll=r, size=size) for y, r in turns))
    np.testing.assert_allclose(result.poses.points[:, 0, HEAD], expected.points[:, 0, HEAD], atol=0.01)


def test_eyes_that_are_far_apart_stay_far_apart():
    head = turned(yaw=0)
    wide = head | {14: (200 - 14, head[14][1]), 15: (200 + 14, head[15][1])}
    result = realign(DRIVER, pose(STANDING | wide), mode="character").poses
    np.testing.assert_allclose(result.points[0, 0, [14, 15]], [wide[14], wide[15]], atol=0.01)
    np.testing.assert_allclose(result.points[:, 0, [16, 17]], DRIVER.points[:, 0, [16, 17]], atol=0.01)


@pytest.mark.parametrize("ear", [16, 17])
def test_where_an_ear_is_hidden_the_eyes_and_the_other_one_tell_the_middle(ear):
    seen, whole = head(hidden(DRIVER, 1, ear)), head(DRIVER)
    np.testing.assert_allclose(seen.middle, whole.middle, atol=0.01)
    assert seen.seen.all()


@pytest.mark.parametrize("points", [(16, 17), (14, 16), (0,), (15,), (14, 15)])
@pytest.mark.parametrize("size", [1.0, 3.0])
def test_nothing_jumps_when_points_of_a_head_are_hidden_for_a_frame(points, size):
    """A head that does not turn meanwhile. What is still shown stays within a pixel of where it was."""
    clip = stacked(*(pose(STANDING | turned(yaw=0.5)) for _ in range(3)))
    anchor = pose(STANDING | turned(yaw=0, size=size, neck=70.0) | {14: (180, 25), 15: (220, 25)})
    result = realign(hidden(clip, 1, *points), anchor, mode="character").poses
    left = [n for n in HEAD if n not in points]
    np.testing.assert_allclose(result.points[1, 0, left], result.points[0, 0, left], atol=1.0)


def test_a_lone_ear_that_a_detector_saw_once_decides_nothing():
    clip = stacked(*(pose(without(STANDING | turned(yaw=yaw), 16, 17)) for yaw in np.linspace(-0.5, 0.5, 9)))
    points, scores = clip.points.copy(), clip.scores.copy()
    points[4, 0, 16], scores[4, 0, 16] = (184, 57), 0.3
    anchor = figure_of(yaw=0, size=3.0, neck=90.0)
    once = realign(replace(clip, points=points, scores=scores), anchor, mode="character").poses
    never = realign(clip, anchor, mode="character").poses
    np.testing.assert_array_equal(once.points[:, 0, :16], never.points[:, 0, :16])


@pytest.mark.parametrize("yaw", [0.5, 0.8, 1.0, 1.2, 1.35, 1.45])
def test_a_head_that_is_only_seen_from_the_side_is_not_taken_for_a_narrow_one(yaw):
    """The same figure on both sides, one of them turned: nothing should move."""
    side, front = figure_of(yaw=yaw), stacked(*(figure_of(yaw=y) for y in (-0.3, 0.0, 0.3)))
    result = realign(side, front, mode="character")
    assert np.abs(result.poses.points[0, 0, HEAD] - side.points[0, 0, HEAD]).max() < 4
    result = realign(front, side, mode="character")
    assert np.abs(result.poses.points[:, 0, HEAD] - front.points[:, 0, HEAD]).max() < 4
    bare = realign(figure_of(yaw=1.35), front, mode="character", correct=False)
    assert bare.ratios[0, 16] > 3  # as it looks, and no more


def test_eyes_that_coincide_tell_nothing():
    clip = stacked(*(figure_of(yaw=yaw) for yaw in (0.0, 0.2, 0.4)))
    points = clip.points.copy()
    points[0, 0, 14] = points[0, 0, 15] + (1e-30, 0.01)
    clip = hidden(hidden(replace(clip, points=points), 1, 17), 2, 17)
    result = realign(clip, figure_of(yaw=0), mode="character")
    assert np.abs(result.poses.points[1:, 0, HEAD[:4]] - clip.points[1:, 0, HEAD[:4]]).max() < 3
    points[:, 0, [14, 15, 16, 17]] = points[:, :1, [14, 14, 14, 14]][:, 0] + np.float32(1e-35)
    with np.errstate(all="raise", under="ignore"):
        assert realign(replace(clip, points=points), figure_of(yaw=0), mode="character").modes == ("full",)


def test_a_face_on_a_body_stays_on_it():
    """A bottle: the face is a quarter of the trunk below the shoulders. The driver leans; his head turns and nods."""
    face = turned(yaw=0, neck=-25.0)
    lean = np.exp(0.5j)
    tilted = {
        n: (200 + ((complex(*p) - (200 + 100j)) * lean).real, 100 + ((complex(*p) - (200 + 100j)) * lean).imag)
        for n, p in STANDING.items()
    }
    driver = stacked(figure_of(yaw=0), pose(tilted | turned(yaw=0.7, roll=-0.3)))
    result = realign(driver, pose(STANDING | face), mode="character")
    middle = head(result.poses).middle[:, 0] - (result.poses.points[:, 0, 1] @ (1, 1j))
    np.testing.assert_allclose(middle, [25j, 25j * lean], atol=0.5)
    assert not result.clamped.any() and result.ratios[0, 0] == 1 and "held back" not in result.reasons[0]
    up = realign(driver, pose(STANDING | face), mode="full").poses
    assert up.points[0, 0, 0, 1] < up.points[0, 0, 1, 1]  # which `full` puts above the neck


@pytest.mark.parametrize("neck", [-40.0, -25.0, -5.0, 0.0, 1.0, 5.0])
def test_a_face_at_the_neck_stays_there(neck):
    result = realign(figure_of(yaw=0), pose(STANDING | turned(yaw=0, neck=neck)), mode="character")
    assert result.modes == ("character",) and not result.clamped.any()
    middle = head(result.poses).middle[0, 0] - result.poses.points[0, 0, 1] @ (1, 1j)
    assert abs(middle + 1j * neck) < 0.5


@pytest.mark.parametrize("gone", [(8,), (11,), (8, 9, 10, 11, 12, 13, 18, 19)])
def test_a_face_stays_on_a_body_that_is_seen_to_the_waist(gone):
    whole, face = figure_of(yaw=0), pose(STANDING | turned(yaw=0, neck=-25.0))
    for driver, anchor in ((hidden(whole, 0, *gone), face), (whole, hidden(face, 0, *gone))):
        result = realign(driver, anchor, mode="character")
        middle = head(result.poses).middle[0, 0] - result.poses.points[0, 0, 1] @ (1, 1j)
        assert result.modes == ("character",) and abs(middle - 25j) < (6 if len(gone) == 1 else 4)


def test_a_hip_that_flickers_moves_no_face_and_one_that_was_seen_once_decides_nothing():
    clip, face = stacked(*(figure_of(yaw=0) for _ in range(9))), pose(STANDING | turned(yaw=0, neck=-60.0))
    whole = realign(clip, face, mode="character").poses.points[:, 0, HEAD]
    flicker = realign(hidden(clip, 4, 8), face, mode="character").poses.points[:, 0, HEAD]
    np.testing.assert_allclose(flicker, whole, atol=0.01)
    cut = hidden(clip, slice(None), 8, 9, 10, 11, 12, 13, 18, 19)
    points, scores = cut.points.copy(), cut.scores.copy()
    points[4, 0, 8], scores[4, 0, 8] = (320, 150), 0.3
    once = realign(replace(cut, points=points, scores=scores), face, mode="character").poses.points[:, 0]
    never = realign(cut, face, mode="character").poses.points[:, 0]
    np.testing.assert_allclose((once[:, HEAD] - once[:, 1:2])[:4], (never[:, HEAD] - never[:, 1:2])[:4], atol=0.01)


def test_a_head_before_a_trunk_that_lies_flat_is_not_on_the_body():
    flat = {n: (200 + (y - 100), 100 - (x - 200)) for n, (x, y) in STANDING.items()} | turned(yaw=0, neck=40.0)
    result = realign(figure_of(yaw=0), pose(flat), mode="character")
    middle = head(result.poses).middle[0, 0] - result.poses.points[0, 0, 1] @ (1, 1j)
    assert abs(middle + 40j) < 4


def test_without_ears_the_eyes_tell_the_middle():
    """Joints by hand have no ears more often than not. Seen from the front the face has its layout."""
    anchor = pose(without(STANDING | turned(yaw=0, size=3.0, neck=90.0), 16, 17))
    result = realign(DRIVER, anchor, mode="character")
    assert result.modes == ("character",)
    expected = pose(STANDING | turned(yaw=0, size=3.0, neck=90.0)).points[0, 0]
    off = result.poses.points[0, 0, HEAD] - expected[list(HEAD)]
    assert np.ptp(off, axis=0).max() < 0.01 and np.abs(off).max() < 4  # a turned head's eyes are farther from the neck


def test_without_a_head_to_compare_it_is_full_and_says_so():
    faceless = pose(without(STANDING, 14, 16, 17))
    for driver, anchor in ((DRIVER, faceless), (faceless, DRIVER)):
        result = realign(driver, anchor, mode="character")
        assert result.modes == ("full",) and "neither by ears nor by both eyes" in result.reasons[0]
        np.testing.assert_array_equal(result.poses.points, realign(driver, anchor).poses.points)


def test_who_shall_have_no_head_is_fitted_as_asked():
    headless = pose(without(STANDING, *HEAD))
    result = realign(DRIVER, headless, mode="character", drop_absent=True)
    assert result.modes == ("character",) and "head" in result.dropped[0] and "as asked" in result.reasons[0]


def test_a_head_that_is_held_back_is_named_and_marked():
    result = realign(DRIVER, figure_of(yaw=0, size=30.0, neck=45.0), mode="character")
    assert "held back by its limit: neck to nose, right eye, left eye, right ear, left ear" in result.reasons[0]
    assert result.clamped[:, 0, HEAD].all() and not result.clamped[:, 0, 1:14].any()


def test_a_face_of_its_own_ratio_that_is_held_back_is_marked():
    def faced(poses, spread):
        points, scores = poses.points.copy(), poses.scores.copy()
        points[..., FACE, :] = points[..., :1, :] + np.random.default_rng(0).normal(0, spread, (1, 1, 68, 2))
        scores[..., FACE] = 1
        return replace(poses, points=points, scores=scores)

    result = realign(faced(DRIVER, 1), faced(figure_of(yaw=0), 30), mode="character")
    assert result.clamped[:, 0, FACE].all() and not result.clamped[:, 0, HEAD].any()
    assert "held back by its limit: face" in result.reasons[0]


def test_a_body_that_cannot_be_compared_is_scaled_as_ever():
    result = realign(DRIVER, pose({n: STANDING[n] for n in (0, 1, 16, 17)}), mode="character")
    assert result.modes == ("similarity",)


def test_the_face_goes_with_the_nose():
    points, scores = DRIVER.points.copy(), DRIVER.scores.copy()
    points[..., FACE, :] = points[..., :1, :] + np.random.default_rng(0).normal(0, 3, (1, 1, 68, 2))
    scores[..., FACE] = 1
    result = realign(replace(DRIVER, points=points, scores=scores), figure_of(yaw=0, size=2.0), mode="character").poses
    offsets = result.points[:, 0, FACE] - result.points[:, 0, :1]
    factor = offsets / (points[:, 0, FACE] - points[:, 0, :1])
    assert np.ptp(factor) < 0.05 * abs(factor.mean()) and factor.mean() > 1.5


def test_limbs_are_as_in_full(batch):
    """From shoulders and hips on: where those are is the trunk's matter, and where all of it stands."""
    driver, anchor, result = batch
    full = realign(driver, anchor, mode="full", correct=False)
    for root, limb in ((2, (3, 4, *range(41, 62))), (5, (6, 7, *range(20, 41))), (8, (9, 10, 19)), (11, (12, 13, 18))):
        there = np.broadcast_to(
            (result.poses.present & full.poses.present)[..., [root]], (*driver.scores.shape[:2], len(limb))
        )
        mine, theirs = (p.points[..., limb, :] - p.points[..., [root], :] for p in (result.poses, full.poses))
        same = there & ~(result.clamped | full.clamped)[..., limb] & ~(result.clamped | full.clamped)[..., [root]]
        same &= (result.poses.present & full.poses.present)[..., limb]
        assert same.any()
        np.testing.assert_allclose(mine[same], theirs[same], rtol=1e-4, atol=0.02)
    np.testing.assert_array_equal(result.poses.scores, full.poses.scores)
    assert "character" in result.modes


def test_it_is_finite_and_a_figure_fitted_to_itself_is_the_identity(batch):
    driver, _, result = batch
    assert np.isfinite(result.poses.points).all() and np.isfinite(result.ratios).all()
    own = realign(driver, driver, mode="character")
    keep = ~own.clamped & usable(driver)
    assert keep.sum() > 0.8 * keep.size
    np.testing.assert_array_equal(own.poses.points[keep], driver.points[keep])


def test_it_follows_the_anchor_and_ignores_where_the_driver_is(batch):
    driver, anchor, result = batch
    keep = ~result.clamped & result.poses.present & (np.array(result.modes) != "identity")[:, None]
    elsewhere = realign(moved(driver, 2.0, 100, -60), anchor, mode="character", correct=False)
    same = keep & ~elsewhere.clamped
    assert same.sum() > 0.9 * keep.sum()
    np.testing.assert_allclose(elsewhere.poses.points[same], result.poses.points[same], rtol=1e-3, atol=0.5)
    there = realign(driver, moved(anchor, 1.5, 90, -40), mode="character", correct=False)
    same = keep & ~there.clamped
    expected = result.poses.points.astype(np.float64) * 1.5 + (90, -40)
    np.testing.assert_allclose(there.poses.points[same], expected[same], rtol=1e-3, atol=0.5)


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("clip", ["dance_60", "fashion_76"])
def test_real_motion_keeps_limbs_and_moves_heads_smoothly(name, clip):
    """No head jumps by more than its own size farther than the driver's does between two frames."""
    motion = load_openpose(DATA / f"{clip}.json")
    character = rescale(load_openpose(DATA / "fashion_76.json").frames(slice(0, 1)), PRESETS[name]).poses
    result = realign(motion, character, mode="character", drop_absent=True)
    assert result.modes == ("character",)
    step = np.linalg.norm(np.diff(head_points(result.poses), axis=0), axis=-1)
    own = np.linalg.norm(np.diff(head_points(motion), axis=0), axis=-1) * result.ratios[0, list(HEAD)].max()
    width = np.abs(character.points[0, 0, 16] - character.points[0, 0, 17]).max()
    assert (step < own + width).all()


def head_points(poses: PoseSequence) -> np.ndarray:
    """Points of the head from the neck, [F, 5, 2]."""
    return poses.points[:, 0, HEAD] - poses.points[:, 0, 1:2]
