"""A small run: rendered characters, and methods that are known to be better or worse."""

import numpy as np
from animatex_training.evaluation.records import Bench, CaseScores, MethodScores, RunFolder, Value
from animatex_training.synthetic_clips import make_clips
from PIL import Image

from animatex_core.pose.draw import draw_poses


def noisy(frames, amount, seed=0):
    noise = np.random.default_rng(seed).normal(0, amount, frames.shape)
    return np.clip(frames + noise, 0, 255).astype(np.uint8)


def blocks(frames):
    return frames[:, ::6, ::6].repeat(6, 1).repeat(6, 2)[:, : frames.shape[1], : frames.shape[2]]


METHODS = {
    "fine": lambda frames, _: noisy(frames, 4),
    "shifted": lambda frames, _: np.roll(frames, 5, axis=2),
    "noisy": lambda frames, _: noisy(frames, 45),
    "blocks": lambda frames, _: blocks(frames),
    "frozen": lambda frames, _: np.repeat(frames[:1], len(frames), 0),
    "other": lambda _, others: others,
}


def write_pictures(folder, frames):
    folder.mkdir(parents=True)
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"{number:05d}.png")


def psnr(made, truth):
    error = np.square(made.astype(float) - truth).mean(axis=(1, 2, 3))
    return 20 * np.log10(255 / np.sqrt(np.maximum(error, 255**2 / 1e10)))


def values(made, truth):
    """Two metrics that are quick: one where more is better, one where less is."""
    frames = psnr(made, truth)
    apart = np.abs(made.astype(float) - truth).mean(axis=(1, 2, 3)) / 255
    settings = {"range": 255, "preset": "clean"}
    return {
        "psnr": Value(float(frames.mean()), len(frames), tuple(map(float, frames)), settings),
        "mae": Value(float(apart.mean()), len(apart), tuple(map(float, apart)), settings),
    }


def make_run(folder, *, methods=tuple(METHODS), cases=3, frames=12, width=96, height=144, setting="self", fps=8.0):
    """Write a whole run; returns its folder of records."""
    run = RunFolder(folder)
    clips = make_clips(cases + 1, seed=5, frames=frames, width=width, height=height, fps=fps)
    names = tuple(f"case_{number:02d}" for number in range(cases))
    options = {"fps": fps, "width": float(width), "height": float(height), "seed": 11.0}
    run.write(Bench(setting, names, methods, options, {"animate-x": "0.1.0", "torch": "2.13.0"}))
    scores = {name: [] for name in methods}
    for name, clip, following in zip(names, clips, clips[1:], strict=False):
        write_pictures(run.case(name) / "truth", clip.frames)
        write_pictures(run.case(name) / "poses", draw_poses(clip.poses))
        Image.fromarray(clip.frames[0]).save(run.case(name) / "reference.png")
        for method in methods:
            made = METHODS[method](clip.frames, following.frames)
            write_pictures(run.frames(method, name), made)
            scores[method].append(values(made, clip.frames))
            run.write(CaseScores(method, name, frames, width, height, "ab", scores[method][-1]))
    for method, found in scores.items():
        mean = {
            metric: Value(float(np.mean([one[metric].value for one in found])), cases, None, found[0][metric].settings)
            for metric in found[0]
        }
        run.write(MethodScores(method, names, "cd", mean))
    return run
