"""A real ComfyUI as a method and as the maker of a set, with workflows of its own nodes.

COMFYUI_PATH and COMFYUI_PYTHON name it (see tests/comfy/real_host.py).
"""

import json

import numpy as np
import pytest
from animatex_training.evaluation.cases import open_set, validate
from animatex_training.evaluation.cli import main
from animatex_training.evaluation.frames import read_clip
from animatex_training.evaluation.methods import open_method, parse_method
from animatex_training.evaluation.records import RunFolder

from tests.comfy.real_host import RealHost
from tests.training.evaluation import workflows
from tests.training.evaluation.small_set import FRAMES, write_small_set
from tests.training.evaluation.test_runner import contents

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    with RealHost(tmp_path_factory.mktemp("comfy")) as running:
        yield running


def bench(*words):
    return main([str(word) for word in [*words, "--quiet"]])


def test_workflows_are_methods(host, tmp_path):
    write_small_set(tmp_path / "set", cases=2)
    pictures, video = workflows.inverted(tmp_path / "a.json"), workflows.video_through(tmp_path / "b.json")
    same = workflows.driver_through(tmp_path / "c.json")
    size = ["--width", 64, "--height", 96, "--frames", FRAMES, "--metrics", "psnr,mae"]
    given = ["--method", f"inverted={pictures},url={host.url}", "--method", f"video={video},url={host.url}"]
    given += ["--method", f"same={same},url={host.url}"]
    assert bench("run", tmp_path / "set", "--out", tmp_path / "run", *size, *given) == 0
    run = RunFolder(tmp_path / "run")
    for case in ("case0", "case1"):
        poses, made = (np.stack(list(read_clip(f))) for f in (run.case(case) / "poses", run.frames("inverted", case)))
        assert np.abs(made + poses.astype(int) - 255).max() <= 1  # 1 - x in floats, cut off to 8 bits by SaveImage
        # through an animated PNG and back no pixel is lost
        assert run.case_scores("same", case).values["mae"].value == 0
        assert run.case_scores("video", case).values["psnr"].value > 25  # the driver is the truth, coded as H.264
    facts = run.bench().options["methods"]["inverted"]
    assert facts["slots"] == {"pose_pictures": "1.image", "output": "3"} and facts["server"]["comfyui_version"]
    before = contents(run.root)
    assert bench("run", tmp_path / "set", "--out", tmp_path / "run", *size, *given) == 0
    assert contents(run.root) == before


def test_what_comfyui_says_is_passed_on(host, tmp_path, capsys):
    write_small_set(tmp_path / "set", cases=2)
    graph = json.loads(workflows.inverted(tmp_path / "graph.json").read_text())
    size = ["--width", 64, "--height", 96, "--frames", FRAMES, "--metrics", "psnr"]

    def fails(said):
        given = ["--method", f"graph={tmp_path / 'graph.json'},url={host.url}"]
        assert bench("run", tmp_path / "set", "--out", tmp_path / "run", *size, *given) == 1
        assert said in capsys.readouterr().err

    # a method that has made nothing yet may be mended in the same folder
    graph["2"]["class_type"] = "NoSuchNode"
    (tmp_path / "graph.json").write_text(json.dumps(graph))
    fails("not found")
    graph["2"] = workflows.node("ImageCrop", image=("1", 0), width="wide", height=8, x=0, y=0)
    (tmp_path / "graph.json").write_text(json.dumps(graph))
    fails("node 2 (ImageCrop)")
    graph["2"] = workflows.node("ImageCrop", image=("1", 0), width=32, height=32, x=0, y=0)
    (tmp_path / "graph.json").write_text(json.dumps(graph))
    fails("frame 0 is 32x32, expected 64x96")


def test_a_set_is_built(host, tmp_path):
    prompts, made = tmp_path / "prompts.json", tmp_path / "set"
    assert bench("build", "prompts", prompts, "--count", 3) == 0
    image, clip = workflows.picture_of_noise(tmp_path / "i.json"), workflows.clip_of_noise(tmp_path / "v.json")
    given = ["build", "generate", prompts, made, "--url", host.url, "--image-workflow", image, "--video-workflow", clip]
    given += ["--license", "CC0", "--source", "noise", "--fps", 8, "--tries", 4]
    assert bench(*given) == 0 and validate(made) == []
    found = open_set(made)
    assert len(found.cases) == 3 and found.scored == ()
    case = found.open(found.cases[1], deep=True)
    scores = case.facts["scores"]
    assert len(set(scores)) == 4 and case.facts["chosen"] == int(np.argmax(scores)) and case.prompt.startswith("A cute")
    tries = tmp_path / "set.tries" / case.name
    first = [(tries / str(k) / "image.png").read_bytes() for k in range(4)]
    assert len(set(first)) == 4 and case.image.read_bytes() == first[int(case.facts["chosen"])]
    before = contents(tmp_path)
    assert bench(*given) == 0 and contents(tmp_path) == before
    (tmp_path / "choices.json").write_text(json.dumps({case.name: int(np.argmin(scores))}))
    assert bench(*given, "--choices", tmp_path / "choices.json") == 0
    assert found.open(case.name).image.read_bytes() == first[int(np.argmin(scores))]
    changed = {n for n, was in before.items() if contents(tmp_path).get(n) != was}
    assert {n.split("/")[1] for n in changed if n.startswith("set/")} == {case.name}


def test_the_server_is_asked_once_opened(host, tmp_path):
    graph = workflows.inverted(tmp_path / "graph.json")
    assert open_method(parse_method(f"g={graph},url={host.url}/")).facts["seed"] == 0
