"""A ComfyUI workflow with slots: which input of which node takes the picture, the driver, the prompt, the seed.

The file is what ComfyUI exports as "Export (API)". A slot is found by the title of a node (`reference`, `driver`,
`pose pictures`, `poses`, `prompt`, `seed`, `frames`, `width`, `height`, `fps`, `output`), or named by the user as
`slot=NODE` or `slot=NODE.INPUT`, NODE being an id or a title.
"""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image, ImageSequence, PngImagePlugin

from animatex_core.video import read_frames, write_video

from .comfy_client import ComfyError, ComfyUI

FILES = ("reference", "driver", "pose_pictures", "poses")
TEXTS = ("prompt",)
NUMBERS = ("seed", "frames", "width", "height", "fps")
OUTPUT = "output"
SLOTS = (*FILES, *TEXTS, *NUMBERS, OUTPUT)
# Inputs that a slot fills where the user did not say which.
_FILE_INPUTS = ("image", "video", "file", "path", "audio", "poses", "filename")
_TEXT_INPUTS = ("text", "prompt", "value", "string")
_NUMBER_INPUTS = {"seed": ("seed", "noise_seed"), "frames": ("frames", "length", "frame_count"), "fps": ("fps",)}
_VIDEOS = (".mp4", ".webm", ".mkv", ".mov", ".avi")
_SAVED = ("images", "gifs", "video", "videos", "animated_images")  # under which nodes show what they saved


class WorkflowError(ValueError):
    """A workflow file that cannot be used: the message names the file and the slot."""


@dataclass(frozen=True)
class Workflow:
    """A prompt and where its slots are: name -> (node, input); the output's input is empty."""

    path: Path
    prompt: Mapping[str, Any]
    slots: Mapping[str, tuple[str, str]]

    def filled(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The prompt with the values of its slots."""
        prompt = copy.deepcopy(dict(self.prompt))
        for slot, value in values.items():
            node, name = self.slots[slot]
            prompt[node]["inputs"][name] = value
        return prompt

    def takes_pictures(self, slot: str) -> bool:
        """Whether a clip goes in as an animated PNG (an image loader), else as a video."""
        return self.slots[slot][1] == "image"


def load_workflow(path: Path, given: Mapping[str, str], needed: tuple[str, ...] = (OUTPUT,)) -> Workflow:
    """Read a workflow and find its slots. given: slots that the user named.

    Raises WorkflowError: no API format, an unknown node or input, a needed slot that is nowhere.
    """
    prompt = _read(path)
    slots = {}
    for slot in SLOTS:
        found = _find(path, prompt, slot, given[slot]) if slot in given else _by_title(path, prompt, slot)
        if found is not None:
            slots[slot] = found
    if OUTPUT not in slots:
        savers = [
            number for number, node in prompt.items() if str(node["class_type"]).startswith(("Save", "VHS_Video"))
        ]
        if len(savers) == 1:
            slots[OUTPUT] = savers[0], ""
    for slot in needed:
        if slot not in slots:
            raise WorkflowError(f"{path}: no node for {slot!r}: title a node {slot!r}, or name it as {slot}=NODE.INPUT")
    return Workflow(path, prompt, slots)


def upload_clip(server: ComfyUI, frames: list[np.ndarray], fps: float, *, pictures: bool) -> str:
    """A clip for a loading node: an animated PNG, which is lossless, or an H.264 video of the best quality.

    Raises ComfyError when the animated PNG does not hold all frames.
    """
    if pictures:
        content = _animated(frames, fps)
        with Image.open(io.BytesIO(content)) as image:
            found = getattr(image, "n_frames", 1)
        if found != len(frames):
            raise ComfyError(f"{server.url}: the animated PNG to upload: expected {len(frames)} frames, found {found}")
        return server.upload(content, ".png")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        write_video(path, frames, fps, crf=0)
        return server.upload(path.read_bytes(), ".mp4")


def saved_frames(server: ComfyUI, workflow: Workflow, shown: Mapping[str, Any]) -> Iterator[np.ndarray]:
    """The frames that the output node saved, uint8 RGB, in their order. Raises ComfyError when it saved none."""
    node = workflow.slots[OUTPUT][0]
    items = [item for key in _SAVED for item in (shown.get(node) or {}).get(key, ()) if isinstance(item, dict)]
    if not items:
        raise ComfyError(f"{server.url}: {workflow.path}: node {node} saved nothing")
    for item in items:
        content, name = server.fetch(item), Path(str(item["filename"]))
        yield from _frames(content, name)


def _animated(frames: list[np.ndarray], fps: float) -> bytes:
    """An animated PNG of all frames, equal neighbours as well.

    Pillow merges a frame into an equal one before it, unless their blends differ (9.5 does so without durations, too).
    Opaque pictures look the same in both blends, so frames have them in turn.
    """
    buffer = io.BytesIO()
    first, *rest = (Image.fromarray(frame) for frame in frames)
    blends = [PngImagePlugin.Blend.OP_SOURCE, PngImagePlugin.Blend.OP_OVER]
    turns = [blends[number % 2] for number in range(len(frames))]
    first.save(buffer, "PNG", save_all=True, append_images=rest, duration=round(1000 / fps), loop=0, blend=turns)
    return buffer.getvalue()


def _frames(content: bytes, name: Path) -> Iterator[np.ndarray]:
    if name.suffix.lower() not in _VIDEOS:
        with Image.open(io.BytesIO(content)) as image:
            yield from (np.array(frame.convert("RGB")) for frame in ImageSequence.Iterator(image))
        return
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"saved{name.suffix}"
        path.write_bytes(content)
        yield from read_frames(path)


def _read(path: Path) -> dict[str, Any]:
    try:
        prompt = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WorkflowError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    if isinstance(prompt, dict) and "nodes" in prompt and "links" in prompt:
        raise WorkflowError(f'{path}: this is a workflow as saved; export it with "Export (API)"')
    nodes = prompt.values() if isinstance(prompt, dict) else ()
    if not nodes or not all(
        isinstance(n, dict) and "class_type" in n and isinstance(n.get("inputs"), dict) for n in nodes
    ):
        raise WorkflowError(f"{path}: expected a workflow in API format, an object of nodes with class_type and inputs")
    return prompt


def _title(node: Mapping[str, Any]) -> str:
    return str((node.get("_meta") or {}).get("title", ""))


def _plain(title: str) -> str:
    return title.strip().lower().replace(" ", "_")


def _by_title(path: Path, prompt: Mapping[str, Any], slot: str) -> tuple[str, str] | None:
    found = [number for number, node in prompt.items() if _plain(_title(node)) == slot]
    if len(found) > 1:
        raise WorkflowError(f"{path}: {len(found)} nodes are titled {slot!r}: nodes {', '.join(found)}")
    return (found[0], _input(path, prompt, slot, found[0])) if found else None


def _find(path: Path, prompt: Mapping[str, Any], slot: str, place: str) -> tuple[str, str]:
    """The node and input that the user named: an id or a title, and perhaps an input after the last dot."""
    for name, wanted in ((place, ""), (place.rpartition(".")[0], place.rpartition(".")[2])):
        nodes = [name] if name in prompt else [n for n, node in prompt.items() if name and _title(node) == name]
        if len(nodes) > 1:
            raise WorkflowError(f"{path}: {slot}: {len(nodes)} nodes are titled {name!r}; give the id")
        if nodes:
            inputs = prompt[nodes[0]]["inputs"]
            if wanted and wanted not in inputs:
                raise WorkflowError(f"{path}: {slot}: node {name} has no input {wanted!r}; it has {', '.join(inputs)}")
            return nodes[0], wanted or _input(path, prompt, slot, nodes[0])
    raise WorkflowError(f"{path}: {slot}: there is no node with the id or title {place!r}")


def _input(path: Path, prompt: Mapping[str, Any], slot: str, node: str) -> str:
    """The input that a slot fills, guessed by name among those that are no links."""
    if slot == OUTPUT:
        return ""
    inputs = [name for name, value in prompt[node]["inputs"].items() if not isinstance(value, list)]
    guesses = _FILE_INPUTS if slot in FILES else _TEXT_INPUTS if slot in TEXTS else _NUMBER_INPUTS.get(slot, (slot,))
    found = next((name for name in (*guesses, "value", "int", "float") if name in inputs), None)
    if found is None:
        raise WorkflowError(
            f"{path}: {slot}: which input of node {node} ({prompt[node]['class_type']})? Name it as "
            f"{slot}={node}.INPUT, one of {', '.join(inputs) or 'none'}"
        )
    return found
