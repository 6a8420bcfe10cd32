"""Records of a run, where a damaged one is an error that names its file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..records import Bench, CaseScores, MethodScores, RunFolder


def read_bench(folder: RunFolder) -> Bench:
    """What was asked for."""
    with _naming(folder.root / "bench.json"):
        return folder.bench()


def read_method(folder: RunFolder, method: str) -> MethodScores | None:
    """The metrics of a method, or None when they are not there yet."""
    with _naming(folder.method_file(method)):
        return folder.method_scores(method)


def read_case(folder: RunFolder, method: str, case: str) -> CaseScores | None:
    """The metrics of a clip, or None when they are not there yet."""
    with _naming(folder.score_file(method, case)):
        return folder.case_scores(method, case)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """ValueError already names the file; a field that lacks or is of another kind does not."""
    try:
        yield
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: damaged, or of another version ({type(error).__name__}: {error})") from None
