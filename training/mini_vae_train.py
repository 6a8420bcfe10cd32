"""Train the mini VAE: python -m animatex_training.mini_vae_train --out mini_vae.safetensors --stills STILLS.npz

It stops after `--minutes` and goes on from its checkpoint when it is started again, with another size of crops or
another rate if you say so. The rate is constant and falls to 0 over the last quarter of `--steps`: to end early, start
it again with fewer.
Stills are made by `python -m animatex_training.synthetic stills`; pictures are optional; use only what may be used so.
"""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from animatex_core.atomic_file import replacing

from .mini_vae import save_mini_vae, spread
from .mini_vae_data import Held, Material, crops, load_material, measure, read_held
from .mini_vae_run import Run, RunSettings, changed

LOG = logging.getLogger(__name__)
LICENSE = "CC0-1.0: made from rendered characters and from pictures that are CC0 or in the public domain"
_MEASURED = 20_000  # steps after which the network so far is written and measured


@dataclass(frozen=True, kw_only=True)
class VAETraining(RunSettings):
    """How it is trained."""

    CHANGEABLE: ClassVar = (*RunSettings.CHANGEABLE, "side")

    steps: int = 20000
    batch: int = 8
    side: int = 64  # of the square crops, pixels
    rate: float = 1e-3
    ema: float = 0.999
    noise: float = 0.03  # on the latents, so that near latents mean near pictures
    edges: float = 0.1
    spread: float = 0.01  # weight of keeping the latents' mean 0 and deviation 1
    simple: float = 0.1  # share of crops from simple drawn characters
    photos: float = 0.05  # share of crops from pictures, when there are any


def train_step(run: Run, settings: VAETraining, pictures: Tensor) -> float:
    """One step on pictures [n, 3, H, W] in 0..1; returns the loss."""
    wanted = (pictures * 2 - 1).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16, enabled=settings.bf16):
        latents = run.model.encode(wanted).float()
        noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(run.step)) * settings.noise
        found = run.model.decode(latents + noise).float()
    loss = mse_loss(found, wanted) + settings.edges * _edges(found - wanted) + settings.spread * spread(latents)
    return run.descend(loss)


def _edges(error: Tensor) -> Tensor:
    return error.diff(dim=2).square().mean() + error.diff(dim=3).square().mean()


def main() -> None:
    """The command line."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = _parser().parse_args()
    settings = VAETraining(**changed(options, VAETraining.CHANGEABLE))
    run = Run(settings)
    checkpoint = options.out.with_suffix(".checkpoint.safetensors")
    if checkpoint.exists():
        run.load(checkpoint)
    elif options.start:
        run.begin(options.start)
    run.tell_leg()
    material = load_material(options.stills, options.pictures)
    held = read_held(options.held_stills, options.held_pictures)
    _train(run, settings, checkpoint, material, held, options.minutes * 60)
    write(run, options.out, material, held)


def write(run: Run, out: Path, material: Material, held: Held) -> None:
    """Measure the averaged network and write it with its figures."""
    model = run.averaged()
    with replacing(out, overwrite=True) as temporary:
        save_mini_vae(temporary, model.state_dict(), {})
        figures = measure(temporary, held)
        facts = {
            "license": LICENSE,
            "training": asdict(run.settings),
            "legs": run.legs,
            "steps_done": run.step,
            "pictures": material.names,
        }
        save_mini_vae(temporary, model.state_dict(), facts | figures)
    LOG.info("%s: %s", out, json.dumps(facts | figures))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the .safetensors to write")
    parser.add_argument("--stills", type=Path, required=True, help=".npz of rendered characters to train on")
    parser.add_argument("--pictures", type=Path, help="folder of pictures to train on as well")
    words = ".npz of other rendered characters to measure on; as often as needed"
    parser.add_argument("--held-stills", type=Path, action="append", default=[], help=words)
    parser.add_argument("--held-pictures", type=Path, help="folder of pictures to measure on")
    parser.add_argument("--minutes", type=float, default=60, help="stop after so long; default: %(default)s")
    for name, words in (("steps", "of the whole training"), ("batch", "crops a step"), ("side", "of a crop in pixels")):
        parser.add_argument(f"--{name}", type=int, help=f"{words}; default: {getattr(VAETraining, name)}")
    parser.add_argument("--start", type=Path, help="a mini VAE to begin from, as wide as this one or narrower")
    parser.add_argument("--rate", type=float, help=f"learning rate; default: {VAETraining.rate}")
    return parser


def _train(run: Run, settings: VAETraining, checkpoint: Path, material: Material, held: Held, seconds: float) -> None:
    batches = crops(settings, material, run.step)

    def step() -> float:
        loss = train_step(run, settings, next(batches))
        if run.step % _MEASURED == 0:
            write(run, checkpoint.with_name(f"step_{run.step}.safetensors"), material, held)
        return loss

    run.train(step, checkpoint, seconds)


if __name__ == "__main__":
    main()
