"""Mascots: a suit hides head and trunk and has the face; limbs and motion stay a human's."""

import numpy as np
import pytest
from animatex_training.synthetic.body import Human
from animatex_training.synthetic.cast import draw_looks, draw_mascot
from animatex_training.synthetic.costumes import DARK, Costume, Dressed, Extent
from animatex_training.synthetic.mascots import Suit, draw_mascot_costume, draw_suit
from animatex_training.synthetic.skeleton import INDEX

from animatex_core.pose.rescale import Rescale

SHAPE = {"gender": 0.5, "age": 0.6, "height": 0.5, "weight": 0.5}
TURN = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])  # left becomes back
STRAIGHT = np.tile(np.eye(3), (1, len(INDEX), 1, 1))
GREY = (0.5, 0.5, 0.5)
EGG = np.array([(0, 0), (0.5, 1), (1, 0.5)])
HEAD = Extent("Head", np.array([0.0, 0, 0.1]), np.array([0.1, 0.1, 0.15]))
TRUNK = Extent("Spine", np.array([0.0, 0, 0.1]), np.array([0.2, 0.15, 0.4]))


def human(body_model, **factors):
    return Human(body_model, SHAPE, draw_looks(np.random.default_rng(0)).clothes, Rescale(**factors))


@pytest.mark.parametrize(("outline", "across", "up", "expected"), [
    (EGG, 0.6, 0.5, (0.6, -1.6, 0)),  # where it is widest
    (EGG, 0, 0.75, (0, -1.5, 1.5)),  # three quarters as wide
    (None, 0.6, 0.75, (0.6, -2, 1.5)),
])  # fmt: skip
def test_the_front_of_a_suit(outline, across, up, expected):
    suit = Suit(outline, np.array([1.0, 2, 3]), np.zeros(3))
    np.testing.assert_allclose(suit.front(across, up), expected, atol=1e-9)
    low, high = suit.mesh().vertices.min(0), suit.mesh().vertices.max(0)
    np.testing.assert_allclose(high, (1, 2, 3), rtol=0.01)
    np.testing.assert_allclose(low, (-1, -2, -3), rtol=0.01)


def test_suits_are_boxes_and_other_shapes_that_reach_from_the_hips_to_about_the_crown():
    rng, boxes = np.random.default_rng(0), 0
    apart = np.array([0, 0, 0.7])  # the crown is 0.95 above the spine, the hips 0.3 below it
    for _ in range(60):
        suit = draw_suit(HEAD, TRUNK, apart, rng)
        assert suit.middle[2] - suit.half[2] == pytest.approx(-0.3)
        assert -0.3 + 0.8 * 1.25 <= suit.middle[2] + suit.half[2] <= -0.3 + 1.15 * 1.25
        boxes += suit.outline is None
        if suit.outline is not None:
            assert suit.outline[:, 1].min() >= 0 and suit.outline[:, 1].max() == 1
    assert 3 <= boxes <= 20


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


def costumes(body, count=20):
    rng = np.random.default_rng(1)
    return [draw_mascot_costume(body, (GREY,), rng) for _ in range(count)]


def test_mascots_leave_the_joints_of_the_body(body_model):
    body, faces = human(body_model, legs=0.5), set()
    own = body.pose(STRAIGHT).points
    for costume in costumes(body):
        points = Dressed(body, costume).pose(STRAIGHT).points
        others = [n for n in range(20) if n not in costume.marks]
        np.testing.assert_array_equal(points[:, others], own[:, others])
        assert set(costume.marks) == {0, 14, 15, 16, 17}
        nose, right, left = (costume.marks[n] for n in (0, 14, 15))
        assert right[0] < nose[0] < left[0] and nose[2] < left[2] and max(nose[1], left[1]) < 0
        faces.add(costume.face)
    assert faces == {"Head", "Spine"}


@pytest.mark.parametrize(
    "factors", [{}, {"body": 0.6, "shoulders": 1.6, "face": 2.0}, {"legs": 0.4, "drop": ("arms",)}]
)
def test_nothing_of_the_body_is_before_the_eyes_and_no_piece_is_flat(body_model, factors):
    body = human(body_model, **factors)
    for costume in costumes(body):
        who = Dressed(body, costume)
        posed = who.pose(STRAIGHT)
        drawn = np.unique(who.faces[(who.faces < len(body.colours)).all(1)])
        assert all((np.ptp(piece.mesh.vertices, axis=0) > 0.005).all() for piece in costume.pieces)
        eyes = posed.points[0, [14, 15]]
        apart = eyes[1, 0] - eyes[0, 0]
        for eye in eyes:
            there = posed.vertices[0, drawn] - eye
            near = np.linalg.norm(there[:, [0, 2]], axis=1) < 0.2 * apart
            assert (there[near, 1] > -0.3 * apart).all()


def test_who_has_no_arms_has_no_shoulders_beside_a_suit(body_model):
    names = np.array(body_model.bones)[body_model.dominant]
    for drop, there in (((), True), (("arms",), False)):
        body = human(body_model, drop=drop)
        suits = [Dressed(body, costume) for costume in costumes(body) if costume.face == "Spine"]
        assert suits
        for who in suits:
            own = who.faces[(who.faces < len(names)).all(1)]
            assert np.char.endswith(names[own], "Shoulder").all(1).any() == there


def test_dark_suits_have_white_eyes(body_model):
    body, rng = human(body_model), np.random.default_rng(1)
    for _ in range(20):
        costume = draw_mascot_costume(body, (DARK,), rng)
        if costume.face == "Spine":
            assert any(min(piece.colour) > 0.9 for piece in costume.pieces)


def test_some_mascots_have_no_arms(body_model):
    found = [draw_mascot(body_model, np.random.default_rng([3, number]))[0].human for number in range(12)]
    assert 1 <= sum(body.lacks("LeftArm") for body in found) <= 8


def test_girth_changes_limbs_and_not_their_lengths(body_model):
    clothes = draw_looks(np.random.default_rng(0)).clothes
    thick, thin = (Human(body_model, SHAPE, clothes, Rescale(), girth).pose(STRAIGHT) for girth in (1.0, 0.5))
    np.testing.assert_allclose(thick.points, thin.points, atol=0.02)
    names = np.array(body_model.bones)[body_model.dominant]
    for bone, most in (("LeftLeg", 0.75), ("Head", 1.001), ("LeftFoot", 1.001)):
        wide = [float(np.ptp(posed.vertices[0, names == bone, 0])) for posed in (thin, thick)]
        assert wide[0] <= most * wide[1] and (bone == "LeftLeg" or wide[0] == pytest.approx(wide[1], rel=1e-3))


@pytest.mark.parametrize(("girth", "proportions"), [(0.5, None), (0.0, Rescale())])
def test_a_girth_that_is_none_is_an_error(body_model, girth, proportions):
    with pytest.raises(ValueError, match=f"girth must be above 0, and 1 without proportions, got {girth}"):
        Human(body_model, SHAPE, {}, proportions, girth)
