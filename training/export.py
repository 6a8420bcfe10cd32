"""A run -> the file that `animate-x animate` and ComfyUI load: averaged weights, and how they were trained."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from importlib import metadata as packages
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from animatex_core.atomic_file import check_output
from animatex_core.convert import DTYPES, FULL, bundle
from animatex_core.network_files import FORMAT, FORMAT_VERSION
from animatex_core.tensor_writer import Cast, write_tensors

from .checkpoint import Checkpoints, Saved
from .config import TrainConfig
from .config_file import config_from, network_config
from .initial import initial_network, weights_sha256
from .lora import lora_file, merged

LOG = logging.getLogger(__name__)
CHECKPOINTS = "checkpoints"


def export(
    run: Path,
    out: Path,
    *,
    dtype: str = "fp16",
    averaged: bool = True,
    lora: bool = False,
    weights: str | None = None,
    license_name: str = "",
    note: str = "",
    vae: Path | None = None,
    clip: Path | None = None,
    overwrite: bool = False,
) -> dict[str, str]:
    """Write the newest checkpoint of a run; returns the metadata.

    averaged: the EMA weights, where the run kept them. lora: the adapters alone, for ComfyUI's LoRA loader; without it
    they are worked into the weights. weights: where the file that training started from is now. license_name, note:
    kept in the metadata. vae, clip: files whose networks are put into the same file.
    Raises ValueError: no checkpoint, not the file that training started from.
    """
    check_output(out, overwrite=overwrite)
    found = Checkpoints(run / CHECKPOINTS, 1).newest()
    if found is None:
        raise ValueError(f"{run}: holds no complete checkpoint")
    step, saved = found
    config = _config(saved, run)
    facts = _metadata(config, saved, step, averaged, license_name) | ({"note": note} if note else {})
    learned = dict(saved.tensors.get("ema" if averaged else "model") or saved.tensors["model"])
    if config.data.reference != "released":
        LOG.warning(
            '%s: trained with data.reference = "%s", which a file does not tell who animates: give --reference-mode %s',
            run, config.data.reference, config.data.reference,
        )  # fmt: skip
    if lora:
        _write_lora(out, config, learned, facts, DTYPES[dtype], run)
        return facts
    parts, hashes = bundle(out, vae, clip, dtype)
    state = _state(config, learned, saved, weights)
    casts = {
        name: Cast(tensor, torch.float32 if name in FULL else DTYPES[dtype], f"{run}: {name}")
        for name, tensor in state.items()
    }
    facts |= _model_facts(config, dtype) | hashes
    write_tensors(out, casts | parts, facts)
    return facts


def _config(saved: Saved, run: Path) -> TrainConfig:
    return config_from(saved.state["facts"]["config"], str(run))


def _state(config: TrainConfig, learned: dict[str, Tensor], saved: Saved, weights: str | None) -> dict[str, Tensor]:
    """The whole network: what it started from, under what it learned."""
    path = config.start.weights if weights is None else weights
    if weights_sha256(path) != saved.state["facts"]["start"]:
        raise ValueError(f"{path or 'no file'}: is not what this run started from (sha256); give that as --weights")
    state = dict(initial_network(network_config(config.model), path, config.run.seed).state_dict())
    rank, alpha = config.trainable.lora_rank, config.trainable.lora_alpha
    return merged(state, learned, alpha or rank) if rank else {**state, **learned}


def _write_lora(
    out: Path, config: TrainConfig, learned: dict[str, Tensor], facts: dict[str, str], dtype: torch.dtype, run: Path
) -> None:
    rank = config.trainable.lora_rank
    if not rank:
        raise ValueError(f"{run}: trained no LoRA (trainable.lora_rank is 0); export without --lora")
    state = lora_file(learned, config.trainable.lora_alpha or rank)
    casts = {name: Cast(t, torch.float32 if t.ndim == 0 else dtype, f"{run}: {name}") for name, t in state.items()}
    write_tensors(out, casts, {**facts, "format": "animate-x-lora", "lora_rank": str(rank)})


def _metadata(config: TrainConfig, saved: Saved, step: int, averaged: bool, license_name: str) -> dict[str, str]:
    facts: Mapping[str, Any] = saved.state["facts"]
    told = {
        "step": step,
        "weights": "ema" if averaged and "ema" in saved.tensors else "last",
        "config": _without_places(facts["config"]),
        "data_set": facts["data set"],
        "start_sha256": facts["start"],
        "processes": facts["processes"],
    }
    return {
        "training": json.dumps(told),
        "license": license_name
        or ("that of the weights it was trained from" if config.start.weights else "not stated"),
        "trained_with": f"animate-x {packages.version('animate-x')}",
    }


def _without_places(value: Any) -> Any:
    """Settings with the names of files and folders, but not where they lay on this machine."""
    if isinstance(value, Mapping):
        return {key: _without_places(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_places(inner) for inner in value]
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value


def _model_facts(config: TrainConfig, dtype: str) -> dict[str, str]:
    network = network_config(config.model)
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "config": network.to_json(),
        "variant": "uni-animate" if network.ipi is None else "animate-x",
        "temporal": network.unet.temporal,
        "dtype": str(DTYPES[dtype]).removeprefix("torch."),
        "empty_prompt": "that of the start" if config.start.weights else "zeros",
    }
