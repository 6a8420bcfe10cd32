"""Pictures and clips of prompts through a running ComfyUI: several tries each, the best of them becomes the case.

    WORK/PROMPT/TRY/image.png, video/00000.png ..., try.json     one try: its seed, its score, what it was made with
    WORK/PROMPT/sheet.png                                         the tries of a prompt side by side
    SET/PROMPT/                                                   the best one, as a case without poses

Any text-to-image and image-to-video workflows will do; the user gives their files. What is there is not made again, and
a case that holds work of others, poses corrected by hand say, is not replaced by another try.
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

from ..cases import SetError, listed, write_case, write_set
from ..comfy_client import ComfyError, ComfyUI
from ..frames import read_clip, write_clip
from ..methods import file_sha256
from ..workflow import OUTPUT, Workflow, saved_frames
from .prompts import Prompt
from .screen import NOTES

Score = Callable[[np.ndarray, Sequence[np.ndarray]], float]
TRIES = 4
# Slots that are filled or read here: others may be anywhere.
_IMAGE_SLOTS = ("prompt", "seed", OUTPUT)
_VIDEO_SLOTS = ("prompt", "seed", "reference", "fps", OUTPUT)
_WRITTEN = ("case.json", "image.png", "prompt.txt", "video")


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
    """Make all cases that are not there; returns their names.

    Raises ComfyError when a workflow fails; SetError at the end, with all others made, for cases that another try would
    replace though they hold files that neither this nor `screen` wrote. They stay as they are.
    """
    for prompt in (plan.choices or {}).keys() - {p.name for p in prompts}:
        raise ValueError(f"choices: there is no prompt {prompt!r}")
    out.mkdir(parents=True, exist_ok=True)
    refused = []
    for number, prompt in enumerate(prompts):
        if progress:
            progress(number, len(prompts), prompt.name)
        scores = [_try(prompt, work / prompt.name / str(k), server, plan, k) for k in range(plan.tries)]
        chosen = (plan.choices or {}).get(prompt.name, int(np.argmax(scores)))
        if not 0 <= chosen < plan.tries:
            raise ValueError(f"choices: {prompt.name}: expected 0 to {plan.tries - 1}, got {chosen}")
        refused += _case(prompt, work / prompt.name, out / prompt.name, plan, scores, chosen)
    names = [prompt.name for prompt in prompts]
    cases, scored = listed(out)
    write_set(out, name, "1", names + [case for case in cases if case not in names], scored)
    if refused:
        raise SetError(
            f"{out}: another try becomes these cases, and files that were not made here would be lost: "
            f"{'; '.join(refused)}. Move these files away and run it again; or, where it is only the choice that "
            "changed, keep the try that is there by --choices"
        )
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
    """One try; its score. What was made with the same workflows, slots, prompt and seed is taken as it is."""
    seed = _seed(plan.seed, prompt.name, number)
    made_with: dict[str, Any] = {
        "prompt": prompt.text, "seed": float(seed), "image": file_sha256(plan.image.path),
        "video": file_sha256(plan.video.path),
        "slots": {"image": _used(plan.image, _IMAGE_SLOTS), "video": _used(plan.video, _VIDEO_SLOTS)},
    }  # fmt: skip
    if "fps" in plan.video.slots:  # else it is told to nobody but case.json
        made_with["fps"] = plan.fps
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


def _case(prompt: Prompt, tries: Path, folder: Path, plan: Plan, scores: list[float], chosen: int) -> list[str]:
    """Make the chosen try the case. A case of this try keeps its files, and case.json alone is brought up to date.

    Returns what is said of a case of another try that cannot be replaced, else nothing.
    """
    made_with = read_json(tries / str(chosen) / "try.json")["made_with"]
    there = _read(folder / "case.json")
    known: dict[str, Any] = found if isinstance(found := there.get("facts"), dict) else {}
    same = known.get("made_with") == made_with
    facts = known if same else {}
    facts = facts | {"made_with": made_with, "scores": scores, "score": plan.score_name, "chosen": chosen}
    if facts != known:
        _sheet(tries, plan.tries)
    if not same:
        if others := _of_others(folder):
            return [f"{folder.name} ({', '.join(others)})"]
        _copy(prompt, tries / str(chosen), folder)
    elif there.get("fps") != plan.fps:
        _retime(folder, plan.fps)
    wanted = {"license": plan.license, "source": plan.source, "fps": plan.fps, "facts": facts}
    if {key: there.get(key) for key in wanted} != wanted:
        write_case(folder, license=plan.license, source=plan.source, fps=plan.fps, **facts)
    return []


def _copy(prompt: Prompt, chosen: Path, folder: Path) -> None:
    """A try as a case, all but case.json, in the place of what is there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copy(chosen / "image.png", folder)
    shutil.copytree(chosen / "video", folder / "video")
    (folder / "prompt.txt").write_text(prompt.text + "\n", encoding="utf-8")


def _of_others(folder: Path) -> list[str]:
    """What a case holds beside what is written here and poses as `screen` found them."""
    wrote = _read(folder.parent / NOTES / f"{folder.name}.json").get("wrote", {})
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    return [
        path.name
        for path in paths
        if path.name not in _WRITTEN
        and not path.name.startswith(".")
        and not (path.is_file() and file_sha256(path) == wrote.get(path.name))
    ]


def _retime(folder: Path, fps: float) -> None:
    """The rate of a case's poses is that of its clip: correct it, so that `screen` knows poses of its own again."""
    path, noted = folder / "poses.json", folder.parent / NOTES / f"{folder.name}.json"
    poses, note = _read(path), _read(noted)
    if poses.get("fps") in (None, fps):
        return
    own = note.get("wrote", {}).get(path.name) == file_sha256(path)
    write_json(path, poses | {"fps": fps})
    if own:
        write_json(noted, note | {"wrote": note["wrote"] | {path.name: file_sha256(path)}})


def _sheet(tries: Path, count: int) -> None:
    rows = {f"try {k}": list(read_clip(tries / str(k) / "video")) for k in range(count)}
    save_picture(tries / "sheet.png", contact_sheet(rows), overwrite=True)


def _used(workflow: Workflow, names: Sequence[str]) -> dict[str, list[str]]:
    """Where these slots of a workflow are, as JSON reads it back."""
    return {slot: list(workflow.slots[slot]) for slot in names if slot in workflow.slots}


def _seed(seed: int, name: str, number: int) -> int:
    """A seed of its own for every try, whatever other prompts there are; below 2**48, which JSON readers keep exact."""
    return int.from_bytes(hashlib.sha256(f"{seed} {name} {number}".encode()).digest()[:6], "big")


def _read(path: Path) -> dict[str, Any]:
    try:
        found = read_json(path)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
