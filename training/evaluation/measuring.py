"""The metrics of a run: every clip by both presets, their means over cases, and distances between sets of clips."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from animatex_core.atomic_file import naming_errors, replacing
from animatex_core.pictures import load_picture

from .extraction import Extraction, open_extraction
from .frames import read_clip
from .inputs import CaseInputs
from .metrics.backbones import Backbones
from .metrics.presets import PRESETS, ClipMeter
from .metrics.table import METRICS
from .records import CaseScores, MethodScores, RunFolder, Value

LOG = logging.getLogger(__name__)
TRUTH = "truth"  # under this name the features of the true clips lie beside those of methods
Features = Mapping[str, np.ndarray]
_RESIZED = "resized_from"


class Measuring:
    """Both presets with their networks.

    backbones: name -> file (see `metrics.backbones`), `device`, and for the pose metrics `detector` and `pose_model` or
    `mediapipe`. settings: `only`, names of metrics (all that can be had when left out); `mask`, false to leave
    silhouettes out. Raises ValueError for a metric of `only` that is unknown or whose network is not there.
    """

    def __init__(self, backbones: Backbones, extraction: Extraction | None, settings: Mapping[str, Any]) -> None:
        self.backbones, self.settings = backbones, dict(settings)
        extract = extraction.extract if extraction else None
        only = settings.get("only")
        self.meters = {}
        for preset in PRESETS:
            names = None if only is None else [n for n in only if n not in METRICS or METRICS[n].preset == preset]
            self.meters[preset] = ClipMeter(preset, backbones, only=names, extract=extract)
        missing = {} if only is None else self.absent()
        if missing:
            told = "; ".join(f"{name} ({why})" for name, why in missing.items())
            raise ValueError(f"metrics that were asked for and cannot be measured: {told}")
        self.facts: dict[str, Any] = {
            "backbones": backbones.hashes(),
            "poses": extraction.facts if extraction else {},
            "metrics": [name for meter in self.meters.values() for name in meter.metrics],
            "mask": settings.get("mask", True),
        }

    @classmethod
    def open(cls, files: Mapping[str, Any], settings: Mapping[str, Any]) -> Measuring:
        """Open every network, so that a wrong file is an error before the work. Raises ValueError naming it."""
        own = {name: path for name, path in files.items() if name not in Extraction.FILES}
        backbones = Backbones(**own)
        backbones.check()
        return cls(backbones, open_extraction(files), settings)

    def absent(self) -> dict[str, str]:
        """Metrics that will be missing in every case, and why."""
        return {name: why for meter in self.meters.values() for name, why in meter.absent().items()}

    def score(
        self, run: RunFolder, method: str, inputs: CaseInputs, seams: Sequence[int], key: str, told: Mapping[str, Any]
    ) -> None:
        """Measure a clip and write its features, then its scores. told: settings of every value, of how it was made.

        Silhouettes whose foreground cannot be found are left out, and logged.
        """
        case, skip = inputs.case.name, int(inputs.options.skip_first)
        made = _clip(run.frames(method, case), skip)
        truth = None if inputs.truth is None else _clip(inputs.truth, skip)
        values: dict[str, Value] = {}
        for meter in self.meters.values():
            values |= meter.measure_clip(
                made,
                truth,
                poses=inputs.expected.frames(slice(skip, None)),
                mask=_clip(inputs.mask, skip) if inputs.mask and self.facts["mask"] else None,
                reference=load_picture(inputs.reference),
                seams=[seam - skip for seam in seams if seam > skip],
                left_out=lambda why: LOG.warning("%s: %s: no metrics of silhouettes: %s", case, method, why),
            )
        self._features(run, method, case, made, key, told)
        if truth is not None:
            self._features(run, TRUTH, case, truth, f"{inputs.digest} {self.facts}")
        values = {name: replace(value, settings={**value.settings, **told}) for name, value in values.items()}
        options = inputs.options
        run.write(CaseScores(method, case, len(inputs) - skip, options.width, options.height, key, values))

    def summarise(
        self, run: RunFolder, method: str, scores: Sequence[CaseScores], key: str, told: Mapping[str, Any]
    ) -> None:
        """Write the record of a method: means over cases, and distances between its clips and the true ones.

        told: settings of every value, as `resized` gives them.
        """
        values = {name: _mean(name, scores) for name in _names(scores)}
        cases = tuple(score.case for score in scores)
        if all(run.features(TRUTH, case).is_file() for case in cases):
            for meter in self.meters.values():
                values |= meter.measure_sets(_stored(run, method, cases), _stored(run, TRUTH, cases))
        values = {name: replace(value, settings={**value.settings, **told}) for name, value in values.items()}
        run.write(MethodScores(method, cases, key, values))

    def _features(
        self, run: RunFolder, method: str, case: str, clip: Any, key: str, told: Mapping[str, Any] | None = None
    ) -> None:
        """Write the features of a clip, unless those of the same key are there. told: kept beside them, as JSON."""
        path = run.features(method, case)
        if features_key(path) == key:
            return
        vectors: dict[str, np.ndarray] = {}
        for meter in self.meters.values():
            vectors |= meter.clip_features(clip, known=tuple(vectors))
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, overwrite=True) as temporary, naming_errors(path):
            facts = {"key": key} | {name: json.dumps(value) for name, value in (told or {}).items()}
            save_file({n: np.ascontiguousarray(v) for n, v in sorted(vectors.items())}, temporary, facts)


def features_key(path: Path) -> str | None:
    """What the features in a file were made from, or None without such a file."""
    return _feature_facts(path).get("key")


def resized(run: RunFolder, method: str, scores: Sequence[CaseScores]) -> dict[str, Any]:
    """The setting `resized_from` of a method; empty when no result was brought to another size.

    [width, height] where all cases had one size, else a sorted list of all sizes, that asked for among them where some
    case had it.
    """
    found = [_made_at(run, method, score) for score in scores]
    if not any(found):
        return {}
    asked = [(score.width, score.height) for score in scores]
    sizes = [list(size) for size in sorted({size or other for size, other in zip(found, asked, strict=True)})]
    return {_RESIZED: sizes[0] if len(sizes) == 1 else sizes}


def _made_at(run: RunFolder, method: str, score: CaseScores) -> tuple[int, int] | None:
    """The size that a result was resized from. Where distances of sets alone are measured, only its features know."""
    told = [value.settings[_RESIZED] for value in score.values.values() if _RESIZED in value.settings]
    kept = _feature_facts(run.features(method, score.case)).get(_RESIZED)
    size = told[0] if told else json.loads(kept) if kept else None
    return None if size is None else (int(size[0]), int(size[1]))


def _feature_facts(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    with safe_open(path, "np") as file:
        return file.metadata() or {}


def _clip(folder: Path, skip: int) -> Any:
    """The folder, or in memory what is left of it without its first frames."""
    return list(read_clip(folder))[skip:] if skip else folder


def _stored(run: RunFolder, method: str, cases: Iterable[str]) -> Iterator[Features]:
    for case in cases:
        yield load_file(run.features(method, case))


def _names(scores: Sequence[CaseScores]) -> list[str]:
    """Metrics that every case has: a mean over some of them would not be comparable."""
    first, *rest = scores
    return [name for name in first.values if all(name in score.values for score in rest)]


def _mean(name: str, scores: Sequence[CaseScores]) -> Value:
    """Over all frames of all clips in `disco`, as that lineage does; over clips in `clean`."""
    found = [score.values[name] for score in scores]
    pooled = METRICS[name].preset == "disco" and all(value.per_frame is not None for value in found)
    weights = [value.n if pooled else 1 for value in found]
    mean = float(np.average([value.value for value in found], weights=weights))
    settings = {
        key: value for key, value in found[0].settings.items() if all(v.settings.get(key) == value for v in found)
    }
    return Value(mean, len(found), None, {**settings, "mean": "over frames" if pooled else "over clips"})
