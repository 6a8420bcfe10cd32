"""Pictures to look at: for each case its reference and, at some frames, driver, drawn pose, truth and results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from animatex_core.pictures import load_picture, resize

from ..evaluation.cases import open_set
from ..evaluation.frames import read_clip
from ..evaluation.records import RunFolder
from .records import driver_frames

_GAP = 4  # pixels between groups


def sheet(
    run: Path, benchmark: Path, methods: Sequence[str], cases: Sequence[str] = (), columns: int = 3
) -> np.ndarray:
    """A picture uint8 RGB: a row a case; reference, then for each of `columns` frames driver, pose, truth, results.

    Raises ValueError naming a case or a method that the run lacks.
    """
    folder, found = RunFolder(run), open_set(benchmark)
    bench = folder.bench()
    chosen = tuple(cases) or bench.cases[:: max(1, len(bench.cases) // 10)]
    if unknown := [case for case in chosen if case not in bench.cases]:
        raise ValueError(f"{run}: no case {unknown[0]!r}")
    if unknown := [name for name in methods if name not in bench.methods]:
        raise ValueError(f"{run}: no method {unknown[0]!r}, only {', '.join(bench.methods)}")
    rows = []
    for case in chosen:
        place = folder.case(case)
        shown = [list(read_clip(place / "poses"))]
        if bench.setting == "cross" and found.open(case).driver is not None:
            shown.insert(0, driver_frames(found.open(case), bench.options["inputs"], len(shown[0])))
        shown += [list(read_clip(where)) for where in (place / "truth", *(folder.frames(m, case) for m in methods))]
        rows.append(_row(load_picture(place / "reference.png"), shown, columns))
    return np.concatenate(rows)


def _row(reference: np.ndarray, shown: Sequence[Sequence[np.ndarray]], columns: int) -> np.ndarray:
    height, width = shown[-1][0].shape[:2]
    gap = np.full((height, _GAP, 3), 255, np.uint8)
    parts = [resize(reference, width, height)]
    for number in np.linspace(0, len(shown[0]) - 1, columns + 1).round().astype(int)[1:]:
        parts += [gap, *(resize(clip[number], width, height) for clip in shown)]
    return np.concatenate([np.concatenate(parts, 1), np.full((_GAP, sum(p.shape[1] for p in parts), 3), 255, np.uint8)])
