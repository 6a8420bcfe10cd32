"""Two processes on the CPU (gloo): DDP and fully_shard compute what one process computes."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from animatex_training.checkpoint import Checkpoints
from animatex_training.sharding import Ranks
from animatex_training.trainer import CHECKPOINTS, Trainer

from tests.training.fakes import fake_data, small_config
from tests.training.two_processes import KINDS, STEPS, train_beside_averages

SCRIPT = Path(__file__).with_name("two_processes.py")
pytestmark = pytest.mark.skipif(os.name == "nt", reason="gloo on Windows needs another set-up")


def start(folder):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    return [
        subprocess.Popen(
            [sys.executable, str(SCRIPT), str(folder)],
            env={**os.environ, **common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]


@dataclass(frozen=True)
class Ended:
    """What became of the two processes: the one that killed itself, and the other."""

    folder: Path
    killed: int
    survived: int
    seconds: float  # from the death of one to the end of the other
    errors: str


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Both kinds of sharding in the same two processes, and then the end of one of them."""
    folder = tmp_path_factory.mktemp("two")
    survivor, doomed = start(folder)
    _, told = doomed.communicate(timeout=400)
    assert (folder / "die" / "killed").exists(), f"exit code {doomed.returncode}: {told[-3000:]}"
    began = time.monotonic()
    _, errors = survivor.communicate(timeout=60)
    return Ended(folder, doomed.returncode, survivor.returncode, time.monotonic() - began, errors)


def losses(folder, name="train/loss"):
    lines = [json.loads(line) for line in (folder / "scalars.jsonl").read_text().splitlines()]
    return [line[name] for line in lines if name in line]


@pytest.fixture(scope="module")
def one_process(tmp_path_factory):
    """The same clips in the same steps: a batch of two for two batches of one."""
    folder = tmp_path_factory.mktemp("one")
    settings = small_config(run={"steps": STEPS}, data={"batch": 2, "accumulate": 2})
    Trainer(settings, fake_data(), folder, Ranks(), torch.device("cpu")).run()
    return folder


@pytest.mark.parametrize("sharding", KINDS)
def test_two_processes_equal_one(one_process, two, tmp_path, sharding):
    folder = two.folder / sharding
    assert torch.allclose(torch.tensor(losses(folder)), torch.tensor(losses(one_process)), rtol=1e-5, atol=0)
    facts = [json.loads((folder / f"facts-{rank}.json").read_text()) for rank in range(2)]
    assert all(fact["sharded"] == (sharding == "fully_shard") for fact in facts)
    if sharding == "fully_shard":
        assert all(fact["local"] < 0.6 * fact["all"] for fact in facts)
    assert list((folder / "samples").glob("step-00000003/*.mp4"))
    found, wanted = (Checkpoints(f / CHECKPOINTS, 3).read(STEPS) for f in (folder, one_process))
    for group in ("model", "ema", "optimiser-exp_avg"):
        for name, tensor in wanted.tensors[group].items():
            assert torch.allclose(found.tensors[group][name], tensor, rtol=1e-3, atol=1e-5), (group, name)
    # Its numbers are in full, so one process takes them over.
    settings = small_config(run={"steps": STEPS}, data={"batch": 2, "accumulate": 2})
    alone = Trainer(settings, fake_data(), tmp_path / "alone", Ranks(), torch.device("cpu"))
    alone.snapshot.put(found)
    assert all(torch.equal(p, found.tensors["model"][n]) for n, p in alone.parameters.items())


def test_averages_and_weights_stay_apart(two, tmp_path):
    """What `fully_shard` gathered for a validation is not trained on, and what it gathered before is not validated."""
    watch = {"sample_every": 1, "samples": 1, "sampling_steps": 1}
    settings = small_config(run={"steps": STEPS}, data={"batch": 2, "accumulate": 2}, watch=watch)
    train_beside_averages(tmp_path, settings, fake_data(), Ranks())
    for name, count in (("validation/loss", STEPS + 1), ("train/loss", STEPS)):
        found, wanted = (torch.tensor(losses(folder, name)) for folder in (two.folder / "averages", tmp_path))
        assert len(found) == count and torch.allclose(found, wanted, rtol=1e-5, atol=0), name


def test_muon_keeps_two_processes_together(two, tmp_path):
    """Each works out its own update in bfloat16: the same, bit for bit, and nearly that of one process."""
    sums = [json.loads((two.folder / f"muon/facts-{rank}.json").read_text())["sum"] for rank in range(2)]
    assert sums[0] == sums[1]
    settings = small_config(run={"steps": STEPS}, data={"batch": 2, "accumulate": 2}, optimiser={"kind": "muon"})
    Trainer(settings, fake_data(), tmp_path, Ranks(), torch.device("cpu")).run()
    assert torch.allclose(torch.tensor(losses(two.folder / "muon")), torch.tensor(losses(tmp_path)), rtol=1e-3, atol=0)


def test_when_one_process_is_killed_the_other_ends_with_an_error(two):
    assert two.killed == -signal.SIGKILL
    assert two.survived not in (0, None, -signal.SIGKILL) and two.seconds < 60
    assert "Error" in two.errors
