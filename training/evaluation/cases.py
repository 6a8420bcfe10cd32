"""A benchmark set on disk: one folder a case, and what is wrong with it said by case and field.

    SET/a2bench.json              {"format": 1, "name": "...", "version": "...", "cases": [...], "scored": [...]}
    SET/CASE/case.json            {"format": 1, "license": "...", "source": "..."}, and "fps" and "facts" where wanted
    SET/CASE/image.png            the character; .jpg, .jpeg and .webp will do
    SET/CASE/prompt.txt           what it was made from, UTF-8; may be empty where there was none
    SET/CASE/video.mp4            what a perfect method would give; or video/, a folder of PNGs in order of their names
    SET/CASE/poses.json           OpenPose JSON, one frame for every frame of the video
    SET/CASE/mask.mp4 or mask/    the true silhouette, white on black, frame by frame; optional
    SET/CASE/image_pose.json      the pose of the image, on the image's canvas; optional
    SET/CASE/driver.mp4 or driver/, and driver_poses.json
                                  somebody else's clip of the same motion, with which `video` is the right answer when
                                  another body drives; optional

`scored` are the cases whose poses can be relied on (100 of the paper's 500, section 3.4); the others are references
only and need neither video nor poses. A case with a fault is refused, never replaced by another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from animatex_core.pose.strict_json import read_json, write_json

from ..sources import Source
from .case_check import SHAPES, Faults, check_case
from .records import checked_name

FORMAT = 1
SET_FILE = "a2bench.json"
_CLIPS = ("video", "mask", "driver")


class SetError(ValueError):
    """A set or a case that cannot be used: the message lists what is wrong, by case and field."""


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong. case: its name, or empty for the set as a whole. field: file or key."""

    case: str
    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.case or SET_FILE}: {self.field}: {self.message}"


@dataclass(frozen=True, kw_only=True)
class Case:
    """The files of a case, all of them looked at."""

    name: str
    folder: Path
    image: Path
    prompt: str = ""
    license: str = ""
    source: str = ""
    fps: float | None = None
    video: Path | None = None
    poses: Path | None = None
    mask: Path | None = None
    image_pose: Path | None = None
    driver: Path | None = None
    driver_poses: Path | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    def clip(self, which: str) -> Source:
        """The frames of `video`, `mask` or `driver`. Raises SetError when the case has none."""
        path = getattr(self, which)
        if path is None:
            raise SetError(str(Fault(self.name, which, "this setting needs it, and the case has none")))
        return Source(video=path, name=f"{self.name}/{which}", fps=self.fps)

    def digest(self) -> str:
        """sha256 over the contents of all files that decide numbers: a workflow may read the prompt as well."""
        whole = hashlib.sha256()
        for name in sorted(SHAPES):
            path = getattr(self, name)
            if path is None:
                continue
            content = Source(video=path).digest() if name in _CLIPS else hashlib.sha256(path.read_bytes()).hexdigest()
            whole.update(f"{name} {content}\n".encode())
        whole.update(f"fps {self.fps}\n".encode())
        whole.update(f"prompt {hashlib.sha256(self.prompt.encode()).hexdigest()}\n".encode())
        return whole.hexdigest()


@dataclass(frozen=True)
class CaseSet:
    """A set: its cases in order, and which of them are scored."""

    folder: Path
    name: str
    version: str
    cases: tuple[str, ...]
    scored: tuple[str, ...]

    def open(self, case: str, *, deep: bool = False) -> Case:
        """One case. Raises SetError with everything that is wrong with it.

        deep: decode every frame of its clips; else their first ones.
        """
        if case not in self.cases:
            raise SetError(f"{self.folder}: there is no case {case!r}; {len(self.cases)} are listed in {SET_FILE}")
        faults: list[Fault] = []
        opened = _look(self.folder, case, case in self.scored, faults, deep)
        if opened is None or faults:
            raise SetError(f"{self.folder}: " + "; ".join(map(str, faults)))
        return opened


def open_set(folder: str | Path) -> CaseSet:
    """A set by its list of cases; the cases themselves are looked at when they are opened.

    Raises SetError with all that is wrong with the list.
    """
    faults: list[Fault] = []
    found = _read_set(Path(folder), faults)
    if found is None or faults:
        raise SetError(f"{folder}: " + "; ".join(map(str, faults)))
    return found


def validate(folder: str | Path, progress: Callable[[int, int], None] | None = None) -> list[Fault]:
    """Everything that is wrong with a set, every frame of it decoded. An empty list: nothing."""
    folder, faults = Path(folder), []
    found = _read_set(folder, faults)
    if found is None:
        return faults
    for number, case in enumerate(found.cases, 1):
        if (folder / case).is_dir():
            _look(folder, case, case in found.scored, faults, deep=True)
        if progress:
            progress(number, len(found.cases))
    return faults


def write_set(folder: Path, name: str, version: str, cases: list[str], scored: list[str]) -> None:
    """Write the list of a set, whole or not at all; one that says the same stays untouched."""
    fields = {"format": FORMAT, "name": name, "version": version, "cases": cases, "scored": scored}
    with suppress(OSError, ValueError):
        if read_json(folder / SET_FILE) == fields:
            return
    write_json(folder / SET_FILE, fields)


def listed(folder: Path) -> tuple[list[str], list[str]]:
    """Cases and scored cases that the list of a set names and that are there; none without a list that can be read."""
    try:
        fields = read_json(folder / SET_FILE)
        cases, scored = (list(map(str, fields[key])) for key in ("cases", "scored"))
    except (OSError, ValueError, TypeError, KeyError):
        return [], []
    cases = [case for case in cases if (folder / case / "case.json").is_file()]
    return cases, [case for case in scored if case in cases and (folder / case / "poses.json").is_file()]


def write_case(folder: Path, *, license: str, source: str, fps: float | None = None, **facts: Any) -> None:
    """Write case.json of a case's folder; `facts` are kept as they are (settings of who made it)."""
    fields: dict[str, Any] = {"format": FORMAT, "license": license, "source": source}
    write_json(folder / "case.json", fields | ({"fps": fps} if fps else {}) | ({"facts": facts} if facts else {}))


def _read_set(folder: Path, faults: list[Fault]) -> CaseSet | None:
    def fault(name: str, message: str) -> None:
        faults.append(Fault("", name, message))

    if not folder.is_dir():
        fault("folder", f"{folder}: there is no such folder")
        return None
    fields = _document(folder / SET_FILE, fault)
    if fields is None:
        return None
    fields = _known(fields, ("format", "name", "version", "cases", "scored"), fault)
    names = {key: _names(fields.get(key), key, fault) for key in ("cases", "scored")}
    for key in ("name", "version"):
        if not isinstance(fields.get(key), str) or not fields[key]:
            fault(key, f"expected some text, found {fields.get(key)!r:.60}")
    for case in names["scored"]:
        if case not in names["cases"]:
            fault("scored", f"{case!r} is not among the cases")
    for case in names["cases"]:
        if not (folder / case).is_dir():
            faults.append(Fault(case, "folder", "is listed, but there is no such folder"))
    listed = {*names["cases"], SET_FILE}
    for path in sorted(folder.iterdir()):
        if path.is_dir() and path.name not in listed and not path.name.startswith("."):
            faults.append(Fault(path.name, "folder", f"is there, but not listed in {SET_FILE}"))
    text = {key: str(fields.get(key, "")) for key in ("name", "version")}
    return CaseSet(folder, text["name"], text["version"], tuple(names["cases"]), tuple(names["scored"]))


def _names(found: Any, key: str, fault: Callable[[str, str], None]) -> list[str]:
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        fault(key, f"expected a list of names, found {found!r:.60}")
        return []
    good = []
    for name in found:
        try:
            checked_name(name)
        except ValueError as error:
            fault(key, str(error))
            continue
        if name in good:
            fault(key, f"{name!r} is listed twice")
        else:
            good.append(name)
    if key == "cases" and not found:
        fault(key, "the set has no case")
    return good


def _look(folder: Path, case: str, scored: bool, faults: list[Fault], deep: bool) -> Case | None:
    """The case, or None; whatever is wrong is added to `faults`."""

    def fault(name: str, message: str) -> None:
        faults.append(Fault(case, name, message))

    root = folder / case
    if not root.is_dir():
        fault("folder", "there is no such folder")
        return None
    fields = _known(_document(root / "case.json", fault) or {}, ("format", "license", "source", "fps", "facts"), fault)
    for key in ("license", "source"):
        if not isinstance(fields.get(key), str) or not fields[key]:
            fault(f"case.json: {key}", f"expected some text, found {fields.get(key)!r:.60}")
    fps, facts = fields.get("fps"), fields.get("facts", {})
    if fps is not None and (not isinstance(fps, int | float) or isinstance(fps, bool) or not 0 < fps <= 1000):
        fault("case.json: fps", f"expected frames a second, above 0 and at most 1000, found {fps!r:.60}")
        fps = None
    if not isinstance(facts, dict):
        fault("case.json: facts", f"expected an object, found {facts!r:.60}")
        facts = {}
    files = {name: _find(root, name, endings, fault) for name, endings in SHAPES.items()}
    prompt = _prompt(root / "prompt.txt", fault)
    check_case(files, fps, scored=scored, deep=deep, fault=fault)
    if files["image"] is None:
        return None
    text = {key: str(fields.get(key, "")) for key in ("license", "source")}
    return Case(name=case, folder=root, prompt=prompt, fps=fps, facts=facts, **text, **files)  # pyright: ignore[reportArgumentType]


def _find(root: Path, name: str, endings: tuple[str, ...], fault: Faults) -> Path | None:
    """The one file of this name, whatever its ending; two are a fault."""
    wanted = [root / f"{name}{ending}" for ending in endings]
    found = [path for path in wanted if path.exists()]
    if len(found) > 1:
        fault(name, f"expected one, found {', '.join(path.name for path in found)}")
    return found[0] if found else None


def _prompt(path: Path, fault: Faults) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except UnicodeDecodeError as error:
        fault("prompt.txt", f"not UTF-8 text: byte {error.start} is wrong")
    except OSError as error:
        fault("prompt.txt", error.strerror or str(error))
    return ""


def _document(path: Path, fault: Faults) -> dict[str, Any] | None:
    try:
        fields = read_json(path)
    except OSError as error:
        fault(path.name, error.strerror or str(error))
        return None
    except ValueError as error:
        fault(path.name, str(error))
        return None
    if not isinstance(fields, dict) or fields.get("format") != FORMAT:
        fault(path.name, f'expected an object with "format": {FORMAT}, found {fields!r:.60}')
        return None
    return fields


def _known(fields: dict[str, Any], names: tuple[str, ...], fault: Faults) -> dict[str, Any]:
    for name in fields.keys() - set(names):
        fault(name, f"unknown key; known are {', '.join(names)}")
    return fields
