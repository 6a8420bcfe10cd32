"""What a run of the benchmark keeps, and how it is read back.

One folder holds one setting (self-driven, rescaled pose, ...) of any number of methods on the same cases:

    RUN/bench.json                         Bench: what was asked for; another configuration is refused
    RUN/cases/CASE/reference.png           the character
    RUN/cases/CASE/truth/00000.png ...     what a perfect method would give; absent where nobody knows (cross)
    RUN/cases/CASE/poses/00000.png ...     the pose pictures that drove, in the usual palette, to look at
    RUN/frames/METHOD/CASE/00000.png ...   what a method made, lossless
    RUN/scores/METHOD/CASE.json            CaseScores
    RUN/features/METHOD/CASE.safetensors   what the distances between sets of clips are computed from
    RUN/methods/METHOD.json                MethodScores

Every file is there whole or not at all, and what is there is not computed again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from animatex_core.pose.strict_json import read_json, write_json

FORMAT = 1
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


@dataclass(frozen=True)
class Value:
    """One metric of one clip, or of all clips of a method.

    value: as the metric defines it. n: frames (of a clip) or clips (of a method) behind it.
    per_frame: the metric of every frame, where it has one. settings: all that the number depends on, as JSON.
    """

    value: float
    n: int
    per_frame: tuple[float, ...] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class CaseScores:
    """The metrics of what one method made of one case: name of the metric -> Value.

    inputs: sha256 over the frames compared and the settings, so that a stale score is seen.
    """

    method: str
    case: str
    frames: int
    width: int
    height: int
    inputs: str
    values: Mapping[str, Value]


@dataclass(frozen=True)
class MethodScores:
    """The metrics of a method over cases: means of those of clips, and distances between sets."""

    method: str
    cases: tuple[str, ...]
    inputs: str
    values: Mapping[str, Value]


@dataclass(frozen=True)
class Bench:
    """What a run was asked for.

    setting: self | rescaled | cross | omitted | long, or a named protocol. options: everything else that decides the
    numbers (sizes, frames, seeds, presets of metrics, sha256 of backbones and models). versions: of the software.
    """

    setting: str
    cases: tuple[str, ...]
    methods: tuple[str, ...]
    options: Mapping[str, Any]
    versions: Mapping[str, str]


@dataclass(frozen=True)
class RunFolder:
    """Where the files of a run lie."""

    root: Path

    def case(self, case: str) -> Path:
        """Folder of a case's reference, truth and pose pictures."""
        return self.root / "cases" / checked_name(case)

    def frames(self, method: str, case: str) -> Path:
        """Folder of the frames that a method made."""
        return self.root / "frames" / checked_name(method) / checked_name(case)

    def features(self, method: str, case: str) -> Path:
        """File of the features of a clip."""
        return self.root / "features" / checked_name(method) / f"{checked_name(case)}.safetensors"

    def score_file(self, method: str, case: str) -> Path:
        """File of the metrics of a clip."""
        return self.root / "scores" / checked_name(method) / f"{checked_name(case)}.json"

    def method_file(self, method: str) -> Path:
        """File of the metrics of a method."""
        return self.root / "methods" / f"{checked_name(method)}.json"

    def bench(self) -> Bench:
        """What was asked for. Raises ValueError naming the file when it is no run, or a damaged one."""
        path = self.root / "bench.json"
        with _naming(path):
            fields = _read(path)
            fields |= {name: tuple(fields[name]) for name in ("cases", "methods")}
            return Bench(**fields)

    def case_scores(self, method: str, case: str) -> CaseScores | None:
        """The metrics of a clip, or None when they are not there yet."""
        path = self.score_file(method, case)
        if not path.is_file():
            return None
        with _naming(path):
            fields = _read(path)
            fields |= {name: int(fields[name]) for name in ("frames", "width", "height")}
            fields["values"] = _values(fields["values"])
            return CaseScores(**fields)

    def method_scores(self, method: str) -> MethodScores | None:
        """The metrics of a method, or None when they are not there yet."""
        path = self.method_file(method)
        if not path.is_file():
            return None
        with _naming(path):
            fields = _read(path)
            fields |= {"cases": tuple(fields["cases"]), "values": _values(fields["values"])}
            return MethodScores(**fields)

    def write(self, record: Bench | CaseScores | MethodScores) -> None:
        """Write a record where it belongs, whole or not at all."""
        if isinstance(record, Bench):
            path = self.root / "bench.json"
        elif isinstance(record, CaseScores):
            path = self.score_file(record.method, record.case)
        else:
            path = self.method_file(record.method)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {"format": FORMAT} | asdict(record))


def checked_name(name: str) -> str:
    """A name of a method or a case that is safe as a file name. Raises ValueError for any other."""
    if not NAME.fullmatch(name):
        raise ValueError(
            f"name {name!r}: expected up to 100 letters, digits, '.', '_' and '-', the first a letter or digit"
        )
    return name


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Whatever is wrong with a record, its file is named. The fields are those that `write` wrote, or it is damaged."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    except KeyError as error:
        raise ValueError(f"{path}: the field {error} is missing") from None
    except (TypeError, AttributeError) as error:
        raise ValueError(f"{path}: no record as it is written ({error})") from None


def _read(path: Path) -> dict[str, Any]:
    fields = read_json(path)
    if not isinstance(fields, dict) or fields.pop("format", None) != FORMAT:
        raise ValueError(f"expected a record of the benchmark, format {FORMAT}")
    return fields


def _values(found: Mapping[str, Any]) -> dict[str, Value]:
    return {
        name: Value(
            value=float(fields["value"]),
            n=int(fields["n"]),
            per_frame=None if fields["per_frame"] is None else tuple(fields["per_frame"]),
            settings=fields["settings"],
        )
        for name, fields in found.items()
    }
