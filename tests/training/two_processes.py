"""A process of small distributed runs: python two_processes.py FOLDER, with torchrun's variables set.

One after the other, in FOLDER/ddp, FOLDER/fully_shard and FOLDER/muon: three steps, a checkpoint, losses and kinds of
parameters as JSON; in FOLDER/averages with validations in between. Then process 1 writes a file and kills itself after
a step, and process 0 goes on with another step.
"""

import json
import os
import signal
import sys
from pathlib import Path

import torch
from torch.distributed.tensor import DTensor

sys.path.insert(0, str(Path(__file__).parents[2]))

from animatex_training.sharding import local, processes, whole
from animatex_training.trainer import Trainer

from tests.training.fakes import fake_data, small_config

STEPS = 3
KINDS = ("ddp", "fully_shard")
CPU = torch.device("cpu")


def settings(sharding, kind="adamw", sample_every=3):
    return small_config(
        optimiser={"kind": kind},
        run={"steps": STEPS, "sharding": sharding, "timeout": 40},
        data={"batch": 1, "accumulate": 2},
        watch={"sample_every": sample_every, "samples": 1, "sampling_steps": 1},
    )


def train(folder, sharding, ranks, kind="adamw"):
    trainer = Trainer(settings(sharding, kind), fake_data(batch=1), folder, ranks, CPU)
    trainer.run()
    facts = {
        "sharded": all(isinstance(p, DTensor) for p in trainer.parameters.values()),
        "local": sum(p.to_local().numel() for p in trainer.parameters.values() if isinstance(p, DTensor)),
        "all": sum(p.numel() for p in trainer.parameters.values()),
        "sum": sum(float(whole(p).double().abs().sum()) for p in trainer.parameters.values()),
    }
    (folder / f"facts-{ranks.rank}.json").write_text(json.dumps(facts))


def train_beside_averages(folder, settings, data, ranks):
    """Validated at every step with averages that are far from the weights, as late in a run."""
    trainer = Trainer(settings, data, folder, ranks, CPU)
    for tensors in (trainer.parameters, trainer.ema.averages):
        local(tensors["unet.out.weight"].detach()).fill_(0.02)  # a new network says zero, whatever else is in it
    for average in trainer.ema.averages.values():
        local(average).mul_(1.5)
    trainer.validation.loss(trainer.module)  # leaves the weights gathered
    trainer.run()


def die(folder, ranks):
    trainer = Trainer(settings("ddp"), fake_data(batch=1), folder, ranks, CPU)
    batches = trainer.feed.batches()
    trainer._train_step(batches)
    if ranks.rank == 1:
        (folder / "killed").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    trainer._train_step(batches)


def main(folder):
    torch.set_num_threads(1)
    with processes(CPU, settings("ddp").run.timeout) as ranks:
        for sharding in KINDS:
            train(folder / sharding, sharding, ranks)
        train(folder / "muon", "ddp", ranks, "muon")
        averages = settings("fully_shard", sample_every=1)
        train_beside_averages(folder / "averages", averages, fake_data(batch=1), ranks)
        die(folder / "die", ranks)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
