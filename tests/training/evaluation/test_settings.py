"""Settings: who drives, what the IPI reads, what the truth is; refused where it cannot be."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from animatex_training.evaluation.anchor_pool import open_anchors
from animatex_training.evaluation.cases import SetError, open_set, validate
from animatex_training.evaluation.cli import main
from animatex_training.evaluation.frames import read_clip
from animatex_training.evaluation.inputs import make_inputs
from animatex_training.evaluation.records import RunFolder
from animatex_training.evaluation.settings import PROTOCOLS, Options, check_cases, choose
from animatex_training.synthetic_clips import make_clips

from animatex_core.pose.epi import on_canvas, realign, save_pool
from animatex_core.pose.io import load_openpose, save_openpose
from animatex_core.pose.skeleton import part_points
from tests.training.evaluation.small_set import FRAMES, SIZE, write_frames, write_small_set

SMALL = {"width": SIZE[0], "height": SIZE[1], "frames": FRAMES}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("settings")
    write_small_set(root / "set", cases=4)
    humans = make_clips(5, seed=77, frames=1, width=96, height=96)
    save_pool(root / "pool.json", [(f"human{i}", clip.poses) for i, clip in enumerate(humans)])
    return root


def inputs(root, out, case="case0", folder="set", **changes):
    options = Options(**{**SMALL, **changes})
    anchors = open_anchors(options.pool) if options.pool else None
    found = open_set(root / folder)
    return make_inputs(found, found.open(case), options, RunFolder(out), anchors)


def poses_of(root, case):
    return load_openpose(root / "set" / case / "poses.json")


def test_self_driven(root, tmp_path):
    given = inputs(root, tmp_path)
    own = poses_of(root, "case0")
    assert given.drawn is given.read and (given.drawn.points == own.points).all() and given.fps == 8.0
    truth = np.stack(list(read_clip(given.truth)))
    video = np.stack(list(given.driver_frames()))
    assert (truth == video).all() and len(list(read_clip(given.folder / "poses"))) == FRAMES
    assert load_openpose(given.folder / "poses.json").points.shape == own.points.shape


def test_frames_are_chosen_and_fitted(root, tmp_path):
    given = inputs(root, tmp_path, frames=3, start=1, stride=2, width=96, height=96, fit="pad")
    own = poses_of(root, "case0")
    assert (given.drawn.points == own.points[1:6:2]).all() and given.fps == 4.0 and len(given) == 3
    assert next(read_clip(given.truth)).shape == (96, 96, 3)
    there = own.present[1, 0]
    moved = given.expected.points[0, 0][there] - own.points[1, 0][there]
    np.testing.assert_allclose(moved, np.broadcast_to([16, 0], moved.shape), atol=1e-3)
    everything = inputs(root, tmp_path / "all", frames=0)
    assert len(everything) == FRAMES


def test_rescaled_is_the_cases_motion_on_a_random_human(root, tmp_path):
    pool = str(root / "pool.json")
    given = inputs(root, tmp_path, setting="rescaled", pool=pool)
    own, anchors = poses_of(root, "case0"), open_anchors(pool)
    anchor = dict(zip(anchors.names, anchors.anchors, strict=True))[given.facts["anchor"]]
    expected = realign(given.read, on_canvas(anchor, own.width, own.height)).poses
    np.testing.assert_array_equal(given.drawn.points, expected.points)
    assert (given.read.points == own.points).all() and (given.drawn.points != own.points).any()
    assert (given.expected.points[..., :20, :] == own.points[..., :20, :]).all()  # what the truth shows
    drawn = {
        (case, seed): inputs(root, tmp_path / f"{case}{seed}", case, setting="rescaled", pool=pool, seed=seed).facts[
            "anchor"
        ]
        for case in ("case0", "case1", "case2", "case3")
        for seed in (0, 1, 2)
    }
    assert len(set(drawn.values())) > 2 and drawn["case0", 0] == given.facts["anchor"]
    assert len({drawn["case0", seed] for seed in (0, 1, 2)} | {drawn["case1", seed] for seed in (0, 1, 2)}) > 1


def test_cross_is_driven_by_another_case(root, tmp_path):
    given = inputs(root, tmp_path, setting="cross")
    driver = given.facts["driver"]
    assert driver != "case0" and given.truth is None and not (given.folder / "truth").exists()
    assert (given.drawn.points == poses_of(root, driver).points).all()
    with open_frames(root, driver) as frames:
        assert (next(given.driver_frames()) == frames).all()
    named = inputs(root, tmp_path / "named", setting="cross", driver="case2")
    assert named.facts["driver"] == "case2"
    aligned = inputs(root, tmp_path / "aligned", setting="cross", driver="case2", align="full")
    anchor = load_openpose(root / "set/case0/image_pose.json")
    np.testing.assert_array_equal(aligned.drawn.points, realign(named.drawn, anchor, mode="full").poses.points)
    assert (aligned.read.points == named.read.points).all()
    assert "drop_absent" not in Options(**{**SMALL, "setting": "cross", "align": "full"}).facts()
    with pytest.raises(SetError, match="no scored case"):
        inputs(root, tmp_path / "gone", setting="cross", driver="more0")


def test_parts_that_the_character_lacks_are_left_out_where_that_is_asked(tmp_path):
    folder, _ = write_small_set(tmp_path / "set", cases=2)
    picture = load_openpose(folder / "case0/image_pose.json")
    arms = part_points(("arms",))
    save_openpose(folder / "case0/image_pose.json", replace(picture, scores=np.where(arms, 0, picture.scores)))
    kept, gone = (
        inputs(tmp_path, tmp_path / f"run{drop}", setting="cross", driver="case1", align="full", drop_absent=drop)
        for drop in (False, True)
    )
    assert kept.drawn.present[..., arms].any() and not gone.drawn.present[..., arms].any()
    assert set(gone.facts["dropped"]) >= {"right arm", "left arm"} and "dropped" not in kept.facts
    assert Options(**{**SMALL, "setting": "cross", "align": "full", "drop_absent": True}).facts()["drop_absent"] is True
    assert (gone.read.points == kept.read.points).all() and gone.drawn.present[..., ~arms].any()


def open_frames(root, case):
    from contextlib import nullcontext

    return nullcontext(next(iter(read_clip(root / "set" / case / "video"))))


def test_a_case_may_bring_the_driver_whose_answer_is_known(tmp_path):
    folder, _ = write_small_set(tmp_path / "set", cases=2)
    driver = make_clips(1, seed=9, frames=FRAMES, width=80, height=80, fps=8.0)[0]
    write_frames(folder / "case0/driver", driver.frames)
    save_openpose(folder / "case0/driver_poses.json", driver.poses)
    assert validate(folder) == []
    given = inputs(tmp_path, tmp_path / "run", setting="cross")
    assert given.facts["driver"] == "case0/driver" and given.truth is not None
    assert (given.drawn.points == driver.poses.points).all()
    own = load_openpose(folder / "case0/poses.json")
    assert (given.expected.points == own.points).all()
    assert (next(read_clip(given.truth)) == next(read_clip(folder / "case0/video"))).all()
    perfect = inputs(tmp_path, tmp_path / "perfect", setting="cross", align="truth", start=2, frames=3)
    assert (perfect.drawn.points == own.points[2:5]).all() and perfect.facts["align"] == "truth"
    assert (perfect.read.points == driver.poses.points[2:5]).all() and perfect.drawn.fps == given.drawn.fps
    (folder / "case0/driver_poses.json").unlink()
    shutil.rmtree(folder / "case0/driver")
    with pytest.raises(SetError, match=r"case0: --align truth needs a driver of the case's own and poses\.json"):
        inputs(tmp_path, tmp_path / "other", setting="cross", align="truth")


def test_omitted_limbs(root, tmp_path):
    given = inputs(root, tmp_path, setting="omitted", omit=("arms",), omit_share=0.5)
    there, gone = poses_of(root, "case0").present[:, 0], part_points(("arms",))
    lost = there & ~given.drawn.present[:, 0]
    assert (lost.any(1)).sum() == FRAMES // 2 and not lost[:, ~gone].any() and given.drawn is given.read
    start = given.facts["from"]
    assert lost[start : start + FRAMES // 2][:, gone & there[0]].all()
    drawn = {tuple(inputs(root, tmp_path / str(s), setting="omitted", seed=s).facts["omitted"]) for s in range(8)}
    assert len(drawn) > 2 and given.truth is not None


def test_what_cannot_be_is_said(root, tmp_path):
    for changes, message in (
        ({"frames": 9}, "case0: poses: 8 frames from frame 0"), ({"start": 8}, "case0: poses: 0 frames"),
        ({"setting": "long", "frames": 0}, "a long video has at least 96"),
    ):  # fmt: skip
        with pytest.raises(SetError, match=message):
            inputs(root, tmp_path, **changes)
    for changes, message in (
        ({"setting": "rescaled"}, "pool: `rescaled`"), ({"setting": "long", "frames": 32}, "at least 96, got 32"),
        ({"pool": "x"}, "belongs to the setting 'rescaled'"), ({"width": 60}, "multiple of 8"),
        ({"setting": "best"}, "expected one of self"), ({"setting": "omitted", "omit": ("x",)}, "unknown body part"),
        ({"align": "full"}, "belongs to the settings 'cross' and"), ({"omit_share": 0.0}, "above 0"),
        ({"setting": "cross", "drop_absent": True}, "it needs align character, full or similarity"),
        ({"setting": "cross", "align": "truth", "drop_absent": True}, "it needs align character, full or similarity"),
        ({"setting": "rescaled", "pool": "x", "align": "truth"}, "`truth` belongs to the setting 'cross'"),
        ({"setting": "cross", "driver": "case1", "align": "truth"}, "drivers that the cases bring"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            Options(**{**SMALL, **changes})


def test_the_command_line_hands_it_on(root, tmp_path, capsys):
    words = ["run", str(root / "set"), "--out", str(tmp_path / "run"), "--setting", "cross", "--drop-absent"]
    assert main([*words, "--method", "still=oracle:still"]) == 1
    assert "it needs align character, full or similarity" in capsys.readouterr().err and not (tmp_path / "run").exists()


def test_pools_of_three_kinds(root, tmp_path):
    (tmp_path / "files").mkdir()
    save_openpose(tmp_path / "files/dance.json", poses_of(root, "case1"))
    pool = open_anchors(tmp_path / "files")
    assert pool.names == ("dance",) and len(pool.anchors[0]) == 1
    (tmp_path / "none").mkdir()
    for place, message in ((tmp_path / "none", "no poses of people"), (tmp_path / "gone", "no such pose pool")):
        with pytest.raises(ValueError, match=message):
            open_anchors(place)


def test_protocols_pin_what_their_names_say():
    options, note = choose("tiktok-disco-val", {"frames": 16})
    assert (options.setting, options.width, options.height, options.frames) == ("self", 256, 256, 16)
    assert "not comparable" in note
    with pytest.raises(ValueError, match="tiktok-disco-val pins 256"):
        choose("tiktok-disco-val", {"width": 512})
    with pytest.raises(ValueError, match="expected one of self"):
        choose("tiktok", {})
    check_cases("tiktok-335-340", tuple(f"{n:05d}" for n in range(335, 341)))
    for name, cases in (("tiktok-335-340", ("00335",)), ("fashion", ("a",) * 99), ("tiktok-ten-folders", ())):
        with pytest.raises(ValueError, match="expected"):
            check_cases(name, cases)
    assert all(protocol.note for protocol in PROTOCOLS.values())
    assert choose("long", {})[0].frames == 96
