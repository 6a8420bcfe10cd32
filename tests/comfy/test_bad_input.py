"""Bad input in a real server: the node it belongs to says what to do, and the next prompt runs."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from tests.comfy.graphs import MODEL, POSES_OF_FILE, animation, new_host, pixels, prompt
from tests.comfy.listener import Listener

FRAMES = 8
# Name -> (changed inputs by node, the node that says it, words of the message).
REFUSED = {
    "no frames": ({"conditioning": {"reference": "no frames"}}, "conditioning", ("reference", "no frames", "check")),
    "five channels": ({"conditioning": {"reference": "five channels"}}, "conditioning", ("reference", "IMAGE")),
    "not a number": ({"conditioning": {"reference": "not a number"}}, "conditioning", ("not finite", "precision")),
    "lengths": ({"conditioning": {"driving_images": "three frames"}}, "conditioning", ("has 3", "8")),
    "no person": ({"conditioning": {"driving_pose": ["nobody", 0]}}, "conditioning", ("nobody", "Draw Pose")),
    "wrong CLIP": ({"conditioning": {"clip_vision": ["others", 0]}}, "sample", ("96 wide", "load")),
    "wrong VAE": ({"conditioning": {"vae": ["others", 1], "setting": "paper"}}, "conditioning", ("vae", "SD 1.x")),
    "no VAE": ({"conditioning": {"setting": "paper"}}, "conditioning", ("connect a vae",)),
    "windows": ({"sample": {"window_length": 4, "window_overlap": 4}}, "sample", ("overlap", "0 to 3")),
    "another model": ({"model": {"model_name": "broken.safetensors"}}, "model", ("broken.safetensors",)),
    "a loop that goes on": (
        {"sample": {"closed_loop": True, "continue_from": ["conditioning", 2]}},
        "sample",
        ("choose one",),
    ),
    "no latent checked": ({"sample": {"latent": ["checked", 0]}}, "sample", ("connect that of Animate-X Cond",)),
    "latents of another size": ({"sample": {"latent": ["small", 2]}}, "sample", ("64x96", "64x64", "LATENT")),
}
ACCEPTED = ("four channels", "float64")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    host = new_host(tmp_path_factory.mktemp("bad"))
    folder = host.base / "models/diffusion_models"
    (folder / "broken.safetensors").write_bytes((folder / MODEL).read_bytes()[:5000])
    with host as running:
        yield running


@pytest.fixture(scope="module")
def listener(server):
    with Listener(server) as listening:
        yield listening


def graph(changes, reference="plain"):
    """The animation with changed inputs; a name of a picture stands for a node that makes it."""
    nodes = animation(FRAMES, 64, 96, steps=2) | prompt(
        nobody=("TestsNobody", {}), others=("TestsOtherModels", {}), picture=("TestsPicture", {"kind": reference})
    )
    small = nodes["conditioning"]["inputs"] | {"height": 64}
    checked = {
        "steps": 2, "window_length": 0, "window_overlap": 0, "measure_time": False, "stop_on_problems": False,
    }  # fmt: skip
    nodes |= prompt(small=("AnimateX_Conditioning", small), checked=("AnimateX_Preflight", checked))
    for node, inputs in changes.items():
        for name, value in inputs.items():
            if name in ("reference", "driving_images"):
                nodes[value] = {"class_type": "TestsPicture", "inputs": {"kind": value}}
                value = [value, 0]
            nodes[node]["inputs"][name] = value
    return nodes


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_told_in_the_node_and_the_server_goes_on(listener, name):
    changes, node, words = REFUSED[name]
    heard = listener.run(graph(changes))
    assert heard.end == "execution_error"
    assert heard.data["node_id"] == node, heard.data["exception_message"]
    assert not [word for word in words if word not in heard.data["exception_message"]], heard.data["exception_message"]
    good = listener.run(graph({}))
    assert good.end == "execution_success" and len(good.pictures) == FRAMES


@pytest.mark.parametrize("kind", ACCEPTED)
def test_what_can_be_understood_gives_the_same_frames(listener, kind):
    """Full opacity and other precisions change nothing."""
    plain, other = (listener.run(graph({}, reference=reference)) for reference in ("plain", kind))
    assert plain.end == other.end == "execution_success"
    assert (pixels(plain.pictures) == pixels(other.pictures)).all()


def test_poses_of_a_file_that_is_none_are_told(server, listener):
    (server.base / "input/no_poses.json").write_text('{"people": 3}')
    loaded = POSES_OF_FILE | {"file": "no_poses.json", "frame_load_cap": 0}
    heard = listener.run(graph({}) | prompt(poses=("AnimateX_LoadPose", loaded)))
    assert heard.end == "execution_error" and heard.data["node_id"] == "poses"
    assert "no_poses.json" in heard.data["exception_message"]


# Class -> (its inputs, words of what is said before anything runs).
ABSENT = {
    "AnimateX_LoadModel": (
        {"model_name": "animate-x.safetensors", "weight_dtype": "default"}, ("no animate-x.safetensors", "Convert"),
    ),
    "AnimateX_LoadDWPose": (
        {"detector": "dwpose/yolox_l.onnx", "pose": "no file found", "device": "auto"},
        ("no file dwpose/yolox_l", "press R"),
    ),
    "AnimateX_ConvertWeights": (
        {"checkpoint": "animatex_tiny.safetensors", "text_encoder": "v2-1_512-ema-pruned.ckpt", "clip_vision": "none",
         "vae": "none", "dtype": "fp16", "filename": "x"}, ("v2-1_512-ema-pruned.ckpt", "models/animatex"),
    ),
    "AnimateX_LoadPose": (POSES_OF_FILE | {"file": "gone.json", "frame_load_cap": 0}, ("gone.json", "press R")),
}  # fmt: skip


@pytest.mark.parametrize("kind", ABSENT)
def test_files_that_are_not_there_are_told_before_anything_runs(server, kind):
    inputs, words = ABSENT[kind]
    api = prompt(node=(kind, inputs), show=("PreviewAny", {"source": ["node", 0]}))
    with pytest.raises(RuntimeError) as told:
        server.post("/prompt", {"prompt": api})
    assert not [word for word in words if word not in str(told.value)], str(told.value)
    assert "not in list" not in str(told.value)


def test_another_model_is_not_replaced_by_a_conversion(server, listener):
    models = server.base / "models"
    taken = models / "diffusion_models" / "taken.safetensors"
    save_file({"double_blocks.0.img_attn.qkv.weight": torch.zeros(3, 3)}, taken)
    before = taken.read_bytes()
    inputs = {"text_encoder": "none", "clip_vision": "none", "vae": "none", "dtype": "fp16", "filename": "taken"}
    heard = listener.run(prompt(convert=("AnimateX_ConvertWeights", {"checkpoint": MODEL, **inputs})))
    assert heard.end == "execution_error" and "no Animate-X model" in heard.data["exception_message"]
    assert taken.read_bytes() == before
