"""What comes with the package: the mini model, some characters with their poses, and dances."""

from __future__ import annotations

from pathlib import Path

from .settings import Settings

ASSETS = Path(__file__).parent / "assets"
CHARACTERS = ASSETS / "characters"
MINI = "mini"  # the model's name on the command line
MINI_FILE = ASSETS / "animatex_mini.safetensors"
MINI_DANCE = ASSETS / "dance_short.json"  # 16 frames, 12 a second
# What the mini model was trained on, and how it samples.
MINI_SETTINGS = Settings(width=128, height=192, frames=16, steps=6, guidance=3.0)
_POINTER = b"version https://git-lfs"


def mini_model() -> Path:
    """The mini model's file. Raises FileNotFoundError with the command that brings it, where a checkout lacks it."""
    place = MINI_FILE.relative_to(ASSETS.parents[1]).as_posix()
    if not MINI_FILE.is_file():
        raise FileNotFoundError(
            f"{MINI_FILE}: the mini model is not here. In a git checkout: git checkout HEAD -- {place}; else install "
            "this package again"
        )
    with MINI_FILE.open("rb") as file:
        if file.read(len(_POINTER)) == _POINTER:
            raise FileNotFoundError(f"{MINI_FILE}: is a pointer of Git LFS, not the model: git lfs pull -I {place}")
    return MINI_FILE


def model_path(name: str | Path) -> Path:
    """A model as it is named on the command line: `mini` is the included one, unless a file has that name."""
    path = Path(name)
    return mini_model() if str(name) == MINI and not path.exists() else path


def settings_for(model: Path) -> Settings:
    """What a model is run with where nothing else is said."""
    return MINI_SETTINGS if model.resolve() == MINI_FILE.resolve() else Settings()


def character_names() -> list[str]:
    """The included characters."""
    return sorted(path.stem for path in CHARACTERS.glob("*.png"))


def character(name: str) -> tuple[Path, Path]:
    """A character's picture and its pose (OpenPose JSON). Raises ValueError for a name that is none."""
    if name not in character_names():
        raise ValueError(f"character: expected one of {', '.join(character_names())}, got {name!r}")
    return CHARACTERS / f"{name}.png", CHARACTERS / f"{name}.json"
