"""Where the files of this pack are looked for: core's own folders, and `models/animatex`."""

from __future__ import annotations

import os

import folder_paths

KIND = "animatex"
MODEL_KINDS = ("diffusion_models", KIND)
SAFE = (".safetensors", ".sft")
UNCONVERTED = (".pth", ".pt", ".ckpt", ".bin", ".pkl")
POSE_FILES = (".onnx", ".torchscript.pt")
NOTHING = "(no file found)"


def add_kind() -> None:
    """Tell ComfyUI of `models/animatex`; paths from extra_model_paths.yaml are kept."""
    folder_paths.add_model_folder_path(KIND, os.path.join(folder_paths.models_dir, KIND))


def files_of(kinds: tuple[str, ...], endings: tuple[str, ...]) -> list[str]:
    """Names of the files of these kinds with one of these endings, those named after Animate-X first."""
    add_kind()
    names = {name for kind in kinds if kind in folder_paths.folder_names_and_paths for name in _names(kind)}
    chosen = [name for name in names if name.lower().endswith(endings)]
    return sorted(chosen, key=lambda name: ("animate" not in name.lower(), name.lower()))


def model_files() -> list[str]:
    """What Load Model offers: safe files first, then unconverted ones, which it refuses with the way out."""
    unconverted = [name for name in files_of(MODEL_KINDS, UNCONVERTED) if not name.lower().endswith(POSE_FILES)]
    return files_of(MODEL_KINDS, SAFE) + unconverted or [NOTHING]


def path_of(name: str, kinds: tuple[str, ...]) -> str:
    """The path of a file by its name. Raises ValueError naming the folders that were searched."""
    add_kind()
    for kind in kinds:
        path = folder_paths.get_full_path(kind, name) if kind in folder_paths.folder_names_and_paths else None
        if path is not None:
            return path
    raise ValueError(f"{name}: no such file in models/{' or models/'.join(kinds)}; put it there and press R to refresh")


def _names(kind: str) -> list[str]:
    return folder_paths.get_filename_list(kind)
