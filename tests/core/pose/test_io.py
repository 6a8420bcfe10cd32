"""POSE_KEYPOINT and OpenPose files: exact both ways, and every bad file refused by the path of what is wrong."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from animatex_core.pose import io, schema, strict_json
from animatex_core.pose.io import from_pose_keypoint, load_openpose, save_openpose, to_pose_keypoint
from animatex_core.pose.keypoints import BODY, FACE, LEFT_HAND, RIGHT_HAND, TOES, PoseSequence, empty

DANCE = Path(__file__).parents[2] / "data" / "poses" / "dance.json"


def person(**parts):
    return {"pose_keypoints_2d": [10.0, 20.0, 1.0] * 18} | parts


def frame(*people, width=64, height=96, **more):
    return {"people": list(people), "canvas_width": width, "canvas_height": height} | more


def same(a, b):
    """Equal but for people who are never there."""
    people = min(a.people, b.people)
    assert (a.width, a.height, a.fps, len(a)) == (b.width, b.height, b.fps, len(b))
    assert not a.present[:, people:].any() and not b.present[:, people:].any()
    np.testing.assert_array_equal(a.points[:, :people], b.points[:, :people])
    np.testing.assert_array_equal(a.scores[:, :people], b.scores[:, :people])


def write(tmp_path, document):
    path = tmp_path / "poses.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    return path


finite = st.floats(-(2.0**100), 2.0**100, width=32)


@st.composite
def pose_sequences(draw):
    shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 3), st.just(130)))
    scores = draw(
        arrays(np.float32, shape, elements=st.floats(0, 1, width=32, allow_subnormal=False), fill=st.just(0.0))
    )
    points = draw(arrays(np.float32, (*shape, 2), elements=finite, fill=st.floats(0, 500, width=32)))
    points[scores == 0] = 0
    fps = draw(st.none() | st.floats(0.1, 240))
    return PoseSequence(points, scores, draw(st.integers(1, 4000)), draw(st.integers(1, 4000)), fps)


@given(pose_sequences(), st.booleans())
@settings(max_examples=150, deadline=None)
def test_pose_keypoint_round_trip_is_exact(poses, normalised):
    frames = to_pose_keypoint(poses, normalised)
    same(from_pose_keypoint(frames, fps=poses.fps), poses)
    same(from_pose_keypoint(json.loads(json.dumps(frames)), fps=poses.fps), poses)


@given(poses=pose_sequences())
@settings(max_examples=50, deadline=None)
def test_file_round_trip_is_exact(tmp_path_factory, poses):
    path = tmp_path_factory.mktemp("poses") / "poses.json"
    save_openpose(path, poses)
    same(load_openpose(path), poses)
    assert [p.name for p in path.parent.iterdir()] == ["poses.json"]


def test_real_file():
    poses = load_openpose(DANCE)
    document = json.loads(DANCE.read_text())
    assert (len(poses), poses.people, poses.fps, poses.width, poses.height) == (13, 1, 24.0, 512, 758)
    raw = np.array(document["frames"][5]["people"][0]["pose_keypoints_2d"], np.float32).reshape(18, 3)
    np.testing.assert_array_equal(poses.points[5, 0, BODY], raw[:, :2] * (raw[:, 2:] > 0))
    np.testing.assert_array_equal(poses.scores[5, 0, BODY], raw[:, 2])
    assert not poses.present[..., FACE].any() and poses.present[..., LEFT_HAND].any()
    same(from_pose_keypoint(to_pose_keypoint(poses, normalised=True), fps=24.0), poses)


def test_three_layouts_are_the_same_poses(tmp_path):
    one = frame(person())
    expected = from_pose_keypoint([one])
    for document in ({"frames": [one]}, [one], one):
        same(load_openpose(write(tmp_path, document)), expected)
    same(from_pose_keypoint(one), expected)


def test_missing_parts_and_missing_people():
    hands = {"hand_left_keypoints_2d": None, "hand_right_keypoints_2d": []}
    poses = from_pose_keypoint([frame(person(**hands, face_keypoints_2d=[1.0, 2.0, 0.5] * 70)), frame()])
    assert poses.present[0, 0, BODY].all() and poses.present[0, 0, FACE].all()
    assert not poses.present[0, 0, TOES].any() and not poses.present[0, 0, LEFT_HAND].any()
    assert not poses.present[0, 0, RIGHT_HAND].any() and not poses.present[1].any()
    assert from_pose_keypoint([frame(), frame()]).people == 1


def test_any_score_above_zero_is_present():
    triples = [5.0, 6.0, 0.0] * 18
    triples[2], triples[5], triples[8] = 1e-60, 7.0, -1.0
    poses = from_pose_keypoint([frame({"pose_keypoints_2d": triples})])
    assert poses.present[0, 0].nonzero()[0].tolist() == [0, 1]
    assert poses.scores.max() == 1 and tuple(poses.points[0, 0, 2]) == (0, 0)


def test_feet_of_two_and_of_six_points():
    six = [0, 0, 0.9, 10, 20, 0.5, 99, 99, 1, 30, 40, 0.8, 50, 60, 0.0, 99, 99, 1]
    poses = from_pose_keypoint(
        [frame(person(foot_keypoints_2d=six)), frame(person(foot_keypoints_2d=[1, 2, 1, 3, 4, 0.5]))]
    )
    np.testing.assert_allclose(poses.points[:, 0, TOES], [[[5, 10], [0, 0]], [[1, 2], [3, 4]]])
    np.testing.assert_allclose(poses.scores[:, 0, TOES], [[0.5, 0], [1, 0.5]])


def test_a_pair_of_toes_goes_to_the_nearer_ankles():
    poses = load_openpose(DANCE)
    raw = np.array([f["people"][0]["foot_keypoints_2d"] for f in json.loads(DANCE.read_text())["frames"]], np.float32)
    np.testing.assert_array_equal(
        poses.points[:, 0, TOES], raw.reshape(-1, 2, 3)[:, ::-1, :2]
    )  # this file: right first
    left_first = [frame(*f["people"], width=512, height=758) for f in to_pose_keypoint(poses)]
    for f in left_first:
        six = f["people"][0]["foot_keypoints_2d"]
        f["people"][0]["foot_keypoints_2d"] = six[0:3] + six[9:12]
    same(from_pose_keypoint(left_first, fps=24.0), poses)


def test_normalised_is_found_out_for_the_whole_clip():
    inside = {"pose_keypoints_2d": [0.5, 1.1, 1.0] * 18}
    poses = from_pose_keypoint([frame(inside), frame(inside)])
    np.testing.assert_allclose(poses.points[:, 0, 0], np.float32([[32, 105.6]] * 2))
    mixed = from_pose_keypoint([frame(inside), frame(person())])
    np.testing.assert_allclose(mixed.points[:, 0, 0], np.float32([[0.5, 1.1], [10, 20]]))
    told = from_pose_keypoint([frame(inside)], normalised=False)
    np.testing.assert_allclose(told.points[0, 0, 0], np.float32([0.5, 1.1]))


def test_canvas_that_changes_is_scaled_to_the_first(caplog):
    poses = from_pose_keypoint([frame(person()), frame(person(), width=128, height=48)])
    np.testing.assert_allclose(poses.points[:, 0, 0], [[10, 20], [5, 40]])
    assert "canvas changes" in caplog.text


def test_points_that_are_not_finite_in_memory_are_absent(caplog):
    triples = [10.0, 20.0, 1.0] * 18
    triples[0], triples[4], triples[8], triples[9] = float("nan"), float("inf"), float("nan"), 1e300
    poses = from_pose_keypoint([frame({"pose_keypoints_2d": triples})])
    assert not poses.present[0, 0, :4].any() and poses.present[0, 0, 4:18].all()
    assert "4 points" in caplog.text and np.isfinite(poses.points).all()
    broken = empty(1, 8, 8)
    broken.points[0, 0, 3], broken.scores[0, 0, 3] = np.nan, 1
    assert to_pose_keypoint(broken)[0]["people"] == []


def test_output_suits_the_readers_that_exist():
    poses = load_openpose(DANCE)
    first = to_pose_keypoint(poses)[0]["people"][0]
    assert {name: len(part) // 3 for name, part in first.items()} == {
        "pose_keypoints_2d": 18,
        "foot_keypoints_2d": 6,
        "face_keypoints_2d": 70,
        "hand_left_keypoints_2d": 21,
        "hand_right_keypoints_2d": 21,
    }
    assert set(to_pose_keypoint(poses, certain=True)[0]["people"][0]["pose_keypoints_2d"][2::3]) == {1.0}
    assert to_pose_keypoint(empty(1, 8, 8)) == [{"people": [], "canvas_width": 8, "canvas_height": 8}]
    for normalised in (False, True):
        assert to_pose_keypoint(poses, normalised)[0].keys() == {"people", "canvas_width", "canvas_height"}


def bad_documents():
    def changed(change):
        document = {"fps": 30, "frames": [frame(person()) for _ in range(4)]}
        change(document["frames"], document)
        return document

    def at(value, index=4):
        def change(frames, _):
            frames[3]["people"][0]["pose_keypoints_2d"][index] = value

        return changed(change)

    def part(name, value):
        return changed(lambda frames, _: frames[1]["people"][0].__setitem__(name, value))

    point = "frames[3].people[0].pose_keypoints_2d[4]"
    return {
        "text": (at("x"), f'{point}: expected a number, found "x"'),
        "true": (at(True), f"{point}: expected a number, found true"),
        "null": (at(None), f"{point}: expected a number, found nothing"),
        "list": (at([1]), f"{point}: expected a number, found a list of 1"),
        "nan": (at(float("nan")), f"{point}: expected a number, found NaN"),
        "infinity": (at(float("-inf")), f"{point}: expected a number, found -Infinity"),
        "too large": (at(1e39), f"{point}: expected a finite number, found 1e+39"),
        "huge": (at(10**400), f"{point}: expected a finite number, found Infinity"),
        "short": (part("pose_keypoints_2d", [1.0] * 51), "frames[1].people[0].pose_keypoints_2d: expected 54 numbers"),
        "hand": (part("hand_left_keypoints_2d", [1.0] * 60), "expected 63 numbers (21 points), found 60 numbers"),
        "face": (part("face_keypoints_2d", [1.0] * 3), "expected 204 numbers (68 points) or 210 numbers"),
        "not flat": (part("pose_keypoints_2d", [[1, 2, 1]] * 18), "keypoints_2d[0]: expected a number, found a list"),
        "part": (part("pose_keypoints_2d", "abc"), "pose_keypoints_2d: expected a flat list"),
        "person": (changed(lambda f, _: f[2]["people"].append(5)), "frames[2].people[1]: expected a person"),
        "people": (changed(lambda f, _: f[2].pop("people")), "frames[2].people: expected a list of people"),
        "frame": (changed(lambda f, _: f.append(None)), "frames[4]: expected a frame"),
        "canvas": (changed(lambda f, _: f[2].pop("canvas_width")), "frames[2].canvas_width: expected a whole number"),
        "zero canvas": (changed(lambda f, _: f[2].update(canvas_height=0)), "frames[2].canvas_height: expected"),
        "half canvas": (changed(lambda f, _: f[2].update(canvas_height=8.5)), "found 8.5"),
        "canvas text": (changed(lambda f, _: f[2].update(canvas_height="96")), 'found "96"'),
        "fps": (changed(lambda _, d: d.update(fps=-1)), "fps: expected frames per second"),
        "fps text": (changed(lambda _, d: d.update(fps="30")), 'above 0 and at most 1000, found "30"'),
        "animals": (changed(lambda f, _: f[1].update(version="ap10k")), "frames[1]: AP10K animal poses"),
        "one animal": ({"version": "ap10k", "animals": [[[1, 2, 1]] * 17]}, "AP10K"),
        "no frames": ({"frames": []}, "frames: expected at least one frame"),
        "other": ({"a": 1}, "the file: expected a list of frames or an object"),
        "number": (5, "the file: expected a list of frames"),
        "single": (frame(person(pose_keypoints_2d=[1.0])), ": people[0].pose_keypoints_2d: expected 54"),
        "bare list": ([frame(person()), frame("x")], ': [1].people[0]: expected a person'),
        "not JSON": ('{"frames": [', "not JSON: Expecting value: line 1"),
        "empty": ("", "not JSON"),
        "twice": ('{"frames": [{"people": [], "people": []}]}', 'frames[0]: the key "people" appears twice'),
        "nan elsewhere": ('{"frames": [], "note": [1, NaN]}', "note[1]: expected a number, found NaN"),
        "deep": ("[" * 200_000, "nested too deeply"),
    }  # fmt: skip


@pytest.mark.parametrize("name", bad_documents())
def test_bad_file_is_refused_by_path(tmp_path, name):
    document, message = bad_documents()[name]
    path = write(tmp_path, document)
    with pytest.raises(ValueError) as error:
        load_openpose(path)
    assert str(error.value).startswith(f"{path}: ") and message in str(error.value)


def test_bad_pose_keypoint_is_refused_by_path():
    frames = [frame(person()), frame(person())]
    frames[1]["people"][0]["pose_keypoints_2d"][7] = "x"
    with pytest.raises(
        ValueError, match=r'^frames\[1\]\.people\[0\]\.pose_keypoints_2d\[7\]: expected a number, found "x"$'
    ):
        from_pose_keypoint(frames)
    with pytest.raises(ValueError, match='frames: expected a list of frames, found "x"'):
        from_pose_keypoint("x")
    with pytest.raises(ValueError, match="AP10K"):
        from_pose_keypoint([{"version": "ap10k", "animals": []}])


def test_caps(tmp_path, monkeypatch):
    crowd = [person()] * (schema.MAX_PEOPLE + 1)
    with pytest.raises(ValueError, match=r"frames\[0\]\.people: expected at most 64 items, found a list of 65"):
        from_pose_keypoint([frame(*crowd)])
    with pytest.raises(ValueError, match="at most 100000 items"):
        from_pose_keypoint([frame()] * (io.MAX_FRAMES + 1))
    monkeypatch.setattr(io, "MAX_PERSON_FRAMES", 10)
    with pytest.raises(ValueError, match="6 frames of up to 2 people, more than the 10"):
        from_pose_keypoint([frame(person(), person())] + [frame()] * 5)
    path = write(tmp_path, [frame(person())])
    monkeypatch.setattr(strict_json, "MAX_FILE_BYTES", 100)
    with pytest.raises(ValueError, match="larger than"):
        load_openpose(path)


def test_caps_hold_before_memory_is_taken(tmp_path, monkeypatch):
    path = tmp_path / "large.json"
    with path.open("wb") as file:
        file.truncate(40 * 2**30)  # 40 GB of holes: read whole, it would end the process
    with pytest.raises(ValueError, match="larger than the 64 MiB"):
        load_openpose(path)
    monkeypatch.setattr(strict_json, "MAX_CONTAINERS", 1000)
    with pytest.raises(ValueError, match="more than the 1000 lists and objects"):
        load_openpose(write(tmp_path, "[" + "[]," * 2000 + "[]]"))


def test_byte_order_mark_and_bytes_that_are_no_text(tmp_path):
    path = tmp_path / "poses.json"
    path.write_bytes(b"\xef\xbb\xbf" + DANCE.read_bytes())
    same(load_openpose(path), load_openpose(DANCE))
    path.write_bytes(b'{"frames": "\xff"}')
    with pytest.raises(ValueError, match="not UTF-8 text: byte 12"):
        load_openpose(path)
    with pytest.raises(FileNotFoundError):
        load_openpose(tmp_path / "none.json")


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "poses.json"
    save_openpose(path, load_openpose(DANCE))
    before = path.read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(ValueError, match="disk is full"):
        save_openpose(path, empty(2, 8, 8))
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
    with pytest.raises(ValueError, match="does not exist"):
        save_openpose(tmp_path / "nowhere" / "poses.json", empty(2, 8, 8))


def test_reading_leaves_the_frames_alone():
    frames = [frame(person(), person()), frame(person(), width=32)]
    before = copy.deepcopy(frames)
    from_pose_keypoint(frames)
    assert frames == before
