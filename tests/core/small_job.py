"""Small networks of random weights as files of the formats of real ones, and a job with them."""

from collections.abc import Mapping
from pathlib import Path

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from animatex_core import pipeline
from animatex_core.config import TINY
from animatex_core.included import ASSETS
from animatex_core.model import AnimateX
from animatex_core.settings import Settings

SETTINGS = Settings(width=128, height=192, frames=16, stride=2, steps=10, seed=7, ipi_source="reference")


def small_job(folder: Path) -> pipeline.Job:
    """Small networks with random weights, written as files of the same formats as real ones."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        metadata = {"format": "animate-x", "format_version": "1", "config": TINY.to_json(), "dtype": "fp32"}
        _save(AnimateX(TINY).state_dict(), folder / "model.safetensors", metadata)
        _save(_vae(), folder / "vae.safetensors")
        _save(_clip(), folder / "clip.safetensors")
    return pipeline.Job(
        model=folder / "model.safetensors",
        clip=folder / "clip.safetensors",
        vae=folder / "vae.safetensors",
        reference=ASSETS / "banana.png",
        poses=ASSETS / "dance.json",
        settings=SETTINGS,
    )


def _vae() -> dict[str, Tensor]:
    config = {
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
        "block_out_channels": [32] * 4,
        "layers_per_block": 1,
    }
    vae = AutoencoderKL.from_config(config)
    assert isinstance(vae, AutoencoderKL)
    return vae.state_dict()


def _clip() -> dict[str, Tensor]:
    config = CLIPVisionConfig(
        hidden_size=64, intermediate_size=128, projection_dim=TINY.conditions.clip_width, num_hidden_layers=2,
        num_attention_heads=1, image_size=224, patch_size=32, hidden_act="gelu",
    )  # fmt: skip
    return CLIPVisionModelWithProjection(config).state_dict()


def _save(state: Mapping[str, Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path, metadata)
