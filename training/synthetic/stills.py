"""Single pictures of characters in motion, for networks that read pictures alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from animatex_core.atomic_file import replacing

from .body import AnnyModel
from .cast import draw_figure, draw_human
from .motion import Motion
from .render import Renderer
from .stage import film

_SHOTS = 8  # of every character


@dataclass(frozen=True)
class Stills:
    """pictures uint8 RGB [n, H, W, 3] and silhouettes bool [n, H, W]."""

    pictures: np.ndarray
    silhouettes: np.ndarray


def make_stills(
    count: int, motions: Sequence[Motion], *, seed: int, figures: float, width: int = 128, height: int = 192
) -> Stills:
    """So many pictures of random characters, of which the share `figures` is of our own and the others are humans."""
    model = AnnyModel()
    pictures, silhouettes = [], []
    with Renderer(width, height) as renderer:
        for number in range(-(-count // _SHOTS)):
            rng = np.random.default_rng([seed, number])
            who, looks = draw_figure(rng) if rng.random() < figures else draw_human(model, rng)
            motion = motions[int(rng.integers(len(motions)))]
            start = float(rng.uniform(0, 0.5 * motion.seconds))
            moving = motion.window(start, _SHOTS, _SHOTS / (motion.seconds - start)).facing(rng.uniform(-0.8, 0.8))
            clip = film(renderer, who, moving, looks.background)
            pictures.append(clip.frames)
            silhouettes.append(clip.silhouettes)
    return Stills(np.concatenate(pictures)[:count], np.concatenate(silhouettes)[:count])


def save_stills(path: Path, stills: Stills) -> None:
    """As .npz, whole or not at all."""
    with replacing(path, overwrite=True) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, pictures=stills.pictures, silhouettes=stills.silhouettes)


def load_stills(path: Path) -> Stills:
    """Raises ValueError when the file holds none."""
    with np.load(path, allow_pickle=False) as file:
        if not {"pictures", "silhouettes"} <= set(file.files):
            raise ValueError(f"{path}: no stills: pictures and silhouettes expected, found {', '.join(file.files)}")
        return Stills(file["pictures"], file["silhouettes"])
