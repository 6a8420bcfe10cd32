"""Humans of other proportions: sizes of bones, and what is left out."""

import numpy as np
import pytest
from animatex_training.synthetic.body import Human
from animatex_training.synthetic.cast import draw_lengths, draw_looks, draw_rescaled
from animatex_training.synthetic.held_out import factors
from animatex_training.synthetic.motion import standing
from animatex_training.synthetic.proportions import bone_scales, missing_bones, skin
from animatex_training.synthetic.skeleton import INDEX

from animatex_core.pose.pool import TABLE
from animatex_core.pose.rescale import Rescale

SHAPE = {"gender": 0.5, "age": 0.6, "height": 0.5, "weight": 0.5}
CHAIN = ["Hips", "LeftUpLeg", "LeftLeg", "LeftFoot"]
REST = np.array([[0.0, 0.0, 4.0], [1.0, 0.0, 4.0], [1.0, 0.0, 2.0], [1.0, 0.0, 0.0]])


def human(body_model, **factors):
    looks = draw_looks(np.random.default_rng(0))
    return Human(body_model, SHAPE, looks.clothes, Rescale(**factors) if factors else None)


def chain(rotations=None, **factors):
    """A hip, a thigh, a shin and a foot, with a vertex at the middle of the thigh and one beside it."""
    vertices = np.array([[1.0, 0.0, 3.0], [1.5, 0.0, 3.0]])
    weights = {"bones": np.array([[1], [1]]), "shares": np.ones((2, 1))}
    world = np.tile(np.eye(3), (1, 4, 1, 1)) if rotations is None else rotations
    return skin(vertices, REST, world, [-1, 0, 1, 2], bone_scales(CHAIN, REST, Rescale(**factors)), weights)


def test_a_limb_takes_its_factor_along_the_bone_and_the_root_of_it_across():
    vertices, heads = chain(legs=0.25)
    hip = heads[0, 1]
    np.testing.assert_allclose(heads[0] - hip, [[-1, 0, 0], [0, 0, 0], [0, 0, -0.5], [0, 0, -1]])
    np.testing.assert_allclose(vertices[0] - hip, [[0, 0, -0.25], [0.25, 0, -0.25]])


def test_bones_keep_the_direction_that_the_motion_gives_them():
    turn = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])  # down becomes left
    world = np.tile(np.eye(3), (1, 4, 1, 1))
    world[0, 1] = turn
    _, heads = chain(world, legs=0.5)
    np.testing.assert_allclose(heads[0, 2] - heads[0, 1], turn @ (0, 0, -1.0), atol=1e-12)
    np.testing.assert_allclose(heads[0, 3] - heads[0, 2], (0, 0, -1.0), atol=1e-12)


def test_what_is_dropped_is_one_side_or_both_and_never_a_leg():
    bones = ["LowerBack", "LeftArm", "LeftForeArm", "LeftHand", "LThumb", "RightForeArm", "RThumb", "LeftLeg"]

    def gone(part):
        return [b for b, out in zip(bones, missing_bones(bones, part), strict=True) if out]

    assert gone("arms") == bones[1:7]
    assert gone("left arm") == bones[1:5]
    assert gone("right forearm") == ["RightForeArm", "RThumb"]
    assert gone("hands") == ["LeftHand", "LThumb", "RThumb"] and gone("left hand") == ["LeftHand", "LThumb"]
    assert gone("legs") == gone("shins") == gone("ears") == []


def test_without_factors_it_is_the_body_model_s_own_skinning(body_model):
    ours, its = human(body_model, legs=1.0), human(body_model)
    pose = standing().rotations
    np.testing.assert_allclose(ours.pose(pose).vertices, its.pose(pose).vertices, atol=2e-5)
    np.testing.assert_allclose(ours.pose(pose).points, its.pose(pose).points, atol=2e-5)


@pytest.mark.parametrize(
    ("operation", "factor", "slack"),
    [("legs", 0.4, 0.03), ("arms", 1.5, 0.06), ("face", 2.0, 0.02), ("body", 0.6, 0.1), ("shoulders", 1.5, 0.1)],
)
def test_lengths_of_a_human_take_their_factor(body_model, operation, factor, slack):
    """Joints are read from the skin, which blends at them: so not to the millimetre."""
    found = factors(human(body_model, **{operation: factor}), human(body_model))
    assert found[operation] == pytest.approx(factor, rel=slack)
    for other in {"legs", "arms", "face"} - {operation}:
        assert found[other] == pytest.approx(1, rel=0.05), other


def test_a_neck_is_longer_by_its_bones_alone(body_model):
    assert 1.2 < factors(human(body_model, neck=2.0), human(body_model))["neck"] < 1.7


def test_what_nothing_would_follow_is_refused(body_model):
    with pytest.raises(ValueError, match="hands must be 1, got 2"):
        human(body_model, hands=2.0)


def test_a_human_without_arms_has_no_points_of_them_and_fewer_faces(body_model):
    plain, armless = human(body_model), human(body_model, drop=("arms",))
    assert len(armless.faces) < 0.9 * len(plain.faces)
    points = armless.pose(standing().rotations).points[0]
    assert np.isnan(points[[3, 4, 6, 7]]).all() and not np.isnan(points[[2, 5, 8, 9, 10]]).any()


def test_parts_that_stay_keep_their_points(body_model):
    points = human(body_model, drop=("arms", "legs", "ears")).pose(standing().rotations).points[0]
    assert np.isnan(points[[3, 4, 6, 7]]).all() and not np.isnan(points[[9, 10, 12, 13, 16, 17, 18, 19]]).any()


def test_drawn_bodies_differ_in_every_length_and_stand_on_their_feet(body_model):
    rng, adult = np.random.default_rng(3), human(body_model)
    found = [draw_rescaled(body_model, rng)[0] for _ in range(12)]
    shapes = [factors(puppet, adult) for puppet in found]
    for name in ("body", "shoulders", "neck", "face", "arms", "legs"):
        lengths = [shape[name] for shape in shapes if name in shape]
        assert max(lengths) > 1.5 * min(lengths), name
    for puppet in found:
        heights = puppet.pose(np.tile(np.eye(3), (1, len(INDEX), 1, 1))).vertices[0, :, 2]
        assert heights[puppet.soles].min() == pytest.approx(heights.min(), abs=0.01 * puppet.standing)


def test_drawn_lengths_are_in_the_epis_ranges_and_uniform_where_they_are_said_to_be():
    rng = np.random.default_rng(0)
    drawn = [draw_lengths(rng) for _ in range(2000)]
    for line in TABLE:
        factors = np.array([getattr(shape, line.operation) for shape in drawn])
        changed = factors[factors != 1]
        assert 0.65 < len(changed) / len(drawn) < 0.75
        assert line.low <= changed.min() and changed.max() <= line.high
        middle = (
            (line.low + line.high) / 2
            if line.operation in ("body", "shoulders", "face")
            else np.sqrt(line.low * line.high)
        )
        assert 0.46 < (changed > middle).mean() < 0.54, line.operation
    assert not any(shape.add for shape in drawn) and 0.02 < np.mean([bool(shape.drop) for shape in drawn]) < 0.12
