"""A checkpoint as a method: the clip is what the core makes of the same inputs, setting by setting."""

import json

import numpy as np
import pytest
from animatex_training.evaluation.cases import open_set
from animatex_training.evaluation.cli import main
from animatex_training.evaluation.inputs import make_inputs
from animatex_training.evaluation.methods import MethodError, open_method, parse_method
from animatex_training.evaluation.records import RunFolder
from animatex_training.evaluation.settings import Options

from animatex_core import included
from animatex_core.pipeline import Job, decode, denoise, prepare
from animatex_core.pose.io import save_openpose
from animatex_core.settings import Settings
from animatex_core.video import write_video
from tests.comfy.small_models import write_model
from tests.training.evaluation.small_set import SIZE, write_small_set

FRAMES = 2
SELF = {"width": SIZE[0], "height": SIZE[1], "frames": FRAMES}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("checkpoint")
    write_small_set(root / "set", cases=2, frames=FRAMES)
    write_model(root / "model.safetensors")
    return root


def method(root, *options):
    return open_method(
        parse_method(",".join([f"ours={root / 'model.safetensors'}", "steps=1", "device=cpu", *options]))
    )


def test_mini_is_the_included_model_with_numbers_of_its_own():
    sampling = open_method(parse_method("small=mini,device=cpu,seed=3")).facts["sampling"]
    own = included.MINI_SETTINGS
    assert (sampling["steps"], sampling["guidance"], sampling["seed"]) == (own.steps, own.guidance, 3)
    assert parse_method("small=mini").path == included.MINI_FILE


def inputs(root, out, **changes):
    found = open_set(root / "set")
    return make_inputs(found, found.open("case0"), Options(**{**SELF, **changes}), RunFolder(out))


def test_the_clip_is_what_the_core_makes(root, tmp_path):
    given = inputs(root, tmp_path)
    made = np.stack(list(method(root).make(given)))
    case = given.case
    write_video(tmp_path / "driver.mp4", list(given.driver_frames()), 8.0, crf=0)
    job = Job(
        model=root / "model.safetensors", clip=root / "model.safetensors", vae=root / "model.safetensors",
        reference=case.image, poses=case.poses, video=tmp_path / "driver.mp4", reference_pose=case.image_pose,
        settings=Settings(width=SIZE[0], height=SIZE[1], frames=FRAMES, steps=1, fit="stretch"),
    )  # fmt: skip
    expected = np.stack(list(decode(job, denoise(job, prepare(job)))))
    # the video that the core reads is 4:2:0, ours are the pictures themselves
    assert np.abs(made.astype(int) - expected).mean() < 2
    off = np.stack(list(method(root).make(inputs(root, tmp_path, ipi="off"))))
    assert made.shape == (FRAMES, SIZE[1], SIZE[0], 3) and (made != off).any()


def test_the_poses_that_drive_are_not_those_that_the_ipi_reads(root, tmp_path):
    found = open_set(root / "set")
    (tmp_path / "pool").mkdir()
    save_openpose(tmp_path / "pool/human.json", inputs(root, tmp_path / "a").drawn)
    from animatex_training.evaluation.anchor_pool import open_anchors

    options = Options(**SELF, setting="rescaled", pool=str(tmp_path / "pool"))
    given = make_inputs(found, found.open("case1"), options, RunFolder(tmp_path / "b"), open_anchors(options.pool))
    assert given.facts["anchor"] == "human" and (given.drawn.points != given.read.points).any()
    assert len(list(method(root).make(given))) == FRAMES


@pytest.mark.slow
def test_alpha_weighs_the_ipi(root, tmp_path):
    given = inputs(root, tmp_path)
    one, same, none = (np.stack(list(method(root, *o).make(given))) for o in ((), ("alpha=1",), ("alpha=0",)))
    assert (one == same).all() and (one != none).any()


def test_windows_give_seams(root):
    assert method(root).seams(96) == ()
    seams = method(root, "window=32", "overlap=8").seams(96)
    assert len(seams) >= 2 and all(0 < seam < 96 for seam in seams)


def test_a_sweep_of_alpha_from_the_command_line(root, tmp_path, capsys):
    given = ["sweep", root / "set", "--checkpoint", f"{root / 'model.safetensors'},steps=1,device=cpu"]
    given += ["--out", tmp_path / "run", "--values", "0,1", "--width", 64, "--height", 96, "--frames", FRAMES]
    given += ["--metrics", "psnr,mae", "--quiet"]
    assert main([str(word) for word in given]) == 0
    told = capsys.readouterr().out
    points = json.loads((tmp_path / "run/sweep_alpha.json").read_text())["points"]
    assert [point["alpha"] for point in points] == [0, 1]
    assert points[0]["values"]["psnr"] != points[1]["values"]["psnr"]
    assert "alpha 0" in told and "alpha 1" in told and "psnr ^" in told


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("steps=many",), "steps: expected a whole number"), (("step=2",), "unknown option 'step'"),
        (("clip=nowhere",), "clip: nowhere: no such file"), (("steps=0",), "steps must be"),
        (("precision=fp12",), "precision: expected one of"),
    ],
)  # fmt: skip
def test_options_are_checked_before_the_work(root, options, message):
    with pytest.raises(MethodError, match=message):
        method(root, *options)
