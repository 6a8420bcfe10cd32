"""How poses and pictures cross the border between ComfyUI's sockets and the core, and the previews on pose nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from comfy_api.latest import io, ui

from ..animatex_core.contact_sheet import contact_sheet
from ..animatex_core.pictures import resize
from ..animatex_core.pose.draw import draw_poses
from ..animatex_core.pose.epi import on_canvas
from ..animatex_core.pose.io import from_pose_keypoint, to_pose_keypoint
from ..animatex_core.pose.keypoints import PoseSequence
from .pictures import rgb_frames

ALIGNED = "animatex_aligned"  # a note in a frame: these are not the driver's own keypoints any more

DRAWN_AT_ONCE = 8  # frames, between two looks for a cancel

_SHOWN = 6  # frames a row of a preview
_SIDE = 240  # pixels of a frame's longer side
_NOBODY = {"people": [], "canvas_width": 512, "canvas_height": 768}


def read_poses(frames: Any, name: str, fps: float | None = None) -> PoseSequence:
    """Poses from a POSE_KEYPOINT socket, in pixels or normalised; an empty list is one frame with nobody in it.

    name: of the socket, for the message. fps: 0 and None are unknown.
    Raises ValueError with the socket and the path of the bad field.
    """
    if isinstance(frames, (list, tuple)) and not frames:
        frames = [_NOBODY]
    try:
        return from_pose_keypoint(frames, fps=fps or None)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def write_poses(poses: PoseSequence, *, aligned: bool = False, certain: bool = True) -> list[dict[str, Any]]:
    """POSE_KEYPOINT in pixels.

    aligned: note that the body is not the driver's own any more, for Encode Motion to warn.
    certain: every score as 1, which every pack reads (some drop what is below); else the scores as they are.
    """
    note = {ALIGNED: True} if aligned else {}
    return [frame | note for frame in to_pose_keypoint(poses, certain=certain)]


def is_aligned(frames: Any) -> bool:
    """Whether a POSE_KEYPOINT carries the note of `write_poses`."""
    return bool(frames) and isinstance(frames, list) and isinstance(frames[0], dict) and bool(frames[0].get(ALIGNED))


def write_pictures(pictures: np.ndarray) -> torch.Tensor:
    """uint8 RGB [n, H, W, 3] as an IMAGE in 0..1."""
    return torch.from_numpy(pictures).to(torch.float32).div_(255.0)


class Film(Sequence[np.ndarray]):
    """Small pictures of a clip's poses, drawn when they are looked at; over a picture, or over the clip's own."""

    def __init__(self, poses: PoseSequence, background: torch.Tensor | None = None) -> None:
        scale = _SIDE / max(poses.width, poses.height)
        size = max(1, round(poses.width * scale)), max(1, round(poses.height * scale))
        self._poses, self._background = on_canvas(poses, *size), background

    def __len__(self) -> int:
        return len(self._poses)

    def __getitem__(self, index: Any) -> Any:
        poses, behind = self._poses.frames(slice(index, index + 1)), self._background
        if behind is not None and len(behind):
            own = index if len(behind) == len(self) else 0
            behind = resize(rgb_frames(behind[own : own + 1], "background"), poses.width, poses.height)
        return draw_poses(poses, palette="openpose", stick="scaled", background=behind, face=True)[0]


def show(cls: type[io.ComfyNode], rows: Mapping[str, Sequence[np.ndarray] | np.ndarray]) -> ui.PreviewImage:
    """The preview on a node: a few frames of each clip, one row a clip."""
    first = next(iter(rows.values()))[0]
    scale = _SIDE / max(first.shape[:2])
    cell = max(16, round(first.shape[1] * scale)), max(16, round(first.shape[0] * scale))
    return ui.PreviewImage(write_pictures(contact_sheet(rows, _SHOWN, cell)[None]), cls=cls)
