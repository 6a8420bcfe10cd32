"""Clips of humans for training: pictures, exact poses, and a manifest that `animate-x-train prepare` reads.

Each is the right answer of a cross-driven pair: beside it are the character standing, which is the reference, and
another human in the same motion, in other clothes and before another background, who drives. Drivers are shaped like
people; of the characters a share has proportions that the EPI's random rescaling makes of a human, a share wears
costumes, and a share is in those of mascots. A share of the motions is made of several recordings.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from animatex_core.atomic_file import replacing
from animatex_core.contact_sheet import save_picture
from animatex_core.pose.io import save_openpose
from animatex_core.video import write_video

from . import CLIPS_VERSION
from .body import AnnyModel
from .cast import Looks, draw_human, draw_mascot, draw_rescaled, dressed
from .held_out import FPS, FRAMES
from .motion import Motion, standing
from .puppet import Puppet
from .render import Renderer
from .stage import Clip, film
from .terms import CONSENT, LICENSE, SOURCE
from .variety import vary

MANIFEST = "manifest.jsonl"


def write_clips(
    folder: Path, recordings: Mapping[str, Motion], *, bodies: int, each: int, seed: int, rescaled: float = 0.75,
    dressed_up: float = 0.0, mascots: float = 0.0, varied: float = 0.0, lenders: Mapping[str, Motion] | None = None,
    width: int = 128, height: int = 192, progress: Callable[[int, int], None] | None = None,
) -> Path:  # fmt: skip
    """So many humans with `each` clips of 16 frames, and a driver for each clip; returns the manifest, written last.

    mascots: the share of the humans that are in the costume of a mascot. Of the rest, rescaled: the share that has
    other proportions; dressed_up: the share that wears a costume. varied: the share of motions that are changed at
    random (`variety`); lenders: who lends arms and legs to them, the recordings themselves by default. A body and its
    clips depend on the seed, the shares and its number alone. Raises ValueError for what is no share.
    """
    shares = (("rescaled", rescaled), ("dressed_up", dressed_up), ("mascots", mascots), ("varied", varied))
    for name, share in shares:
        if not 0 <= share <= 1:
            raise ValueError(f"{name}: expected a share of 0 to 1, got {share}")
    folder.mkdir(parents=True, exist_ok=True)
    model, rows = AnnyModel(), []
    told = f"rescaled {rescaled:g}, dressed up {dressed_up:g}"
    told += "".join(f", {name} {share:g}" for name, share in shares[2:] if share)
    source = f"{SOURCE}; version {CLIPS_VERSION}, {told}"
    terms = {"fps": FPS, "source": source, "licence": LICENSE, "consent": CONSENT}
    with Renderer(width, height) as renderer:
        for body in range(bodies):
            rng = np.random.default_rng([seed, body])
            who, looks = draw_somebody(model, rng, rescaled=rescaled, dressed_up=dressed_up, mascots=mascots)
            image = film(renderer, who, standing(), looks.background)
            save_picture(folder / f"human_{body:04d}.png", image.frames[0], overwrite=True)
            save_openpose(folder / f"human_{body:04d}.json", image.poses)
            reference = {"image": f"human_{body:04d}.png", "image_pose": f"human_{body:04d}.json"}
            for number in range(each):
                name, motion = f"human_{body:04d}_{number:02d}", draw_motion(recordings, rng, varied, lenders)
                other, others_looks = draw_human(model, rng)
                row = _write(folder, "video", "poses", name, film(renderer, who, motion, looks.background))
                driver = film(renderer, other, motion, others_looks.background)
                row |= _write(folder, "driver", "driver_poses", f"{name}_driver", driver)
                rows.append(row | reference | terms)
            if progress:
                progress(body + 1, bodies)
    with replacing(folder / MANIFEST, overwrite=True) as temporary:
        temporary.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder / MANIFEST


def draw_somebody(
    model: AnnyModel, rng: np.random.Generator, *, rescaled: float, dressed_up: float, mascots: float
) -> tuple[Puppet, Looks]:
    """Somebody by the shares; nothing is drawn for a share of 0: clips of before there was one stay the same."""
    if mascots and rng.random() < mascots:
        return draw_mascot(model, rng)
    who, looks = (draw_rescaled if rng.random() < rescaled else draw_human)(model, rng)
    if dressed_up and rng.random() < dressed_up:
        who = dressed(who, looks, rng)
    return who, looks


def _write(folder: Path, video: str, poses: str, name: str, clip: Clip) -> dict[str, str]:
    write_video(folder / name, clip.frames, FPS, overwrite=True)
    save_openpose(folder / f"{name}.json", clip.poses)
    return {video: name, poses: f"{name}.json"}


def draw_motion(
    recordings: Mapping[str, Motion],
    rng: np.random.Generator,
    varied: float = 0.0,
    lenders: Mapping[str, Motion] | None = None,
) -> Motion:
    """16 frames from a recording; by the chance `varied` changed at random, with arms and legs of lenders.

    Nothing is drawn for a chance of 0: motions of before there was one stay the same.
    """
    part = _draw_part(recordings, rng)
    if not varied or rng.random() >= varied:
        return part
    return vary(part, [_draw_part(lenders or recordings, rng) for _ in range(2)], rng)


def _draw_part(recordings: Mapping[str, Motion], rng: np.random.Generator) -> Motion:
    """16 frames from anywhere in a recording, the longer the likelier; turned a little, and half of them mirrored."""
    lengths = np.sqrt([m.seconds for m in recordings.values()])
    motion = list(recordings.values())[int(rng.choice(len(lengths), p=lengths / lengths.sum()))]
    start = float(rng.uniform(0, max(0.3 * motion.seconds, motion.seconds - (FRAMES - 1) / FPS)))
    part = motion.window(start, FRAMES, FPS).facing(float(rng.uniform(-0.7, 0.7)))
    return part.mirrored() if rng.random() < 0.5 else part
