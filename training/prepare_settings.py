"""What decides how a data set is prepared. A clip is kept under a hash of all of it, so nothing stale is reused."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from animatex_core.choices import FitMode
from animatex_core.convert import DTYPES
from animatex_core.settings import MAX_SIDE

PoseBackend = Literal["given", "dwpose", "mediapipe"]
Store = Literal["latents", "frames"]
VERSION = 1  # of what is computed: a change here makes every clip anew
_AT_ONCE = 1 << 22
FILES = ("clip", "vae", "detector", "pose_model")


class PrepareError(ValueError):
    """Preparation cannot go on: the message says why."""


@dataclass(frozen=True, kw_only=True)
class PrepareSettings:
    """How videos become clips. Raises ValueError naming the setting that is off.

    sizes: (width, height) of the pictures, multiples of 8; a video goes where its proportions fit best. fit: how.
    shortest, longest: frames of a clip. most_fps: videos of more are thinned to about it. people: least share of
    frames with a person. references: pictures kept of a clip that may be the reference. pose: where keypoints are
    from; "given": an OpenPose JSON of every frame. store: "latents" (of the VAE), or "frames" (for encoding later).
    cut: how much a picture changes at a cut, 0..1; 0 looks for none. clip, vae, detector, pose_model: files. python:
    interpreter with mediapipe. vae_dtype: what the VAE computes in, fp32, bf16 or fp16; poses and image features are
    not affected; frames are stored as they are.
    """

    sizes: tuple[tuple[int, int], ...] = ((512, 768), (768, 512), (640, 640))
    fit: FitMode = "crop"
    shortest: int = 32
    longest: int = 256
    most_fps: float = 30.0
    people: float = 0.8
    references: int = 8
    pose: PoseBackend = "given"
    store: Store = "latents"
    cut: float = 0.1
    clip: Path | None = None
    vae: Path | None = None
    detector: Path | None = None
    pose_model: Path | None = None
    vae_dtype: str = "fp32"
    python: Path | None = None
    device: str = "cpu"
    isolated: bool = True  # decode in a child process, which a broken video may crash

    def __post_init__(self) -> None:
        for width, height in self.sizes:
            if width % 8 or height % 8 or not 8 <= min(width, height) <= max(width, height) <= MAX_SIDE:
                raise ValueError(f"sizes: expected multiples of 8 up to {MAX_SIDE}, got {width}x{height}")
        if not self.sizes or len(set(self.sizes)) != len(self.sizes):
            raise ValueError("sizes: expected at least one, each once")
        if not 1 <= self.shortest <= self.longest:
            raise ValueError(f"expected 1 <= shortest <= longest, got {self.shortest} and {self.longest}")
        if self.references < 1 or self.most_fps <= 0:
            raise ValueError("expected at least 1 of references, and most_fps above 0")
        for name in ("people", "cut"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: expected 0 to 1, got {getattr(self, name)}")
        for name, kind in (("fit", FitMode), ("pose", PoseBackend), ("store", Store)):
            if getattr(self, name) not in get_args(kind):
                raise ValueError(f"{name}: expected {', '.join(get_args(kind))}, got {getattr(self, name)!r}")
        if self.vae_dtype not in DTYPES:
            raise ValueError(f"vae_dtype: expected {', '.join(DTYPES)}, got {self.vae_dtype!r}")
        if self.vae_dtype != "fp32" and self.store == "frames":
            raise ValueError("--vae-dtype: with --store frames no VAE computes anything; leave it out")
        self._check_files()

    def _check_files(self) -> None:
        needed = ["clip"]
        needed += ["vae"] if self.store == "latents" else []
        needed += ["detector", "pose_model"] if self.pose == "dwpose" else []
        for name in needed:
            path = getattr(self, name)
            if path is None:
                raise ValueError(f"--{name.replace('_', '-')}: a file is needed")
            if not path.is_file():
                raise FileNotFoundError(f"{path}: no such file (--{name.replace('_', '-')})")

    def size_for(self, width: int, height: int) -> tuple[int, int]:
        """The size whose proportions are nearest; the first of several."""
        return min(
            self.sizes, key=lambda size: max(size[0] * height, width * size[1]) / min(size[0] * height, width * size[1])
        )

    def stride(self, fps: float) -> int:
        """Which frames of a video of so many a second are used: every one, every second ..."""
        return max(1, round(fps / self.most_fps))

    def facts(self) -> dict[str, Any]:
        """All that the clips depend on, files by their content; machine and paths are left out."""
        told = {k: v for k, v in asdict(self).items() if k not in (*FILES, "python", "device", "isolated")}
        if self.vae_dtype == "fp32":
            del told["vae_dtype"]  # as in the data sets of before there was a choice: their clips are still known
        used = [name for name in FILES if name in self._used() and getattr(self, name) is not None]
        files = {name: file_digest(getattr(self, name)) for name in used}
        return {"version": VERSION, **told, "sizes": [list(size) for size in self.sizes], "files": files}

    def _used(self) -> set[str]:
        used = {"clip"}
        used |= {"vae"} if self.store == "latents" else set()
        return used | ({"detector", "pose_model"} if self.pose == "dwpose" else set())


def file_digest(path: Path) -> str:
    """sha256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_AT_ONCE):
            digest.update(chunk)
    return digest.hexdigest()


def key_of(facts: dict[str, Any], content: str, rate: float | None = None) -> str:
    """The name of a video's results: 20 hexadecimal digits of settings, encoders, content and the rate of pictures."""
    told = [facts, content] if rate is None else [facts, content, rate]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:20]
