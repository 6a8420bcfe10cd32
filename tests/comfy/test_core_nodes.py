"""What people wire around a model, by ComfyUI's own nodes in a real server: every prompt gives its frames."""

from __future__ import annotations

import time

import pytest

from tests.comfy.graphs import animation, new_host, pixels, prompt, with_ksampler
from tests.comfy.listener import Listener

CACHE = {"reuse_threshold": 0.2, "start_percent": 0.15, "end_percent": 0.95, "verbose": False}
WINDOWS = {
    "context_length": 8, "context_overlap": 3, "context_schedule": "standard_static", "context_stride": 1,
    "closed_loop": False, "fuse_method": "pyramid", "dim": 0, "freenoise": False, "cond_retain_index_list": "",
    "split_conds_to_windows": False, "latent_retain_index_list": "", "causal_window_fix": True,
}  # fmt: skip
LOOP = {"context_schedule": "looped_uniform", "closed_loop": True}
# Name -> nodes on the model's way to KSampler, in their order.
PATCHES = {
    "EasyCache": [("EasyCache", CACHE)],
    "LazyCache": [("LazyCache", CACHE)],
    "ModelSamplingDiscrete": [("ModelSamplingDiscrete", {"sampling": "v_prediction", "zsnr": True})],
    "RescaleCFG": [("RescaleCFG", {"multiplier": 0.7})],
    "windows": [("ContextWindowsManual", WINDOWS)],
    "windows without anchor": [("ContextWindowsManual", WINDOWS | {"causal_window_fix": False})],
    "windows of every second frame": [
        ("ContextWindowsManual", WINDOWS | {"context_schedule": "standard_uniform", "context_stride": 2})
    ],
    "closed loop and a cache": [("ContextWindowsManual", WINDOWS | LOOP), ("LazyCache", CACHE)],
}
FRAMES = 16


@pytest.fixture(scope="module")
def listener(tmp_path_factory):
    with new_host(tmp_path_factory.mktemp("core_nodes")) as host, Listener(host) as listening:
        yield listening


def heard_of(listener, graph):
    """What is heard of a prompt that goes well."""
    heard = listener.run(graph)
    assert heard.end == "execution_success", heard.data
    return heard


def frames_of(listener, graph):
    """The frames that a prompt gives; its previews are counted too."""
    heard = heard_of(listener, graph)
    assert len(heard.previews) >= 6
    pictures = pixels(heard.pictures)
    assert pictures.shape == (FRAMES, 96, 64, 3) and pictures.std() > 1
    return pictures


@pytest.fixture(scope="module")
def plain(listener):
    return frames_of(listener, with_ksampler(animation(FRAMES, 64, 96)))


@pytest.mark.parametrize("name", PATCHES)
def test_a_patched_model_gives_its_frames(listener, plain, name):
    graph, model = with_ksampler(animation(FRAMES, 64, 96)), ["model", 0]
    for number, (kind, inputs) in enumerate(PATCHES[name]):
        graph |= prompt(**{f"patch_{number}": (kind, inputs | {"model": model})})
        model = [f"patch_{number}", 0]
    graph["sample"]["inputs"]["model"] = model
    assert (frames_of(listener, graph) != plain).any() or name == "ModelSamplingDiscrete"


def test_sampler_custom_advanced_with_the_released_steps(listener, plain):
    graph = animation(FRAMES, 64, 96)
    links = {name: graph["sample"]["inputs"][name] for name in ("model", "positive", "negative")}
    graph |= prompt(
        noise=("RandomNoise", {"noise_seed": 5}),
        guider=("CFGGuider", links | {"cfg": 2.5}),
        choice=("KSamplerSelect", {"sampler_name": "ddim"}),
        sigmas=("AnimateX_Sigmas", {"steps": 6, "end": "clean"}),
        sample=(
            "SamplerCustomAdvanced",
            {
                "noise": ["noise", 0], "guider": ["guider", 0], "sampler": ["choice", 0], "sigmas": ["sigmas", 0],
                "latent_image": ["conditioning", 2],
            },
        ),
    )  # fmt: skip
    # The same noise, sampler and time steps: ddim_uniform visits those of the released program and ends without noise.
    assert (frames_of(listener, graph) == plain).all()


def test_models_are_given_back_and_loaded_again(listener, plain):
    graph = with_ksampler(animation(FRAMES, 64, 96))
    assert "model" in heard_of(listener, graph).cached
    listener.host.post("/free", {"unload_models": True, "free_memory": True})
    time.sleep(2)  # the server does it between prompts
    again = heard_of(listener, graph)
    assert not {"model", "conditioning", "sample"} & set(again.cached)
    assert (pixels(again.pictures) == plain).all()
