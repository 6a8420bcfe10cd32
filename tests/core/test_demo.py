"""The demo and the included mini model: what comes with the package runs, and says so where something is missing."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from animatex_core import cli, demo, included, pipeline
from animatex_core.pictures import load_picture
from animatex_core.pose.io import load_openpose, save_openpose
from animatex_core.pose.keypoints import empty
from animatex_core.pose.realign import realign
from animatex_core.pose.skeleton import part_points
from animatex_core.provenance import read_metadata
from animatex_core.settings import Settings
from animatex_core.video import open_video
from animatex_core.weights import load_state

LARGEST = 32_000_000  # bytes, whatever the release


@pytest.fixture
def quick(monkeypatch):
    """One character, two steps."""
    pytest.importorskip("diffusers", reason='pip install "animate-x[offline]"')
    monkeypatch.setattr(demo, "SETTINGS", replace(demo.SETTINGS, steps=2))
    monkeypatch.setattr(included, "character_names", lambda: ["bear"])


def test_the_demo_animates_with_the_mini_model(quick, tmp_path, capsys):
    assert cli.main(["demo", "--out", str(tmp_path / "demo")]) == 0
    assert "bear, side by side, 16 frames" in capsys.readouterr().out
    assert sorted(p.name for p in (tmp_path / "demo").iterdir()) == ["contact_sheet.png", "demo.mp4"]
    info = open_video(tmp_path / "demo/demo.mp4")
    assert (info.width, info.height, info.fps) == (128, 192, 12)
    facts = read_metadata(tmp_path / "demo/demo.mp4")
    assert facts["generated"] is True and facts["files"]["bear"]["model"] == included.MINI_FILE.name
    with Image.open(tmp_path / "demo/contact_sheet.png") as sheet:
        assert sheet.width > 1000 and sheet.height > 3 * 192


def test_the_command_line_animates_the_same_frames(quick, tmp_path):
    picture, pose = included.character("bear")
    files = {"image": picture, "reference-pose": pose, "poses": included.MINI_DANCE, "out": tmp_path / "frames"}
    flags = [part for name, value in files.items() for part in (f"--{name}", str(value))]
    chosen = ["--align", "character", "--ipi-source", "reference", "--seed", "1", "--steps", "2"]
    assert cli.main(["animate", "--model", "mini", *flags, *chosen]) == 0
    found = np.stack([np.array(Image.open(path)) for path in sorted((tmp_path / "frames").glob("*.png"))])
    model = demo.load_model(included.mini_model(), dtype=torch.float32)
    assert np.abs(found.astype(int) - demo.animate("bear", model).frames).max() <= 1
    assert found.shape == (16, 192, 128, 3)


def test_what_is_drawn_is_fitted_to_the_character_and_what_the_ipi_reads_is_not(quick):
    job = demo.demo_job("bear")
    fitted = pipeline.prepare(job)
    plain = pipeline.prepare(replace(job, settings=replace(job.settings, align="off")))
    driver, anchor = load_openpose(job.poses), load_openpose(job.reference_pose)
    assert np.array_equal(fitted.drawn.poses.points, realign(driver.person(0), anchor, mode="character").poses.points)
    assert not np.array_equal(fitted.drawn.poses.points, plain.drawn.poses.points)
    assert not fitted.inputs.pose.equal(plain.inputs.pose)
    assert fitted.inputs.keypoints.equal(plain.inputs.keypoints)
    assert fitted.inputs.reference_keypoints.equal(plain.inputs.reference_keypoints)


def test_parts_that_the_character_lacks_are_not_drawn_where_that_is_asked(quick, tmp_path):
    job = demo.demo_job("bear")
    picture, arms = load_openpose(job.reference_pose), part_points(("arms",))
    save_openpose(tmp_path / "armless.json", replace(picture, scores=np.where(arms, 0, picture.scores)))
    job = replace(job, reference_pose=tmp_path / "armless.json")
    kept = pipeline.prepare(job).drawn.poses
    gone = pipeline.prepare(replace(job, settings=replace(job.settings, drop_absent=True))).drawn.poses
    assert kept.present[..., arms].any() and not gone.present[..., arms].any()
    assert np.array_equal(kept.present[..., ~arms], gone.present[..., ~arms])


def test_fitting_needs_the_characters_pose(quick):
    with pytest.raises(ValueError, match="--reference-pose"):
        pipeline.prepare(replace(demo.demo_job("bear"), reference_pose=None))


def test_without_the_characters_pose_it_is_read_from_the_picture(quick, caplog):
    job = demo.demo_job("bear")
    bare, calls = replace(job, reference_pose=None), []

    def extract(frames, fps):
        calls.append([frame.shape for frame in frames])
        return load_openpose(job.reference_pose)

    found, told = pipeline.prepare(bare, extract), pipeline.prepare(job, extract)
    assert calls == [[load_picture(job.reference).shape]]  # not where the pose is given
    assert found.drawn.poses.points.tobytes() == told.drawn.poses.points.tobytes()
    assert found.inputs.reference_keypoints.equal(told.inputs.reference_keypoints)
    pipeline.prepare(replace(bare, settings=replace(job.settings, align="off")), extract)
    assert len(calls) == 1
    nobody = pipeline.prepare(bare, lambda frames, fps: empty(1, 64, 96))
    assert "Nobody was found in the reference" in caplog.text
    np.testing.assert_array_equal(nobody.drawn.poses.points, load_openpose(job.poses).person(0).points)


@pytest.mark.parametrize("name", included.character_names())
def test_a_character_comes_with_its_pose_on_the_same_canvas(name):
    picture, pose = included.character(name)
    found = load_openpose(pose)
    assert Image.open(picture).size == (found.width, found.height) == (128, 192)
    assert found.present.any() and len(found) == 1


def test_the_included_file_is_small_whole_and_says_what_it_is():
    state = load_state(included.mini_model())
    assert included.MINI_FILE.stat().st_size <= LARGEST
    with safe_open(included.MINI_FILE, "pt") as file:
        names, facts = set(file.keys()), file.metadata()
    assert {name.partition(".")[0] for name in names} >= {"unet", "ipi", "vae", "clip_vision"}
    assert state.config.ipi is not None and facts["license"].startswith("CC0-1.0")
    assert "synthetic" in facts["note"]


def test_there_are_characters_and_a_dance():
    assert len(included.character_names()) >= 2
    dance = load_openpose(included.MINI_DANCE)
    assert (len(dance), dance.fps) == (included.MINI_SETTINGS.frames, 12)
    with pytest.raises(ValueError, match="expected one of bear"):
        included.character("nobody")


def test_a_missing_model_is_said_with_what_brings_it(monkeypatch, tmp_path, capsys):
    place = tmp_path / "animatex_core/assets"
    monkeypatch.setattr(included, "ASSETS", place)
    monkeypatch.setattr(included, "MINI_FILE", place / "animatex_mini.safetensors")
    for command in (["demo"], ["animate", "--model", "mini", "--image", "i.png"]):
        assert cli.main([*command, "--out", str(tmp_path / "out")]) == 1
        told = capsys.readouterr().err
        assert "git checkout HEAD -- animatex_core/assets/animatex_mini.safetensors" in told
    place.mkdir(parents=True)
    included.MINI_FILE.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    assert cli.main(["demo", "--out", str(tmp_path / "out")]) == 1
    assert "git lfs pull -I animatex_core/assets" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_mini_is_a_name_with_numbers_of_its_own(monkeypatch, tmp_path):
    assert included.model_path("mini") == included.MINI_FILE
    assert included.settings_for(included.MINI_FILE) == included.MINI_SETTINGS
    monkeypatch.chdir(included.ASSETS)
    assert included.settings_for(Path(included.MINI_FILE.name)) == included.MINI_SETTINGS
    assert included.settings_for(tmp_path / "other.safetensors") == Settings()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mini").mkdir()  # a folder of results, say
    assert str(included.model_path("mini")) == "mini"
