"""Motions: what is read from both kinds of files, and parts of it."""

import numpy as np
import pytest
from animatex_training.synthetic.bvh import read_bvh
from animatex_training.synthetic.deepmimic import read_deepmimic
from animatex_training.synthetic.motion import Motion, above_ground, standing
from animatex_training.synthetic.skeleton import INDEX, JOINTS, PARENT, about_up, rest_direction, turn_between
from animatex_training.synthetic.sources import load_motions

from tests.training.synthetic.recordings import wild_motion, write_bvh, write_deepmimic


def along(motion, joint, frame=0):
    """Where the limb that begins at a joint points."""
    return motion.rotations[frame, INDEX[joint]] @ rest_direction(joint)


def test_the_skeleton_is_a_tree_whose_parents_come_first():
    assert len(JOINTS) == 23 and JOINTS[0] == "Hips"
    assert all(parent in JOINTS[: INDEX[joint]] for joint, parent in PARENT.items() if parent)
    np.testing.assert_allclose(turn_between((1, 0, 0), (0, 0, -2)) @ (3, 0, 0), (0, 0, -3), atol=1e-12)


def test_a_spread_rest_pose_is_no_rotation_of_ours_but_a_direction_of_the_legs(tmp_path):
    motion = read_bvh(write_bvh(tmp_path / "rest.bvh"))
    assert len(motion) == 2 and motion.fps == pytest.approx(30)
    np.testing.assert_allclose(
        along(motion, "LeftUpLeg"), (np.sin(np.deg2rad(20)), 0, -np.cos(np.deg2rad(20))), atol=1e-6
    )
    np.testing.assert_allclose(along(motion, "RightForeArm"), (-1, 0, 0), atol=1e-6)
    np.testing.assert_allclose(motion.rotations[0, INDEX["Head"]], np.eye(3), atol=1e-9)


def test_a_turned_joint_turns_everything_after_it_and_nothing_else(tmp_path):
    motion = read_bvh(write_bvh(tmp_path / "m.bvh", [{"LeftArm": (0, 0, 0)}, {"LeftArm": (-90, 0, 0)}]))
    np.testing.assert_allclose(along(motion, "LeftForeArm", 1), (0, 0, -1), atol=1e-6)
    np.testing.assert_allclose(along(motion, "RightForeArm", 1), (-1, 0, 0), atol=1e-6)


def test_path_and_clearance_are_in_lengths_of_the_leg(tmp_path):
    places = [(0, 16, 0)] * 5 + [(7, 16, 14), (0, 16 + 14, 0)]
    motion = read_bvh(write_bvh(tmp_path / "m.bvh", places=places))
    np.testing.assert_allclose(motion.path[5] - motion.path[0], (0.5, -1.0), atol=1e-6)  # forward is to the viewer
    np.testing.assert_allclose(motion.clearance[[0, 5, 6]], (0, 0, 1), atol=1e-6)


def test_deepmimic_hangs_its_arms_and_bends_knees_backwards(tmp_path):
    rest = read_deepmimic(write_deepmimic(tmp_path / "humanoid3d_rest.txt"))
    assert rest.name == "rest"
    np.testing.assert_allclose(along(rest, "LeftArm"), (0, 0, -1), atol=1e-9)
    bent = read_deepmimic(write_deepmimic(tmp_path / "humanoid3d_bent.txt", c20=[-np.pi / 2], c34=[-np.pi / 2]))
    np.testing.assert_allclose(along(bent, "RightLeg"), (0, 1, 0), atol=1e-9)  # behind the person
    raised = read_deepmimic(write_deepmimic(tmp_path / "humanoid3d_r.txt", c29=[np.pi / 2]))
    np.testing.assert_allclose(along(raised, "RightForeArm"), (0, -1, 0), atol=1e-9)  # towards the viewer
    np.testing.assert_allclose(along(raised, "LeftForeArm"), (0, 0, -1), atol=1e-9)


def test_the_back_bends_bit_by_bit(tmp_path):
    half = np.deg2rad(60) / 2
    motion = read_deepmimic(write_deepmimic(tmp_path / "m.txt", c8=[np.cos(half), 0, 0, np.sin(half)]))
    up = [motion.rotations[0, INDEX[joint]] @ (0, 0, 1) for joint in ("Hips", "LowerBack", "Spine", "Spine1")]
    angles = np.rad2deg(np.arccos([v[2] for v in up]))
    np.testing.assert_allclose(angles, (0, 20, 40, 60), atol=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("HIERARCHY\nROOT Hips", "no MOTION section"),
        ("MOTION\nFrames: 1\nFrame Time: 1\n0", "no joint Hips, LowerBack"),
    ],
)
def test_a_file_that_is_no_recording_is_refused_by_name(tmp_path, text, message):
    (tmp_path / "bad.bvh").write_text(text)
    with pytest.raises(ValueError, match=rf"bad\.bvh: .*{message}"):
        read_bvh(tmp_path / "bad.bvh")
    for number, wrong in enumerate(("{}", '{"Frames": [[1, 2]]}', "[", '{"Frames": "x"}')):
        path = tmp_path / f"bad{number}.txt"
        path.write_text(wrong)
        with pytest.raises(ValueError, match=path.name):
            read_deepmimic(path)


def test_a_missing_recording_says_where_it_comes_from(tmp_path):
    write_deepmimic(tmp_path / "humanoid3d_walk.txt")
    assert set(load_motions(["walk"], [tmp_path])) == {"walk"}
    with pytest.raises(ValueError, match=r"no recording nowhere .*assimp-testmodels.*pybullet"):
        load_motions(["nowhere"], [tmp_path])


def test_a_window_keeps_the_speed_and_stretches_what_is_too_short():
    motion = wild_motion(frames=61, fps=60.0)
    part = motion.window(0.25, 4, 10.0)
    assert part.fps == 10 and np.array_equal(part.rotations, motion.rotations[[15, 21, 27, 33]])
    slow = motion.window(0.5, 16, 10.0)
    assert len(slow) == 16 and np.array_equal(slow.path[-1], motion.path[-1])
    for start in (-0.1, 1.0):
        with pytest.raises(ValueError, match=r"lasts 1\.00 s"):
            motion.window(start, 2, 10.0)


def test_facing_turns_the_whole_motion():
    motion = wild_motion()
    turned = motion.facing(0.5)
    front = turned.rotations[0, INDEX["Hips"]] @ (0, -1, 0)
    assert np.arctan2(front[0], -front[1]) == pytest.approx(0.5)
    again = about_up(0.7)
    other = Motion("o", again @ motion.rotations, motion.path @ again[:2, :2].T, motion.clearance, motion.fps)
    np.testing.assert_allclose(other.facing(0.5).rotations, turned.rotations, atol=1e-12)
    np.testing.assert_allclose(other.facing(0.5).path, turned.path, atol=1e-12)


def test_the_camera_stays_with_a_steady_walk_and_smooths_a_jerk():
    motion = wild_motion(frames=30)
    steady = np.linspace(0, 3, 30)[:, None] * (1, -2)
    walk = Motion("walk", motion.rotations, steady, motion.clearance, 12.0)
    np.testing.assert_allclose(walk.camera_path(), steady, atol=1e-9)
    jerk = Motion("jerk", motion.rotations, steady + (np.arange(30) == 15)[:, None] * 1.0, motion.clearance, 12.0)
    assert 0 < np.abs(jerk.camera_path() - steady).max() < 0.15
    assert standing().camera_path().tolist() == [[0.0, 0.0]]


def test_the_ground_is_where_feet_rest():
    heights = np.array([[0.5, 0.2], [0.2, 0.9], [0.2, 0.2], [1.2, 1.4]])
    np.testing.assert_allclose(above_ground(heights, 2.0), (0, 0, 0, 0.5))


def test_a_motion_of_wrong_shapes_is_refused():
    motion = wild_motion()
    with pytest.raises(ValueError, match="motion m: path must be"):
        Motion("m", motion.rotations, motion.path[:2], motion.clearance, 1.0)
    with pytest.raises(ValueError, match="needs frames and a rate"):
        Motion("m", motion.rotations, motion.path, motion.clearance, 0.0)


def test_a_mirrored_motion_is_the_reflection_of_every_joint():
    motion = wild_motion(frames=5, seed=2)
    other = motion.mirrored()
    flip = np.array([-1.0, 1.0, 1.0])
    for joint in ("LeftArm", "RightLeg", "Hips"):
        opposite = joint.replace("Left", "*").replace("Right", "Left").replace("*", "Right")
        for direction in np.eye(3):
            turned = other.rotations[:, INDEX[joint]] @ direction
            np.testing.assert_allclose(turned, (motion.rotations[:, INDEX[opposite]] @ (flip * direction)) * flip)
    np.testing.assert_allclose(other.path, motion.path * (-1, 1))
    np.testing.assert_allclose(other.mirrored().rotations, motion.rotations)
