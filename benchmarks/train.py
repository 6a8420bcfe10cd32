"""Training: clips a second, share of the floor, the data loader's headroom, peak memory by checkpointed levels.

    python -m benchmarks.train                        CPU: a small network on rendered clips
    python -m benchmarks.train --released             the released widths (a GPU)

The share of the floor is the work that the plan counts (268 TFLOP a clip of 32 frames at 512x768, 357 when everything
is computed again) over `--peak` TFLOP/s. Headroom: clips a second that the loader alone delivers over those trained on.
Memory is the most of a step beyond weights, their average and the optimiser: gradients, activations and work space. On
a GPU as PyTorch's allocator counts it, on a CPU the bytes of all tensors alive at the same time; beside it the estimate
of the plan for the same.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from animatex_training.config import TrainConfig
from animatex_training.config_file import read_config
from animatex_training.open_data import open_data
from animatex_training.plan import make_plan
from animatex_training.prepare import prepare
from animatex_training.prepare_settings import PrepareSettings
from animatex_training.sharding import Ranks
from animatex_training.sources import find_sources
from animatex_training.synthetic_clips import make_clips, write_clips
from animatex_training.trainer import Trainer

from .memory import PeakOfTensors

ASSETS = Path(__file__).parents[1] / "training" / "assets"
WARM_UP = 2


def rendered(folder: Path, frames: int, size: tuple[int, int], clips: int) -> Path:
    """A prepared data set of rendered clips, with the small encoders."""
    write_clips(folder / "videos", make_clips(clips, seed=1, frames=frames, width=size[0], height=size[1]))
    settings = PrepareSettings(
        sizes=(size,), shortest=frames, longest=frames, cut=0.0, isolated=False,
        clip=ASSETS / "mini_vision.safetensors", vae=ASSETS / "mini_vae.safetensors",
    )  # fmt: skip
    prepare(find_sources(folder / "videos"), folder / "data", settings)
    return folder / "data"


def rate(batches: Iterator[Any], count: int, clips: int) -> float:
    """Clips a second of what `next` does, after a warm-up; the median of the rounds."""
    seconds = []
    for turn in range(WARM_UP + count):
        start = time.perf_counter()
        next(batches)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        if turn >= WARM_UP:
            seconds.append(time.perf_counter() - start)
    return clips / statistics.median(seconds)


def training_steps(trainer: Trainer) -> Iterator[Any]:
    """Steps of a run, without its checkpoints."""
    batches = trainer.feed.batches()
    while True:
        yield trainer._train_step(batches)


def measured(config: TrainConfig, size: tuple[int, int], steps: int, peak: float, device: torch.device) -> list[str]:
    """The lines of one configuration."""
    data, lines = open_data(config.data, config.run.seed), []
    plan = make_plan(config, size[1], size[0])
    clips = config.data.batch * config.data.accumulate
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(config, data, Path(folder) / "run", Ranks(), device)
        work = training_steps(trainer)
        speed = rate(work, steps, clips)
        trainer.optimiser.zero_grad(set_to_none=True)
        peak_bytes = most_of(work, device)
        loader = rate(iter(trainer.feed.batches()), steps, config.data.batch)
    levels = ",".join(map(str, config.run.checkpoint_levels)) or "none"
    share = f"{plan.work / 1e12:.4g} TFLOP a clip, {speed * plan.work / 1e12 / peak:.1%} of {peak:g} TFLOP/s"
    lines.append(f"checkpointed levels {levels:<8} {speed:7.2f} clips/s; {share}")
    lines.append(f"  data loader {loader:.1f} clips/s: headroom {loader / speed:.1f}x")
    estimate = (plan.gradients + plan.activations) / 2**20
    lines.append(
        f"  a step takes {peak_bytes / 2**20:.1f} MiB at most; gradients and activations by plan {estimate:.1f} MiB"
    )
    return lines


def most_of(batches: Iterator[Any], device: torch.device) -> int:
    """Bytes that the next step takes beyond what there was."""
    if device.type == "cuda":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        next(batches)
        return torch.cuda.max_memory_allocated() - before
    with PeakOfTensors() as counter:
        next(batches)
    return counter.peak


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--released", action="store_true", help="released widths, 32 frames of 512x768")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--workers", type=int, default=0, help="of the data loader")
    parser.add_argument("--peak", type=float, help="TFLOP/s; default: 790 on a GPU, 0.05 on a CPU thread")
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(torch.get_num_threads() if options.released else 1)
    peak = options.peak or (790.0 if device.type == "cuda" else 0.05)
    frames, size = (32, (512, 768)) if options.released else (8, (64, 96))
    changes = ["model.conditions.clip_width=1280", "model.ipi.clip_width=1280", "watch.sample_every=0"]
    changes += [f"data.workers={options.workers}", f"data.frames={frames}", "data.settings.intervals=[1]"]
    changes += [f"run.device='{device.type}'", "run.sharding='none'", "data.batch=1"]
    print(f"torch {torch.__version__} on {device.type}, {torch.get_num_threads()} threads, {frames} frames {size}")
    with tempfile.TemporaryDirectory() as folder:
        place = rendered(Path(folder), frames, size, 2)
        for levels in ([], [0], [0, 1]):
            more = [f"run.checkpoint_levels={levels}", f"data.folder='{place}'"]
            config = read_config("paper" if options.released else "tiny", [*changes, *more])
            print("\n".join(measured(config, size, options.steps, peak, device)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
