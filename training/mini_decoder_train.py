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
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor
from torch.nn.functional import interpolate

from animatex_core.atomic_file import check_output, replacing

from .mini_predicted import Predicted, facts_of, load_predicted
from .mini_vae import save_mini_vae, stored_shape
from .mini_vae_data import Held, measure, read_held
from .mini_vae_run import Run, RunSettings, changed
from .prepare_settings import file_digest

LOG = logging.getLogger(__name__)


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


def write(run: Run, out: Path, start: Path, predicted: Sequence[Path], held: Held) -> None:
    """Measure the averaged network and write it with its figures, and with the facts of the file it began from."""
    with safe_open(start, "pt") as file:
        facts = json.loads(file.metadata()["facts"])
    facts = {name: value for name, value in facts.items() if not name.startswith("psnr_")}  # of another decoder
    told = {"settings": asdict(run.settings), "legs": run.legs, "steps_done": run.step}
    told["predicted"] = [facts_of(path) for path in predicted]
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
    checkpoint = options.out.with_suffix(".checkpoint.safetensors")
    check_output(options.out, overwrite=checkpoint.exists())
    predicted = load_predicted(options.predicted)
    shape = vars(stored_shape(options.start))
    settings = DecoderTraining(**shape, **changed(options, (*DecoderTraining.CHANGEABLE, "details")))
    run = begun(settings, checkpoint, options.start, options.predicted)
    held = read_held(options.held_stills, options.held_pictures)
    run.train(lambda: train_step(run, settings, predicted), checkpoint, options.minutes * 60)
    write(run, options.out, options.start, options.predicted, held)


def begun(settings: DecoderTraining, checkpoint: Path, start: Path, predicted: Sequence[Path]) -> Run:
    """A run from the file `start`, or where its checkpoint stopped. Raises ValueError: that began from other files."""
    run, files = Run(settings, "decoder"), [[path.name, file_digest(path)] for path in (start, *predicted)]
    if not checkpoint.exists():
        run.begin(start)
        run.legs[0]["sha256"] = files
    else:
        run.load(checkpoint)
        if (before := run.legs[0]["sha256"]) != files:
            odd = next((one for one in files if one not in before), files[0])[0]
            raise ValueError(f"{checkpoint}: was begun with another {odd} or in another order: remove it to start anew")
    if run.step < settings.steps:
        run.tell_leg()
    return run


if __name__ == "__main__":
    main()
