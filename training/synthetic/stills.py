"""Single pictures of characters in motion, for networks that read pictures alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from animatex_core.atomic_file import replacing
from animatex_core.pose.keypoints import BODY

from .body import AnnyModel
from .cast import draw_figure, draw_human
from .motion import Motion
from .render import Renderer
from .stage import film
from .variety import vary

_SHOTS = 8  # of every character


@dataclass(frozen=True)
class Stills:
    """pictures uint8 RGB [n, H, W, 3] and silhouettes bool [n, H, W].

    joints: float32 [n, 18, 3], the body points of `keypoints` in pixels (x, y) and 1, or 0 where there is none; None in
    files of before.
    """

    pictures: np.ndarray
    silhouettes: np.ndarray
    joints: np.ndarray | None = None


def make_stills(
    count: int, motions: Sequence[Motion], *, seed: int, figures: float, varied: float = 0.0,
    lenders: Sequence[Motion] = (), width: int = 128, height: int = 192,
) -> Stills:  # fmt: skip
    """So many pictures of random characters, of which the share `figures` is of our own and the others are humans.

    varied: the share of motions that are changed at random (`variety`), with arms and legs of the lenders, which are
    the motions themselves by default. Raises ValueError for what is no share.
    """
    if not 0 <= varied <= 1:
        raise ValueError(f"varied: expected a share of 0 to 1, got {varied}")
    model = AnnyModel()
    pictures, silhouettes, joints = [], [], []
    with Renderer(width, height) as renderer:
        for number in range(-(-count // _SHOTS)):
            rng = np.random.default_rng([seed, number])
            who, looks = draw_figure(rng) if rng.random() < figures else draw_human(model, rng)
            moving = _draw_part(motions, rng)
            if varied and rng.random() < varied:
                moving = vary(moving, [_draw_part(lenders or motions, rng) for _ in range(2)], rng)
            clip = film(renderer, who, moving, looks.background)
            pictures.append(clip.frames)
            silhouettes.append(clip.silhouettes)
            joints.append(np.concatenate([clip.poses.points[:, 0, BODY], clip.poses.scores[:, 0, BODY, None]], -1))
    return Stills(*(np.concatenate(found)[:count] for found in (pictures, silhouettes, joints)))


def _draw_part(motions: Sequence[Motion], rng: np.random.Generator) -> Motion:
    """Moments of all of a recording from somewhere in its first half on, turned a little."""
    motion = motions[int(rng.integers(len(motions)))]
    start = float(rng.uniform(0, 0.5 * motion.seconds))
    return motion.window(start, _SHOTS, _SHOTS / (motion.seconds - start)).facing(rng.uniform(-0.8, 0.8))


def save_stills(path: Path, stills: Stills) -> None:
    """As .npz, whole or not at all."""
    with replacing(path, overwrite=True) as temporary, temporary.open("wb") as file:
        known: dict[str, Any] = {} if stills.joints is None else {"joints": stills.joints}
        np.savez_compressed(file, pictures=stills.pictures, silhouettes=stills.silhouettes, **known)


def load_stills(path: Path) -> Stills:
    """Raises ValueError when the file holds none."""
    with np.load(path, allow_pickle=False) as file:
        if not {"pictures", "silhouettes"} <= set(file.files):
            raise ValueError(f"{path}: no stills: pictures and silhouettes expected, found {', '.join(file.files)}")
        joints = file["joints"] if "joints" in file.files else None
        return Stills(file["pictures"], file["silhouettes"], joints)
