"""Whatever finds poses in pictures: DWPose on ONNX Runtime, or MediaPipe in an environment of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from animatex_core.pose.keypoints import PoseSequence


@dataclass(frozen=True)
class Extraction:
    """extract: frames uint8 RGB -> poses of every one of them. facts: what it is, as JSON."""

    FILES: ClassVar[tuple[str, ...]] = ("detector", "pose_model", "mediapipe")
    extract: Callable[[Iterable[np.ndarray]], PoseSequence]
    facts: dict[str, Any]


def open_extraction(files: Mapping[str, Any]) -> Extraction | None:
    """From `detector` and `pose_model`, or `mediapipe` (an interpreter); None when neither is given.

    Raises ValueError naming what is missing or cannot be opened.
    """
    given = {name: Path(files[name]) for name in Extraction.FILES if files.get(name)}
    if not given:
        return None
    for name, path in given.items():
        if not path.is_file():
            raise ValueError(f"{name}: {path}: no such file")
    if set(given) == {"mediapipe"}:
        return _mediapipe(given["mediapipe"])
    if set(given) != {"detector", "pose_model"}:
        raise ValueError("poses: give detector and pose_model (DWPose), or mediapipe (an interpreter), not a mixture")
    return _dwpose(given["detector"], given["pose_model"], files.get("device", "cpu"))


def _dwpose(detector: Path, pose_model: Path, device: str) -> Extraction:
    from animatex_core.pose.dwpose import DWPose

    from .methods import file_sha256

    dwpose = DWPose.load(detector, pose_model, device=device)
    facts = {"backend": "dwpose", "detector": file_sha256(detector), "pose_model": file_sha256(pose_model)}
    return Extraction(lambda frames: dwpose.extract(frames)[0], facts)


def _mediapipe(python: Path) -> Extraction:
    from animatex_core.pose import mediapipe_backend

    return Extraction(lambda frames: mediapipe_backend.extract(frames, python)[0], {"backend": "mediapipe 0.10.21"})
