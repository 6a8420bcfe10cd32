"""Pictures and clips of prompts through a running ComfyUI: several tries each, the best of them becomes the case.

    WORK/PROMPT/TRY/image.png, video/00000.png ..., try.json     one try: its seed, its score, what it was made with
    WORK/PROMPT/sheet.png                                         the tries of a prompt side by side
    SET/PROMPT/                                                   the best one, as a case without poses

Any text-to-image and image-to-video workflows will do; the user gives their files. What is there is not made again.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from animatex_core.atomic_file import naming_errors, replacing
from animatex_core.contact_sheet import contact_sheet, save_picture
from animatex_core.pictures import resize
from animatex_core.pose.strict_json import read_json, write_json

from ..cases import listed, write_case, write_set
from ..comfy_client import ComfyError, ComfyUI
from ..frames import read_clip, write_clip
from ..methods import file_sha256
from ..workflow import Workflow, saved_frames
from .prompts import Prompt

Score = Callable[[np.ndarray, Sequence[np.ndarray]], float]
TRIES = 4


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to make prompts into.

    image, video: the workflows; the first takes `prompt`, the second `reference`. tries: of every prompt. score: of an
    image and its clip, the highest wins; its name is kept. license, source: of the result, as case.json says. fps: of
    the clips. choices: prompt -> number of the try that a person chose, in place of the score.
    """

    image: Workflow
    video: Workflow
    score: Score
    score_name: str
    license: str
    source: str
    fps: float
    seed: int = 0
    tries: int = TRIES
    choices: Mapping[str, int] | None = None


def generate(
    prompts: Sequence[Prompt], work: Path, out: Path, name: str, server: ComfyUI, plan: Plan,
    progress: Callable[[int, int, str], None] | None = None,
) -> list[str]:  # fmt: skip
    """Make all cases that are not there; returns their names. Raises ComfyError when a workflow fails."""
    for prompt in (plan.choices or {}).keys() - {p.name for p in prompts}:
        raise ValueError(f"choices: there is no prompt {prompt!r}")
    out.mkdir(parents=True, exist_ok=True)
    for number, prompt in enumerate(prompts):
        if progress:
            progress(number, len(prompts), prompt.name)
        scores = [_try(prompt, work / prompt.name / str(k), server, plan, k) for k in range(plan.tries)]
        chosen = (plan.choices or {}).get(prompt.name, int(np.argmax(scores)))
        if not 0 <= chosen < plan.tries:
            raise ValueError(f"choices: {prompt.name}: expected 0 to {plan.tries - 1}, got {chosen}")
        _case(prompt, work / prompt.name, out / prompt.name, plan, scores, chosen)
    names = [prompt.name for prompt in prompts]
    cases, scored = listed(out)
    write_set(out, name, "1", names + [case for case in cases if case not in names], scored)
    return names


def liveliness(image: np.ndarray, frames: Sequence[np.ndarray]) -> float:
    """A score without any network: motion that is even, of a character that stays the one of the picture.

    Mean change from frame to frame, over the largest one over the median one, times how like the first frame is to the
    picture; on 64x64 pixels, range 0..1. A clip that stands still has 0, one with a cut little.
    """
    small = np.stack([resize(frame, 64, 64) for frame in frames]).astype(np.float32) / 255
    changes = np.abs(np.diff(small, axis=0)).mean((1, 2, 3))
    if not len(changes) or changes.max() == 0:
        return 0.0
    jump = changes.max() / max(float(np.median(changes)), 1 / 255)
    like = 1 - float(np.abs(small[0] - resize(image, 64, 64).astype(np.float32) / 255).mean())
    return float(changes.mean() / max(jump, 1.0) * like)


def _try(prompt: Prompt, folder: Path, server: ComfyUI, plan: Plan, number: int) -> float:
    """One try; its score. What was made with the same workflows, prompt and seed is taken as it is."""
    seed = _seed(plan.seed, prompt.name, number)
    made_with = {
        "prompt": prompt.text, "seed": float(seed), "image": file_sha256(plan.image.path),
        "video": file_sha256(plan.video.path),
    }  # fmt: skip
    note = _read(folder / "try.json")
    if note.get("made_with") != made_with:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        _make(prompt, folder, server, plan, seed)
        note = {"made_with": made_with}
    scores = note.get("scores", {})
    if plan.score_name not in scores:
        image = np.array(Image.open(folder / "image.png").convert("RGB"))
        scores = {**scores, plan.score_name: plan.score(image, list(read_clip(folder / "video")))}
        write_json(folder / "try.json", {"made_with": made_with, "scores": scores})
    return float(scores[plan.score_name])


def _make(prompt: Prompt, folder: Path, server: ComfyUI, plan: Plan, seed: int) -> None:
    values: dict[str, Any] = {"prompt": prompt.text, "seed": seed}
    shown = server.run(plan.image.filled({k: v for k, v in values.items() if k in plan.image.slots}))
    image = next(saved_frames(server, plan.image, shown))
    path = folder / "image.png"
    with replacing(path) as temporary, naming_errors(path):
        Image.fromarray(image).save(temporary, "PNG")
    values |= {"reference": server.upload(path.read_bytes(), ".png"), "fps": plan.fps}
    shown = server.run(plan.video.filled({k: v for k, v in values.items() if k in plan.video.slots}))
    if write_clip(folder / "video", saved_frames(server, plan.video, shown)) < 2:
        raise ComfyError(f"{server.url}: {plan.video.path}: gave one picture, a clip was expected")


def _case(prompt: Prompt, tries: Path, folder: Path, plan: Plan, scores: list[float], chosen: int) -> None:
    """Copy the chosen try as a case, unless it is the one that is there."""
    note = read_json(tries / str(chosen) / "try.json")
    facts = {"made_with": note["made_with"], "scores": scores, "score": plan.score_name, "chosen": chosen}
    if _read(folder / "case.json").get("facts") == facts:
        return
    _sheet(tries, plan.tries)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copy(tries / str(chosen) / "image.png", folder)
    shutil.copytree(tries / str(chosen) / "video", folder / "video")
    (folder / "prompt.txt").write_text(prompt.text + "\n", encoding="utf-8")
    write_case(folder, license=plan.license, source=plan.source, fps=plan.fps, **facts)


def _sheet(tries: Path, count: int) -> None:
    rows = {f"try {k}": list(read_clip(tries / str(k) / "video")) for k in range(count)}
    save_picture(tries / "sheet.png", contact_sheet(rows), overwrite=True)


def _seed(seed: int, name: str, number: int) -> int:
    """A seed of its own for every try, whatever other prompts there are; below 2**48, which JSON readers keep exact."""
    return int.from_bytes(hashlib.sha256(f"{seed} {name} {number}".encode()).digest()[:6], "big")


def _read(path: Path) -> dict[str, Any]:
    try:
        found = read_json(path)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
