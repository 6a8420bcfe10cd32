"""The random humans of the rescaled-pose setting: a pose pool, from whatever the user has."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from animatex_core.pose.epi import PosePool, load_pool
from animatex_core.pose.io import load_openpose
from animatex_core.pose.keypoints import BODY, PoseSequence

from ..anchors import ANCHORS, read_anchors
from ..shards import read_index


def open_anchors(place: str | Path) -> PosePool:
    """A pool from an index file of a pose pool, a folder of `animate-x-train prepare`, or OpenPose JSON files.

    Of a folder of JSON files every clip gives its first person's frame that shows most of the body.
    Raises ValueError naming what is wrong, or when there is nobody in it.
    """
    place = Path(place)
    if (place / ANCHORS).is_file():
        pool = read_anchors(place, read_index(place))
    elif place.is_dir():
        files = sorted(place.glob("*.json"))
        pool = PosePool(tuple(_best(load_openpose(path)) for path in files), tuple(path.stem for path in files))
    elif place.is_file():
        pool = load_pool(place)
    else:
        raise ValueError(f"{place}: no such pose pool")
    if not any(anchor.present.any() for anchor in pool.anchors):
        raise ValueError(f"{place}: no poses of people in it: expected a pool's index, a prepared folder or JSON files")
    kept = [i for i, anchor in enumerate(pool.anchors) if anchor.present.any()]
    return PosePool(tuple(pool.anchors[i] for i in kept), tuple(pool.names[i] for i in kept))


def pool_digest(pool: PosePool) -> str:
    """sha256 over names and poses."""
    whole = hashlib.sha256()
    for name, anchor in zip(pool.names, pool.anchors, strict=True):
        whole.update(f"{name} {anchor.width}x{anchor.height}\n".encode())
        whole.update(np.ascontiguousarray(anchor.points, np.float32).tobytes())
        whole.update(np.ascontiguousarray(anchor.scores, np.float32).tobytes())
    return whole.hexdigest()


def _best(poses: PoseSequence) -> PoseSequence:
    body = poses.person(0).scores[:, 0, BODY]
    best = int(((body > 0).sum(1) + body.mean(1) / 2).argmax())
    return poses.person(0).frames(slice(best, best + 1))
