"""Two processes on the CPU (gloo): DDP and fully_shard compute what one process computes."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from animatex_training.checkpoint import Checkpoints
from animatex_training.sharding import Ranks
from animatex_training.trainer import CHECKPOINTS, Trainer

from tests.training.fakes import fake_data, small_config
from tests.training.two_processes import STEPS

SCRIPT = Path(__file__).with_name("two_processes.py")
pytestmark = pytest.mark.skipif(os.name == "nt", reason="gloo on Windows needs another set-up")


def start(folder, sharding, task):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    return [
        subprocess.Popen(
            [sys.executable, str(SCRIPT), str(folder), sharding, task],
            env={**os.environ, **common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]


def losses(folder):
    lines = [json.loads(line) for line in (folder / "scalars.jsonl").read_text().splitlines()]
    return [line["train/loss"] for line in lines if "train/loss" in line]


@pytest.fixture(scope="module")
def one_process(tmp_path_factory):
    """The same clips in the same steps: a batch of two for two batches of one."""
    folder = tmp_path_factory.mktemp("one")
    settings = small_config(run={"steps": STEPS}, data={"batch": 2, "accumulate": 2})
    Trainer(settings, fake_data(), folder, Ranks(), torch.device("cpu")).run()
    return folder


@pytest.mark.parametrize("sharding", ["ddp", "fully_shard"])
def test_two_processes_equal_one(one_process, tmp_path, sharding):
    for process in start(tmp_path, sharding, "train"):
        _, errors = process.communicate(timeout=400)
        assert process.returncode == 0, errors[-3000:]
    assert torch.allclose(torch.tensor(losses(tmp_path)), torch.tensor(losses(one_process)), rtol=1e-5, atol=0)
    facts = [json.loads((tmp_path / f"facts-{rank}.json").read_text()) for rank in range(2)]
    assert all(fact["sharded"] == (sharding == "fully_shard") for fact in facts)
    if sharding == "fully_shard":
        assert all(fact["local"] < 0.6 * fact["all"] for fact in facts)
    assert list((tmp_path / "samples").glob("step-00000003/*.mp4"))
    found, wanted = (Checkpoints(f / CHECKPOINTS, 3).read(STEPS) for f in (tmp_path, one_process))
    for group in ("model", "ema", "optimiser-exp_avg"):
        for name, tensor in wanted.tensors[group].items():
            assert torch.allclose(found.tensors[group][name], tensor, rtol=1e-3, atol=1e-5), (group, name)
    # Its numbers are in full, so one process takes them over.
    settings = small_config(run={"steps": STEPS}, data={"batch": 2, "accumulate": 2})
    alone = Trainer(settings, fake_data(), tmp_path / "alone", Ranks(), torch.device("cpu"))
    alone.snapshot.put(found)
    assert all(torch.equal(p, found.tensors["model"][n]) for n, p in alone.parameters.items())


def test_when_one_process_is_killed_the_other_ends_with_an_error(tmp_path):
    survivor, killed = start(tmp_path, "ddp", "die")
    killed.communicate(timeout=400)
    assert killed.returncode == -signal.SIGKILL
    began = time.monotonic()
    _, errors = survivor.communicate(timeout=60)
    assert survivor.returncode not in (0, None) and time.monotonic() - began < 60
    assert "Error" in errors
