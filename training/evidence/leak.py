"""The leak test: the driver's clothes change colour and nothing else does; does the result move?

Two runs of one method in the setting `cross`, on the set and on the set with other clothes (`benchmark --clothes 1`).
Moved is how far the colours of the result inside the true silhouette are between the two runs; it must be below a tenth
of how far the reference's colours are from the drivers', or the model takes appearance from the driver.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from animatex_core.pictures import load_picture
from animatex_core.pose.strict_json import read_json, write_json

from ..evaluation.cases import Case, open_set
from ..evaluation.frames import read_clip
from ..evaluation.metrics.colours import distance, foreground, palette
from ..evaluation.records import RunFolder
from .records import driver_frames, first_difference, version_of

LIMIT = 0.1
FORMAT = 1


@dataclass(frozen=True)
class Moved:
    """A character: mean over its cases of how far the result moved, and of the distance from reference to drivers.

    pixels: mean absolute difference of the two results inside the silhouette, range 0..1, for comparison.
    """

    character: str
    moved: float
    scale: float
    pixels: float
    cases: int

    @property
    def share(self) -> float:
        """Of the distance, that the result moved by."""
        return self.moved / self.scale


@dataclass(frozen=True)
class Leak:
    """What the test found. version: of the set."""

    method: str
    characters: tuple[Moved, ...]
    limit: float = LIMIT
    version: str = "1"

    @property
    def share(self) -> float:
        """Over all characters."""
        return sum(c.moved * c.cases for c in self.characters) / sum(c.scale * c.cases for c in self.characters)

    @property
    def passed(self) -> bool:
        """The whole set is below the limit."""
        return self.share < self.limit


def measure_leak(runs: tuple[Path, Path], sets: tuple[Path, Path], method: str) -> Leak:
    """Compare a method's results in two runs on the cases that are made in both.

    Raises ValueError when a run has no such method, the settings or what the method is differ, or no case is in both.
    """
    folders = [RunFolder(run) for run in runs]
    benches = [folder.bench() for folder in folders]
    for folder, bench in zip(folders, benches, strict=True):
        if method not in bench.methods:
            raise ValueError(f"{folder.root}: no method {method!r}, only {', '.join(bench.methods) or 'none'}")
    if any(bench.setting != "cross" for bench in benches):
        raise ValueError(f"{runs[0]} and {runs[1]}: expected two runs in the setting cross")
    known = [bench.options.get("methods", {}) for bench in benches]
    sides = [
        {"inputs": bench.options["inputs"], f"method {method}": facts.get(method)}
        for bench, facts in zip(benches, known, strict=True)
    ]
    if told := first_difference(sides[0], sides[1], "options"):
        raise ValueError(f"{runs[0]} and {runs[1]}: {told}: expected two runs of one method with the same options")
    versions = {version_of(bench.options) for bench in benches}
    if len(versions) > 1:
        raise ValueError(f"{runs[0]} and {runs[1]}: the sets have versions {' and '.join(sorted(versions))}")
    shared = [case for case in benches[0].cases if all(one.frames(method, case).is_dir() for one in folders)]
    if not shared:
        raise ValueError(f"{runs[0]} and {runs[1]}: no case is made in both")
    found = [open_set(folder) for folder in sets]
    options = benches[0].options["inputs"]
    rows: dict[str, list[tuple[float, float, float]]] = {}
    for case in shared:
        pair = [one.open(case) for one in found]
        row = _case(folders, method, pair, options)
        rows.setdefault(str(pair[0].facts.get("character", case)), []).append(row)
    return Leak(method, tuple(_mean(name, values) for name, values in rows.items()), version=versions.pop())


def _mean(character: str, rows: Sequence[tuple[float, float, float]]) -> Moved:
    moved, scale, pixels = np.mean(rows, axis=0).tolist()
    return Moved(character, moved, scale, pixels, len(rows))


def _case(
    folders: Sequence[RunFolder], method: str, pair: Sequence[Case], options: Mapping[str, Any]
) -> tuple[float, float, float]:
    """How far one case moved, how far its reference is from its drivers, and the difference of its pixels."""
    case = pair[0].name
    results = [np.stack(list(read_clip(folder.frames(method, case)))) for folder in folders]
    masks = np.stack(list(read_clip(folders[0].case(case) / "mask")))[..., 0] > 127
    moved = distance(palette(results[0][masks]), palette(results[1][masks]))
    pixels = float(np.abs(results[0][masks].astype(float) - results[1][masks]).mean() / 255)
    reference = _worn([load_picture(pair[0].image)], pair[0].name)
    drivers = [_worn(driver_frames(one, options, len(masks)), one.name) for one in pair]
    return moved, float(np.mean([distance(reference, driver) for driver in drivers])), pixels


def _worn(frames: Sequence[np.ndarray], name: str) -> np.ndarray:
    """Colours of what stands before the plain background of frames."""
    pixels = [frame[worn] for frame in frames if (worn := foreground(frame)) is not None]
    if not pixels:
        raise ValueError(f"{name}: nobody stands before a plain background in its reference or driver")
    return palette(np.concatenate(pixels))


def write_leak(path: Path, leak: Leak) -> None:
    """As JSON, whole or not at all."""
    rows = [[c.character, round(c.moved, 5), round(c.scale, 5), round(c.pixels, 5), c.cases] for c in leak.characters]
    path.parent.mkdir(parents=True, exist_ok=True)
    facts = {"format": FORMAT, "method": leak.method, "version": leak.version, "limit": leak.limit}
    write_json(path, facts | {"characters": rows})


def read_leak(path: Path) -> Leak:
    """Raises ValueError naming the file when it is none."""
    try:
        fields = read_json(path)
        characters = tuple(Moved(*row) for row in fields["characters"])
        return Leak(fields["method"], characters, fields["limit"], str(fields.get("version", "1")))
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: no record of a leak test ({error})") from None
