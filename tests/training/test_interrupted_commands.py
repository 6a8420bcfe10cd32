"""Runs on a prepared data set, with poses transformed at random: interrupted and resumed, also by `kill -9`."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from animatex_training.checkpoint import Checkpoints
from animatex_training.config_file import config_from
from animatex_training.open_data import open_data
from animatex_training.sharding import Ranks
from animatex_training.trainer import CHECKPOINTS, Trainer

from animatex_core.config import TINY
from tests.training.data_files import prepared
from tests.training.fakes import NETWORK

pytest.importorskip("diffusers", reason='pip install "animate-x[offline]"')
ROOT, STEPS = Path(__file__).parents[2], 4


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return prepared(tmp_path_factory.mktemp("data"), count=3)


def sections(data, **run):
    wide = {"clip_width": TINY.conditions.clip_width}
    return {
        "model": NETWORK | {"conditions": NETWORK["conditions"] | wide, "ipi": NETWORK["ipi"] | wide},
        "data": {"folder": str(data), "frames": 3, "batch": 2, "accumulate": 2, "workers": 0, "settings": {}},
        "optimiser": {"rate": 1e-3, "ipi_rate": 1e-4, "ema": 0.9, "warmup": 2},
        "run": {"steps": STEPS, "precision": "fp32", "sharding": "none", "device": "cpu"} | run,
        "save": {"every": 1, "keep": 2},
        "watch": {"sample_every": 0, "log_every": 1},
    }


def as_toml(values, name=""):
    """Sections, and keys whose values JSON writes as TOML does."""
    own = [f"{key} = {json.dumps(value)}" for key, value in values.items() if not isinstance(value, dict)]
    inner = [as_toml(v, f"{name}.{k}".strip(".")) for k, v in values.items() if isinstance(v, dict)]
    return "\n".join([*([f"[{name}]"] if name else []), *own, *inner])


def same_end(folder, other):
    ends = [Checkpoints(f / CHECKPOINTS, 2).read(STEPS) for f in (folder, other)]
    for group in ("model", "ema", "optimiser-exp_avg", "optimiser-exp_avg_sq", "optimiser-step"):
        assert all(torch.equal(t, ends[1].tensors[group][n]) for n, t in ends[0].tensors[group].items()), group
    assert ends[0].state["position"] == ends[1].state["position"]
    assert losses(folder) == losses(other)


def losses(folder):
    lines = [json.loads(line) for line in (folder / "scalars.jsonl").read_text().splitlines()]
    return [(line["step"], line["train/loss"]) for line in lines]


def test_on_a_prepared_data_set_interrupted_equals_straight(tmp_path, data):
    config = config_from(sections(data), "test")
    opened = open_data(config.data, config.run.seed)
    for folder, stops in ((tmp_path / "straight", [STEPS]), (tmp_path / "stopped", [1, 2, STEPS])):
        for number, stop in enumerate(stops):
            trainer = Trainer(config, opened, folder, Ranks(), torch.device("cpu"), resume=number > 0)
            asked = type("StopAt", (), {"signal": property(lambda _, t=trainer, s=stop: 15 if t.step >= s else 0)})
            trainer.run(asked())
    same_end(tmp_path / "stopped", tmp_path / "straight")


def start(toml, out, *more):
    command = [sys.executable, "-m", "animatex_training.cli", "train", str(toml), "--out", str(out), "--quiet", *more]
    told = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, cwd=ROOT, start_new_session=True, **told)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_the_command_killed_at_any_moment_and_resumed_equals_straight(tmp_path, data):
    """Killed between the first line of its log and its end, with worker processes; the last run goes to the end."""
    toml = tmp_path / "run.toml"
    values = sections(data)
    values["data"]["workers"] = 1
    toml.write_text(as_toml(values))
    told, _ = (straight := start(toml, tmp_path / "straight")).communicate(timeout=400)
    assert straight.returncode == 0, told
    lots, killed, out = random.Random(3), 0, tmp_path / "killed"
    for _ in range(5):
        process = start(toml, out, "--resume")
        lines = len(losses(out)) if (out / "scalars.jsonl").exists() else 0
        while process.poll() is None and not ((out / "scalars.jsonl").exists() and len(losses(out)) > lines):
            time.sleep(0.02)
        time.sleep(lots.uniform(0, 0.4))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
        if process.returncode == 0:
            break
    assert killed > 1
    told, _ = (last := start(toml, out, "--resume")).communicate(timeout=400)
    assert last.returncode == 0, told
    same_end(out, tmp_path / "straight")


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="no SIGTERM")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("workers", [0, 2])
def test_the_command_saves_and_leaves_on_a_signal_to_all_its_processes(tmp_path, data, number, workers):
    toml, values = tmp_path / "run.toml", sections(data, steps=1000) | {"save": {"every": 1000}}
    values["data"]["workers"] = workers
    toml.write_text(as_toml(values))
    process = start(toml, tmp_path / "run")
    while process.poll() is None and not (tmp_path / "run" / "scalars.jsonl").exists():
        time.sleep(0.05)
    os.killpg(process.pid, number)
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + number, told
    assert all(word not in told for word in ("Traceback", "killed")), told
    with pytest.raises(ProcessLookupError):  # no worker is left; Python's own helper process takes a moment
        for _ in range(200):
            os.killpg(process.pid, 0)
            time.sleep(0.05)
    step, _ = Checkpoints(tmp_path / "run" / CHECKPOINTS, 2).newest()
    assert 1 <= step < 1000 and losses(tmp_path / "run")[-1][0] == step
