"""The whole job with the mini model, on what comes with the package: every character dances the same dance."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from . import included, pipeline
from .contact_sheet import contact_sheet, save_picture
from .fit import plan_fit
from .model import AnimateX
from .pictures import load_picture
from .sampling import OnStep
from .video import write_video
from .weights import load_model

# The dance has no video. The mini model's IPI reads the reference instead: where it reads the drawn poses, the hare
# loses its ears (docs/mini.md).
SETTINGS = replace(included.MINI_SETTINGS, align="character", ipi_source="reference", seed=1)


@dataclass(frozen=True)
class Clip:
    """What the contact sheet shows of a character: pictures uint8 RGB [1 or F, H, W, 3]; and what decided them."""

    reference: np.ndarray
    poses: np.ndarray
    frames: np.ndarray
    fps: float
    facts: dict[str, Any]


def demo(folder: Path, on_step: OnStep | None = None) -> list[str]:
    """Run it; writes `demo.mp4` and `contact_sheet.png` into the folder, and returns what there is to say.

    Raises FileNotFoundError saying how to get the mini model where it is missing.
    """
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder}: expected a folder, found a file")
    video, sheet = folder / "demo.mp4", folder / "contact_sheet.png"
    names = included.character_names()
    model = load_model(included.mini_model(), dtype=torch.float32)
    clips = {name: animate(name, model, _part(on_step, i, len(names))) for i, name in enumerate(names)}
    rows = {
        f"{name}: {what}": getattr(clip, kind)
        for name, clip in clips.items()
        for what, kind in (("reference", "reference"), ("poses", "poses"), ("result", "frames"))
    }
    pictures = contact_sheet(rows)
    first = next(iter(clips.values()))
    facts = first.facts | {"files": {name: clip.facts["files"] for name, clip in clips.items()}}
    folder.mkdir(parents=True, exist_ok=True)
    beside = np.concatenate([clip.frames for clip in clips.values()], axis=2)
    write_video(video, beside, first.fps, metadata=facts, overwrite=True)
    save_picture(sheet, pictures, metadata=facts, overwrite=True)
    return [
        f"{video}: {', '.join(names)}, side by side, {len(beside)} frames",
        f"{sheet}: reference, poses and result of each",
    ]


def demo_job(name: str) -> pipeline.Job:
    """The job of one character."""
    model, (picture, pose) = included.mini_model(), included.character(name)
    return pipeline.Job(
        model=model, clip=model, vae=model, reference=picture, reference_pose=pose, poses=included.MINI_DANCE,
        settings=SETTINGS,
    )  # fmt: skip


def animate(name: str, model: AnimateX, on_step: OnStep | None = None) -> Clip:
    """One character from its picture to its frames."""
    job = demo_job(name)
    prepared = pipeline.prepare(job)
    frames = np.stack(list(pipeline.decode(job, pipeline.denoise(job, prepared, on_step, model=model))))
    picture = load_picture(job.reference)
    fit = plan_fit((picture.shape[1], picture.shape[0]), (SETTINGS.width, SETTINGS.height), SETTINGS.fit)
    poses = prepared.drawn.pictures(SETTINGS)
    return Clip(fit.apply(picture)[None], poses, frames, prepared.motion.fps, pipeline.metadata(job, prepared))


def _part(on_step: OnStep | None, index: int, parts: int) -> OnStep | None:
    """Steps of one character as steps of all."""
    if on_step is None:
        return None
    return lambda done, total, latents: on_step(index * total + done, parts * total, latents)
