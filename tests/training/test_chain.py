"""Videos -> data set -> run -> file -> animation; and, slowly, that the network learns a few clips by heart."""

import json

import pytest
from PIL import Image
from safetensors import safe_open

from animatex_core.cli import main as core_cli
from animatex_core.video import read_frames
from tests.training import chain
from tests.training.in_comfyui import in_comfyui

pytest.importorskip("diffusers", reason='pip install "animate-x[offline]"')
STEPS = 450  # about seven minutes of one processor


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return chain.prepare(tmp_path_factory.mktemp("data"))


def animate(root, model):
    poses, picture = root / "videos" / "clip_000.json", root / "reference.png"
    Image.fromarray(next(iter(read_frames(root / "videos" / "clip_000.mp4")))).save(picture)
    out = root / "animated.mp4"
    given = {"--model": model, "--clip": model, "--vae": model, "--image": picture, "--poses": poses, "--out": out}
    options = ["--width", "64", "--height", "96", "--frames", "8", "--steps", "2", "--cfg", "1"]
    words = [str(word) for pair in given.items() for word in pair]
    assert core_cli(["animate", *words, *options]) == 0
    return out


def test_from_videos_to_an_animation(tmp_path, data):
    run = chain.train(data, tmp_path / "run", 2, "watch.sample_every=0")
    model = chain.export_bundle(run, tmp_path / "model.safetensors")
    with safe_open(model, "pt") as file:
        told = json.loads(file.metadata()["training"])
    assert told["step"] == 2 and told["config"]["data"]["batch"] == 3
    assert animate(data.parent, model).stat().st_size > 0


@pytest.fixture(scope="module")
def learned(tmp_path_factory, data):
    """A run that has learned three clips by heart, and its exported file."""
    folder = tmp_path_factory.mktemp("learned")
    run = chain.train(data, folder / "run", STEPS, f"watch.sample_every={STEPS}")
    return run, chain.export_bundle(run, folder / "model.safetensors")


def assert_own_is_nearest(found):
    """PSNR [made][target]: each clip is nearer to its own target than to any other, by 3 dB."""
    for number, row in enumerate(found):
        others = [value for other, value in enumerate(row) if other != number]
        assert row[number] - max(others) > 3, found


@pytest.mark.slow
def test_a_few_clips_are_learned_by_heart(learned, data):
    run, model = learned
    assert_own_is_nearest(chain.decibels(run))
    curve = [loss for _, loss in chain.losses(run)]
    assert sum(curve[-5:]) < 0.5 * sum(curve[:5])
    assert animate(data.parent, model).stat().st_size > 0


@pytest.mark.slow
def test_the_learned_clips_are_made_in_comfyui(learned, data, tmp_path):
    """By the nodes of a real server; it needs COMFYUI_PATH and COMFYUI_PYTHON."""
    assert_own_is_nearest(in_comfyui(tmp_path, learned[1], data.parent / "videos"))


def test_single_frames_first_then_clips_from_their_weights(tmp_path, data):
    still = chain.train(data, tmp_path / "still", 1, "data.frames=1", "watch.sample_every=0")
    chain.export(still, tmp_path / "still.safetensors", dtype="fp32")
    start = f"start.weights='{tmp_path / 'still.safetensors'}'"
    moving = chain.train(data, tmp_path / "moving", 1, start, "watch.sample_every=0")
    assert chain.losses(still) and chain.losses(moving)
