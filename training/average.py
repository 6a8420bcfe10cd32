"""The mean of what several trainings of one network learned: a uniform soup (Wortsman et al. 2022, arXiv 2203.05482).

Legs that begin with one another's weights, or with the same ones, often agree so far that their mean works: between the
two in what each is good at, sometimes better than both. Networks that were trained apart from each other do not.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from animatex_core.atomic_file import check_output
from animatex_core.tensor_files import Checkpoint, WeightsError, open_safetensors
from animatex_core.tensor_writer import Cast, write_tensors

from .initial import weights_sha256
from .strengthen import told_strength

# Metadata that a mean cannot take from one file alone.
_SAME = {
    "config": "two networks; a mean is of one that was trained further",
    "source_sha256": "other networks came with them (export with the same --vae and --clip, or without)",
    "license": "two licences; export with the one that the mean shall have",
}


def average(files: Sequence[Path], out: Path, *, overwrite: bool = False) -> None:
    """Write the mean of .safetensors files of `animate-x-train export`, in the dtype that they have.

    Tensors that all have in common (VAE, image encoder) stay as they are to the bit. Metadata are the last file's, with
    `mean_of`: names and sha256 of all. Needs memory for the whole result. Raises WeightsError naming both files where
    they are not of one network, bring other networks with them or have another licence, and a file whose weights are
    not finite.
    """
    if len(files) < 2:
        raise WeightsError(f"a mean needs two files or more, got {len(files)}")
    check_output(out, overwrite=overwrite)
    opened = [open_safetensors(path) for path in files]
    for path, other in zip(files[:-1], opened[:-1], strict=True):
        _check_alike(path, other, files[-1], opened[-1])
    casts = {name: Cast(_mean(name, files, opened), like.dtype, f"the mean of {name}")
             for name, like in opened[-1].tensors.items()}  # fmt: skip
    told = [{"file": path.name, "sha256": weights_sha256(str(path))} for path in files]
    write_tensors(out, casts, {**opened[-1].metadata, "mean_of": json.dumps(told)})


def _check_alike(path: Path, one: Checkpoint, last: Path, other: Checkpoint) -> None:
    for key, words in _SAME.items():
        if one.metadata.get(key) != other.metadata.get(key):
            raise WeightsError(f"{path} and {last}: {key}: {words}")
    strengths = told_strength(path, one.metadata), told_strength(last, other.metadata)
    if abs(strengths[0] / strengths[1] - 1) > 1e-3:
        words = "strengthened by different numbers; animate-x-train strengthen takes them out again"
        raise WeightsError(f"{path} and {last}: pose_strength: {words}")
    for name in sorted(one.tensors.keys() | other.tensors.keys()):
        if name not in one.tensors or name not in other.tensors:
            raise WeightsError(f"{path} and {last}: {name}: is in one of them only")
        left, right = one.tensors[name], other.tensors[name]
        if left.shape != right.shape or left.dtype != right.dtype:
            raise WeightsError(
                f"{path} and {last}: {name}: {list(left.shape)} {left.dtype} and {list(right.shape)} {right.dtype}"
            )


def _mean(name: str, files: Sequence[Path], opened: Sequence[Checkpoint]) -> Tensor:
    """Added up in float32, in the dtype of the files. Whole numbers have no mean, and have to be equal."""
    first, *others = (checkpoint.tensors[name] for checkpoint in opened)
    if all(torch.equal(first, other) for other in others):
        return first
    if not first.is_floating_point():
        raise WeightsError(f"{files[0]} and {files[-1]}: {name}: whole numbers that differ have no mean")
    for path, tensor in zip(files, (first, *others), strict=True):
        if not torch.isfinite(tensor).all():
            raise WeightsError(f"{path}: {name}: holds numbers that are not finite: the weights are broken")
    return torch.stack([first.float(), *(other.float() for other in others)]).mean(0).to(first.dtype)
