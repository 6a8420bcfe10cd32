"""A run of the benchmark: inputs, clips and scores of every case and method, each computed once and found again.

Every step has a key, a sha256 over all it depends on, kept beside its result. What has the right key is not computed
again; what has another one is thrown away and made anew. Files are whole or absent, so a run that was killed goes on,
and a run that is done changes nothing. Shards take every n-th case and share the folder; whoever finds all cases of a
method scored writes the method's record.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from animatex_core.pose.epi import PosePool
from animatex_core.pose.strict_json import read_json, write_json

from .anchor_pool import open_anchors, pool_digest
from .cases import CaseSet, open_set
from .frames import folder_sha256, write_clip
from .inputs import CaseInputs, ensure_written, plan_inputs
from .measuring import TRUTH, Measuring, features_key, resized
from .methods import Method, MethodSpec, checked_frames, open_method
from .records import Bench, CaseScores, RunFolder
from .run_record import agree, versions
from .settings import Options, check_cases

LOG = logging.getLogger(__name__)
Advance = Callable[[int, int, str], None]
Shard = tuple[int, int]
_STALE_SECONDS = 24 * 3600


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a run is asked for; small, so that it can be sent to other processes.

    setting: the name that was asked for. cases: empty for all that are scored. backbones: name -> file of the networks
    that metrics need. metrics: settings of the metrics.
    """

    folder: Path
    out: Path
    setting: str
    options: Options
    methods: tuple[MethodSpec, ...] = ()
    note: str = ""
    cases: tuple[str, ...] = ()
    backbones: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Done:
    """What a run did. made, scored: clips computed now. reused: of both, found. complete: methods with all cases."""

    cases: int
    made: int
    scored: int
    reused: int
    complete: tuple[str, ...]


def run(request: Request, shard: Shard = (1, 1), progress: Advance | None = None) -> Done:
    """Do what is not done yet of a shard's cases. Raises ValueError before any work for what can be known before.

    No method given: the inputs alone are written, for methods that run elsewhere.
    """
    found = open_set(request.folder)
    cases = request.cases or found.scored
    _check_request(request, found, cases, shard)
    anchors = open_anchors(request.options.pool) if request.options.pool else None
    methods = {spec.name: open_method(spec) for spec in request.methods}
    folder = RunFolder(request.out)
    planned = [plan_inputs(found, found.open(case), request.options, folder, anchors) for case in cases]
    mine = planned[shard[0] - 1 :: shard[1]]
    measuring = Measuring.open(request.backbones, request.metrics) if methods else None
    record = _record(request, found, planned, anchors, methods, measuring)
    work = _Work(folder, methods, measuring)
    agree(folder, record, lambda: work.check(mine))
    remove_stale(request.out)
    for name, why in record.options["absent"].items():
        LOG.info("%s is not measured: %s", name, why)
    for number, inputs in enumerate(mine):
        work.case(inputs, lambda words, n=number: progress and progress(n, len(mine), words))
    complete = work.methods(planned)
    return Done(len(mine), work.made, work.scored, work.reused, complete)


def _check_request(request: Request, found: CaseSet, cases: tuple[str, ...], shard: Shard) -> None:
    unknown = [case for case in cases if case not in found.scored]
    if unknown:
        raise ValueError(f"{request.folder}: no scored case of this set: {', '.join(unknown)}")
    if not cases:
        raise ValueError(f"{request.folder}: the set has no scored case")
    check_cases(request.setting, cases)
    names = [spec.name for spec in request.methods]
    if len(set(names)) < len(names):
        raise ValueError(f"methods: two of the same name among {', '.join(names)}")
    if TRUTH in names:
        raise ValueError(f"methods: the name {TRUTH!r} is taken by the true clips")
    if not 1 <= shard[0] <= shard[1]:
        raise ValueError(f"shard: expected I/N with I from 1 to N, got {shard[0]}/{shard[1]}")


def _record(
    request: Request,
    found: CaseSet,
    planned: Sequence[CaseInputs],
    anchors: PosePool | None,
    methods: dict[str, Method],
    measuring: Measuring | None,
) -> Bench:
    options: dict[str, Any] = {
        "inputs": request.options.facts(),
        "fps": planned[0].fps,  # of the first case, for viewers
        "note": request.note,
        "set": {"name": found.name, "version": found.version},
        "pool": pool_digest(anchors) if anchors else "",
        "digests": {inputs.case.name: inputs.digest for inputs in planned},
        "metrics": measuring.facts if measuring else {},
        "absent": measuring.absent() if measuring else {},
        "methods": {name: method.facts for name, method in methods.items()},
    }
    return Bench(request.setting, tuple(inputs.case.name for inputs in planned), tuple(methods), options, versions())


class _Work:
    """The steps of a run, counted."""

    def __init__(self, folder: RunFolder, methods: dict[str, Method], measuring: Measuring | None) -> None:
        self.folder, self._methods, self.measuring = folder, methods, measuring
        self.made = self.scored = self.reused = 0

    def check(self, mine: Sequence[CaseInputs]) -> None:
        """Look at what methods have beforehand, where it was not taken over yet. Raises MethodError."""
        for (name, method), inputs in product(self._methods.items(), mine):
            if _read(self._place(name, inputs)[1]).get("key") != _clip_key(method, inputs):
                method.check(inputs)

    def case(self, inputs: CaseInputs, tell: Callable[[str], Any]) -> None:
        """Inputs, clips and scores of a case."""
        tell(inputs.case.name)
        ensure_written(inputs)
        for name, method in self._methods.items():
            tell(f"{inputs.case.name}: {name}")
            content = self._clip(name, method, inputs)
            self._score(name, method, inputs, content)

    def methods(self, planned: Sequence[CaseInputs]) -> tuple[str, ...]:
        """Write the record of each method whose cases are all scored; returns their names."""
        return tuple(name for name in self._methods if self.measuring and self._method(name, planned))

    def _clip(self, name: str, method: Method, inputs: CaseInputs) -> str:
        """The frames of a method, made when they are not there; returns their sha256."""
        folder, note = self._place(name, inputs)
        key = _clip_key(method, inputs)
        stored = _read(note)
        if stored.get("key") == key and folder.is_dir() and stored.get("content") == folder_sha256(folder):
            self.reused += 1
            return stored["content"]
        if stored:
            LOG.info("%s: of other inputs, or changed since: made anew", folder)
        self._forget(name, inputs)
        note.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        write_clip(folder, checked_frames(name, inputs, method.make(inputs)))
        content = folder_sha256(folder)
        write_json(note, {"key": key, "content": content})
        self.made += 1
        return content

    def _place(self, name: str, inputs: CaseInputs) -> tuple[Path, Path]:
        """The frames of a method, and the note beside them."""
        folder = self.folder.frames(name, inputs.case.name)
        return folder, folder.with_name(f"{inputs.case.name}.json")

    def _score(self, name: str, method: Method, inputs: CaseInputs, content: str) -> None:
        assert self.measuring is not None
        key, case = self._score_key(method, inputs, content), inputs.case.name
        stored = self.folder.case_scores(name, case)
        if stored is not None and stored.inputs == key and features_key(self.folder.features(name, case)) == key:
            self.reused += 1
            return
        self._forget(name, inputs)
        size = method.resized_from(inputs)
        told = {"resized_from": list(size)} if size else {}
        self.measuring.score(self.folder, name, inputs, method.seams(len(inputs)), key, told)
        self.scored += 1

    def _forget(self, name: str, inputs: CaseInputs) -> None:
        """No score or mean stands beside a clip that it is not of, however the work on it ends."""
        self.folder.method_file(name).unlink(missing_ok=True)
        self.folder.score_file(name, inputs.case.name).unlink(missing_ok=True)

    def _score_key(self, method: Method, inputs: CaseInputs, content: Any) -> str:
        assert self.measuring is not None
        seams = method.seams(len(inputs))
        return sha256_of({"made": content, "inputs": inputs.digest, "metrics": self.measuring.facts, "seams": seams})

    def _method(self, name: str, planned: Sequence[CaseInputs]) -> bool:
        assert self.measuring is not None
        scores = [self._current(name, inputs) for inputs in planned]
        there = [score for score in scores if score is not None]
        if len(there) < len(planned):
            LOG.info("%s: %d of %d cases are scored; the rest is another shard's", name, len(there), len(planned))
            return False
        told = resized(self.folder, name, there)
        key = sha256_of({"cases": [score.inputs for score in there], "metrics": self.measuring.facts} | told)
        stored = self.folder.method_scores(name)
        if stored is None or stored.inputs != key:
            self.measuring.summarise(self.folder, name, there, key, told)
        return True

    def _current(self, name: str, inputs: CaseInputs) -> CaseScores | None:
        """The scores of a clip, when they are of these inputs: another shard may have left older ones."""
        content = _read(self._place(name, inputs)[1]).get("content")
        stored = self.folder.case_scores(name, inputs.case.name)
        return stored if stored and stored.inputs == self._score_key(self._methods[name], inputs, content) else None


def remove_stale(folder: Path) -> None:
    """What killed runs left unfinished, once it is too old to be another shard's."""
    with suppress(OSError):  # another shard was faster
        for path in folder.rglob(".*.partial*"):
            if time.time() - path.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def sha256_of(facts: Any) -> str:
    """sha256 of a JSON document."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _clip_key(method: Method, inputs: CaseInputs) -> str:
    return sha256_of({"inputs": inputs.digest, "method": method.facts, "results": method.digest(inputs)})


def _read(note: Path) -> dict[str, Any]:
    try:
        found = read_json(note)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
