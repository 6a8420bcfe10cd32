"""Oracles: what they show, and that a piece of the picture goes where its joints go."""

import numpy as np
import pytest
from animatex_training.evaluation.cases import open_set, write_case
from animatex_training.evaluation.frames import read_clip
from animatex_training.evaluation.inputs import make_inputs
from animatex_training.evaluation.methods import MethodError, open_method, parse_method
from animatex_training.evaluation.records import RunFolder
from animatex_training.evaluation.runner import Request, run
from animatex_training.evaluation.settings import Options
from animatex_training.evaluation.skeleton_warp import SkeletonWarp

from tests.training.evaluation.small_set import FRAMES, SIZE, write_small_set


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder, _ = write_small_set(tmp_path_factory.mktemp("oracles") / "set", cases=2, references=0)
    for number in (0, 1):
        write_case(
            folder / f"case{number}", license="CC0", source="rendered", fps=8.0, character=str(number), motion="same"
        )
    found = open_set(folder)
    options = Options(width=SIZE[0], height=SIZE[1], frames=FRAMES)
    run = RunFolder(folder.parent / "run")
    return [make_inputs(found, found.open(f"case{number}"), options, run) for number in (0, 1)]


def shown(kind, given):
    method = open_method(parse_method(f"{kind}=oracle:{kind}"))
    method.check(given)
    return np.stack(list(method.make(given)))


def test_each_oracle_shows_what_it_says(inputs):
    truth = [np.stack(list(read_clip(given.truth))) for given in inputs]
    assert (shown("target", inputs[0]) == truth[0]).all()
    assert (shown("wrong", inputs[0]) == truth[1]).all() and (shown("wrong", inputs[1]) == truth[0]).all()
    still = shown("still", inputs[0])
    assert len(still) == FRAMES and (still == still[0]).all()
    coded = shown("vae", inputs[0])
    assert coded.shape == truth[0].shape and 0 < np.abs(coded.astype(float) - truth[0]).mean() < 30


def test_another_character_that_changed_is_shown_anew(tmp_path):
    folder, _ = write_small_set(tmp_path / "set", cases=2, references=0)
    for number in (0, 1):
        write_case(folder / f"case{number}", license="CC0", source="rendered", fps=8.0, character=number, motion="same")
    request = Request(
        folder=folder, out=tmp_path / "run", setting="self", cases=("case0",), metrics={"only": ["psnr"]},
        options=Options(width=SIZE[0], height=SIZE[1], frames=FRAMES),
        methods=tuple(parse_method(f"{kind}=oracle:{kind}") for kind in ("wrong", "still")),
    )  # fmt: skip
    assert run(request).made == 2 and run(request).made == 0
    (folder / "case1/video/00002.png").write_bytes((folder / "case1/video/00004.png").read_bytes())
    done = run(request)
    assert (done.made, done.scored, done.complete) == (1, 1, ("wrong", "still"))
    made = list(read_clip(tmp_path / "run/frames/wrong/case0"))
    assert (made[2] == made[4]).all() and run(request).made == 0


def test_unknown_oracles_and_options_are_refused(inputs):
    for text, message in (("x=oracle:best", "expected oracle:target"), ("x=oracle:still,vae=f", "has no options")):
        with pytest.raises(MethodError, match=message):
            open_method(parse_method(text))
    assert open_method(parse_method("x=oracle:still")).facts == {"kind": "oracle", "oracle": "still"}


def figure():
    """A red arm from (30, 40) to (30, 60) beside a blue trunk, and its joints."""
    picture = np.full((96, 64, 3), 230, np.uint8)
    picture[40:66, 34:50] = (30, 30, 200)
    picture[36:62, 26:31] = (200, 30, 30)
    joints = np.full((18, 2), np.nan)
    joints[[1, 2, 3, 5, 8, 11]] = [[42, 40], [28.5, 38], [28.5, 60], [50, 40], [36, 65], [48, 65]]
    return picture, joints


def test_a_warp_to_the_same_joints_changes_nothing_and_an_arm_turns_with_them():
    picture, joints = figure()
    warp = SkeletonWarp(picture, joints)
    assert np.abs(warp.moved(joints).astype(int) - picture).max() <= 1
    raised = joints.copy()
    raised[3] = (28.5, 16)  # straight up
    moved = warp.moved(raised)
    assert (moved[20:34, 28] == (200, 30, 30)).all() and (moved[50:60, 27] == 230).all()
    lacking = joints.copy()
    lacking[3] = np.nan
    assert (warp.moved(lacking)[50:60, 27] == 230).all()  # an arm whose end is unknown is left out
    with pytest.raises(ValueError, match="plain background"):
        SkeletonWarp(np.full((96, 64, 3), 230, np.uint8), joints)
