"""Clips of humans for training: pictures, exact poses, and a manifest that `animate-x-train prepare` reads."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from animatex_core.atomic_file import replacing
from animatex_core.pose.io import save_openpose
from animatex_core.video import write_video

from .body import AnnyModel
from .cast import draw_human
from .held_out import FPS, FRAMES
from .motion import Motion
from .render import Renderer
from .stage import film
from .terms import CONSENT, LICENSE, SOURCE

MANIFEST = "manifest.jsonl"


def write_clips(
    folder: Path, recordings: Mapping[str, Motion], *, bodies: int, each: int, seed: int,
    width: int = 128, height: int = 192, progress: Callable[[int, int], None] | None = None,
) -> Path:  # fmt: skip
    """So many humans with `each` clips of 16 frames; returns the manifest, which is written last.

    A body and its clips depend on the seed and its number alone.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model, rows = AnnyModel(), []
    terms = {"fps": FPS, "source": SOURCE, "licence": LICENSE, "consent": CONSENT}
    with Renderer(width, height) as renderer:
        for body in range(bodies):
            rng = np.random.default_rng([seed, body])
            who, looks = draw_human(model, rng)
            for number in range(each):
                clip = film(renderer, who, draw_motion(recordings, rng), looks.background)
                name = f"human_{body:04d}_{number:02d}"
                write_video(folder / name, clip.frames, FPS, overwrite=True)
                save_openpose(folder / f"{name}.json", clip.poses)
                rows.append({"video": name, "poses": f"{name}.json"} | terms)
            if progress:
                progress(body + 1, bodies)
    with replacing(folder / MANIFEST, overwrite=True) as temporary:
        temporary.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder / MANIFEST


def draw_motion(recordings: Mapping[str, Motion], rng: np.random.Generator) -> Motion:
    """16 frames of a recording, the longer the likelier, from anywhere in it and turned a little."""
    lengths = np.sqrt([m.seconds for m in recordings.values()])
    motion = list(recordings.values())[int(rng.choice(len(lengths), p=lengths / lengths.sum()))]
    start = float(rng.uniform(0, max(0.3 * motion.seconds, motion.seconds - (FRAMES - 1) / FPS)))
    return motion.window(start, FRAMES, FPS).facing(float(rng.uniform(-0.7, 0.7)))
