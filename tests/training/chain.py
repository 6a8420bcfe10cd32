"""From rendered clips to an animation, by the commands that a user types."""

import json
from pathlib import Path

import torch
from animatex_training.cli import main as train_cli
from animatex_training.config_file import config_from
from animatex_training.export import export
from animatex_training.open_data import open_data
from animatex_training.sharding import Ranks
from animatex_training.synthetic_clips import make_clips, write_clips
from animatex_training.trainer import Trainer

from animatex_core.vae import load_vae

ASSETS = Path(__file__).parents[2] / "training" / "assets"
SIZE, FRAMES = (64, 96), 8


def prepare(root, clips=3, *more):
    """Videos, poses and the data set; returns its folder."""
    write_clips(root / "videos", make_clips(clips, seed=3, frames=FRAMES, width=SIZE[0], height=SIZE[1]))
    options = [
        "--mini",
        "--size",
        "64x96",
        "--shortest",
        str(FRAMES),
        "--longest",
        str(FRAMES),
        "--cut",
        "0",
        "--quiet",
        *more,
    ]
    assert train_cli(["prepare", str(root / "videos"), str(root / "data"), *options]) == 0
    return root / "data"


def train(data, run, steps, *changes):
    """`tiny` for so many steps on a batch of three; returns the run's folder."""
    changes = (f"run.steps={steps}", "data.batch=3", "watch.samples=3", "watch.log_every=1", *changes)
    given = [word for change in changes for word in ("--set", change)]
    assert train_cli(["train", "tiny", "--data", str(data), "--out", str(run), "--quiet", *given]) == 0
    return run


def export_bundle(run, out):
    """One file that animates by itself."""
    encoders = {"vae": ASSETS / "mini_vae.safetensors", "clip": ASSETS / "mini_vision.safetensors"}
    export(run, out, dtype="fp32", **encoders)
    return out


def losses(run):
    """Step and loss of every line of the run."""
    lines = [json.loads(line) for line in (run / "scalars.jsonl").read_text().splitlines()]
    return [(line["step"], line["train/loss"]) for line in lines if "train/loss" in line]


def decibels(run):
    """PSNR of what the averaged weights make of each clip, against the pictures of every clip: [made][target]."""
    state = json.loads(next((run / "checkpoints").glob("step-*/state.json")).read_text())
    config = config_from(state["facts"]["config"], str(run))
    device = torch.device("cpu")
    trainer = Trainer(config, open_data(config.data, config.run.seed), run, Ranks(), device, resume=True)
    vae = load_vae(ASSETS / "mini_vae.safetensors")

    def pictures(latents):
        return torch.cat(list(vae.decode(latents)))

    with trainer.ema.in_place():
        made = [pictures(trainer.validation.sample(trainer.module, n)) for n in range(len(trainer.validation.batches))]
    targets = [pictures(batch.latents[0].transpose(0, 1)) for batch in trainer.validation.batches]
    return [[float(-10 * (one - other).square().mean().log10()) for other in targets] for one in made]
