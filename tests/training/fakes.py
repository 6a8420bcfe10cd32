"""A data set of random clips that follow from seeds, and a small configuration: enough for the trainer's mechanics."""

from dataclasses import dataclass, replace

import torch
from animatex_training.config_file import config_from
from animatex_training.feed import Data

from animatex_core.model import Inputs

FRAMES, HEIGHT, WIDTH, CLIP_WIDTH = 2, 4, 4, 32
NETWORK = {
    "base": "tiny",
    "unet": {"width": 16, "head_width": 8, "groups": 4, "context_width": 32},
    "conditions": {"channels": 4, "stem": 8, "clip_width": CLIP_WIDTH},
    "ipi": {
        "width": 32, "query_heads": 2, "reader_heads": 2, "reader_head_width": 8, "clip_width": CLIP_WIDTH,
        "query_feed_forward": 32, "reader_layers": 1,
    },
}  # fmt: skip


@dataclass(frozen=True)
class Draw:
    index: int
    seed: int


@dataclass(frozen=True)
class Sample:
    clip: str
    latents: torch.Tensor
    inputs: Inputs


@dataclass(frozen=True)
class Batch:
    latents: torch.Tensor
    inputs: Inputs
    clips: list
    weight: torch.Tensor


class Clips:
    """Sample i of a draw: base numbers by the index, jittered by the seed (as an augmentation would)."""

    def __init__(self, count=6, poison=()):
        self.count, self.poison = count, set(poison)

    def __getitem__(self, draw):
        base = torch.Generator().manual_seed(draw.index)
        jitter = torch.Generator().manual_seed(draw.seed)

        def numbers(*shape):
            return torch.rand(shape, generator=base) + 0.1 * torch.rand(shape, generator=jitter)

        latents = numbers(4, FRAMES, HEIGHT, WIDTH) * 2 - 1
        if draw.index in self.poison:
            latents = latents * float("nan")
        picture = (3, 8 * HEIGHT, 8 * WIDTH)
        return Sample(
            f"clip-{draw.index}",
            latents,
            Inputs(
                pose=numbers(3, FRAMES, *picture[1:]),
                reference=numbers(*picture),
                image_feature=numbers(CLIP_WIDTH),
                keypoints=numbers(FRAMES, 2, 18),
                features=numbers(FRAMES, CLIP_WIDTH),
            ),
        )


class Draws:
    """Endless: every epoch a new order; processes take batches in turn. Four batches of two in an epoch of eight."""

    def __init__(self, count, batch, seed=0, world=1, rank=0):
        self.count, self.batch, self.seed, self.world, self.rank = count, batch, seed, world, rank
        self.position = (0, 0)

    def __iter__(self):
        while True:
            epoch, number = self.position
            order = torch.randperm(self.count, generator=torch.Generator().manual_seed(self.seed * 1000 + epoch))
            start = (number * self.world + self.rank) * self.batch
            last = (number + 1) * self.world * self.batch
            if last > self.count:
                self.position = (epoch + 1, 0)
                continue
            self.position = (epoch, number + 1)
            yield [Draw(int(i), epoch * 100 + int(i)) for i in order[start : start + self.batch]]


def collate(samples):
    names = ("pose", "reference", "image_feature", "keypoints", "features")
    stacked = {name: torch.stack([getattr(s.inputs, name) for s in samples]) for name in names}
    latents = torch.stack([s.latents for s in samples])
    return Batch(latents, Inputs(**stacked), [s.clip for s in samples], torch.ones(len(samples), FRAMES, HEIGHT, WIDTH))


def fake_data(batch=2, count=6, fingerprint="clips", poison=()):
    return Data(
        dataset=Clips(count, poison),
        collate=collate,
        sampler=lambda rank, world: Draws(count, batch, rank=rank, world=world),
        validation=[Draw(0, 1), Draw(1, 1)],
        fingerprint=fingerprint,
    )


def small_config(**sections):
    """Sections over small defaults: small_config(run={"steps": 3})."""
    defaults = {
        "model": NETWORK,
        "data": {"frames": FRAMES, "batch": 2, "workers": 0},
        "optimiser": {"rate": 1e-3, "ipi_rate": 1e-4, "ema": 0.9, "warmup": 2},
        "run": {"steps": 4, "precision": "fp32", "sharding": "none", "device": "cpu"},
        "save": {"every": 100},
        "watch": {"sample_every": 0, "log_every": 1},
    }
    merged = {name: {**defaults.get(name, {}), **sections.get(name, {})} for name in defaults.keys() | sections.keys()}
    return config_from(merged, "test")


def with_model(config, **changes):
    return replace(config, model=replace(config.model, **changes))
