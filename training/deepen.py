"""A file whose network has one stage more on a level, in the encoder and in the decoder, and predicts the same.

A network that has learned what it can hold goes on learning with more to learn with (Chen, Goodfellow and Shlens 2016,
arXiv 1511.05641). The new stages begin as the identity: their residual branches end in zeros, and the skip connection
that the decoder's takes in beside the features counts nothing yet.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from animatex_core.atomic_file import check_output
from animatex_core.config import AnimateXConfig, UNetConfig
from animatex_core.network_files import BUNDLES
from animatex_core.tensor_files import WeightsError, open_safetensors
from animatex_core.tensor_writer import Cast, write_tensors
from animatex_core.weights import load_state

from .initial import initial_network, weights_sha256

_STAGE = re.compile(r"unet\.(encoder|decoder)\.(\d+)\.(.+)")
LARGEST_SEED = 2**63 - 1


def deepen(file: Path, out: Path, level: int = 0, *, seed: int = 0, overwrite: bool = False) -> AnimateXConfig:
    """Write a file of `animate-x-train export` or `average` with a stage more on a level; returns its configuration.

    level: 0 is full latent size. seed: of the new weights. VAE, image encoder and metadata stay; `deepened` has level,
    seed and the sha256 of the file before. Takes memory for the whole network in float32. Raises ValueError for a level
    that there is not or no seed, and WeightsError for a file that is no such model or holds something else beside it.
    """
    check_output(out, overwrite=overwrite)
    if not 0 <= seed <= LARGEST_SEED:
        raise ValueError(f"seed: expected 0 to {LARGEST_SEED}, got {seed}")
    state, config, metadata = load_state(file)
    if not 0 <= level < len(config.unet.blocks):
        raise ValueError(f"{file}: level: expected 0 to {len(config.unet.blocks) - 1}, got {level}")
    told = [*_told(file, metadata), {"level": level, "seed": seed, "sha256": weights_sha256(str(file))}]
    beside = _beside(file, state)
    deeper = replace(config, unet=_with_stage(config.unet, level))
    encoder, decoder = _places(config.unet, level)
    kept = {_moved(name, encoder, decoder): tensor for name, tensor in state.items()} | beside
    new = _identity(initial_network(deeper, "", seed).state_dict(), f"unet.decoder.{decoder}.res.skip")
    dtype = state["unet.out.weight"].dtype
    casts = {n: Cast(t, dtype if dtype.itemsize > 1 else torch.float16, f"the new {n}") for n, t in new.items()}
    casts |= {name: Cast(tensor, tensor.dtype, f"{file}: {name}") for name, tensor in kept.items()}
    write_tensors(out, casts, {**metadata, "config": deeper.to_json(), "deepened": json.dumps(told)})
    return deeper


def _told(file: Path, metadata: Mapping[str, str]) -> list[dict[str, int | str]]:
    """What the file says was done to it before."""
    words = metadata.get("deepened", "[]")
    try:
        told = json.loads(words)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, list):
        raise WeightsError(f"{file}: deepened: expected a JSON list in the metadata, found {words[:100]!r}")
    return told


def _beside(file: Path, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The networks that came with it, by their names in the file."""
    others = {name: tensor for name, tensor in open_safetensors(file).tensors.items() if name not in state}
    if strange := [name for name in others if name.split(".")[0] not in BUNDLES]:
        wanted = "expected a file as animate-x-train export, average or animate-x convert writes it"
        raise WeightsError(f"{file}: {strange[0]}: {wanted}")
    return others


def _with_stage(unet: UNetConfig, level: int) -> UNetConfig:
    return replace(unet, blocks_per_level=tuple(n + (at == level) for at, n in enumerate(unet.blocks)))


def _places(unet: UNetConfig, level: int) -> tuple[int, int]:
    """Where the new stages come: the encoder's last on its level, and the decoder's second, which takes what the first
    has taken until now, while the first takes the new one's.
    """
    encoder = sum(unet.blocks[: level + 1]) + level  # after the levels before come their downsamplings
    decoder = sum(blocks + 1 for blocks in unet.blocks[level + 1 :]) + 1
    return encoder, decoder


def _moved(name: str, encoder: int, decoder: int) -> str:
    """The name of a tensor once there are stages at these places."""
    if (found := _STAGE.fullmatch(name)) is None:
        return name
    side, number, rest = found[1], int(found[2]), found[3]
    return f"unet.{side}.{number + (number >= (encoder if side == 'encoder' else decoder))}.{rest}"


def _identity(new: dict[str, Tensor], skip: str) -> dict[str, Tensor]:
    """New weights of which the decoder's new stage passes on its features, and nothing of the skip connection."""
    weight = new[f"{skip}.weight"]
    weight.copy_(torch.eye(*weight.shape[:2])[..., None, None])
    new[f"{skip}.bias"].zero_()
    return new
