"""The recordings, found in the folders where their packages leave them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from .bvh import read_bvh
from .deepmimic import read_deepmimic
from .motion import Motion

BVH_FOLDER = Path("/usr/share/assimp/models/BVH")  # of Debian's assimp-testmodels
_HINT = (
    "CMU recordings (*.bvh) come with Debian's assimp-testmodels, the others (humanoid3d_*.txt) with the Python "
    "package pybullet; name their folders with --motions"
)


def load_motions(names: Iterable[str], folders: Iterable[Path]) -> dict[str, Motion]:
    """The recordings by name; raises ValueError that says which is missing and where it comes from."""
    places = [*folders, BVH_FOLDER]
    return {name: _load(name, places) for name in names}


def _load(name: str, folders: list[Path]) -> Motion:
    for folder in folders:
        if (path := folder / f"{name}.bvh").is_file():
            return read_bvh(path)
        if (path := folder / f"humanoid3d_{name}.txt").is_file():
            return read_deepmimic(path)
    raise ValueError(f"no recording {name} in {', '.join(map(str, folders))}. {_HINT}")
