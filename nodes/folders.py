"""Where the files of this pack are looked for: core's own folders, `models/animatex`, and the pack itself."""

from __future__ import annotations

import os

import folder_paths

from ..animatex_core import included

KIND = "animatex"
MODEL_KINDS = ("diffusion_models", KIND)
SAFE = (".safetensors", ".sft")
UNCONVERTED = (".pth", ".pt", ".ckpt", ".bin", ".pkl")
POSE_FILES = (".onnx", ".torchscript.pt")
NOTHING = "(no file found)"
SHIPPED = " [animate-x]"  # after the name of a file that comes with the pack
MINI = f"{included.MINI_FILE.name}{SHIPPED}"


def add_kind() -> None:
    """Tell ComfyUI of `models/animatex`; paths from extra_model_paths.yaml are kept."""
    folder_paths.add_model_folder_path(KIND, os.path.join(folder_paths.models_dir, KIND))


def files_of(kinds: tuple[str, ...], endings: tuple[str, ...]) -> list[str]:
    """Names of the files of these kinds with one of these endings, those named after Animate-X first."""
    add_kind()
    names = {name for kind in kinds if kind in folder_paths.folder_names_and_paths for name in _names(kind)}
    chosen = [name for name in names if name.lower().endswith(endings)]
    return sorted(chosen, key=lambda name: (not _ours(name), name.lower()))


def model_files() -> list[str]:
    """What Load Model offers: files named after Animate-X, the included model, other safe files, unconverted ones."""
    unconverted = [name for name in files_of(MODEL_KINDS, UNCONVERTED) if not name.lower().endswith(POSE_FILES)]
    safe = files_of(MODEL_KINDS, SAFE)
    shipped = [MINI] if included.MINI_FILE.is_file() else []
    ours, others = [name for name in safe if _ours(name)], [name for name in safe if not _ours(name)]
    return ours + shipped + others + unconverted or [NOTHING]


def model_path(name: str) -> str:
    """The path of what Load Model offers. Raises ValueError like `path_of`, FileNotFoundError for a lost mini model."""
    return str(included.mini_model()) if name == MINI else path_of(name, MODEL_KINDS)


def path_of(name: str, kinds: tuple[str, ...]) -> str:
    """The path of a file by its name. Raises ValueError naming the folders that were searched."""
    add_kind()
    for kind in kinds:
        path = folder_paths.get_full_path(kind, name) if kind in folder_paths.folder_names_and_paths else None
        if path is not None:
            return path
    raise ValueError(f"{name}: no such file in models/{' or models/'.join(kinds)}; put it there and press R to refresh")


def _ours(name: str) -> bool:
    return "animate" in name.lower()


def _names(kind: str) -> list[str]:
    return folder_paths.get_filename_list(kind)
