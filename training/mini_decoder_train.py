"""Train the mini VAE's decoder on what a network makes: python -m animatex_training.mini_decoder_train --out OUT ...

The encoder stays as it is, so latents, data sets and networks trained on them stay good. Half of every batch are the
network's latents (`mini_predicted`), half the encoder's, and the error is the absolute one: where the latents leave it
open whether a pixel is the figure's or the background's, the squared error asks for a blend of both, the absolute one
for the likelier. Hands and eyes, which are seldom the likelier, count more.
It stops after `--minutes` and goes on from its checkpoint when it is started again, with another rate if you say so.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor
from torch.nn.functional import interpolate

from animatex_core.atomic_file import replacing

from .mini_predicted import Predicted, load_predicted
from .mini_vae import save_mini_vae
from .mini_vae_data import Held, measure, read_held
from .mini_vae_run import Run, RunSettings, changed

LOG = logging.getLogger(__name__)
_SAVED_EVERY = 120  # seconds


@dataclass(frozen=True, kw_only=True)
class DecoderTraining(RunSettings):
    """How it is trained."""

    steps: int = 5000
    batch: int = 2  # pictures, each from the network's latents and from the encoder's
    rate: float = 5e-4
    ema: float = 0.998
    edges: float = 0.5
    details: float = 4.0  # how much more the error counts at eyes, nose and wrists


def train_step(run: Run, settings: DecoderTraining, predicted: Predicted) -> float:
    """One step on pictures that follow from the step alone; returns the loss."""
    generator = torch.Generator().manual_seed(settings.seed * 10_000_000 + run.step)
    rows = torch.randint(len(predicted), (settings.batch,), generator=generator)
    wanted = predicted.pictures[rows].permute(0, 3, 1, 2).float() / 127.5 - 1
    latents = torch.cat([predicted.latents[rows], predicted.clean[rows]]).float()
    with torch.autocast("cpu", torch.bfloat16, enabled=settings.bf16):
        found = run.model.decode(latents.contiguous(memory_format=torch.channels_last)).float()
    weight = 1 + settings.details * interpolate(
        predicted.details[rows][:, None].float(), wanted.shape[2:], mode="bilinear"
    )
    error = (found - torch.cat([wanted, wanted])) * torch.cat([weight, weight])
    return run.descend(error.abs().mean() + settings.edges * _edges(error))


def _edges(error: Tensor) -> Tensor:
    return error.diff(dim=2).abs().mean() + error.diff(dim=3).abs().mean()


def write(run: Run, out: Path, start: Path, held: Held) -> None:
    """Measure the averaged network and write it with its figures, and with the facts of the file it began from."""
    with safe_open(start, "pt") as file:
        facts = json.loads(file.metadata()["facts"])
    facts = {name: value for name, value in facts.items() if not name.startswith("psnr_")}  # of another decoder
    told = {"settings": asdict(run.settings), "legs": run.legs, "steps_done": run.step}
    with replacing(out, overwrite=True) as temporary:
        save_mini_vae(temporary, run.averaged().state_dict(), {})
        facts |= {"decoder": [*facts.get("decoder", []), told]} | measure(temporary, held)
        save_mini_vae(temporary, run.averaged().state_dict(), facts)
    LOG.info("%s: %s", out, json.dumps(facts))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--start", type=Path, required=True, help="the mini VAE whose decoder goes on learning")
    words = "what mini_predicted wrote; as often as needed"
    parser.add_argument("--predicted", type=Path, action="append", required=True, help=words)
    parser.add_argument("--out", type=Path, required=True, help="the .safetensors to write")
    words = ".npz of rendered characters to measure on; as often as needed"
    parser.add_argument("--held-stills", type=Path, action="append", default=[], help=words)
    parser.add_argument("--held-pictures", type=Path, help="folder of pictures to measure on")
    parser.add_argument("--minutes", type=float, default=60, help="stop after so long; default: %(default)s")
    for name, words in (("steps", "of the whole training"), ("batch", "pictures a step")):
        parser.add_argument(f"--{name}", type=int, help=f"{words}; default: {getattr(DecoderTraining, name)}")
    parser.add_argument("--rate", type=float, help=f"learning rate; default: {DecoderTraining.rate}")
    words = f"how much more eyes, nose and wrists count; default: {DecoderTraining.details}"
    parser.add_argument("--details", type=float, help=words)
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = _parser().parse_args(arguments)
    settings = DecoderTraining(**changed(options, (*DecoderTraining.CHANGEABLE, "details")))
    run = Run(settings, "decoder")
    checkpoint = options.out.with_suffix(".checkpoint.safetensors")
    if checkpoint.exists():
        run.load(checkpoint)
        if (begun := run.legs[0]["from_file"]) != options.start.name:
            raise ValueError(
                f"{checkpoint}: begun from {begun}, not from {options.start.name}: remove it to start anew"
            )
    else:
        run.begin(options.start)
    if run.step < settings.steps:
        run.tell_leg()
    predicted, held = load_predicted(options.predicted), read_held(options.held_stills, options.held_pictures)
    _train(run, settings, predicted, checkpoint, options.minutes * 60)
    write(run, options.out, options.start, held)


def _train(run: Run, settings: DecoderTraining, predicted: Predicted, checkpoint: Path, seconds: float) -> None:
    started = saved = time.monotonic()
    losses = []
    while run.step < settings.steps and time.monotonic() - started < seconds:
        losses.append(train_step(run, settings, predicted))
        if run.step % 100 == 0:
            LOG.info("step %d loss %.5f, %.0f s", run.step, sum(losses) / len(losses), time.monotonic() - started)
            losses = []
        if time.monotonic() - saved > _SAVED_EVERY:
            run.save(checkpoint)
            saved = time.monotonic()
    run.save(checkpoint)


if __name__ == "__main__":
    main()
