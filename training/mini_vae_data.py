"""What the mini VAE is trained on and measured on: rendered stills, simple drawn characters, and pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from animatex_core.pictures import load_picture, resize, to_tensor
from animatex_core.vae import load_vae

from .mini_vae import psnr
from .synthetic.stills import Stills, load_stills
from .synthetic_clips import draw_character, render_clip

HELD_OUT = 7_000_000  # seeds of drawn characters from here on are never trained on
_DRAWN, _FRESH = 96, 8  # drawn pictures held, and how many of them are new after each round
_ROUND = 100  # steps


class Shares(Protocol):
    """What is asked of the settings: see VAETraining."""

    @property
    def batch(self) -> int: ...
    @property
    def side(self) -> int: ...
    @property
    def simple(self) -> float: ...
    @property
    def photos(self) -> float: ...
    @property
    def seed(self) -> int: ...


@dataclass(frozen=True)
class Material:
    """stills: pictures and silhouettes, or None. photos: uint8 RGB [H, W, 3] of any size; names: of their files."""

    stills: Stills | None = None
    photos: Sequence[np.ndarray] = ()
    names: Sequence[str] = ()


@dataclass(frozen=True)
class Held:
    """What is never trained on: stills by name, and pictures whose sides are multiples of 8."""

    stills: dict[str, Stills]
    pictures: Sequence[np.ndarray] = ()


def load_material(stills: Path, pictures: Path | None) -> Material:
    """Of a training."""
    files = _files(pictures)
    return Material(load_stills(stills), [load_picture(p) for p in files], [p.name for p in files])


def read_held(stills: Sequence[Path], pictures: Path | None) -> Held:
    """Of a measurement; stills go by the names of their files."""
    photos = [load_picture(path) for path in _files(pictures)]
    return Held(
        {path.stem: load_stills(path) for path in stills},
        [p[: p.shape[0] // 8 * 8, : p.shape[1] // 8 * 8] for p in photos],
    )


def drawn(seed: int, count: int) -> list[np.ndarray]:
    """Simple characters, uint8 RGB, of 64x96 to 192x288 pixels."""
    pictures = []
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        height = int(rng.choice([96, 144, 192, 288]))
        clip = render_clip(draw_character(rng), rng, frames=1, width=height * 2 // 3, height=height, fps=1.0)
        pictures.append(clip.frames[0])
    return pictures


def crops(settings: Shares, material: Material, start: int) -> Iterator[Tensor]:
    """Endless batches [n, 3, side, side] in 0..1, from step `start` on; what comes follows from the step alone."""
    pool: list[np.ndarray] = []
    step, rounds = start, _DRAWN // _FRESH
    while True:
        current = step // _ROUND
        if not pool:
            pool = [p for r in range(current, current + rounds) for p in drawn(r, _FRESH)]
        elif step % _ROUND == 0:
            pool = pool[_FRESH:] + drawn(current + rounds - 1, _FRESH)
        rng = np.random.default_rng([settings.seed, step])
        yield torch.cat([_crop(rng, pool, material, settings) for _ in range(settings.batch)])
        step += 1


def _crop(rng: np.random.Generator, pool: list[np.ndarray], material: Material, s: Shares) -> Tensor:
    kind = rng.random()
    if material.photos and kind < s.photos:
        picture = material.photos[int(rng.integers(len(material.photos)))]
        most = min(picture.shape[:2]) / s.side
        found = _square(rng, picture, int(s.side * min(most, rng.uniform(1.0, 3.0))), None)
    elif material.stills is None or kind < s.photos + s.simple:
        found = _square(rng, pool[int(rng.integers(len(pool)))], s.side, None)
    else:
        number = int(rng.integers(len(material.stills.pictures)))
        size = int(s.side * rng.uniform(0.75, 1.25))
        found = _square(rng, material.stills.pictures[number], size, material.stills.silhouettes[number])
        if rng.random() < 0.5:
            found = recoloured(rng, found)
    found = resize(np.ascontiguousarray(found), s.side, s.side)
    return to_tensor(np.ascontiguousarray(found[:, ::-1] if rng.random() < 0.5 else found))


def _square(rng: np.random.Generator, picture: np.ndarray, side: int, around: np.ndarray | None) -> np.ndarray:
    """A crop anywhere, or about a pixel of a silhouette."""
    height, width = picture.shape[:2]
    side = min(side, height, width)
    if around is None or not around.any():
        top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
    else:
        pixels = np.flatnonzero(around)
        row, column = divmod(int(pixels[int(rng.integers(len(pixels)))]), width)
        top, left = row - int(rng.integers(side)), column - int(rng.integers(side))
        top, left = min(max(top, 0), height - side), min(max(left, 0), width - side)
    return picture[top : top + side, left : left + side]


def recoloured(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """Other colours on the same shapes: channels change places and are dimmed or turned round."""
    values = picture[..., rng.permutation(3)].astype(np.float32)
    values = np.where(rng.random(3) < 0.25, 255 - values, values)
    return (
        np.round(values * rng.uniform(0.7, 1.0, 3) + rng.uniform(0, 0.3, 3) * rng.uniform(0, 60))
        .clip(0, 255)
        .astype(np.uint8)
    )


def measure(path: Path, held: Held) -> dict[str, float]:
    """PSNR in dB of the file, read as everybody reads it, and the spread of the latents.

    `box` is the rectangle about the silhouette, and the mean is over pictures.
    """
    vae, found = load_vae(path), {}
    for name, stills in held.stills.items():
        whole, inside = zip(
            *(_of_still(vae, p, s) for p, s in zip(stills.pictures, stills.silhouettes, strict=True)), strict=True
        )
        found |= {f"psnr_{name}": _mean(whole), f"psnr_{name}_box": _mean(inside)}
    characters = [to_tensor(p) for p in drawn(HELD_OUT, 64)]
    for name, pictures in (("drawn", characters), ("pictures", [to_tensor(p) for p in held.pictures])):
        if pictures:
            found[f"psnr_{name}"] = _mean([float(psnr(_round_trip(vae, p), p)[0]) for p in pictures])
    latents = torch.cat([vae.encode(p).transpose(0, 1).flatten(1) for p in characters], 1)
    return found | {"latent_mean": round(float(latents.mean()), 3), "latent_deviation": round(float(latents.std()), 3)}


def _round_trip(vae, picture: Tensor) -> Tensor:
    return next(vae.decode(vae.encode(picture)))


def _of_still(vae, picture: np.ndarray, silhouette: np.ndarray) -> tuple[float, float]:
    wanted = to_tensor(picture)
    found = _round_trip(vae, wanted).reshape(wanted.shape)
    rows, columns = np.flatnonzero(silhouette.any(1)), np.flatnonzero(silhouette.any(0))
    box = (..., slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    return float(psnr(found, wanted)[0]), float(psnr(found[box], wanted[box])[0])


def _mean(values: Sequence[float]) -> float:
    return round(float(np.mean(values)), 2)


def _files(folder: Path | None) -> list[Path]:
    return [] if folder is None else sorted(p for p in folder.iterdir() if p.suffix.lower() in (".png", ".jpg"))
