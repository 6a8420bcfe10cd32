"""A set is validated by case and field, and a broken case is refused."""

import json
import logging
from dataclasses import replace

import numpy as np
import pytest
from animatex_training.evaluation.cases import SetError, open_set, validate, write_set
from animatex_training.evaluation.inputs import plan_inputs
from animatex_training.evaluation.records import RunFolder
from animatex_training.evaluation.settings import Options
from animatex_training.synthetic_clips import make_clips
from PIL import Image

from animatex_core.pose.io import load_openpose, save_openpose
from animatex_core.video import write_video
from tests.training.evaluation.small_set import FRAMES, SIZE, write_frames, write_small_set


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return write_small_set(tmp_path_factory.mktemp("sets") / "good")[0]


@pytest.fixture
def folder(tmp_path):
    return write_small_set(tmp_path / "set", cases=2)[0]


def faults(folder):
    return [(fault.case, fault.field) for fault in validate(folder)]


def test_a_good_set_has_no_fault_and_opens(good):
    assert validate(good) == []
    found = open_set(good)
    assert found.cases == ("case0", "case1", "case2", "more0") and found.scored == found.cases[:3]
    case = found.open("case1", deep=True)
    fps, frames = case.clip("video").open()
    assert (fps, len(list(frames)), case.facts) == (8.0, FRAMES, {"seed": 3.0})
    assert case.digest() == found.open("case1").digest() != found.open("case0").digest()
    with pytest.raises(SetError, match="more0: video: this setting needs it"):
        found.open("more0").clip("video")


def edit(path, **changes):
    fields = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in {**fields, **changes}.items() if v is not None}))


def remove_frame(root):
    (root / "video/00003.png").unlink()


def break_frame(root):
    (root / "video/00003.png").write_bytes(b"no picture")


def smaller_frame(root):
    Image.new("RGB", (32, 48)).save(root / "video/00003.png")


def smaller_mask(root):
    write_frames(root / "mask", np.zeros((FRAMES - 1, 48, 32, 3), np.uint8))


def unpad_numbers(root):
    for number in range(FRAMES):
        (root / f"video/{number:05d}.png").rename(root / f"video/{number + 5}.png")


def bring_driver(root, frames=FRAMES, fps=8.0, coded=False):
    """Another body's clip, as pictures or as a video that says its own rate."""
    clip = make_clips(1, seed=9, frames=frames, width=80, height=80, fps=fps)[0]
    if coded:
        write_video(root / "driver.mp4", clip.frames, fps)
    else:
        write_frames(root / "driver", clip.frames)
    save_openpose(root / "driver_poses.json", clip.poses)


def nobody(root):
    people = {"canvas_width": 64, "canvas_height": 96, "people": []}
    (root / "poses.json").write_text(json.dumps({"fps": 8, "frames": [people] * FRAMES}))


@pytest.mark.parametrize(
    ("harm", "fields"),
    [
        (remove_frame, ["poses"]),
        (break_frame, ["video"]),
        (smaller_frame, ["video"]),
        (smaller_mask, ["mask", "mask"]),
        (nobody, ["poses"]),
        (unpad_numbers, ["video"]),
        (lambda root: bring_driver(root, FRAMES + 1), ["driver"]),
        (lambda root: bring_driver(root, FRAMES - 1, coded=True), ["driver"]),
        (lambda root: bring_driver(root, fps=16.0, coded=True), ["driver"]),
        (lambda root: (root / "poses.json").write_text("{"), ["poses"]),
        (lambda root: edit(root / "poses.json", fps=25), ["poses"]),
        (lambda root: edit(root / "case.json", license=None), ["case.json: license"]),
        (lambda root: edit(root / "case.json", colour="red"), ["colour"]),
        (lambda root: edit(root / "case.json", fps=0), ["case.json: fps", "case.json: fps"]),
        (lambda root: edit(root / "case.json", format=2), ["case.json", "case.json: license", "case.json: source"]),
        (lambda root: (root / "prompt.txt").unlink(), ["prompt.txt"]),
        (lambda root: (root / "image.png").unlink(), ["image"]),
        (lambda root: Image.new("RGB", (96, 96)).save(root / "image.png"), ["image", "image_pose"]),
        (lambda root: Image.new("RGB", (64, 96)).save(root / "image.jpg"), ["image"]),
        (lambda root: (root / "poses.json").rename(root / "driver_poses.json"), ["poses", "driver"]),
    ],
)
def test_every_fault_is_said_by_case_and_field_and_the_case_is_refused(folder, harm, fields):
    harm(folder / "case1")
    found = faults(folder)
    told = [name for case, name in found if case == "case1"]
    assert told[: len(fields)] == fields and {case for case, _ in found} == {"case1"}
    opened = open_set(folder)
    with pytest.raises(SetError, match="case1"):
        opened.open("case1", deep=True)
    assert opened.open("case0", deep=True).name == "case0"


def test_pictures_out_of_order_and_a_driver_of_another_clip_are_said_in_words(folder):
    unpad_numbers(folder / "case0")
    bring_driver(folder / "case1", FRAMES + 2, fps=16.0, coded=True)
    assert [str(fault) for fault in validate(folder)] == [
        "case0: video: 5.png and 10.png: numbers of unequal length, so the order of names is not that of frames; "
        "pad them with zeros",
        "case1: driver: has 10 frames, the video 8",
        "case1: driver: 16 frames a second, the video has 8",
    ]


def test_without_a_look_at_every_frame_the_lengths_of_poses_tell(folder):
    root = folder / "case1"
    bring_driver(root, FRAMES + 2, coded=True)
    with pytest.raises(SetError, match="case1: driver: has 10 frames, the video 8"):
        open_set(folder).open("case1")


def test_a_driver_without_a_truth_has_any_length(folder):
    bring_driver(folder / "more0", FRAMES + 3)
    assert validate(folder) == []


def plan(folder, case, **changes):
    given = {"setting": "cross", "width": SIZE[0], "height": SIZE[1], "frames": FRAMES, **changes}
    return plan_inputs(open_set(folder), case, Options(**given), RunFolder(folder.parent / "run"))


def test_a_driver_that_became_longer_since_is_refused_where_it_is_used(folder):
    bring_driver(folder / "case0")
    case = open_set(folder).open("case0")
    assert len(plan(folder, case)) == FRAMES
    longer = make_clips(1, seed=9, frames=FRAMES + 4, width=80, height=80, fps=8.0)[0].poses
    save_openpose(folder / "case0/driver_poses.json", longer)
    for changes in ({"start": 4}, {"start": 1}, {}):
        with pytest.raises(SetError, match="case0/driver: 12 frames, the poses of the truth have 8"):
            plan(folder, case, **changes)


def test_a_case_that_cannot_be_aligned_is_refused_and_one_that_falls_back_is_said(folder, caplog):
    found = open_set(folder)
    with caplog.at_level(logging.WARNING, "animatex_training"):
        assert plan(folder, found.open("case0"), align="full").facts["align"] == "full"
    assert not caplog.messages
    place = folder / "case0/image_pose.json"
    picture = load_openpose(place)
    save_openpose(place, replace(picture, scores=np.where(np.arange(picture.scores.shape[-1]) < 2, picture.scores, 0)))
    with caplog.at_level(logging.WARNING, "animatex_training"):
        assert plan(folder, found.open("case0"), align="full").facts["align"] == "similarity"
    [message] = caplog.messages
    assert message.startswith("case0: align: similarity instead of full: ")
    place.unlink()
    with pytest.raises(SetError, match=r"case0: image_pose\.json: --align full"):
        plan(folder, found.open("case0"), align="full")
    assert len(plan(folder, found.open("case0"))) == FRAMES


def test_the_list_of_a_set_is_checked(folder):
    write_set(folder, "small", "", ["case0", "gone", "case0", "../up"], ["case9"])
    assert {(case, name) for case, name in faults(folder)} == {
        ("", "version"), ("", "cases"), ("", "scored"), ("gone", "folder"), ("case1", "folder"), ("more0", "folder")
    }  # fmt: skip
    with pytest.raises(SetError, match="listed twice"):
        open_set(folder)
    assert faults(folder / "nowhere") == [("", "folder")]
    (folder / "a2bench.json").unlink()
    assert faults(folder) == [("", "a2bench.json")]


def test_the_prompt_is_part_of_a_case(tmp_path):
    folder, _ = write_small_set(tmp_path / "set", cases=1)
    before = open_set(folder).open("case0").digest()
    (folder / "case0/prompt.txt").write_text("another character")
    assert open_set(folder).open("case0").digest() != before
