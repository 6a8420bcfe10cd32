"""Every workflow posted to a real server, small: progress, previews and the frames arrive over the WebSocket."""

from __future__ import annotations

import pytest

from animatex_core.weights import load_state
from tests.comfy.graphs import pixels, prompt
from tests.comfy.listener import Listener
from tests.comfy.template_files import template_host, twin  # noqa: F401  (template_host is a fixture)
from tests.comfy.test_templates_host import small

pytestmark = pytest.mark.slow
# Name -> (changed values, frames that come out, steps shown by the sampler of ours and by KSampler).
WORKFLOWS = {
    "00_first_animation_mini": ({}, 16, 2),
    "1_first_animation": ({}, 32, 2),
    "2_cartoon_10s_576x1024": ({"frame_load_cap": 40}, 3 * 39 + 1, 2),
    "3_ksampler_lora_cache": ({}, 64, 2),
    "4_poses_from_other_nodes": ({}, 32, 2),
    "5_endless_loop": ({}, 32, 2),  # all frames of the dance that comes with the pack
    "6_draft_then_refine": ({"frame_load_cap": 17}, 33, 2),
}
POSES = {"file": "walk.json", "units": "find out", "skip_first_frames": 0, "frame_load_cap": 32}


def affordable(api):
    """The graph with poses of a file in SDPose's place and nothing said to Wan: those networks come in one size."""
    for node in api.values():
        if node["class_type"] == "SDPoseKeypointExtractor":
            node |= {"class_type": "AnimateX_LoadPose", "inputs": dict(POSES)}
        if node["class_type"] == "CLIPTextEncode":
            node |= {"class_type": "TestsText", "inputs": {}}
    gone = ("CLIPLoader", "CheckpointLoaderSimple")
    return {key: node for key, node in api.items() if node["class_type"] not in gone}


def watched(api):
    """The graph, its last pictures sent to the listener too; and the keys of its samplers."""
    (shown,) = (n["inputs"]["images"] for n in api.values() if n["class_type"] in ("CreateVideo", "SaveAnimatedWEBP"))
    samplers = [key for key, node in api.items() if node["class_type"] in ("AnimateX_Sampler", "KSampler")]
    return api | prompt(watch=("SaveImageWebsocket", {"images": shown})), samplers


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_runs_to_its_frames(template_host, name):  # noqa: F811
    changes, frames, steps = WORKFLOWS[name]
    api, samplers = watched(affordable(small(twin(name), **changes)))
    with Listener(template_host) as listener:
        heard = listener.run(api)
    assert heard.end == "execution_success", heard.data
    for key in samplers:
        shown = heard.steps(key)
        assert [value for value, _, _ in shown if value] == list(range(1, steps + 1)), shown
    assert len(heard.previews) >= steps * len(samplers)
    pictures = pixels(heard.pictures)
    assert pictures.shape == (frames, 96, 64, 3)
    assert pictures.std() > 1 and (pictures[0] != pictures[-1]).any()


def test_files_are_converted(template_host):  # noqa: F811
    api = small(twin("0_convert_weights_once"), filename="converted")
    (node,) = api
    with Listener(template_host) as listener:
        heard = listener.run(api)
    assert heard.end == "execution_success", heard.data
    shown = [value for value, _, _ in heard.steps(node)]
    assert shown == sorted(shown) and shown[-1] == 100
    assert load_state(template_host.base / "models/diffusion_models/converted.safetensors").config.unet.width == 32
