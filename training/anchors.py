"""The pose pool of a data set: one pose of every clip, the anchors of the Explicit Pose Indicator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from animatex_core.atomic_file import naming_errors, replacing
from animatex_core.pose.epi import PosePool, load_pool
from animatex_core.pose.keypoints import BODY, PoseSequence

from .shards import ClipFile, DatasetError, Index

ANCHORS = "anchors.safetensors"


def write_anchors(folder: Path, index: Index) -> None:
    """Of every clip the frame that shows most of the body; of several the one with the surest points."""
    points, scores = [], []
    for record in index.clips:
        clip = ClipFile(folder, record)
        every = clip.read("scores")
        body = every[:, BODY]
        best = int(((body > 0).sum(1) + body.mean(1) / 2).argmax())
        points.append(clip.read("points", slice(best, best + 1)))
        scores.append(every[best : best + 1])
    canvas = torch.tensor([record.canvas for record in index.clips])
    path = folder / ANCHORS
    with replacing(path, overwrite=True) as temporary, naming_errors(path):
        save_file({"points": torch.cat(points), "scores": torch.cat(scores), "canvas": canvas}, temporary)


def read_anchors(folder: Path, index: Index) -> PosePool:
    """The pool that `write_anchors` wrote for this index. Raises DatasetError when it is of another one."""
    path = folder / ANCHORS
    if not path.is_file():
        raise DatasetError(f"{path}: no such file: run prepare again")
    stored = {name: tensor.numpy() for name, tensor in load_file(path).items()}
    if len(stored["canvas"]) != len(index.clips):
        raise DatasetError(f"{path}: {len(stored['canvas'])} anchors, the data set has {len(index.clips)} clips")
    anchors = [
        PoseSequence(p[None, None], s[None, None], int(width), int(height))
        for p, s, (width, height) in zip(stored["points"], stored["scores"], stored["canvas"], strict=True)
    ]
    return PosePool(tuple(anchors), tuple(record.clip for record in index.clips))


def open_pool(folder: Path, index: Index, other: str, kept: np.ndarray) -> PosePool:
    """The pool to draw anchors from: that of a file, or the data set's own anchors where `kept` [clips] is true."""
    if other:
        return load_pool(other)
    pool = read_anchors(folder, index)
    return PosePool(
        tuple(a for a, k in zip(pool.anchors, kept, strict=True) if k),
        tuple(n for n, k in zip(pool.names, kept, strict=True) if k),
    )
