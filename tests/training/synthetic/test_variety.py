"""Motions made of motions: rotations stay rotations, hinges bend one way, limbs come from lenders."""

import numpy as np
import pytest
from animatex_training.synthetic import sources, training_clips
from animatex_training.synthetic.__main__ import main
from animatex_training.synthetic.cast import LENDING_MOTIONS, TRAINING_MOTIONS
from animatex_training.synthetic.motion import standing
from animatex_training.synthetic.skeleton import INDEX, JOINTS, PARENT, SIDES
from animatex_training.synthetic.training_clips import draw_motion
from animatex_training.synthetic.variety import vary
from scipy.spatial.transform import Rotation

from tests.training.synthetic.recordings import wild_motion


def relative(motion, joint):
    """The turn of a segment against the one that it hangs on."""
    own, parent = (motion.rotations[:, INDEX[name]] for name in (joint, PARENT[joint]))
    return Rotation.from_matrix(parent.swapaxes(1, 2) @ own)


def still(frames=16):
    one = standing()
    return type(one)("still", *(np.repeat(v, frames, 0) for v in (one.rotations, one.path, one.clearance)), 12.0)


def test_what_comes_out_is_a_motion_of_the_same_length_made_of_rotations():
    motion = wild_motion()
    made = vary(motion, [motion, motion.mirrored()], np.random.default_rng(1))
    assert len(made) == len(motion) and made.fps == motion.fps
    squares = made.rotations @ made.rotations.swapaxes(-1, -2)
    np.testing.assert_allclose(squares, np.broadcast_to(np.eye(3), squares.shape), atol=1e-9)
    np.testing.assert_allclose(np.linalg.det(made.rotations), 1, atol=1e-9)
    np.testing.assert_array_equal(made.clearance, motion.clearance)


@pytest.mark.parametrize(("lenders", "found"), [([], "none"), ([still(16), still(8)], "16, 8")])
def test_lenders_are_as_long_as_the_motion(lenders, found):
    with pytest.raises(ValueError, match=f"motion still: expected lenders of 16 frames, got {found}"):
        vary(still(), lenders, np.random.default_rng(0))


def test_a_seed_makes_the_same_and_another_one_another():
    motion = still()
    once, again, other = (vary(motion, [motion], np.random.default_rng(seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(once.rotations, again.rotations)
    assert np.abs(once.rotations - other.rotations).max() > 0.1


@pytest.mark.parametrize("seed", range(8))
def test_knees_and_elbows_bend_the_way_they_do_in_people(seed):
    made = vary(still(), [still()], np.random.default_rng(seed))
    for side, sign in zip(SIDES, (-1, 1), strict=True):
        knee, elbow = (relative(made, side + part).as_rotvec() for part in ("Leg", "ForeArm"))
        assert knee[:, 0].min() >= -1e-9 and np.abs(knee[:, 1:]).max() < 1e-9
        assert (sign * elbow[:, 2]).min() >= -1e-9 and np.abs(elbow[:, :2]).max() < 1e-9


def bent(angle, frames=16):
    """Standing, with knees and elbows bent, elbows about slanted axes as CMU recordings have them."""
    motion = still(frames)
    rotations = motion.rotations.copy()
    for joint, axis in (("LeftLeg", (1, 0, 0)), ("RightLeg", (1, 0, 0)), *AXES.items()):
        chain = {"Leg": ("Leg", "Foot", "ToeBase"), "ForeArm": ("ForeArm", "Hand")}[
            joint.removeprefix("Left").removeprefix("Right")
        ]
        side = "Left" if joint.startswith("Left") else "Right"
        turn = rotations[0, INDEX[joint]] @ Rotation.from_rotvec(angle * np.array(axis)).as_matrix()
        rotations[:, [INDEX[side + part] for part in chain]] = turn
    return type(motion)("bent", rotations, motion.path, motion.clearance, motion.fps)


AXES = {"LeftForeArm": (0, -0.6, -0.8), "RightForeArm": (0, 0.6, 0.8)}


@pytest.mark.parametrize("seed", range(12))
def test_bent_hinges_keep_their_axis_and_stop_where_flesh_does(seed):
    made = vary(bent(2.2), [bent(2.2)], np.random.default_rng(seed))
    for joint, axis in (("LeftLeg", (1, 0, 0)), *AXES.items()):
        turn = relative(made, joint).as_rotvec()
        angle = np.linalg.norm(turn, axis=1)
        assert 2.2 - 1e-6 <= angle.min() and angle.max() <= 2.4 + 1e-6
        np.testing.assert_allclose(turn / angle[:, None], np.broadcast_to(axis, turn.shape), atol=1e-6)


def test_it_moves_smoothly():
    steps = [np.linalg.norm((a[1:] * a[:-1].inv()).as_rotvec(), axis=1).max() for a in _all_relative(range(6))]
    assert max(steps) < 0.9  # radians between two frames, 1/12 s apart


def _all_relative(seeds):
    for seed in seeds:
        made = vary(still(), [still()], np.random.default_rng(seed))
        for joint in JOINTS[1:]:
            yield relative(made, joint)


def test_arms_and_legs_of_lenders_are_taken_as_they_hang_on_the_body():
    lender, taken = wild_motion(), set()
    toes = relative(lender, "LeftToeBase").as_matrix(), relative(lender, "RightHand").as_matrix()
    for seed in range(30):
        made = vary(still(len(lender)), [lender], np.random.default_rng(seed))
        for name, joint, own in (("legs", "LeftToeBase", toes[0]), ("arms", "RightHand", toes[1])):
            if np.allclose(relative(made, joint).as_matrix(), own, atol=1e-9):
                taken.add(name)
    assert taken == {"legs", "arms"}


def test_bodies_face_anywhere_half_of_the_time():
    fronts = []
    for seed in range(60):
        made = vary(still(), [still()], np.random.default_rng(seed))
        fronts.append((made.rotations[0, INDEX["Hips"]] @ (0.0, -1.0, 0.0))[1])
    away = np.mean(np.array(fronts) > 0)
    assert 0.1 < away < 0.45


def test_a_share_of_motions_is_varied_and_none_by_default():
    recordings = {"wild": wild_motion()}
    plain = draw_motion(recordings, np.random.default_rng(5))
    same = draw_motion(recordings, np.random.default_rng(5), 0.0)
    changed = draw_motion(recordings, np.random.default_rng(5), 1.0)
    np.testing.assert_array_equal(plain.rotations, same.rotations)
    assert len(changed) == len(plain) and np.abs(changed.rotations - plain.rotations).max() > 0.1


@pytest.mark.parametrize("share", ["0.5", "0"])
def test_the_command_asks_for_the_share_and_for_lenders_who_are_not_upright(tmp_path, monkeypatch, share):
    asked = {}
    monkeypatch.setattr(sources, "load_motions", lambda names, folders: dict.fromkeys(names, still()))
    monkeypatch.setattr(training_clips, "write_clips", lambda out, found, **rest: asked.update(rest, found=set(found)))
    assert main(["clips", str(tmp_path / "out"), "--motions", str(tmp_path), "--varied", share]) == 0
    assert asked["varied"] == float(share) and asked["found"] == set(TRAINING_MOTIONS)
    lent = None if share == "0" else {*TRAINING_MOTIONS, *LENDING_MOTIONS}
    assert (asked["lenders"] and set(asked["lenders"])) == lent
