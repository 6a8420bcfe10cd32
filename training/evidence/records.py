"""A run in a file of a few kilobytes: every metric of every case, without pictures, kept beside the document."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from animatex_core.pose.strict_json import read_json, write_json

from ..evaluation.cases import Case, open_set
from ..evaluation.inputs import chosen_frames
from ..evaluation.records import RunFolder
from ..evaluation.settings import Options
from ..synthetic.held_out import HUMANS

T = TypeVar("T")
FORMAT = 1
GROUPS = ("humans in range", "figures in range", "out of range", "objects")
ALIKE = ("width", "height", "frames", "start", "stride")
"""Options that the runs of two records share when their numbers are held against each other."""
_DIGITS = 5  # after the point, of what is kept


@dataclass(frozen=True)
class Record:
    """setting: of the run, as its options say. version: of the set, which changes with the right answers. cases: names.

    characters, groups: of each case. methods: name -> what it is. values: method -> metric -> value of each case.
    place: where it was read from, for messages. joints: sha256 of the keypoint network that found them; records of
    before do not tell it.
    """

    setting: str
    options: Mapping[str, Any]
    cases: tuple[str, ...]
    characters: tuple[str, ...]
    groups: tuple[str, ...]
    methods: Mapping[str, Any]
    values: Mapping[str, Mapping[str, tuple[float, ...]]]
    version: str = "1"
    place: str = field(default="a record", compare=False)
    joints: str = ""

    def of(self, method: str, metric: str, group: str = "") -> np.ndarray:
        """The values of the cases, or of those of one group. Raises ValueError naming what the record lacks."""
        if method not in self.values:
            raise ValueError(f"the record has no method {method!r}, only {', '.join(self.values)}")
        if metric not in self.values[method]:
            raise ValueError(f"the record has no {metric!r} of {method!r}, only {', '.join(self.values[method])}")
        found = np.array(self.values[method][metric])
        return found if not group else found[np.array([group == other for other in self.groups])]

    def same_cases(self, other: Record) -> bool:
        """Whether both were measured on the same cases with the same right answers."""
        return (self.cases, self.version) == (other.cases, other.version)

    def has(self, method: str, metric: str) -> bool:
        """Whether there are such values."""
        return metric in self.values.get(method, {})


def gather(run: Path, benchmark: Path, methods: Sequence[str] = (), cases: Sequence[str] = ()) -> Record:
    """The record of a run on the synthetic set. methods: all that are complete when empty. cases: all when empty.

    Raises ValueError naming a method whose cases are not all measured, or a case that tells no character.
    """
    folder, found = RunFolder(run), open_set(benchmark)
    bench = folder.bench()
    names = tuple(cases) or bench.cases
    opened = [found.open(case) for case in names]
    groups = tuple(map(group_of, opened))
    wanted = methods or [name for name in bench.methods if folder.method_scores(name)]
    values = {name: _values(folder, name, names) for name in wanted}
    if not values:
        raise ValueError(f"{run}: no method of it is complete: start animate-x-bench run again")
    return Record(
        setting=bench.setting,
        options=bench.options["inputs"],
        cases=names,
        characters=tuple(str(case.facts["character"]) for case in opened),
        groups=groups,
        methods={name: bench.options["methods"][name] for name in wanted},
        values=values,
        version=version_of(bench.options),
        place=str(run),
        joints=bench.options.get("metrics", {}).get("backbones", {}).get("joints", ""),
    )


def check_alike(one: Record, other: Record) -> None:
    """Raises ValueError naming both records and what differs: the version of the set, the cases or one of ALIKE."""
    places = f"{one.place} and {other.place}"
    if one.version != other.version:
        raise ValueError(f"{places}: version of the set: {one.version} and {other.version}: nothing to compare")
    if not one.same_cases(other):
        raise ValueError(f"{places}: cases: {len(one.cases)} and {len(other.cases)}, not the same ones")
    sides = [{name: record.options.get(name) for name in ALIKE} for record in (one, other)]
    if told := first_difference(sides[0], sides[1], "options"):
        raise ValueError(f"{places}: {told}: expected runs with the same {', '.join(ALIKE)}")


def check_joints(one: Record, other: Record) -> None:
    """Raises ValueError naming both records where other keypoint networks found their joints."""
    if one.joints != other.joints:
        told = [record.joints[:8] or "not told" for record in (one, other)]
        raise ValueError(f"{one.place} and {other.place}: keypoint network: {told[0]} and {told[1]}: not comparable")


def first_difference(one: Any, other: Any, name: str) -> str:
    """The first field in which two JSON values differ, as `name.field: value and value`; empty where none does."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        keys = sorted(one.keys() | other.keys())
        return next(filter(None, (first_difference(one.get(k), other.get(k), f"{name}.{k}") for k in keys)), "")
    return "" if one == other else f"{name}: {one!r} and {other!r}"


def version_of(options: Mapping[str, Any]) -> str:
    """Of the set, from a run's options; sets of the first version do not tell it."""
    return str(options.get("set", {}).get("version", "1"))


def driver_frames(case: Case, options: Mapping[str, Any], count: int) -> list[np.ndarray]:
    """The frames of a case's own driver that a run with these options used, uint8 RGB."""
    chosen = Options(start=int(options["start"]), stride=int(options["stride"]))
    return list(chosen_frames(case.clip("driver"), chosen, count))


def by_group(cases: Iterable[tuple[Case, T]]) -> dict[str, list[T]]:
    """What is told of each case, by group in the order of GROUPS; groups without a case are left out."""
    found: dict[str, list[T]] = {group: [] for group in GROUPS}
    for case, told in cases:
        found[group_of(case)].append(told)
    return {group: values for group, values in found.items() if values}


def group_of(case: Case) -> str:
    """One of GROUPS. Raises ValueError naming a case that does not tell it."""
    character, kind = (case.facts.get(name) for name in ("character", "kind"))
    in_range = GROUPS[0] if character in HUMANS else GROUPS[1]
    groups = {"in range": in_range, "out of range": GROUPS[2], "object": GROUPS[3]}
    if character is None or kind not in groups:
        raise ValueError(f"{case.name}: no character and kind of the synthetic set in the facts of case.json")
    return groups[kind]


def write_record(path: Path, record: Record) -> None:
    """As JSON, whole or not at all."""
    fields = {
        "format": FORMAT,
        "setting": record.setting,
        "version": record.version,
        "options": dict(record.options),
        "cases": [list(row) for row in zip(record.cases, record.characters, record.groups, strict=True)],
        "methods": dict(record.methods),
        **({"joints": record.joints} if record.joints else {}),
        "values": {
            name: {metric: [round(value, _DIGITS) for value in found] for metric, found in of_method.items()}
            for name, of_method in record.values.items()
        },
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, fields)


def read_record(path: Path) -> Record:
    """Raises ValueError naming the file when it is no record."""
    try:
        fields = read_json(path)
        if fields["format"] != FORMAT:
            raise ValueError(f"format {fields['format']}, expected {FORMAT}")
        cases, characters, groups = zip(*fields["cases"], strict=True)
        values = {
            name: {metric: tuple(map(float, found)) for metric, found in of_method.items()}
            for name, of_method in fields["values"].items()
        }
        version = str(fields.get("version", "1"))  # not told by records of the first version
        return Record(
            fields["setting"], fields["options"], cases, characters, groups, fields["methods"], values, version,
            str(path), str(fields.get("joints", "")),
        )  # fmt: skip
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path}: no record as `record` writes it ({error})") from None


def _values(folder: RunFolder, method: str, cases: Sequence[str]) -> dict[str, tuple[float, ...]]:
    scores = [folder.case_scores(method, case) for case in cases]
    if lacking := [case for case, score in zip(cases, scores, strict=True) if score is None]:
        raise ValueError(f"{folder.root}: {method}: {len(lacking)} cases are not measured, {lacking[0]} first")
    there = [score.values for score in scores if score is not None]
    return {name: tuple(found[name].value for found in there) for name in there[0] if all(name in f for f in there)}
