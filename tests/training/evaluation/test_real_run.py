"""The whole benchmark on clips of real dances, with results whose order is known beforehand.

A2BENCH_VIDEOS names the folder of the reference repository's videos (dance_1.mp4, dance1_right.mp4, ubc.mp4 and
dance_2.mp4). A2BENCH_LPIPS may name LPIPS weights.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from animatex_training.evaluation.cli import main
from animatex_training.evaluation.frames import read_clip, write_clip
from animatex_training.evaluation.metrics.table import METRICS
from animatex_training.evaluation.records import RunFolder

from animatex_core.pictures import resize
from animatex_core.video import read_frames
from tests.comfy.real_host import skip_loudly
from tests.training.evaluation.test_runner import contents

POSES = Path(__file__).parents[2] / "data/poses"
WIDTH, HEIGHT, FRAMES = 96, 144, 9
METHODS = ("copy", "noise8", "noise40", "shift", "other")
# What they say has no order of better and worse between these methods: they look at a clip alone.
ALONE = ("drift", "largest_jump", "identity_drift_proxy_efficientnet_lite0")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with the set, its inputs and the results of all methods."""
    videos = Path(os.environ.get("A2BENCH_VIDEOS", "nowhere"))
    if not (videos / "dance_1.mp4").is_file():
        skip_loudly("set A2BENCH_VIDEOS to the folder of the reference repository's videos")
    root = tmp_path_factory.mktemp("real")
    (root / "videos").mkdir()
    for name in ("dance_1", "dance1_right", "ubc"):
        shutil.copy(videos / f"{name}.mp4", root / "videos")
        shutil.copy(POSES / f"mediapipe_{name}.json", root / "videos" / f"{name}.json")
    stated = ["--licence", "see the reference repository", "--source", "reference repository"]
    built = ["build", "videos", root / "videos", root / "set", "--name", "dances", "--frames", FRAMES, *stated]
    assert bench(*built) == 0 and bench("validate", root / "set") == 0
    assert bench(*arguments(root, "inputs", methods=())) == 0
    other = list(islice(read_frames(videos / "dance_2.mp4"), 0, 3 * FRAMES, 3))
    write_results(root, [resize(frame, WIDTH, HEIGHT) for frame in other])
    return root


def write_results(root, other):
    rng = np.random.default_rng(1)
    for case in sorted((root / "inputs/cases").iterdir()):
        truth = np.stack(list(read_clip(case / "truth")))
        noise = rng.normal(size=truth.shape)
        made = {"copy": truth, "shift": np.roll(truth, 5, axis=2), "other": np.stack(other)}
        made |= {f"noise{s}": np.clip(truth + s * noise, 0, 255).astype(np.uint8) for s in (8, 40)}
        for name, frames in made.items():
            (root / "results" / name).mkdir(parents=True, exist_ok=True)
            write_clip(root / "results" / name / case.name, frames)


def arguments(root, out, methods=METHODS, metrics=""):
    given = [word for name in methods for word in ("--method", f"{name}={root / 'results' / name}")]
    lpips = os.environ.get("A2BENCH_LPIPS")
    given += ["--lpips", lpips] if lpips else []
    given += ["--metrics", metrics] if metrics else []
    size = ["--width", WIDTH, "--height", HEIGHT, "--frames", FRAMES]
    return ["run", root / "set", "--out", root / out, *size, *given]


def bench(*words):
    return main([str(word) for word in [*words, "--quiet"]])


@pytest.fixture(scope="module")
def whole(root):
    """A run that nobody interrupted, and how long it took."""
    begun = time.monotonic()
    assert bench(*arguments(root, "run")) == 0
    return root / "run", time.monotonic() - begun


def test_methods_are_ordered_on_every_metric(whole):
    folder = RunFolder(whole[0])
    scores = {name: folder.method_scores(name).values for name in METHODS}
    assert all(scores[name].keys() == scores["copy"].keys() for name in METHODS)
    for metric in scores["copy"]:
        sign = -1 if METRICS[metric].better == "higher" else 1
        row = {name: sign * scores[name][metric].value for name in METHODS}
        print(metric, {name: round(scores[name][metric].value, 5) for name in METHODS})
        if metric in ALONE:
            continue
        slack = 1e-5 * max(1, abs(row["copy"]))
        assert all(row["copy"] <= row[name] + slack for name in METHODS), metric
        assert row["copy"] < row["noise8"] < row["noise40"], metric
        assert row["copy"] < row["other"] and row["noise8"] < row["other"], metric


def test_a_second_run_changes_nothing(root, whole):
    before = contents(whole[0])
    begun = time.monotonic()
    assert bench(*arguments(root, "run")) == 0
    print(f"first run {whole[1]:.0f} s, second {time.monotonic() - begun:.0f} s")
    assert contents(whole[0]) == before


def test_killed_midway_it_goes_on(root):
    """Without the distances between sets, which take most of the time."""
    quick = "psnr,ssim,mae,largest_jump,psnr_disco,ssim_disco,l1_disco"
    assert bench(*arguments(root, "unbroken", metrics=quick)) == 0
    killed = arguments(root, "killed", metrics=quick)
    command = [sys.executable, "-m", "animatex_training.evaluation.cli", *map(str, killed), "--quiet"]
    for wanted in (4, 9):
        process = subprocess.Popen(command)
        while len(list((root / "killed/scores").rglob("*.json"))) < wanted and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
    there = contents(root / "killed")
    done = len(list((root / "killed/scores").rglob("*.json")))
    assert 9 <= done < 15
    assert bench(*killed) == 0
    after = contents(root / "killed")
    kept = [name for name in there if ".partial" not in name and after.get(name) == there[name]]
    print(f"killed twice, after {done} of 15 clips: {len(kept)} of {len(there)} files stayed as they were")
    assert len(kept) >= len(there) - FRAMES - 2
    resumed, unbroken = (
        {name: digest for name, (digest, _) in found.items() if ".partial" not in name}
        for found in (after, contents(root / "unbroken"))
    )
    assert resumed == unbroken
