"""The first template in a ComfyUI without any file: it runs as it is, and gives the frames of the command line."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from animatex_core import cli, included
from tests.comfy.graphs import ARGUMENTS, pixels, prompt
from tests.comfy.listener import Listener
from tests.comfy.real_host import RealHost
from tests.comfy.template_files import twin
from tests.comfy.test_templates_host import film, run

pytestmark = pytest.mark.slow
TEMPLATE = "00_first_animation_mini"
DECODE = "8"


@pytest.fixture(scope="module")
def empty_host(tmp_path_factory):
    """A ComfyUI as it is after installing this pack: no model, no picture, no poses."""
    waiting = RealHost(tmp_path_factory.mktemp("empty"), *ARGUMENTS)
    waiting.add_test_nodes()
    with waiting as running:
        assert not [path for folder in ("models", "input") for path in (running.base / folder).rglob("*.*")]
        yield running


def of_the_command_line(folder):
    """The frames of the same character, dance and settings."""
    picture, pose = included.character("bear")
    files = {"image": picture, "reference-pose": pose, "poses": included.MINI_DANCE, "out": folder}
    flags = [part for name, value in files.items() for part in (f"--{name}", str(value))]
    chosen = ["--model", "mini", "--align", "character", "--ipi-source", "reference", "--seed", "1", "--device", "cpu"]
    assert cli.main(["animate", *flags, *chosen]) == 0
    return np.stack([np.array(Image.open(path).convert("RGB")) for path in sorted(folder.glob("*.png"))])


def test_the_template_gives_the_frames_of_the_command_line(empty_host, tmp_path, record_property):
    api = twin(TEMPLATE)
    assert api[DECODE]["class_type"] == "VAEDecode"
    with Listener(empty_host) as listener:
        heard = listener.run(api | prompt(watch=("SaveImageWebsocket", {"images": [DECODE, 0]})))
    assert heard.end == "execution_success", heard.data
    found, expected = pixels(heard.pictures).astype(int), of_the_command_line(tmp_path / "frames").astype(int)
    assert found.shape == expected.shape == (16, 192, 128, 3)
    apart = np.abs(found - expected)
    record_property("figures", {"largest": int(apart.max()), "mean": round(float(apart.mean()), 4)})
    # The host cuts colours to 8 bits where the command line rounds: one apart, and one more for sums in another order.
    assert apart.max() <= 2, apart.max()
    assert expected.std() > 5 and np.abs(expected[0] - expected[-1]).max() > 20


def test_the_template_saves_a_video(empty_host):
    shown = run(empty_host, twin(TEMPLATE))
    assert film(empty_host, shown["SaveVideo"]) == (16, (128, 192), 12, False)
