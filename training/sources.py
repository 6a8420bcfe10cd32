"""Where clips come from: a folder of videos, a manifest, or the layouts of two public data sets."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from animatex_core.pictures import load_picture
from animatex_core.video import open_video, read_frames

VIDEOS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".gif")
PICTURES = (".png", ".jpg", ".jpeg")
FILES = ("video", "poses", "image", "image_pose", "driver", "driver_poses")
_MAY_BE_FOLDERS = ("video", "driver")  # of pictures
TIKTOK_FPS = 30.0
_TEXTS = ("name", "source", "licence", "consent")
_FPS = 25.0  # of a folder of pictures of which nothing is said
_AT_ONCE = 1 << 22
# What the makers of the two data sets ask for, in short; read their own pages before use.
TIKTOK_TERMS = "TikTok data set (Jafarian and Park, 2021): research only, see its page"
FASHION_TERMS = "UBC Fashion (Zablotskaia et al., 2019): non-commercial, see its page"


@dataclass(frozen=True, kw_only=True)
class Source:
    """One video: a file, or a folder of pictures in the order of their names, numbers padded with zeros (00000.png).

    poses: OpenPose JSON of every frame, when there is one. source, licence, consent: free text that is kept with every
    clip: where it is from, what it may be used for, and whether those in it agreed.

    Where a cross-driven pair is known (rendered data), two more pictures of the truth: `image`, the same character in
    another pose, which becomes a clip's reference; and `driver`, another character in the same motion, frame for
    frame, which the Implicit Pose Indicator reads instead of the video itself. Both come with their poses.
    """

    video: Path
    poses: Path | None = None
    image: Path | None = None
    image_pose: Path | None = None
    driver: Path | None = None
    driver_poses: Path | None = None
    name: str = ""
    source: str = ""
    licence: str = ""
    consent: str = ""
    fps: float | None = None  # of a folder of pictures; 25 when left out

    @property
    def title(self) -> str:
        """What reports call it."""
        return self.name or self.video.name

    @property
    def rate(self) -> float | None:
        """Frames a second of what is a folder of pictures, be it video or driver; None where neither is one."""
        folders = any(place is not None and place.is_dir() for place in (self.video, self.driver))
        return float(self.fps or _FPS) if folders else None

    def open(self, isolated: bool = False) -> tuple[float, Iterator[np.ndarray]]:
        """Frames a second, and the frames uint8 RGB [H, W, 3]. Raises ValueError naming the file."""
        return _open(self.video, self.fps, isolated)

    def open_driver(self, isolated: bool = False) -> tuple[float, Iterator[np.ndarray]]:
        """The same of the driver."""
        assert self.driver is not None
        return _open(self.driver, self.fps, isolated)

    def digest(self) -> str:
        """sha256 of the content: frames and, where given, poses, reference and driver; `rate` is not in it."""
        digest = hashlib.sha256()
        for part in self._content():
            digest.update(part)
        return digest.hexdigest()

    def _content(self) -> Iterator[bytes]:
        yield from _bytes([*_files(self.video), *([self.poses] if self.poses else [])])
        for name in ("image", "image_pose", "driver", "driver_poses"):
            place = getattr(self, name)
            if place is not None:
                yield f"{name} ".encode()
                yield from _bytes(_files(place) if name == "driver" else [place])


def _files(video: Path) -> list[Path]:
    return _pictures(video) if video.is_dir() else [video]


def _bytes(files: list[Path]) -> Iterator[bytes]:
    for path in files:
        yield f"{path.stat().st_size} ".encode()
        with path.open("rb") as file:
            while chunk := file.read(_AT_ONCE):
                yield chunk


def _open(place: Path, fps: float | None, isolated: bool) -> tuple[float, Iterator[np.ndarray]]:
    if not place.is_dir():
        return open_video(place, isolated=isolated).fps, read_frames(place, isolated=isolated)
    pictures = _pictures(place)
    if not pictures:
        raise ValueError(f"{place}: the folder holds no pictures")
    check_numbers(place, pictures)
    return fps or _FPS, (load_picture(path) for path in pictures)


def check_numbers(folder: Path, pictures: Sequence[Path]) -> None:
    """Raises ValueError naming a folder whose pictures are numbers of unequal length: 10.png is read before 2.png."""
    shortest = min(pictures, key=lambda path: len(path.stem))
    longest = max(pictures, key=lambda path: len(path.stem))
    if len(shortest.stem) < len(longest.stem) and all(path.stem.isdigit() for path in pictures):
        raise ValueError(
            f"{folder}: {shortest.name} and {longest.name}: numbers of unequal length, "
            "so the order of names is not that of frames; pad them with zeros"
        )


def find_sources(place: Path, layout: str = "auto", common: Source | None = None) -> list[Source]:
    """The videos of a folder or a manifest, in the order of their names.

    layout: "folder" (any videos inside, poses beside them as NAME.json), "manifest" (.jsonl or .csv), "tiktok"
    (NUMBER/images/*.png, poses as NUMBER.json), "ubc-fashion" (train/*.mp4, poses as train/NAME.json), or "auto": a
    file is a manifest, a folder is "folder".
    common: its source, licence and consent hold where a video has none of its own.
    Raises ValueError: nothing there, or a manifest with an unknown or missing field.
    """
    if layout == "auto":
        layout = "manifest" if place.is_file() else "folder"
    finders = {"folder": _folder, "manifest": _manifest, "tiktok": _tiktok, "ubc-fashion": _fashion}
    if layout not in finders:
        raise ValueError(f"layout must be auto, {', '.join(finders)}, got {layout!r}")
    if not place.exists():
        raise FileNotFoundError(f"{place}: no such file or folder")
    if place.is_file() != (layout == "manifest"):
        raise ValueError(f"{place}: layout {layout!r} is read from a {'file' if layout == 'manifest' else 'folder'}")
    found = finders[layout](place)
    if not found:
        raise ValueError(f"{place}: no videos found (layout {layout!r})")
    if common is None:
        return found
    kept = ("source", "licence", "consent")
    return [replace(s, **{name: getattr(s, name) or getattr(common, name) for name in kept}) for s in found]


def _folder(folder: Path) -> list[Source]:
    videos = sorted(p for p in folder.rglob("*") if p.suffix.lower() in VIDEOS and p.is_file())
    return [Source(video=v, poses=_beside(v), name=str(v.relative_to(folder))) for v in videos]


def _beside(video: Path) -> Path | None:
    poses = video.with_suffix(".json")
    return poses if poses.is_file() else None


def _pictures(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in PICTURES)


def _tiktok(folder: Path) -> list[Source]:
    folders = sorted(p / "images" for p in folder.iterdir() if (p / "images").is_dir())
    return [
        Source(video=p, poses=_beside(p.parent), name=p.parent.name, fps=TIKTOK_FPS, licence=TIKTOK_TERMS)
        for p in folders
    ]


def _fashion(folder: Path) -> list[Source]:
    videos = sorted((folder / "train").glob("*.mp4"))
    return [Source(video=v, poses=_beside(v), name=v.name, licence=FASHION_TERMS) for v in videos]


def _manifest(path: Path) -> list[Source]:
    """Paths in a manifest are relative to it."""
    if path.suffix.lower() == ".csv":
        with path.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets begin with a byte-order mark
            rows: list[Any] = list(csv.DictReader(file))
    elif path.suffix.lower() == ".jsonl":
        rows = [_parsed(path, number, line) for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)]
        rows = [row for row in rows if row is not None]
    else:
        raise ValueError(f"{path}: a manifest is a .jsonl or a .csv file")
    return [_entry(path, number, row) for number, row in enumerate(rows, 1)]


def _parsed(path: Path, number: int, line: str) -> Any:
    try:
        return json.loads(line) if line.strip() else None
    except ValueError as error:
        raise ValueError(f"{path}, line {number}: no JSON: {error}") from None


def _entry(path: Path, number: int, row: Any) -> Source:
    where = f"{path}, entry {number}"
    known = [f.name for f in fields(Source)]
    if not isinstance(row, dict) or not row.get("video"):
        raise ValueError(f'{where}: expected an object with "video", found {row!r:.80}')
    unknown = sorted(str(name) for name in row if name not in known)
    if unknown:
        raise ValueError(f"{where}: unknown field {', '.join(unknown)}; the fields are {', '.join(known)}")
    values = {name: value for name, value in row.items() if value not in (None, "")}
    for name in _TEXTS:
        if not isinstance(values.get(name, ""), str):
            raise ValueError(f"{where}: {name}: expected text, found {values[name]!r}")
    for name in FILES:
        if name in values:
            values[name] = path.parent / str(values[name])
            if not values[name].exists():
                raise ValueError(f"{where}: {name}: {values[name]}: no such file")
            if values[name].is_dir() and name not in _MAY_BE_FOLDERS:
                raise ValueError(f"{where}: {name}: {values[name]}: expected a file, found a folder")
    for name, poses in (("image", "image_pose"), ("driver", "driver_poses")):
        if (name in values) != (poses in values):
            raise ValueError(f"{where}: {name} and {poses} go together: one is there, the other is not")
    if "fps" in values:
        values["fps"] = _number(values["fps"], f"{where}: fps")
    return Source(**{"name": str(row["video"]), **values})


def _number(value: Any, where: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = 0.0
    if not 0 < number <= 1000:
        raise ValueError(f"{where}: expected frames a second, found {value!r}")
    return number
