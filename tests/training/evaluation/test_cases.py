"""A set is validated by case and field, and a broken case is refused."""

import json

import numpy as np
import pytest
from animatex_training.evaluation.cases import SetError, open_set, validate, write_set
from PIL import Image

from tests.training.evaluation.small_set import FRAMES, write_frames, write_small_set


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
