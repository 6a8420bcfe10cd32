"""Mascots: a suit hides head and trunk and has the face; limbs and motion stay a human's."""

import numpy as np
import pytest
from animatex_training.synthetic.body import Human
from animatex_training.synthetic.cast import draw_looks, draw_mascot
from animatex_training.synthetic.costumes import Costume, Dressed, Extent
from animatex_training.synthetic.mascots import Suit, draw_mascot_costume, draw_suit
from animatex_training.synthetic.skeleton import INDEX

from animatex_core.pose.rescale import Rescale

SHAPE = {"gender": 0.5, "age": 0.6, "height": 0.5, "weight": 0.5}
TURN = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])  # left becomes back
STRAIGHT = np.tile(np.eye(3), (1, len(INDEX), 1, 1))
EGG = np.array([(0, 0), (0.5, 1), (1, 0.5)])
HEAD = Extent("Head", np.array([0.0, 0, 0.1]), np.array([0.1, 0.1, 0.15]))
TRUNK = Extent("Spine", np.array([0.0, 0, 0.1]), np.array([0.2, 0.15, 0.4]))


def human(body_model, **factors):
    return Human(body_model, SHAPE, draw_looks(np.random.default_rng(0)).clothes, Rescale(**factors))


@pytest.mark.parametrize(("square", "across", "up", "expected"), [
    (False, 0.6, 0.5, (0.6, -1.6, 0)),  # where it is widest
    (False, 0, 0.75, (0, -1.5, 1.5)),  # three quarters as wide
    (True, 0.6, 0.75, (0.6, -2, 1.5)),
])  # fmt: skip
def test_the_front_of_a_suit(square, across, up, expected):
    suit = Suit(EGG, np.array([1.0, 2, 3]), np.array([0.0, 0, 0]), square)
    np.testing.assert_allclose(suit.front(across, up), expected, atol=1e-9)
    low, high = suit.mesh().vertices.min(0), suit.mesh().vertices.max(0)
    np.testing.assert_allclose(high, (1, 2, 3), rtol=0.01)
    np.testing.assert_allclose(low, (-1, -2, -3), rtol=0.01)


def test_suits_reach_from_the_hips_to_about_the_crown_and_are_wider_than_the_trunk():
    rng, squares = np.random.default_rng(0), 0
    apart = np.array([0, 0, 0.7])  # the crown is 0.95 above the spine, the hips 0.3 below it
    for _ in range(60):
        suit = draw_suit(HEAD, TRUNK, apart, rng)
        assert suit.middle[2] - suit.half[2] == pytest.approx(-0.3)
        assert -0.3 + 0.75 * 1.25 <= suit.middle[2] + suit.half[2] <= -0.3 + 1.15 * 1.25
        assert (suit.half[:2] > TRUNK.half[:2]).all() and suit.outline[:, 1].max() == 1
        squares += suit.square
    assert 3 <= squares <= 20


def test_a_face_turns_with_the_joint_that_bears_it(body_model):
    who = Dressed(human(body_model), Costume(marks={0: np.array([1.0, 0, 0])}, face="Spine"))
    rotations = STRAIGHT.copy()
    rotations[0, INDEX["Spine"]] = TURN
    posed, (_, joints) = who.pose(rotations), who.human.with_joints(rotations)
    np.testing.assert_allclose(posed.points[0, 0], joints[0, INDEX["Spine"]] + (0, 1, 0), atol=1e-9)
    np.testing.assert_allclose(posed.front[0], (1, 0, 0), atol=1e-9)


def test_what_is_inside_is_not_drawn(body_model):
    body = human(body_model)
    who = Dressed(body, Costume(hides=("Head", "Neck", "Neck1")))
    names = np.array(body_model.bones)[body_model.dominant]
    assert (names[np.unique(body.faces)] == "Head").any()
    assert not (names[who.faces] == "Head").all(1).any()
    assert who.standing < body.standing - 0.1


def test_mascots_leave_the_joints_of_the_body(body_model):
    body, rng, faces = human(body_model, legs=0.5), np.random.default_rng(1), set()
    own = body.pose(STRAIGHT).points
    for _ in range(20):
        costume = draw_mascot_costume(body, ((1.0, 0.0, 0.0),), rng)
        points = Dressed(body, costume).pose(STRAIGHT).points
        others = [n for n in range(20) if n not in costume.marks]
        np.testing.assert_array_equal(points[:, others], own[:, others])
        assert set(costume.marks) == {0, 14, 15, 16, 17}
        nose, right, left = (costume.marks[n] for n in (0, 14, 15))
        assert right[0] < nose[0] < left[0] and nose[2] < left[2] and max(nose[1], left[1]) < 0
        faces.add(costume.face)
    assert faces == {"Head", "Spine"}


def test_some_mascots_have_no_arms(body_model):
    found = [draw_mascot(body_model, np.random.default_rng([3, number]))[0].human for number in range(12)]
    assert 1 <= sum(body.lacks("LeftArm") for body in found) <= 8


def test_girth_changes_the_thickness_of_limbs_alone(body_model):
    clothes = draw_looks(np.random.default_rng(0)).clothes
    thick, thin = (Human(body_model, SHAPE, clothes, Rescale(), girth) for girth in (1.0, 0.5))
    joints = [body.with_joints(STRAIGHT)[1] for body in (thick, thin)]
    np.testing.assert_allclose(*joints, atol=1e-6)
    shin = np.array(body_model.bones)[body_model.dominant] == "LeftLeg"
    wide = [float(np.ptp(body.pose(STRAIGHT).vertices[0, shin, 0])) for body in (thick, thin)]
    assert wide[1] < 0.75 * wide[0]
