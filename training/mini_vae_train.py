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
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import mse_loss

from animatex_core.atomic_file import replacing

from .mini_vae import MiniVAE, VAEShape, save_mini_vae, spread, widened
from .mini_vae_data import Held, Material, crops, load_material, measure, read_held

LOG = logging.getLogger(__name__)
LICENSE = "CC0-1.0: made from rendered characters and from pictures that are CC0 or in the public domain"
_CHANGEABLE = ("steps", "batch", "side", "rate")  # where a training goes on
_MEASURED = 20_000  # steps after which the network so far is written and measured
_DECAY = 0.25  # last share of the steps, over which the learning rate falls


@dataclass(frozen=True, kw_only=True)
class VAETraining:
    """How it is trained; kept in the file."""

    widths: tuple[int, ...] = VAEShape.widths
    encoder_blocks: tuple[int, ...] = VAEShape.encoder_blocks
    decoder_blocks: tuple[int, ...] = VAEShape.decoder_blocks
    steps: int = 20000
    batch: int = 8
    side: int = 64  # of the square crops, pixels
    rate: float = 1e-3
    ema: float = 0.999
    noise: float = 0.03  # on the latents, so that near latents mean near pictures
    edges: float = 0.1  # weight of the error of differences between neighbours
    spread: float = 0.01  # weight of keeping the latents' mean 0 and deviation 1
    simple: float = 0.1  # share of crops from simple drawn characters
    photos: float = 0.05  # share of crops from pictures, when there are any
    bf16: bool = True  # twice as fast where the processor can
    seed: int = 0

    @property
    def shape(self) -> VAEShape:
        """Of the network."""
        return VAEShape(self.widths, self.encoder_blocks, self.decoder_blocks)


class _Run:
    """Network, averaged network, optimiser and step, saved and read together."""

    def __init__(self, settings: VAETraining):
        torch.manual_seed(settings.seed)
        self.settings, self.step = settings, 0
        self.legs: list[dict[str, Any]] = []  # what was changed, and from which step on
        self.model = MiniVAE(settings.shape)
        self.model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.average = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        self.optimiser = torch.optim.AdamW(self.model.parameters(), settings.rate, (0.9, 0.99), weight_decay=1e-4)

    def begin(self, path: Path) -> None:
        """Start from the weights of a file."""
        self.model.load_state_dict(widened(path, self.settings.shape))
        self.average = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        self.legs.append({"from_file": path.name})

    def train_step(self, pictures: Tensor) -> float:
        """One step on pictures [n, 3, H, W] in 0..1; returns the loss."""
        s = self.settings
        warm, left = (self.step + 1) / 200, (s.steps - self.step) / (s.steps * _DECAY)
        self.optimiser.param_groups[0]["lr"] = s.rate * min(1.0, warm, left)
        wanted = (pictures * 2 - 1).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=s.bf16):
            latents = self.model.encode(wanted).float()
            noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(self.step)) * s.noise
            found = self.model.decode(latents + noise).float()
        loss = mse_loss(found, wanted) + s.edges * _edges(found - wanted) + s.spread * spread(latents)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        for name, tensor in self.model.state_dict().items():
            self.average[name].lerp_(tensor, 1 - min(s.ema, (1 + self.step) / (10 + self.step)))
        return float(loss.detach())

    def save(self, path: Path) -> None:
        """Everything that going on needs, whole or not at all."""
        state = {f"model.{n}": t for n, t in self.model.state_dict().items()}
        state |= {f"average.{n}": t for n, t in self.average.items()}
        for number, values in self.optimiser.state_dict()["state"].items():
            state |= {f"optimiser.{number}.{key}": value for key, value in values.items()}
        told = {"settings": asdict(self.settings), "legs": self.legs}
        facts = {"step": str(self.step)} | {name: json.dumps(value) for name, value in told.items()}
        with replacing(path, overwrite=True) as temporary:
            save_file({name: tensor.contiguous() for name, tensor in state.items()}, temporary, facts)

    def load(self, path: Path) -> None:
        """Raises ValueError when the checkpoint is of other settings."""
        with safe_open(path, "pt") as file:
            facts = file.metadata()
            told = json.loads(facts["settings"])
            wanted = json.loads(json.dumps(asdict(self.settings)))
            if told | {name: wanted[name] for name in _CHANGEABLE} != wanted:
                raise ValueError(f"{path}: made with other settings ({facts['settings']}): remove it to start anew")
            state = {name: file.get_tensor(name) for name in file.keys()}
        self.step, self.legs = int(facts["step"]), json.loads(facts["legs"])
        self.model.load_state_dict({n.removeprefix("model."): t for n, t in state.items() if n.startswith("model.")})
        self.average = {n.removeprefix("average."): t for n, t in state.items() if n.startswith("average.")}
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in state.items():
            if name.startswith("optimiser."):
                _, number, key = name.split(".")
                moments.setdefault(int(number), {})[key] = tensor
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": moments, "param_groups": groups})

    def averaged(self) -> MiniVAE:
        """The network that is kept."""
        model = MiniVAE(self.settings.shape)
        model.load_state_dict(self.average)
        return model.eval()


def _edges(error: Tensor) -> Tensor:
    return error.diff(dim=2).square().mean() + error.diff(dim=3).square().mean()


def main() -> None:
    """The command line."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = _parser().parse_args()
    changed = {name: value for name in _CHANGEABLE if (value := getattr(options, name)) is not None}
    run = _Run(VAETraining(**changed))
    checkpoint = options.out.with_suffix(".checkpoint.safetensors")
    if checkpoint.exists():
        run.load(checkpoint)
    elif options.start:
        run.begin(options.start)
    run.legs.append({"from_step": run.step} | {name: getattr(run.settings, name) for name in _CHANGEABLE})
    material = load_material(options.stills, options.pictures)
    held = read_held(options.held_stills, options.held_pictures)
    _train(run, checkpoint, material, held, options.minutes * 60)
    write(run, options.out, material, held)


def write(run: _Run, out: Path, material: Material, held: Held) -> None:
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


def _train(run: _Run, checkpoint: Path, material: Material, held: Held, seconds: float) -> None:
    started = saved = time.monotonic()
    batches = crops(run.settings, material, run.step)
    losses = []
    while run.step < run.settings.steps and time.monotonic() - started < seconds:
        losses.append(run.train_step(next(batches)))
        if run.step % 250 == 0:
            mean = sum(losses) / len(losses)
            LOG.info("step %d loss %.5f, %.0f s", run.step, mean, time.monotonic() - started)
            losses = []
        if time.monotonic() - saved > 120:
            run.save(checkpoint)
            saved = time.monotonic()
        if run.step % _MEASURED == 0:
            write(run, checkpoint.with_name(f"step_{run.step}.safetensors"), material, held)
    run.save(checkpoint)


if __name__ == "__main__":
    main()
