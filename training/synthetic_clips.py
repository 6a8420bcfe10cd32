"""Rendered clips of simple characters that dance: small data with exact keypoints, made from a seed.

A character is a body of flat colours, from broad adult to big-headed child, before a background of its own. Its
motion is a sum of waves over the joints, so every clip moves otherwise and none leaves the picture. Nothing here is
from a photograph or of a person: the clips may be copied freely.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from animatex_core.pose.io import save_openpose
from animatex_core.pose.keypoints import POINTS, PoseSequence
from animatex_core.video import write_video

_SMOOTH = 3  # pictures are drawn so many times larger and shrunk
_LIMBS = (
    (8, 9, "legs"), (9, 10, "legs"), (11, 12, "legs"), (12, 13, "legs"), (10, 19, "shoes"), (13, 18, "shoes"),
    (2, 3, "sleeves"), (3, 4, "skin"), (5, 6, "sleeves"), (6, 7, "skin"),
)  # fmt: skip


@dataclass(frozen=True)
class Character:
    """Colours (RGB) by part, and lengths in units of the height of the picture."""

    colours: dict[str, tuple[int, int, int]]
    trunk: float
    shoulder: float  # half the width
    hip: float
    arm: float  # upper arm; the forearm is as long
    leg: float  # thigh; the shin is as long
    head: float  # radius
    thick: float  # of limbs
    stripes: bool


@dataclass(frozen=True)
class Clip:
    """frames uint8 RGB [F, H, W, 3] and the poses of its one person, on the same canvas."""

    frames: np.ndarray
    poses: PoseSequence


def draw_character(rng: np.random.Generator) -> Character:
    """A random one: bright, distinct colours and human to cartoon proportions."""
    parts = ("skin", "shirt", "sleeves", "legs", "shoes", "hair", "wall", "floor")
    hues = (np.arange(len(parts)) * 0.381966 + rng.random()) % 1
    bright, vivid = rng.uniform(0.35, 1.0, len(parts)), rng.uniform(0.25, 1.0, len(parts))
    colours = {p: _rgb(h, s, v) for p, h, s, v in zip(parts, hues, vivid, bright, strict=True)}
    return Character(
        colours,
        trunk=rng.uniform(0.17, 0.24),
        shoulder=rng.uniform(0.05, 0.095),
        hip=rng.uniform(0.025, 0.05),
        arm=rng.uniform(0.08, 0.13),
        leg=rng.uniform(0.10, 0.17),
        head=rng.uniform(0.045, 0.09),
        thick=rng.uniform(0.025, 0.05),
        stripes=bool(rng.random() < 0.4),
    )


def render_clip(
    character: Character, rng: np.random.Generator, *, frames: int, width: int, height: int, fps: float = 25.0
) -> Clip:
    """The character in a random motion."""
    points = _dance(character, rng, frames, width / height, fps) * height
    pictures = np.stack([_picture(character, frame, width, height) for frame in points])
    everything = np.zeros((frames, 1, POINTS, 2), np.float32)
    everything[:, 0, :20] = points
    scores = np.zeros((frames, 1, POINTS), np.float32)
    scores[:, 0, :20] = 1
    return Clip(pictures, PoseSequence(everything, scores, width, height, fps))


def make_clips(
    count: int, *, seed: int, frames: int = 24, width: int = 64, height: int = 96, fps: float = 25.0
) -> list[Clip]:
    """So many clips, each of another character in another motion; clip i does not depend on the count."""
    clips = []
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        clips.append(render_clip(draw_character(rng), rng, frames=frames, width=width, height=height, fps=fps))
    return clips


def write_clips(folder: Path, clips: Sequence[Clip]) -> list[Path]:
    """Each as `clip_000.mp4` with its poses beside it as `clip_000.json`; returns the videos."""
    folder.mkdir(parents=True, exist_ok=True)
    videos = []
    for number, clip in enumerate(clips):
        videos.append(folder / f"clip_{number:03d}.mp4")
        write_video(videos[-1], clip.frames, clip.poses.fps or 25.0, overwrite=True)
        save_openpose(videos[-1].with_suffix(".json"), clip.poses)
    return videos


def _rgb(hue: float, vivid: float, bright: float) -> tuple[int, int, int]:
    wheel = np.clip(np.abs((hue * 6 + np.array([0.0, 4.0, 2.0])) % 6 - 3) - 1, 0, 1)
    red, green, blue = (255 * bright * (1 - vivid + vivid * wheel)).astype(int)
    return int(red), int(green), int(blue)


def _dance(who: Character, rng: np.random.Generator, frames: int, aspect: float, fps: float) -> np.ndarray:
    """Body and toes [F, 20, 2] in units of the height."""
    time = np.arange(frames) / fps

    def wave(middle: float, most: float) -> np.ndarray:
        rate, phase = rng.uniform(0.4, 1.6, 2), rng.uniform(0, 2 * np.pi, 2)
        return middle + most * (0.7 * np.sin(2 * np.pi * rate[0] * time + phase[0]) + 0.3 * np.sin(7 * time + phase[1]))

    def step(length: float, angle: np.ndarray) -> np.ndarray:
        """From straight down (0) towards the right edge of the picture (pi / 2)."""
        return length * np.stack([np.sin(angle), np.cos(angle)], -1)

    lean = wave(0.0, 0.15)
    points = np.zeros((frames, 20, 2))
    hips = np.stack([aspect / 2 + wave(0, 0.05 * aspect), 0.9 - 2 * who.leg + wave(0, 0.02)], -1)
    points[:, 1] = hips - step(who.trunk, -lean)
    for side, shoulder, hip, toe in ((-1, 2, 8, 19), (1, 5, 11, 18)):
        across = step(1.0, np.pi / 2 + lean)
        points[:, shoulder] = points[:, 1] + side * who.shoulder * across
        raised = wave(1.0, 1.1)
        points[:, shoulder + 1] = points[:, shoulder] + step(who.arm, side * raised)
        points[:, shoulder + 2] = points[:, shoulder + 1] + step(who.arm, side * (raised + wave(0.4, 0.8)))
        points[:, hip] = hips + side * who.hip * across
        spread = wave(0.15, 0.25)
        points[:, hip + 1] = points[:, hip] + step(who.leg, side * spread)
        points[:, hip + 2] = points[:, hip + 1] + step(who.leg, side * (spread - np.abs(wave(0.1, 0.3))))
        points[:, toe] = points[:, hip + 2] + step(0.035, side * np.full(frames, 1.1))
    _head(points, who, lean + wave(0, 0.2))
    return points.astype(np.float32)


def _head(points: np.ndarray, who: Character, tilt: np.ndarray) -> None:
    up = np.stack([np.sin(tilt), -np.cos(tilt)], -1)
    across = np.stack([np.cos(tilt), np.sin(tilt)], -1)
    points[:, 0] = points[:, 1] + 1.25 * who.head * up
    for side, eye, ear in ((-1, 14, 16), (1, 15, 17)):
        points[:, eye] = points[:, 0] + who.head * (0.3 * up + side * 0.4 * across)
        points[:, ear] = points[:, 0] + who.head * (0.1 * up + side * 1.0 * across)


def _picture(who: Character, points: np.ndarray, width: int, height: int) -> np.ndarray:
    scale, size = _SMOOTH, height * _SMOOTH
    image = Image.new("RGB", (width * scale, height * scale), who.colours["wall"])
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, int(0.86 * size), width * scale, size), fill=who.colours["floor"])
    p = points * scale
    thick = who.thick * size
    for start, end, part in _LIMBS[:6]:
        _capsule(draw, p[start], p[end], thick, who.colours[part])
    trunk = [tuple(p[i]) for i in (2, 5, 11, 8)]
    draw.polygon(trunk, fill=who.colours["shirt"])
    for a, b in ((2, 5), (8, 11), (2, 8), (5, 11)):
        _capsule(draw, p[a], p[b], thick * 1.1, who.colours["shirt"])
    if who.stripes:
        for share in (0.35, 0.7):
            _capsule(draw, _between(p[2], p[8], share), _between(p[5], p[11], share), thick / 3, who.colours["hair"])
    for start, end, part in _LIMBS[6:]:
        _capsule(draw, p[start], p[end], thick * 0.85, who.colours[part])
    _face(draw, p, who, size)
    return np.asarray(image.resize((width, height), Image.Resampling.BOX))


def _face(draw: ImageDraw.ImageDraw, p: np.ndarray, who: Character, size: int) -> None:
    radius = who.head * size
    _capsule(draw, p[1], p[0], radius * 0.6, who.colours["skin"])
    _disc(draw, p[0] + (p[0] - p[1]) * 0.3, radius * 1.1, who.colours["hair"])
    _disc(draw, p[0], radius * 0.95, who.colours["skin"])
    for eye in (14, 15):
        _disc(draw, p[eye], radius * 0.14, (20, 20, 20))


def _between(a: np.ndarray, b: np.ndarray, share: float) -> np.ndarray:
    return a + (b - a) * share


def _disc(draw: ImageDraw.ImageDraw, at: np.ndarray, radius: float, colour: tuple[int, int, int]) -> None:
    draw.ellipse((at[0] - radius, at[1] - radius, at[0] + radius, at[1] + radius), fill=colour)


def _capsule(
    draw: ImageDraw.ImageDraw, a: np.ndarray, b: np.ndarray, thick: float, colour: tuple[int, int, int]
) -> None:
    draw.line((*a, *b), fill=colour, width=max(1, round(thick)))
    _disc(draw, a, thick / 2, colour)
    _disc(draw, b, thick / 2, colour)
