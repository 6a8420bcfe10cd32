"""Frames a second of the Explicit Pose Indicator on a long clip: realign, rescale and both.

    OMP_NUM_THREADS=1 python -m benchmarks.epi [--frames 5000]

The clip is whole-body (body, toes, both hands, 68 face points), float32, seeded: a standing figure that sways, with
missing points. One warm-up, then the median of seven interleaved rounds. The geometry is NumPy in one thread; the
variable keeps NumPy from starting more.
"""

from __future__ import annotations

import argparse

import numpy as np

from animatex_core.pose.epi import PRESETS, realign, rescale
from animatex_core.pose.keypoints import FACE, POINTS, PoseSequence
from animatex_core.pose.skeleton import ADULT, COLUMN, LEVELS, NECK

from .timing import interleave

TARGET = 20_000


def clip(frames: int, seed: int = 0) -> PoseSequence:
    """A whole figure of 130 points that moves smoothly; one point in fifty is missing."""
    rng = np.random.default_rng(seed)
    time = np.arange(frames, dtype=np.float32)[:, None] / 24
    angle = rng.uniform(0, 2 * np.pi, POINTS) + rng.uniform(0.1, 0.6, POINTS) * np.sin(
        rng.uniform(0.5, 2, POINTS) * time
    )
    bone = 150 * ADULT[COLUMN] * np.exp(1j * angle)
    z = np.zeros((frames, POINTS), np.complex64)
    z[:, NECK] = 256 + 200j + 30 * np.sin(time[:, 0])
    for children, parents in LEVELS:
        z[:, children] = z[:, parents] + bone[:, children]
    z[:, FACE] = z[:, :1] + 0.4 * bone[:, FACE]
    scores = (rng.random((frames, 1, POINTS)) > 0.02).astype(np.float32)
    points = z.view(np.float32).reshape(frames, 1, POINTS, 2) * scores[..., None]
    return PoseSequence(points, scores, 512, 768, 24.0)


def main() -> None:
    """Print median seconds and frames a second."""
    parser = argparse.ArgumentParser(description="frames a second of realign and rescale")
    parser.add_argument("--frames", type=int, default=5000)
    frames = parser.parse_args().frames
    driver, anchor = clip(frames), clip(1, seed=1)
    aligned, shape = realign(driver, anchor).poses, PRESETS["chibi"]
    timings = interleave(
        {
            "realign": lambda: realign(driver, anchor),
            "realign, character": lambda: realign(driver, anchor, mode="character"),
            "rescale": lambda: rescale(aligned, shape),
            "realign + rescale": lambda: rescale(realign(driver, anchor).poses, shape),
        },
        rounds=7,
    )
    for timing in timings.values():
        print(f"{timing.line()}  {frames / timing.median:10,.0f} frames/s")
    print(f"target for realign + rescale: {TARGET:,} frames/s")


if __name__ == "__main__":
    main()
