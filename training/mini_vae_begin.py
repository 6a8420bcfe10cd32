"""Begin a mini VAE from TAEF2: python -m animatex_training.mini_vae_begin --out START.safetensors --stills STILLS.npz

TAEF2 (Bohan, MIT) has the same layers as TAESD, but 32 channels in its latents, and at an eighth of the size its blocks
look at the whole picture. All other layers are kept as they are; those at an eighth learn to pass what they need
through 4 channels. That costs a fiftieth of training on pixels, with which `mini_vae_train --start` goes on.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, group_norm, interpolate

from animatex_core.atomic_file import replacing
from animatex_core.pickle_files import open_pickle
from animatex_core.pictures import to_tensor

from .mini_vae import MiniVAE, VAEShape, save_mini_vae, spread, widened
from .mini_vae_data import recoloured
from .synthetic.stills import Stills, load_stills

LOG = logging.getLogger(__name__)
LICENSE = "MIT, as TAEF2 (Copyright 2023 Ollin Boer Bohan), of which it is made"
_LATENT = 32
_BATCH, _WINDOW = 8, (16, 12)  # windows of features of a step, and their size in cells of 8x8 pixels
_SPREAD = 0.01  # weight of keeping the latents' mean 0 and deviation 1


def _pooled(x: Tensor, state: Mapping[str, Tensor], name: str) -> Tensor:
    """A block of TAEF2 at an eighth of the size: what is added first depends on the whole picture."""
    wide = conv2d(x, state[f"{name}.pool.0.weight"])
    wide = torch.relu(group_norm(wide, 4, state[f"{name}.pool.1.weight"], state[f"{name}.pool.1.bias"]))
    x = x + conv2d(wide, state[f"{name}.pool.3.weight"])
    inside = x
    for part in (0, 2, 4):
        inside = conv2d(inside, state[f"{name}.conv.{part}.weight"], state[f"{name}.conv.{part}.bias"], padding=1)
        inside = torch.relu(inside) if part < 4 else inside
    return torch.relu(x + inside)


class Teacher:
    """TAEF2 as far as the bottleneck needs it. encoder, decoder: weights by their names in its files."""

    def __init__(self, encoder: Mapping[str, Tensor], decoder: Mapping[str, Tensor]):
        self.encoder = {name: tensor.float() for name, tensor in encoder.items()}
        self.decoder = {name: tensor.float() for name, tensor in decoder.items()}
        if self.encoder.get("14.weight", torch.zeros(0)).shape[:1] != (_LATENT,) or "3.pool.0.weight" not in decoder:
            raise ValueError("these are not the encoder and the decoder of TAEF2")

    def student(self) -> MiniVAE:
        """A mini VAE with TAEF2's layers, where they have the same shape."""
        model = MiniVAE(VAEShape())
        state = model.state_dict()
        for side, own in (("encoder", self.encoder), ("decoder", self.decoder)):
            for name, tensor in own.items():
                wanted = state.get(f"{side}.{name}")
                if wanted is not None and wanted.shape == tensor.shape:
                    wanted.copy_(tensor)
        with torch.no_grad():
            model.get_parameter("encoder.14.weight").mul_(0.3)  # latents of about one
        return model

    @torch.no_grad()
    def features(self, student: MiniVAE, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """What enters the bottleneck and what should leave it, each [n, 64, h, w]; pictures in 0..1."""
        entering = student.encoder[:11](pictures)
        x = entering
        for block in range(11, 14):
            x = _pooled(x, self.encoder, str(block))
        x = conv2d(x, self.encoder["14.weight"], self.encoder["14.bias"], padding=1)
        x = torch.tanh(x / 3) * 3
        x = torch.relu(conv2d(x, self.decoder["1.weight"], self.decoder["1.bias"], padding=1))
        for block in range(3, 6):
            x = _pooled(x, self.decoder, str(block))
        return entering, x


def read_teacher(encoder: Path, decoder: Path) -> Teacher:
    """From TAEF2's two files. Raises ValueError when they are others."""
    return Teacher(open_pickle(encoder).tensors, open_pickle(decoder).tensors)


@dataclass(frozen=True)
class Features:
    """Of pictures: what enters the bottleneck and what should leave it, fp16 [n, 64, h, w]; where the figures are.

    cells: [n, h, w] bool, cells of 8x8 pixels that a silhouette touches.
    """

    entering: Tensor
    leaving: Tensor
    cells: Tensor


def features(teacher: Teacher, student: MiniVAE, stills: Stills, count: int, seed: int = 0) -> Features:
    """Of `count` stills, half of them in other colours, half of them turned round."""
    rng, pairs, cells = np.random.default_rng(seed), [], []
    for number, index in enumerate(rng.permutation(len(stills.pictures))[:count]):
        picture, silhouette = stills.pictures[index], stills.silhouettes[index]
        picture = recoloured(rng, picture) if rng.random() < 0.5 else picture
        if rng.random() < 0.5:
            picture, silhouette = np.ascontiguousarray(picture[:, ::-1]), silhouette[:, ::-1]
        with torch.autocast("cpu", torch.bfloat16):
            pairs.append([t.half() for t in teacher.features(student, to_tensor(picture))])
        height, width = silhouette.shape
        cells.append(silhouette.reshape(height // 8, 8, width // 8, 8).any((1, 3)))
        if number % 100 == 99:
            LOG.info("features of %d pictures", number + 1)
    entering, leaving = (torch.cat([pair[side] for pair in pairs]) for side in (0, 1))
    return Features(entering, leaving, torch.from_numpy(np.stack(cells)))


def learn(student: MiniVAE, found: Features, *, minutes: float, rate: float, noise: float, seed: int) -> int:
    """Train the layers at an eighth for so long; returns the number of steps.

    What counts is what the next layer makes of their result. The rate falls to 0 over the second half of the time, so
    another machine does not get the same numbers.
    """
    layers, after = (student.encoder[11:], student.decoder[:6]), student.get_parameter("decoder.7.weight").detach()
    weights = [p for part in layers for p in part.parameters()]
    optimiser = torch.optim.AdamW(weights, rate, (0.9, 0.99), weight_decay=0)
    started, losses, step = time.monotonic(), [], 0
    while (left := 1 - (time.monotonic() - started) / (60 * minutes)) > 0:
        optimiser.param_groups[0]["lr"] = rate * min(1.0, (step + 1) / 50, 2 * left)
        rng = np.random.default_rng([seed, step])
        x, wanted = _windows(rng, found)
        with torch.autocast("cpu", torch.bfloat16):
            latents = layers[0](x).float()
            off = layers[1](latents + torch.from_numpy(rng.normal(0, noise, latents.shape)).float()).float() - wanted
            off = conv2d(interpolate(off, scale_factor=2.0), after, padding=1).float()
        loss = off.square().mean() + _SPREAD * spread(latents)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        losses.append(float(loss.detach()))
        step += 1
        if step % 100 == 0:
            LOG.info("step %d loss %.5f, %.0f s", step, float(np.mean(losses)), time.monotonic() - started)
            losses = []
    return step


def _windows(rng: np.random.Generator, found: Features) -> tuple[Tensor, Tensor]:
    """Windows about figures, [_BATCH, 64, *_WINDOW] each."""
    pairs = []
    for index in rng.integers(len(found.entering), size=_BATCH):
        height, width = found.cells.shape[1:]
        cells = np.argwhere(found.cells[index].numpy())
        row, column = cells[rng.integers(len(cells))] if len(cells) else (height // 2, width // 2)
        top = min(max(row - int(rng.integers(_WINDOW[0])), 0), height - _WINDOW[0])
        left = min(max(column - int(rng.integers(_WINDOW[1])), 0), width - _WINDOW[1])
        part = (int(index), slice(None), slice(top, top + _WINDOW[0]), slice(left, left + _WINDOW[1]))
        pairs.append((found.entering[part], found.leaving[part]))
    entering, leaving = (torch.stack([pair[side] for pair in pairs]).float() for side in (0, 1))
    return entering, leaving


def main() -> None:
    """The command line."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the .safetensors to write")
    parser.add_argument("--encoder", type=Path, required=True, help="taef2_encoder.pth")
    parser.add_argument("--decoder", type=Path, required=True, help="taef2_decoder.pth")
    parser.add_argument("--stills", type=Path, required=True, help=".npz of rendered characters")
    parser.add_argument("--count", type=int, default=900, help="stills that are used; default: %(default)s")
    parser.add_argument("--start", type=Path, help="what this command wrote before: go on from it")
    parser.add_argument("--minutes", type=float, default=20, help="default: %(default)s")
    parser.add_argument("--rate", type=float, default=1e-3, help="learning rate; default: %(default)s")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    teacher = read_teacher(options.encoder, options.decoder)
    student = teacher.student()
    if options.start:
        student.load_state_dict(widened(options.start, VAEShape()))
    found = features(teacher, student, load_stills(options.stills), options.count, options.seed)
    steps = learn(student, found, minutes=options.minutes, rate=options.rate, noise=0.03, seed=options.seed)
    facts = {"license": LICENSE, "training": asdict(VAEShape()), "steps_on_features": steps, "stills": options.count}
    with replacing(options.out, overwrite=True) as temporary:
        save_mini_vae(temporary, student.state_dict(), facts)


if __name__ == "__main__":
    main()
