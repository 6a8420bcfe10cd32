"""Seconds and memory of the metrics of clips, and of the features and distances between sets.

    python -m benchmarks.metrics [--lpips lpips.safetensors] [--frames 32] [--threads 2] [--cases 4] [--sets]

LPIPS (AlexNet), SSIM and PSNR of the `clean` preset on seeded clips of 512x768, read from PNG files as a run reads
them; then every further metric that needs no other file. Without --lpips the network has random weights, which take
the same time. On a busy machine the work of all cores says more than the time that passed. Memory: the peak of the
process after the first case and after the last. --sets: the proxy's features of a clip, and the distances of 100 clips.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from animatex_training.evaluation.frames import write_clip
from animatex_training.evaluation.metrics.backbones import Backbones
from animatex_training.evaluation.metrics.lpips_net import lpips_shapes
from animatex_training.evaluation.metrics.presets import ClipMeter
from safetensors.torch import save_file

WIDTH, HEIGHT = 512, 768
TARGET = 90.0  # seconds for 32 frames on two cores
CONTENDERS = {
    "LPIPS (alex), SSIM, PSNR": ("lpips_alex", "ssim", "psnr"),
    "LPIPS (alex)": ("lpips_alex",),
    "SSIM": ("ssim",),
    "PSNR": ("psnr",),
    "everything in `clean` but LPIPS (vgg)": None,
}


def moving_clip(frames: int, seed: int) -> Iterator[np.ndarray]:
    """A smooth picture that moves, with noise."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    for t in range(frames):
        waves = [np.sin((x + 3 * t) / 37 + c) + np.cos((y - 2 * t) / 53 - c) for c in range(3)]
        picture = 127 + 50 * np.stack(waves, 2) + random.normal(0, 6, (HEIGHT, WIDTH, 3))
        yield np.clip(picture, 0, 255).astype(np.uint8)


def backbones(options: argparse.Namespace, folder: Path) -> Backbones:
    """LPIPS as given, or random."""
    path = options.lpips
    if path is None:
        path = folder / "random.safetensors"
        save_file({name: torch.rand(shape) * 0.02 for name, shape in lpips_shapes("alex").items()}, path)
    return Backbones(lpips=path)


def clips(options: argparse.Namespace, folder: Path) -> None:
    """Time each group of metrics, then watch the memory over cases."""
    made, truth = folder / "made", folder / "truth"
    write_clip(made, moving_clip(options.frames, 0))
    write_clip(truth, moving_clip(options.frames, 1))
    networks = backbones(options, folder)
    reference = next(moving_clip(1, 0))
    for title, names in CONTENDERS.items():
        only = [n for n in ClipMeter("clean").metrics if n != "lpips_vgg"] if names is None else names
        meter = ClipMeter("clean", networks, only=only)
        meter.measure_clip([reference], [reference], reference=reference)  # weights are read, threads started
        start, worked = time.perf_counter(), time.process_time()
        meter.measure_clip(made, truth, reference=reference)
        spent = time.process_time() - worked
        print(f"{title:<40} {time.perf_counter() - start:7.1f} s, {spent:7.1f} s of work of all cores", flush=True)
    print(f"target: the first line in under {TARGET:g} s for 32 frames on two cores")
    meter = ClipMeter("clean", networks, only=CONTENDERS["LPIPS (alex), SSIM, PSNR"])
    peaks = []
    for _ in range(options.cases):
        meter.measure_clip(made, truth)
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    print(f"peak memory: {peaks[0]:,.0f} MB after the first case, {peaks[-1]:,.0f} MB after {len(peaks)}")


def sets(options: argparse.Namespace) -> None:
    """Time features and distances."""
    meter = ClipMeter("clean")
    frames = list(moving_clip(options.frames, 0))
    start = time.perf_counter()
    features = meter.clip_features(frames)
    print(f"{'features of the proxy':<40} {time.perf_counter() - start:7.1f} s")
    random = np.random.default_rng(0)

    def others() -> Iterator[dict[str, np.ndarray]]:
        for _ in range(100):
            yield {n: v + random.normal(0, 0.1, v.shape).astype(np.float32) for n, v in features.items()}

    start = time.perf_counter()
    values = meter.measure_sets(others(), others())
    print(f"{'distances of 100 clips':<40} {time.perf_counter() - start:7.1f} s  ({', '.join(values)})")


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lpips", type=Path)
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cases", type=int, default=4)
    parser.add_argument("--sets", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{options.frames} frames of {WIDTH}x{HEIGHT}, {options.threads} threads, torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        clips(options, Path(folder))
    if options.sets:
        sets(options)


if __name__ == "__main__":
    main()
