"""A process of a small distributed run: python two_processes.py FOLDER SHARDING TASK, with torchrun's variables set.

train: three steps, a checkpoint, losses and kinds of parameters as JSON. die: process 1 kills itself after a step.
"""

import json
import os
import signal
import sys
from pathlib import Path

import torch
from torch.distributed.tensor import DTensor

sys.path.insert(0, str(Path(__file__).parents[2]))

from animatex_training.sharding import processes
from animatex_training.trainer import Trainer

from tests.training.fakes import fake_data, small_config

STEPS = 3


def main(folder, sharding, task):
    torch.set_num_threads(1)
    device = torch.device("cpu")
    settings = small_config(
        run={"steps": STEPS, "sharding": sharding, "timeout": 40},
        data={"batch": 1, "accumulate": 2},
        watch={"sample_every": 3, "samples": 1, "sampling_steps": 1},
    )
    with processes(device, settings.run.timeout) as ranks:
        trainer = Trainer(settings, fake_data(batch=1), folder, ranks, device)
        if task == "die":
            batches = trainer.feed.batches()
            trainer._train_step(batches)
            if ranks.rank == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            trainer._train_step(batches)
            return
        trainer.run()
        facts = {
            "sharded": all(isinstance(p, DTensor) for p in trainer.parameters.values()),
            "local": sum(p.to_local().numel() for p in trainer.parameters.values() if isinstance(p, DTensor)),
            "all": sum(p.numel() for p in trainer.parameters.values()),
        }
        (folder / f"facts-{ranks.rank}.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
