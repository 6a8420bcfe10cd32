"""Train the mini VAE: python -m animatex_training.mini_vae_train --out mini_vae.safetensors --pictures FOLDER

It stops after `--minutes` and goes on from its checkpoint when it is started again; with more `--steps` it gets better
(the learning rate falls to 0 at the last one, so a finished training goes on with a higher rate again).
Pictures are optional and add to the rendered characters; use only what may be used so.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import l1_loss, mse_loss

from animatex_core.atomic_file import replacing
from animatex_core.pictures import load_picture, resize, to_tensor

from .mini_vae import MiniVAE, psnr, save_mini_vae
from .synthetic_clips import draw_character, render_clip

LOG = logging.getLogger(__name__)
LICENSE = "CC0-1.0: made from rendered characters and from pictures that are CC0 or in the public domain"
_HELD_OUT = 7_000_000  # seeds from here on are never trained on
_RENDERED, _FRESH = 384, 48  # pictures held, and how many of them are new after each round
_ROUND = 25  # steps


@dataclass(frozen=True, kw_only=True)
class VAETraining:
    """How it is trained; kept in the file."""

    width: int = 24
    steps: int = 5000
    batch: int = 8
    side: int = 48  # of the square crops, pixels
    rate: float = 2e-3
    ema: float = 0.995
    noise: float = 0.05  # on the latents, so that near latents mean near pictures
    spread: float = 0.01  # weight of keeping the latents' mean 0 and deviation 1
    photos: float = 0.35  # share of crops from pictures, when there are any
    seed: int = 0


class _Run:
    """Network, averaged network, optimiser and step, saved and read together."""

    def __init__(self, settings: VAETraining):
        torch.manual_seed(settings.seed)
        self.settings, self.step = settings, 0
        self.model = MiniVAE(settings.width)
        self.average = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        self.optimiser = torch.optim.AdamW(self.model.parameters(), settings.rate, (0.9, 0.99), weight_decay=1e-4)

    def train_step(self, pictures: Tensor) -> float:
        """One step on pictures [n, 3, H, W] in 0..1; returns the loss."""
        s = self.settings
        warm = min(1.0, (self.step + 1) / 100)
        self.optimiser.param_groups[0]["lr"] = s.rate * warm * 0.5 * (1 + np.cos(np.pi * self.step / s.steps))
        wanted = (pictures * 2 - 1).contiguous(memory_format=torch.channels_last)
        latents = self.model.encode(wanted)
        noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(self.step)) * s.noise
        found = self.model.decode(latents + noise)
        loss = mse_loss(found, wanted) + 0.1 * l1_loss(found, wanted) + s.spread * _spread(latents)
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
        facts = {"step": str(self.step), "settings": json.dumps(asdict(self.settings))}
        with replacing(path, overwrite=True) as temporary:
            save_file({name: tensor.contiguous() for name, tensor in state.items()}, temporary, facts)

    def load(self, path: Path) -> None:
        """Raises ValueError when the checkpoint is of other settings."""
        with safe_open(path, "pt") as file:
            facts = file.metadata()
            if {**json.loads(facts["settings"]), "steps": self.settings.steps} != asdict(self.settings):
                raise ValueError(f"{path}: made with other settings ({facts['settings']}): remove it to start anew")
            state = {name: file.get_tensor(name) for name in file.keys()}
        self.step = int(facts["step"])
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
        model = MiniVAE(self.settings.width)
        model.load_state_dict(self.average)
        return model.eval()


def _spread(latents: Tensor) -> Tensor:
    deviation, mean = torch.std_mean(latents, dim=(0, 2, 3))
    return mean.square().mean() + (deviation - 1).square().mean()


def rendered(seed: int, count: int) -> list[np.ndarray]:
    """Pictures of characters, uint8 RGB, of 64x96 to 192x288."""
    pictures = []
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        height = int(rng.choice([96, 144, 192, 288]))
        clip = render_clip(draw_character(rng), rng, frames=1, width=height * 2 // 3, height=height, fps=1.0)
        pictures.append(clip.frames[0])
    return pictures


def crops(settings: VAETraining, photos: list[np.ndarray], start: int) -> Iterator[Tensor]:
    """Endless batches [n, 3, side, side] in 0..1, from step `start` on; what comes follows from the step alone."""
    pool: list[np.ndarray] = []
    step = start
    while True:
        if not pool or step % _ROUND == 0:
            current = step // _ROUND
            pool = [p for r in range(current, current + _RENDERED // _FRESH) for p in rendered(r, _FRESH)] if not pool \
                else pool[_FRESH:] + rendered(current + _RENDERED // _FRESH - 1, _FRESH)  # fmt: skip
        rng = np.random.default_rng([settings.seed, step])
        yield torch.cat([_crop(rng, pool, photos, settings) for _ in range(settings.batch)])
        step += 1


def _crop(rng: np.random.Generator, pool: list[np.ndarray], photos: list[np.ndarray], s: VAETraining) -> Tensor:
    chosen = photos if photos and rng.random() < s.photos else pool
    picture = chosen[int(rng.integers(len(chosen)))]
    height, width = picture.shape[:2]
    most = min(height, width) / s.side
    side = s.side if chosen is pool else int(s.side * min(most, rng.uniform(1.0, 3.0)))
    top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
    crop = resize(np.ascontiguousarray(picture[top : top + side, left : left + side]), s.side, s.side)
    return to_tensor(crop[:, ::-1] if rng.random() < 0.5 else crop)


def measure(model: MiniVAE, photos: list[np.ndarray]) -> dict[str, float]:
    """PSNR in dB on characters and pictures that were not trained on, and the spread of the latents."""
    model.eval()
    held = [to_tensor(p) for p in rendered(_HELD_OUT, 64)]
    found: dict[str, float] = {}
    with torch.no_grad():
        for name, pictures in (("rendered", held), ("pictures", [to_tensor(p) for p in photos])):
            values = [psnr((model.decode(model.encode(p * 2 - 1)) + 1) / 2, p).mean() for p in pictures]
            if values:
                found[f"psnr_{name}"] = round(float(torch.stack(values).mean()), 2)
        latents = torch.cat([model.encode(p * 2 - 1).transpose(0, 1).flatten(1) for p in held], 1)
    return found | {"latent_mean": round(float(latents.mean()), 3), "latent_deviation": round(float(latents.std()), 3)}


def main() -> None:
    """The command line."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the .safetensors to write")
    parser.add_argument("--pictures", type=Path, help="folder of pictures to train on as well")
    parser.add_argument("--held-out", type=Path, help="folder of pictures to measure on")
    parser.add_argument("--minutes", type=float, default=25, help="stop after so long; default: %(default)s")
    parser.add_argument("--steps", type=int, default=VAETraining.steps, help="of the whole training")
    parser.add_argument("--width", type=int, default=VAETraining.width)
    options = parser.parse_args()
    run = _Run(VAETraining(steps=options.steps, width=options.width))
    checkpoint = options.out.with_suffix(".checkpoint.safetensors")
    if checkpoint.exists():
        run.load(checkpoint)
    _train(run, checkpoint, _pictures(options.pictures), options.minutes * 60)
    model, names = run.averaged(), [p.name for p in _files(options.pictures)]
    figures = measure(model, _pictures(options.held_out))
    facts = {"license": LICENSE, "training": asdict(run.settings), "steps_done": run.step, "pictures": names, **figures}
    save_mini_vae(options.out, model.state_dict(), run.settings.width, facts)
    LOG.info("%s: %s", options.out, json.dumps(facts))


def _files(folder: Path | None) -> list[Path]:
    return [] if folder is None else sorted(p for p in folder.iterdir() if p.suffix.lower() in (".png", ".jpg"))


def _pictures(folder: Path | None) -> list[np.ndarray]:
    """Whole multiples of 8, so that they can be measured as they are."""
    found = [load_picture(path) for path in _files(folder)]
    return [p[: p.shape[0] // 8 * 8, : p.shape[1] // 8 * 8] for p in found]


def _train(run: _Run, checkpoint: Path, photos: list[np.ndarray], seconds: float) -> None:
    started = saved = time.monotonic()
    batches = crops(run.settings, photos, run.step)
    losses = []
    while run.step < run.settings.steps and time.monotonic() - started < seconds:
        losses.append(run.train_step(next(batches)))
        if run.step % 50 == 0:
            LOG.info("step %d loss %.5f, %.0f s", run.step, float(np.mean(losses)), time.monotonic() - started)
            losses = []
        if time.monotonic() - saved > 60:
            run.save(checkpoint)
            saved = time.monotonic()
    run.save(checkpoint)


if __name__ == "__main__":
    main()
