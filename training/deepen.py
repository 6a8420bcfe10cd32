"""A file whose network has one stage more on a level, in the encoder and in the decoder, and predicts the same.

A network that has learned what it can hold goes on learning with more to learn with (Chen, Goodfellow and Shlens 2016,
arXiv 1511.05641). The new stages begin as the identity: their residual branches end in zeros, and the skip connection
that the decoder's takes in beside the features counts nothing yet.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import torch

from animatex_core.atomic_file import check_output
from animatex_core.config import AnimateXConfig, UNetConfig
from animatex_core.network_files import BUNDLES
from animatex_core.tensor_files import open_safetensors
from animatex_core.tensor_writer import Cast, write_tensors
from animatex_core.weights import load_state

from .initial import initial_network

_STAGE = re.compile(r"unet\.(encoder|decoder)\.(\d+)\.(.+)")


def deepen(file: Path, out: Path, level: int = 0, *, seed: int = 0, overwrite: bool = False) -> AnimateXConfig:
    """Write a converted model (`animate-x-train export`, `average`) with a stage more on a level; its configuration.

    level: 0 is full latent size. seed: of the new weights. VAE, image encoder and the other metadata stay. Raises
    ValueError for a level that there is not, and WeightsError for a file that is no such model.
    """
    check_output(out, overwrite=overwrite)
    state, config, metadata = load_state(file)
    deeper = replace(config, unet=_with_stage(config.unet, level))
    encoder, decoder = _places(config.unet, level)
    kept = {_moved(name, encoder, decoder): tensor for name, tensor in state.items()}
    new = initial_network(deeper, "", seed).state_dict()
    # The decoder's stage takes features and a skip connection: of these the features alone pass.
    taken = new[f"unet.decoder.{decoder}.res.skip.weight"]
    taken.copy_(torch.eye(*taken.shape[:2])[..., None, None])
    new[f"unet.decoder.{decoder}.res.skip.bias"].zero_()
    dtype = state["unet.out.weight"].dtype
    casts = {name: Cast(tensor, dtype, f"the new {name}") for name, tensor in new.items()}
    casts |= {name: Cast(tensor, tensor.dtype, f"{file}: {name}") for name, tensor in kept.items()}
    beside = {name: t for name, t in open_safetensors(file).tensors.items() if name.split(".")[0] in BUNDLES}
    casts |= {name: Cast(tensor, tensor.dtype, f"{file}: {name}") for name, tensor in beside.items()}
    write_tensors(out, casts, {**metadata, "config": deeper.to_json()})
    return deeper


def _with_stage(unet: UNetConfig, level: int) -> UNetConfig:
    if not 0 <= level < len(unet.blocks):
        raise ValueError(f"level: expected 0 to {len(unet.blocks) - 1}, got {level}")
    blocks = tuple(number + (at == level) for at, number in enumerate(unet.blocks))
    return replace(unet, blocks_per_level=blocks[0] if len(set(blocks)) == 1 else blocks)


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
