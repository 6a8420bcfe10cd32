"""The nodes in a real server: found, run, watched, cancelled, and no heavier for a longer clip."""

from __future__ import annotations

import io
import os
import shutil
import threading
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from animatex_core.config import with_unet
from tests.comfy.graphs import MODEL, animation, latents_only, new_host, pixels, with_ksampler
from tests.comfy.listener import Listener
from tests.core.small_files import SMALL

NODES = (
    "LoadModel", "ConvertWeights", "LoadDWPose", "ExtractPose", "CleanPose", "AlignPose", "RescalePose", "ManualPose",
    "DrawPose", "SavePose", "LoadPose", "PickFrames", "EncodeIPI", "Conditioning", "Sampler", "Sigmas", "Preflight",
    "SampleCharacter",
)  # fmt: skip
SAMPLED_EVERY = 0.02


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with new_host(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="module")
def known(server):
    return server.get("/object_info")


@pytest.mark.parametrize("name", NODES)
def test_node_is_registered_and_says_what_it_does(known, name):
    node = known[f"AnimateX_{name}"]
    assert node["category"].startswith("AnimateX")
    assert node["display_name"] and node["description"]
    assert len(node["search_aliases"]) >= 2
    inputs = {**node["input"].get("required", {}), **node["input"].get("optional", {})}
    for key, entry in inputs.items():
        assert len(entry) > 1 and entry[1].get("tooltip"), f"{name}.{key} has no tooltip"
    assert all(node["output_tooltips"]), name


def test_no_node_is_listed_that_the_tests_do_not_know(known):
    ours = {name.removeprefix("AnimateX_") for name in known if name.startswith("AnimateX_")}
    assert ours >= set(NODES)
    assert ours - set(NODES) <= {"PoseReport"}


def test_progress_previews_and_final_frames(server):
    with Listener(server) as listener:
        heard = listener.run(animation(8, 64, 96))
    assert heard.end == "execution_success", heard.data
    # 6 steps ask for every 166th time step, which makes 7 of them.
    assert [value for value, _, _ in heard.steps("sample")] == list(range(1, 8))
    assert len(heard.previews) == 7
    width, height = Image.open(io.BytesIO(heard.previews[0])).size  # the host enlarges small previews
    assert width / height == pytest.approx(64 / 96, rel=0.01)
    frames = pixels(heard.pictures)
    assert frames.shape == (8, 96, 64, 3)
    assert frames.std() > 1 and (frames[0] != frames[-1]).any()


def test_core_sampler_runs_the_same_graph(server):
    with Listener(server) as listener:
        heard = listener.run(with_ksampler(animation(8, 64, 96), sampler_name="dpmpp_2m", scheduler="karras"))
    assert heard.end == "execution_success", heard.data
    assert pixels(heard.pictures).shape == (8, 96, 64, 3)
    assert len(heard.previews) == 6


def test_the_model_is_loaded_once_and_again_when_its_file_has_changed(server):
    path = server.base / "models/diffusion_models" / MODEL
    with Listener(server) as listener:
        listener.run(animation(8, 64, 96, seed=11))
        again = listener.run(animation(8, 64, 96, seed=12))
        os.utime(path, (path.stat().st_atime, path.stat().st_mtime + 10))
        changed = listener.run(animation(8, 64, 96, seed=13))
    assert {"model", "conditioning"} <= set(again.cached) and "sample" not in again.cached
    assert changed.end == "execution_success" and "picture" in changed.cached
    assert not {"model", "conditioning"} & set(changed.cached)


@pytest.mark.parametrize("core", [False, True], ids=["our sampler", "KSampler"])
def test_cancel_midway_then_run_again_as_if_nothing_had_been(tmp_path_factory, record_property, core):
    graph = animation(8, 128, 192, steps=12)
    if core:
        graph = with_ksampler(graph, steps=13)
    asked = []

    with new_host(tmp_path_factory.mktemp("cancelled")) as host, Listener(host) as listener:

        def interrupt(node, value):
            if node == "sample" and value == 5 and not asked:
                asked.append(time.perf_counter())
                host.post("/interrupt", {})

        stopped = listener.run(graph, interrupt)
        assert stopped.end == "execution_interrupted"
        again = listener.run(graph)
    times = [moment for _, _, moment in stopped.steps("sample")]
    forward = float(np.median([b - a for a, b in pairwise(times[:5])]))
    forwards = (stopped.time - asked[0]) / forward
    record_property("figures", {"forwards from the interrupt to its end": round(forwards, 2)})
    assert forwards <= 1.5, (stopped.time - asked[0], forward)
    with new_host(tmp_path_factory.mktemp("fresh")) as host, Listener(host) as listener:
        fresh = listener.run(graph)
    assert fresh.end == again.end == "execution_success"
    assert len(fresh.pictures) == 8
    assert (pixels(fresh.pictures) == pixels(again.pictures)).all()


class MemoryWatch:
    """The largest resident memory of a process while it is entered, in bytes."""

    def __init__(self, process):
        self.status = Path(f"/proc/{process.pid}/statm")
        self.largest, self.running = 0, True

    def now(self):
        return int(self.status.read_text().split()[1]) * 4096

    def __enter__(self):
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.running = False
        self.thread.join()

    def _watch(self):
        while self.running:
            self.largest = max(self.largest, self.now())
            time.sleep(SAMPLED_EVERY)


# At 96x64 latents attention between all 6,144 pixels of a frame would take a CPU minutes a step; it stays in the middle
# of the network, at a quarter of the pixels.
LIGHT = with_unet(SMALL, attention_levels=0)


def raised(folder, frames):
    """How much a fresh server grows while it samples so many frames of 96x64 latents in windows of 32.

    Two steps, so that windows are at different places.
    """
    graph = latents_only(animation(frames, 512, 768, steps=2, window_length=32, window_overlap=8))
    with new_host(folder, LIGHT) as host, Listener(host) as listener:
        with MemoryWatch(host.process) as watch:
            idle = watch.now()
            heard = listener.run(graph)
        assert heard.end == "execution_success", heard.data
    shutil.rmtree(folder, ignore_errors=True)
    return watch.largest - idle


@pytest.mark.slow
def test_memory_does_not_grow_with_the_clip(tmp_path_factory, record_property):
    short = raised(tmp_path_factory.mktemp("short"), 32)
    long = raised(tmp_path_factory.mktemp("long"), 96)
    figures = {"MiB for 32 frames": short >> 20, "MiB for 96 frames": long >> 20, "ratio": round(long / short, 3)}
    record_property("figures", figures)
    assert long <= 1.15 * short, figures
