"""The mini benchmark on disk, in the format of the evaluation's sets: one folder a case."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from animatex_core.contact_sheet import save_picture
from animatex_core.pose.io import save_openpose
from animatex_core.video import write_video

from ..evaluation.cases import write_case, write_set
from . import VERSION
from .body import AnnyModel
from .held_out import drivers, factors, held_out_motions, members
from .motion import Motion, standing
from .puppet import Puppet
from .render import Renderer
from .stage import Clip, film
from .terms import LICENSE, SOURCE

NAME = "mini-a2bench"


def write_benchmark(
    folder: Path, recordings: Mapping[str, Motion], *, width: int = 128, height: int = 192, clothes: int = 0
) -> list[str]:
    """Render all cases (character, motion) and return their names; the list of cases is written last.

    clothes: which clothes the drivers wear; with others than 0 it is the set of the leak test, the same in all else.

    Of each: the character standing (`image`), the same character in the motion (`video`, `poses`, `mask`), and the
    human who drives (`driver`, `driver_poses`).
    """
    model = AnnyModel()
    cast, motions, humans = members(model), held_out_motions(recordings), drivers(model, clothes)
    adult = next(iter(humans.values()))[0]
    names = []
    with Renderer(width, height) as renderer:
        driven = {name: film(renderer, *_split(humans[name], motion)) for name, motion in motions.items()}
        for member in cast:
            image = film(renderer, member.puppet, standing(), member.looks.background)
            shape = {key: round(value, 3) for key, value in factors(member.puppet, adult).items()}
            for name, motion in motions.items():
                clip = film(renderer, member.puppet, motion, member.looks.background, picture=image.poses)
                names.append(f"{member.name}-{name}")
                facts = {"character": member.name, "kind": member.kind, "motion": name, "shape": shape}
                _write_case(folder / names[-1], image, clip, driven[name], facts)
    write_set(folder, f"{NAME}-clothes-{clothes}" if clothes else NAME, str(VERSION), names, names)
    return names


def _split(human: tuple[Puppet, Any], motion: Motion) -> tuple[Puppet, Motion, tuple[float, float, float]]:
    puppet, looks = human
    return puppet, motion, looks.background


def _write_case(folder: Path, image: Clip, clip: Clip, driver: Clip, facts: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    fps = clip.poses.fps or 1.0
    save_picture(folder / "image.png", image.frames[0], overwrite=True)
    save_openpose(folder / "image_pose.json", image.poses)
    (folder / "prompt.txt").write_text("", encoding="utf-8")
    mask = np.repeat(clip.silhouettes[..., None].astype(np.uint8) * 255, 3, axis=-1)
    for name, frames in (("video", clip.frames), ("mask", mask), ("driver", driver.frames)):
        write_video(folder / name, frames, fps, overwrite=True)
    save_openpose(folder / "poses.json", clip.poses)
    save_openpose(folder / "driver_poses.json", driver.poses)
    background = [round(value, 4) for value in clip.background]
    write_case(folder, license=LICENSE, source=SOURCE, fps=fps, **facts, background=background, synthetic=VERSION)
