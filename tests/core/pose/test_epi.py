"""The Explicit Pose Indicator: exact properties on 10,000 random skeletons, and what it does to real motion."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from animatex_core.pose import realign as realign_module
from animatex_core.pose.epi import PRESETS, Rescale, realign, rescale
from animatex_core.pose.io import load_openpose
from animatex_core.pose.keypoints import FACE, LEFT_HAND, POINTS, RIGHT_HAND, PoseSequence
from animatex_core.pose.skeleton import COLUMN, LEVELS, LIMITS, NECK, PARENT

DATA = Path(__file__).parents[2] / "data" / "poses"
WIDTH, HEIGHT = 512, 768
MANY = 10_000
BONES = np.flatnonzero(PARENT >= 0)
# people of one frame, each with an anchor of their own; and one person's clip with one anchor
BATCHES = {"people": (1, MANY), "clip": (MANY, 1)}


def random_skeletons(seed, frames, people):
    """Points all over and around the canvas; a tenth missing, some coincident, infinite, NaN or absurdly far away."""
    rng = np.random.default_rng(seed)
    shape = (frames, people, POINTS)
    points = rng.uniform(-0.5, 1.5, (*shape, 2)) * (WIDTH, HEIGHT)
    scores = np.where(rng.random(shape) < 0.1, 0, rng.uniform(0.05, 1, shape))
    coincident = rng.random(shape) < 0.03
    for children, parents in LEVELS:
        points[..., children, :] = np.where(
            coincident[..., children, None], points[..., parents, :], points[..., children, :]
        )
    points[rng.random(shape) < 0.01] = np.inf
    points[rng.random(shape) < 0.01] = (-np.inf, 10)
    points[rng.random(shape) < 0.01] = np.nan
    points[rng.random(shape) < 0.01] = 1e30
    scores[rng.random(shape) < 0.005] = np.nan
    scores[:, rng.random(people) < 0.01] = 0
    return PoseSequence(points.astype(np.float32), scores.astype(np.float32), WIDTH, HEIGHT)


def moved(poses, factor, x, y):
    points = (poses.points.astype(np.float64) * factor + (x, y)).astype(np.float32)
    return replace(poses, points=points, width=round(poses.width * factor), height=round(poses.height * factor))


def bones(poses):
    """Every bone [F, P, bones, 2] float64, and whether both of its ends are there."""
    points = np.where(usable(poses)[..., None], poses.points, 0).astype(np.float64)
    bone = points[:, :, BONES] - points[:, :, PARENT[BONES]]
    return bone, poses.present[:, :, BONES] & poses.present[:, :, PARENT[BONES]]


def free(clamped):
    """Bones [F, P, bones] neither end of which was clamped."""
    return ~(clamped[:, :, BONES] | clamped[:, :, PARENT[BONES]])


def usable(poses):
    return poses.present & np.isfinite(poses.points).all(-1) & (np.abs(poses.points) < 1e6).all(-1)


def lengths(bone):
    return np.hypot(bone[..., 0], bone[..., 1])


def posed_anew(poses, seed):
    """One frame a person with the same bone lengths and other directions; hands and faces turn as a whole."""
    rng = np.random.default_rng(seed)
    angle = np.zeros((1, poses.people, POINTS))
    angle[..., :20] = rng.uniform(0, 2 * np.pi, (1, poses.people, 20))
    for part in (LEFT_HAND, RIGHT_HAND, FACE):
        angle[..., part] = rng.uniform(0, 2 * np.pi, (1, poses.people, 1))
    good = usable(poses)
    z = np.where(good[..., None], poses.points, 0).astype(np.float64).view(np.complex128)[..., 0]
    new = np.empty_like(z)
    new[..., NECK] = z[..., NECK]
    for children, parents in LEVELS:
        turn = np.exp(1j * angle[..., children])
        new[..., children] = new[..., parents] + (z[..., children] - z[..., parents]) * turn
    points = new.view(np.float64).reshape(*new.shape, 2).astype(np.float32)
    return replace(poses, points=points, scores=np.where(good, poses.scores, 0).astype(np.float32))


@pytest.fixture(scope="module", params=BATCHES)
def batch(request):
    """Driver, anchor and the result of realigning them."""
    frames, people = BATCHES[request.param]
    driver, anchor = random_skeletons(1, frames, people), random_skeletons(2, 1, people)
    if people == 1:  # the one anchor of the clip is a whole one
        anchor = random_skeletons(3, 1, people)
        rng = np.random.default_rng(4)
        whole = rng.uniform(0, 1, anchor.points.shape) * (WIDTH, HEIGHT)
        anchor = replace(anchor, points=whole.astype(np.float32), scores=np.ones_like(anchor.scores))
    return driver, anchor, realign(driver, anchor, correct=False)


def test_the_batch_holds_what_it_should(batch):
    driver, _, result = batch
    assert driver.points.shape[0] * driver.people == MANY
    assert np.isnan(driver.points).any() and np.isinf(driver.points).any() and (driver.points > 1e29).any()
    assert set(result.modes) == ({"full", "similarity", "identity"} if driver.people > 1 else {"full"})
    assert 0.01 < result.clamped.mean() < 0.9


def test_everything_is_finite_and_within_the_clamps(batch):
    driver, _, result = batch
    poses = result.poses
    assert np.isfinite(poses.points).all() and np.isfinite(poses.scores).all()
    assert poses.scores.min() >= 0 and poses.scores.max() <= 1
    assert not poses.points[~poses.present].any()
    assert (np.abs(poses.points[..., 0] - WIDTH / 2) <= 4.5 * WIDTH * 1.0001).all()
    assert (np.abs(poses.points[..., 1] - HEIGHT / 2) <= 4.5 * HEIGHT * 1.0001).all()
    relative = result.ratios / result.scale[:, None]
    full = np.array(result.modes) == "full"
    inner = np.arange(POINTS) != NECK
    low, high = LIMITS[COLUMN].T
    assert (relative[full][:, inner] >= low[inner] * 0.999).all()
    assert (relative[full][:, inner] <= high[inner] * 1.001).all()
    np.testing.assert_array_equal(poses.present, usable(driver))


def test_bad_numbers_are_in_the_mask(batch):
    driver, _, result = batch
    assert result.clamped[(driver.scores > 0) & ~usable(driver)].all()


def test_a_figure_realigned_to_itself_is_the_identity(batch):
    driver, _, _ = batch
    result = realign(driver, driver)
    keep = ~result.clamped & usable(driver)
    assert keep.sum() > 0.8 * keep.size
    np.testing.assert_array_equal(result.poses.points[keep], driver.points[keep])
    np.testing.assert_array_equal(result.poses.scores[keep], driver.scores[keep])


@pytest.mark.parametrize("correct", [True, False])
def test_an_anchor_with_the_drivers_lengths_in_another_pose_changes_no_bone(correct):
    driver = random_skeletons(1, 1, MANY)
    result = realign(driver, posed_anew(driver, 5), correct=correct)
    before, there = bones(driver)
    after, kept = bones(result.poses)
    check = there & kept & free(result.clamped)
    assert check.sum() > 0.7 * check.size
    np.testing.assert_allclose(after[check], before[check], rtol=1e-3, atol=0.02)


def test_bone_lengths_have_the_anchors_ratios(batch):
    driver, anchor, result = batch
    old, there = bones(driver)
    new, kept = bones(result.poses)
    check = there & kept & free(result.clamped)
    ratio = np.broadcast_to(result.ratios[:, BONES], check.shape)
    assert check.sum() > 0.1 * check.size
    np.testing.assert_allclose(lengths(new)[check], (lengths(old) * ratio)[check], rtol=1e-3, atol=0.02)
    if driver.people == 1:
        return
    # one frame against one frame: a body bone simply has the anchor's length (one of no length tells nothing)
    target, measured = bones(anchor)
    full = (np.array(result.modes) == "full")[None, :, None]
    body = check & measured & full & usable(anchor)[:, :, BONES] & usable(anchor)[:, :, PARENT[BONES]] & (BONES < 20)
    body &= (lengths(old) > 2) & (lengths(target) > 0)
    assert body.sum() > 10_000
    np.testing.assert_allclose(lengths(new)[body], lengths(target)[body], rtol=2e-3, atol=0.05)


def test_unclamped_points_are_where_they_would_be_without_limits(batch, monkeypatch):
    driver, anchor, result = batch
    monkeypatch.setattr(realign_module, "LIMITS", np.broadcast_to(np.float32([0, np.inf]), LIMITS.shape))
    unlimited = realign(driver, anchor, correct=False)
    full = (np.array(result.modes) == "full") & (np.array(unlimited.modes) == "full")
    keep = ~result.clamped & ~unlimited.clamped & usable(driver) & full[:, None]
    keep &= keep[..., NECK, None]
    here, there = (p.points - p.points[..., NECK, None, :] for p in (result.poses, unlimited.poses))
    assert 0.05 * keep.size < keep.sum()
    np.testing.assert_allclose(here[keep], there[keep], rtol=1e-3, atol=0.05)


def test_directions_are_the_drivers(batch):
    driver, _, result = batch
    old, there = bones(driver)
    new, kept = bones(result.poses)
    check = there & kept & free(result.clamped) & (lengths(old) > 5) & (lengths(new) > 5)
    cosine = (old * new).sum(-1)[check] / (lengths(old) * lengths(new))[check]
    assert check.sum() > 0.1 * check.size
    assert cosine.min() > 1 - 1e-6


def test_the_result_follows_the_anchor_and_ignores_where_the_driver_is(batch):
    driver, anchor, result = batch
    placed = np.array(result.modes) != "identity"  # who has no anchor keeps to the driver
    keep = ~result.clamped & result.poses.present & placed[:, None]
    elsewhere = realign(moved(driver, 2.0, 100, -60), anchor, correct=False)
    same = keep & ~elsewhere.clamped
    assert same.sum() > 0.9 * keep.sum()
    np.testing.assert_allclose(elsewhere.poses.points[same], result.poses.points[same], rtol=1e-3, atol=0.5)
    there = realign(driver, moved(anchor, 1.5, 90, -40), correct=False)
    same = keep & ~there.clamped
    assert same.sum() > 0.9 * keep.sum()
    expected = result.poses.points.astype(np.float64) * 1.5 + (90, -40)
    np.testing.assert_allclose(there.poses.points[same], expected[same], rtol=1e-3, atol=0.5)


SHAPE = Rescale(body=0.6, shoulders=1.5, neck=0.5, face=2.0, arms=0.4, legs=1.3, hands=0.7, feet=1.2, size=0.9)


@pytest.fixture(scope="module", params=BATCHES)
def reshaped(request):
    poses = random_skeletons(6, *BATCHES[request.param])
    return poses, rescale(poses, SHAPE)


def test_rescaling_keeps_directions_and_multiplies_lengths(reshaped):
    poses, result = reshaped
    assert np.isfinite(result.poses.points).all()
    np.testing.assert_array_equal(result.poses.present, usable(poses))
    old, there = bones(poses)
    new, kept = bones(result.poses)
    factor = SHAPE.columns()[COLUMN][BONES]
    check = there & kept & free(result.clamped)
    assert check.sum() > 0.6 * check.size
    np.testing.assert_allclose(new[check], (old * factor[:, None])[check], rtol=1e-3, atol=0.02)


def test_rescaling_follows_translation_and_scale(reshaped):
    poses, result = reshaped
    other = rescale(moved(poses, 2.0, 100, -60), SHAPE)
    keep = ~result.clamped & ~other.clamped & result.poses.present
    expected = result.poses.points.astype(np.float64) * 2 + (100, -60)
    np.testing.assert_allclose(other.poses.points[keep], expected[keep], rtol=1e-3, atol=0.5)


def test_rescaling_by_nothing_is_the_identity(reshaped):
    poses, _ = reshaped
    result = rescale(poses, Rescale())
    keep = ~result.clamped & usable(poses)
    assert keep.sum() > 0.8 * keep.size
    np.testing.assert_array_equal(result.poses.points[keep], poses.points[keep])


@pytest.fixture(scope="module", params=["dance_60", "fashion_76"])
def motion(request):
    return load_openpose(DATA / f"{request.param}.json")


def foreshortening_error(before, after):
    """By how many pixels any bone strays from a constant times the driver's own length, and its worst turn (cosine)."""
    old, there = bones(before)
    new, kept = bones(after)
    check = there & kept
    a, b = np.where(check, lengths(old), 0), np.where(check, lengths(new), 0)
    factor = (a * b).sum(0) / np.maximum((a * a).sum(0), 1e-9)
    long = check & (a > 3) & (b > 3)
    cosine = (old * new).sum(-1)[long] / (lengths(old) * lengths(new))[long]
    return np.abs(b - factor * a).max(), cosine.min(), check


@pytest.mark.parametrize("name", PRESETS)
def test_real_motion_on_every_preset_stays_connected_and_keeps_its_foreshortening(motion, name):
    shape = PRESETS[name]
    result = rescale(motion, shape)
    error, cosine, check = foreshortening_error(motion, result.poses)
    assert error < 0.01 and cosine > 1 - 1e-6
    assert not result.clamped.any()
    # every point that is still there hangs on a bone of the length its factor says: nothing floats
    old, _ = bones(motion)
    new, _ = bones(result.poses)
    factor = shape.columns()[COLUMN][BONES]
    np.testing.assert_allclose(lengths(new)[check], (lengths(old) * factor)[check], rtol=1e-3, atol=0.01)


@pytest.mark.parametrize("name", PRESETS)
def test_real_motion_realigned_to_a_single_frame_of_every_preset(motion, name):
    """The character is one frame of another person, reshaped: what a creator's reference picture gives."""
    other = load_openpose(DATA / "fashion_76.json").frames(slice(0, 1))
    character = rescale(other, PRESETS[name]).poses
    result = realign(motion, character, drop_absent=True)
    assert result.modes == ("full",)
    error, cosine, check = foreshortening_error(motion, result.poses)
    assert error < 0.01 and cosine > 1 - 1e-6
    gone = ~character.present[0, 0, :18]
    assert not result.poses.present[:, 0, :18][:, gone].any()
    assert check.any()


@pytest.mark.parametrize("name", [name for name, shape in PRESETS.items() if "legs" not in shape.drop])
def test_the_feet_keep_to_the_drivers_path(name):
    """The lower ankle moves along the driver's path, scaled by the legs: no floating, no sinking."""
    motion = load_openpose(DATA / "dance_60.json")
    ankles = motion.points[:, 0, [10, 13]].astype(np.float64)
    lower = ankles[..., 1].argmax(1)[:, None, None]
    apart = np.abs(ankles[:, 0, 1] - ankles[:, 1, 1]) > 50  # else both carry the figure
    assert apart.sum() >= 5
    old = np.take_along_axis(ankles, lower, 1)[:, 0]
    new = np.take_along_axis(rescale(motion, PRESETS[name]).poses.points[:, 0, [10, 13]].astype(np.float64), lower, 1)
    strays = (new[:, 0] - old * PRESETS[name].legs * PRESETS[name].size)[apart]
    assert np.ptp(strays, axis=0).max() < 5
