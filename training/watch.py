"""What a run shows of itself: scalars in a file and in TensorBoard, sample videos."""

from __future__ import annotations

import io
import json
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from animatex_core.video_encode import write_video

LOG = logging.getLogger(__name__)
FPS = 8
SCALARS, VIDEOS, EVENTS = "scalars.jsonl", "samples", "tensorboard"


class Watch:
    """Writes into the run's folder; a step is written once, also when the run was resumed from before it.

    step: of the checkpoint that the run goes on from; None: it begins, and what an earlier one left here is cut.
    """

    def __init__(self, folder: Path, step: int | None):
        self.folder = folder
        first = 0 if step is None else step + 1
        _cut(folder / SCALARS, first)
        self._board = _board(folder / EVENTS, first)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers by name."""
        line = {"step": step, **{name: value if math.isfinite(value) else None for name, value in values.items()}}
        with open(self.folder / SCALARS, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)

    def holds(self, step: int, name: str) -> bool:
        """Whether the number was written at this step, also by the run that this one resumed."""
        path = self.folder / SCALARS
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        return any(line["step"] == step and name in line for line in map(json.loads, lines))

    def video(self, step: int, name: str, frames: np.ndarray) -> None:
        """A clip, uint8 RGB [F, H, W, 3]."""
        folder = self.folder / VIDEOS / f"step-{step:08d}"
        folder.mkdir(parents=True, exist_ok=True)
        write_video(folder / f"{name}.mp4", list(frames), FPS, overwrite=True)
        if self._board is not None:
            _add_gif(self._board, f"samples/{name}", frames, step)

    def close(self) -> None:
        """Write out what is waiting."""
        if self._board is not None:
            self._board.close()


def _cut(path: Path, first: int) -> None:
    """Leave out lines from this step on, written before the interruption."""
    if not path.is_file():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] < first:
                kept.append(line + "\n")
        except (KeyError, ValueError):  # the end of a file whose writer was killed
            LOG.warning("%s: an unfinished line is left out", path)
    path.write_text("".join(kept), encoding="utf-8")


def _board(folder: Path, first: int) -> Any:
    try:
        from torch.utils.tensorboard.writer import SummaryWriter
    except ImportError:
        LOG.warning('no TensorBoard: pip install "animate-x[train]"; scalars are in %s all the same', SCALARS)
        return None
    return SummaryWriter(str(folder), purge_step=first)


def _add_gif(board: Any, name: str, frames: np.ndarray, step: int) -> None:
    """TensorBoard plays a GIF where it expects a picture; its own way to add a video needs another package."""
    from tensorboard.compat.proto import summary_pb2

    first, *rest = (Image.fromarray(frame) for frame in frames)
    buffer = io.BytesIO()
    first.save(buffer, "GIF", save_all=True, append_images=rest, duration=1000 // FPS, loop=0)
    height, width = frames.shape[1:3]
    summary: Any = summary_pb2  # generated at import
    image = summary.Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=buffer.getvalue())
    board._get_file_writer().add_summary(summary.Summary(value=[summary.Summary.Value(tag=name, image=image)]), step)
