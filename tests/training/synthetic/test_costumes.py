"""Humans dressed up: what is worn turns with its segment, and joints stay the body's."""

from types import SimpleNamespace

import numpy as np
import pytest
from animatex_training.synthetic.body import Human
from animatex_training.synthetic.cast import draw_figure, draw_looks, dressed
from animatex_training.synthetic.costumes import Costume, Dressed, Piece, draw_costume, extent
from animatex_training.synthetic.motion import standing
from animatex_training.synthetic.puppet import Posed
from animatex_training.synthetic.shapes import ball
from animatex_training.synthetic.skeleton import INDEX

from animatex_core.pose.rescale import Rescale

SHAPE = {"gender": 0.5, "age": 0.6, "height": 0.5, "weight": 0.5}
TURN = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])  # left becomes back
STRAIGHT = np.tile(np.eye(3), (1, len(INDEX), 1, 1))
RED = (1.0, 0.0, 0.0)


def stick():
    """A human of three vertices, whose every joint is two above its number."""
    heads = np.zeros((1, len(INDEX), 3))
    heads[..., 2] = np.arange(len(INDEX)) + 2
    body = Posed(np.array([[[0.0, 0, 0], [1, 0, 0], [0, 0, 1]]]), np.zeros((1, 20, 3)), np.array([[0.0, -1, 0]]))
    return SimpleNamespace(
        faces=np.array([[0, 1, 2]]), colours=np.zeros((3, 3)), leg=1.0, soles=np.array([0]),
        with_joints=lambda rotations: (body, heads),
    )  # fmt: skip


def human(body_model, **factors):
    looks = draw_looks(np.random.default_rng(0))
    return Human(body_model, SHAPE, looks.clothes, Rescale(**factors) if factors else None)


def test_a_piece_turns_with_its_segment_about_its_joint():
    who = Dressed(stick(), Costume((Piece("Head", ball(0.1).moved((1, 0, 0)), RED),)))
    rotations = STRAIGHT.copy()
    rotations[0, INDEX["Head"]] = TURN
    worn = who.pose(rotations).vertices[0, 3:]
    np.testing.assert_allclose(worn.mean(0), (0, 1, INDEX["Head"] + 2), atol=1e-9)
    assert (
        (who.colours[3:] == RED).all() and who.faces.max() == len(who.colours) - 1 and (who.faces[0] == [0, 1, 2]).all()
    )


def test_only_shoes_touch_the_ground_and_a_hat_makes_taller():
    plain = Dressed(stick(), Costume())
    shod = Dressed(stick(), Costume((Piece("LeftFoot", ball(0.1), RED), Piece("Head", ball(0.1), RED))))
    assert plain.standing == 1 and shod.standing == pytest.approx(2.1 + max(INDEX["Head"], INDEX["LeftFoot"]))
    first = len(plain.colours)
    assert list(plain.soles) == [0]
    assert list(shod.soles) == [0, *range(first, first + len(ball(0.1).vertices))]


def test_marks_of_a_face_that_is_put_on_replace_the_own_ones():
    who = Dressed(stick(), Costume(marks={0: np.array([1.0, 0, 0])}))
    rotations = STRAIGHT.copy()
    rotations[0, INDEX["Head"]] = TURN
    points = who.pose(rotations).points[0]
    np.testing.assert_allclose(points[0], (0, 1, INDEX["Head"] + 2), atol=1e-9)
    assert (points[1:] == 0).all()


def test_only_a_human_is_dressed_up():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="only a human can be dressed up, got Figure"):
        dressed(*draw_figure(rng), rng)


def test_drawn_costumes_leave_the_joints_of_the_body(body_model):
    who, rng, kinds = human(body_model), np.random.default_rng(1), set()
    pose = standing().rotations
    body = who.pose(pose).points
    for _ in range(40):
        costume = draw_costume(who, (RED,), rng)
        points = Dressed(who, costume).pose(pose).points
        others = [n for n in range(20) if n not in costume.marks]
        np.testing.assert_array_equal(points[:, others], body[:, others])
        assert set(costume.marks) in (set(), {0, 14, 15, 16, 17})
        kinds |= {piece.joint for piece in costume.pieces}
    assert {"Head", "Spine", "Hips", "LeftArm", "RightLeg", "LeftFoot", "RightHand"} <= kinds


def test_who_has_no_arms_wears_nothing_on_them(body_model):
    who, rng, kinds = human(body_model, drop=("right forearm",)), np.random.default_rng(1), set()
    for _ in range(40):
        kinds |= {piece.joint for piece in draw_costume(who, (RED,), rng).pieces}
    assert "LeftForeArm" in kinds and "LeftHand" in kinds
    assert not kinds & {"RightArm", "RightForeArm", "RightHand"}


def test_a_false_head_hides_the_own_one_and_its_face_is_on_its_front(body_model):
    who, rng = human(body_model, face=1.8), np.random.default_rng(5)
    rest, joints = who.with_joints(STRAIGHT)
    own = extent(who, rest.vertices[0], ("Head",), "Head", joints[0, INDEX["Head"]])
    found = [costume for costume in (draw_costume(who, (RED,), rng) for _ in range(40)) if costume.marks]
    assert 10 < len(found) < 30
    for costume in found:
        head = next(piece for piece in costume.pieces if piece.joint == "Head")
        low, high = head.mesh.vertices.min(0), head.mesh.vertices.max(0)
        assert (high - low >= 2 * own.half).all()
        assert low[0] < costume.marks[14][0] < 0 < costume.marks[15][0] < high[0]
        assert low[1] < costume.marks[0][1] < own.middle[1] and low[2] < costume.marks[0][2] < costume.marks[14][2]
