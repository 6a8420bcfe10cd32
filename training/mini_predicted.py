"""Latents as a trained network makes them, beside the pictures they should have been: what a decoder learns from.

    python -m animatex_training.mini_predicted --model MODEL --data DATA --out predicted.safetensors

A decoder that has only seen an encoder's latents shows a network's doubt as a blur. The network's own latents teach it
what such doubt most often turns out to be (`mini_decoder_train`). So that they fit the pictures, the clean latents of a
clip are noised to a time step of the sampler, drawn at random, and sampled from there with the clip's own poses drawn:
from the last step the answer is nearly there, from the first one all is the network's. The IPI reads another driver of
the same motion where the clip has one. The network runs in bf16.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from animatex_core import diffusion
from animatex_core.atomic_file import check_output, replacing
from animatex_core.choices import ReferenceMode
from animatex_core.model import Inputs
from animatex_core.weights import load_model

from .augment import ReadSettings
from .dataset import ClipDataset
from .network import TrainedNetwork
from .sample import Draw, collate
from .shards import ClipFile, DatasetError
from .validation import guided, on_device

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How clips are sampled; steps as in the model card, guidance as when the shipped decoder was made."""

    frames: int = 16
    steps: int = 6
    guidance: float = 2.0
    clips: int = 400
    seed: int = 0
    reference: ReferenceMode = "released"

    def __post_init__(self) -> None:
        if self.clips < 1:
            raise ValueError(f"--clips: expected 1 or more, got {self.clips}")


@dataclass(frozen=True)
class Predicted:
    """latents, clean: [n, 4, h, w], the network's and the encoder's. pictures: uint8 [n, 8 h, 8 w, 3].

    details: [n, h, w], 1 at eyes, nose and wrists and falling to 0 about them, as `emphasis` has it.
    """

    latents: Tensor
    clean: Tensor
    pictures: Tensor
    details: Tensor

    def __len__(self) -> int:
        return len(self.latents)


def predict(module: TrainedNetwork, dataset: ClipDataset, number: int, seed: int, how: Sampling) -> Predicted:
    """The frames of a clip that the data set holds pictures of, made from a time step that the seed draws.

    Raises FloatingPointError naming the clip when the network makes numbers that are not finite.
    """
    batch = collate([dataset[Draw(number, seed)]])
    clean, inputs = on_device(batch, torch.device("cpu"), how.reference)
    x = _sampled(module, clean, inputs, torch.Generator().manual_seed(seed), how)
    if not torch.isfinite(x).all():
        raise FloatingPointError(f"clip {batch.clips[0]}: the network makes numbers that are not finite")
    clip = ClipFile(dataset.folder, dataset.records[number])
    at = clip.read("reference_frames")
    made, true = (latents[0].transpose(0, 1)[at].half() for latents in (x, clean))
    return Predicted(made, true, clip.read("references"), (batch.weight[0, at] - 1).half())


def _sampled(
    module: TrainedNetwork, clean: Tensor, inputs: Inputs, generator: torch.Generator, how: Sampling
) -> Tensor:
    times = diffusion.ddim_timesteps(how.steps)
    first = int(torch.randint(len(times), (), generator=generator))
    noise = diffusion.offset_noise(tuple(clean.shape), generator, 0.0)
    x = diffusion.add_noise(clean, torch.tensor([times[first]]), noise)
    denoise = guided(module, inputs, how.guidance)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        for timestep in times[first:]:
            x = diffusion.ddim_step(x, denoise(x, timestep), timestep, how.steps)
    return x


def load_predicted(paths: Sequence[Path]) -> Predicted:
    """Of one or more files, one behind the other. Raises ValueError naming a file of something else or another size."""
    found = []
    names = [f.name for f in fields(Predicted)]
    for path in paths:
        try:
            with safe_open(path, "pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}
        except (SafetensorError, OSError) as error:
            raise ValueError(f"{path}: {error}") from error
        if set(tensors) != set(names):
            raise ValueError(f"{path}: expected {', '.join(names)}, as mini_predicted writes them")
        found.append(Predicted(**tensors))
        size, first = (list(one.pictures.shape[1:3]) for one in (found[-1], found[0]))
        if size != first:
            raise ValueError(f"{path}: its pictures are {size} (height, width), those of {paths[0]} are {first}")
    return joined(found)


def facts_of(path: Path) -> dict[str, Any]:
    """What `save_predicted` was told, and the name of the file."""
    with safe_open(path, "pt") as file:
        return {"file": path.name} | {name: json.loads(value) for name, value in file.metadata().items()}


def _whole(dataset: ClipDataset) -> list[int]:
    """Clips for training that one window holds, so that their pictures are where the clip says. Raises DatasetError."""
    found = [n for n in dataset.training if dataset.records[n].frames == dataset.frames]
    if not found:
        lengths = sorted({dataset.records[n].frames for n in dataset.training})
        raise DatasetError(f"{dataset.folder}: --frames {dataset.frames}: its clips have {lengths} frames")
    if len(sizes := sorted({dataset.records[n].size for n in found})) > 1:
        raise DatasetError(f"{dataset.folder}: its clips have {len(sizes)} sizes, one is expected: {sizes}")
    return found


def joined(parts: Sequence[Predicted]) -> Predicted:
    """One behind the other."""
    return Predicted(**{f.name: torch.cat([getattr(part, f.name) for part in parts]) for f in fields(Predicted)})


def save_predicted(path: Path, predicted: Predicted, how: Sampling, model: str, licences: Sequence[str] = ()) -> None:
    """Write a file for `load_predicted`; what it was made with and the licences of the clips are in the metadata."""
    told = {"model": model, "sampling": asdict(how), "licences": sorted(set(licences))}
    facts = {name: json.dumps(value) for name, value in told.items()}
    with replacing(path) as temporary:
        save_file({name: value.contiguous() for name, value in vars(predicted).items()}, temporary, facts)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="the network that samples, as exported")
    parser.add_argument("--data", type=Path, required=True, help="folder that animate-x-train prepare wrote")
    parser.add_argument("--out", type=Path, required=True, help="the .safetensors to write")
    parser.add_argument("--clips", type=int, default=Sampling.clips, help="how many; default: %(default)s")
    parser.add_argument("--frames", type=int, default=Sampling.frames, help="of a clip; default: %(default)s")
    parser.add_argument("--steps", type=int, default=Sampling.steps, help="of the sampler; default: %(default)s")
    parser.add_argument("--guidance", type=float, default=Sampling.guidance, help="scale; default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of which clips and of their noise; default: %(default)s")
    words = "as the network was trained (data.reference); default: %(default)s"
    parser.add_argument("--reference", choices=get_args(ReferenceMode), default=Sampling.reference, help=words)
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = _parser().parse_args(arguments)
    check_output(options.out)
    how = Sampling(**{f.name: getattr(options, f.name) for f in fields(Sampling)})
    module = TrainedNetwork(load_model(options.model, dtype=torch.float32))
    settings = ReadSettings(probability=0.0, intervals=(1,), still=1.0, cross=1.0, details=1.0)
    dataset = ClipDataset(options.data, how.frames, settings)
    chosen = np.random.default_rng(how.seed).permutation(_whole(dataset))[: how.clips].tolist()
    started, parts = time.monotonic(), []
    for done, number in enumerate(chosen, 1):
        parts.append(predict(module, dataset, number, how.seed * 1_000_000 + number, how))
        if done % 25 == 0:
            LOG.info("%d of %d clips, %.0f s", done, len(chosen), time.monotonic() - started)
    licences = [dataset.records[number].licence for number in chosen]
    save_predicted(options.out, joined(parts), how, options.model.name, licences)


if __name__ == "__main__":
    main()
