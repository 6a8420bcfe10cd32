"""The pose pool of the Explicit Pose Indicator and its random transformation (paper, section 3.2 and appendix A).

In training a driving pose is, with probability lambda, realigned to one anchor drawn from a pool of poses of other
people, and then rescaled by a random combination of operations. A pool on disk is an index file,

    {"anchors": [{"name": "anna", "file": "poses/anna.json", "frame": 0, "person": 0}, ...]}

beside (or above) OpenPose JSON files; several anchors may lie in one file. `frame` and `person` are 0 when left out.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .figure import as_complex, as_pairs, canvas_fit
from .io import load_openpose, save_openpose
from .keypoints import PoseSequence
from .realign import Realigned, realign
from .rescale import Rescale, rescale
from .strict_json import read_json, write_json

GROUPS = ("body and shoulders", "neck and face", "arms and legs", "add", "drop")


@dataclass(frozen=True)
class Draw:
    """One line of the table of random rescaling: with `chance`, a factor log-uniform in low..high."""

    operation: str
    group: str
    low: float
    high: float
    chance: float


# Ours: the paper names the operations and groups (table 5) and gives neither ranges nor chances.
TABLE = (
    Draw("body", "body and shoulders", 0.5, 1.6, 0.4),
    Draw("shoulders", "body and shoulders", 0.4, 1.7, 0.4),
    Draw("neck", "neck and face", 0.3, 2.0, 0.4),
    Draw("face", "neck and face", 0.5, 2.5, 0.4),
    Draw("arms", "arms and legs", 0.4, 1.6, 0.4),
    Draw("legs", "arms and legs", 0.3, 1.5, 0.4),
)
ADD_CHANCE, DROP_CHANCE = 0.1, 0.1
ADD_PARTS = ("legs", "arms", "right arm", "left arm")
DROP_PARTS = (
    "arms", "right arm", "left arm", "forearms", "right forearm", "left forearm", "hands",
    "legs", "right leg", "left leg", "shins", "toes", "ears",
)  # fmt: skip


@dataclass(frozen=True)
class Augmentation:
    """What `transform` may do. The paper's ablations are its fields.

    probability: lambda, the chance that a clip is transformed at all (paper: above 0.98; table 6).
    realign: align to an anchor of the pool. groups: which of GROUPS may be drawn. table: ranges and chances.
    add_chance, drop_chance: of adding, of removing one part.
    """

    probability: float = 0.98
    realign: bool = True
    groups: tuple[str, ...] = GROUPS
    table: tuple[Draw, ...] = TABLE
    add_chance: float = ADD_CHANCE
    drop_chance: float = DROP_CHANCE

    def __post_init__(self) -> None:
        for name in ("probability", "add_chance", "drop_chance"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be 0 to 1, got {getattr(self, name)}")
        for group in self.groups:
            if group not in GROUPS:
                raise ValueError(f"unknown group of operations {group!r}; the groups are: {', '.join(GROUPS)}")

    def sample(self, rng: np.random.Generator) -> Rescale:
        """A random combination of operations. Every line draws its numbers whether it is used or not, so that leaving
        out a group (an ablation) changes nothing else under the same seed."""
        chosen: dict[str, Any] = {}
        for line in self.table:
            used, where = rng.random(2)
            if used < line.chance and line.group in self.groups:
                chosen[line.operation] = float(line.low * (line.high / line.low) ** where)
        for field, parts, chance in (("add", ADD_PARTS, self.add_chance), ("drop", DROP_PARTS, self.drop_chance)):
            used, which = rng.random(2)
            if used < chance and field in self.groups:
                chosen[field] = (parts[int(which * len(parts))],)
        return Rescale(**chosen)


@dataclass(frozen=True)
class PosePool:
    """Anchors, each one frame of one person, with their names."""

    anchors: tuple[PoseSequence, ...]
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.anchors) != len(self.names):
            raise ValueError(f"{len(self.anchors)} anchors but {len(self.names)} names")

    def __len__(self) -> int:
        return len(self.anchors)

    def draw(self, rng: np.random.Generator) -> tuple[str, PoseSequence]:
        """A random anchor and its name. ValueError when the pool is empty."""
        if not self.anchors:
            raise ValueError("the pose pool is empty: it needs at least one anchor")
        i = int(rng.random() * len(self.anchors))
        return self.names[i], self.anchors[i]


@dataclass(frozen=True)
class Transformed:
    """A transformed clip and how it came about: anchor is None without realignment, shape None without rescaling."""

    poses: PoseSequence
    anchor: str | None
    shape: Rescale | None
    realigned: Realigned | None


def transform(
    poses: PoseSequence, pool: PosePool, rng: np.random.Generator, augmentation: Augmentation | None = None
) -> Transformed:
    """The random transformation of a training clip: the same generator state gives the same result.

    The result keeps the clip's own canvas: an anchor of another size is fitted into its middle.
    """
    choice = augmentation or Augmentation()
    applied = rng.random() < choice.probability
    name, anchor = pool.draw(rng) if len(pool) or choice.realign else ("", poses)
    shape = choice.sample(rng)
    if not applied:
        return Transformed(poses, None, None, None)
    if not choice.realign:
        return Transformed(rescale(poses, shape).poses, None, shape, None)
    realigned = realign(poses, on_canvas(anchor, poses.width, poses.height))
    return Transformed(rescale(realigned.poses, shape).poses, name, shape, realigned)


def on_canvas(poses: PoseSequence, width: int, height: int) -> PoseSequence:
    """The poses in the middle of another canvas, as large as they fit, proportions kept."""
    with np.errstate(over="ignore", invalid="ignore"):
        points = as_pairs(canvas_fit(poses, width, height)(as_complex(poses)))
    points = np.where(poses.present[..., None], points, 0).astype(np.float32)
    return replace(poses, points=points, width=width, height=height)


def load_pool(index: str | os.PathLike[str]) -> PosePool:
    """Read a pool from its index file. ValueError names the file and the entry that is wrong, and what was expected."""
    index = Path(index)
    try:
        document = read_json(index)
    except ValueError as error:
        raise ValueError(f"{index}: {error}") from None
    entries = document.get("anchors") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ValueError(f'{index}: expected an object {{"anchors": [...]}}, found {document!r:.80}')
    clips: dict[Path, PoseSequence] = {}
    anchors, names = [], []
    for i, entry in enumerate(entries):
        where = f"{index}: anchors[{i}]"
        if not isinstance(entry, dict) or not isinstance(entry.get("file"), str):
            raise ValueError(f'{where}: expected an object with the name of a "file", found {entry!r:.80}')
        path = _inside(index.parent, entry["file"], where)
        if path not in clips:
            clips[path] = load_openpose(path)
        anchors.append(_one_pose(clips[path], entry, where))
        names.append(str(entry.get("name", f"{entry['file']}[{entry.get('frame', 0):g}]")))
    return PosePool(tuple(anchors), tuple(names))


def _inside(folder: Path, name: str, where: str) -> Path:
    path, root = (folder / name).resolve(), folder.resolve()
    if root not in path.parents:
        raise ValueError(f"{where}.file: must lie in the folder of the index, found {name!r}")
    return path


def _one_pose(clip: PoseSequence, entry: Mapping[str, Any], where: str) -> PoseSequence:
    person = clip.person(_whole(entry.get("person", 0), clip.people, f"{where}.person"))
    frame = _whole(entry.get("frame", 0), len(clip), f"{where}.frame")
    return person.frames(slice(frame, frame + 1))


def _whole(value: Any, count: int, where: str) -> int:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or value not in range(count):
        raise ValueError(f"{where}: expected a whole number from 0 to {count - 1}, found {value!r:.40}")
    return int(value)


def save_pool(index: str | os.PathLike[str], anchors: Iterable[tuple[str, PoseSequence]]) -> PosePool:
    """Write a pool: the index, and one OpenPose JSON file an anchor in the folder `<index name>.poses` beside it.

    anchors: names and poses; the first frame of the first person of each is taken.
    """
    index = Path(index)
    folder = index.with_name(index.stem + ".poses")
    folder.mkdir(parents=True, exist_ok=True)
    entries, poses = [], []
    for i, (name, pose) in enumerate(anchors):
        poses.append(pose.person(0).frames(slice(0, 1)))
        path = folder / f"{i:06d}.json"
        save_openpose(path, poses[-1])
        entries.append({"name": name, "file": f"{folder.name}/{path.name}", "frame": 0, "person": 0})
    write_json(index, {"anchors": entries})
    return PosePool(tuple(poses), tuple(entry["name"] for entry in entries))
