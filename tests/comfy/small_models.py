"""Small models of random weights as the files a user would have, for tests of the nodes: wiring, never quality."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from animatex_core.config import TINY, AnimateXConfig
from animatex_core.model import AnimateX


def write_model(
    path: Path,
    config: AnimateXConfig = TINY,
    seed: int = 0,
    bundle: bool = True,
    dtype: torch.dtype = torch.float32,
    told: bool = True,
) -> Path:
    """A model file as conversion writes it, with a small CLIP vision and a tiny VAE (TAESD layout) in it.

    told: whether the file says its configuration; else it is inferred from the tensors.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        state = network_state(config, seed)
        if bundle:
            state |= {
                f"clip_vision.{name}": tensor for name, tensor in clip_state(config.conditions.clip_width).items()
            }
            state |= {f"vae.{name}": tensor for name, tensor in vae_state().items()}
    facts = {"format": "animate-x", "format_version": "1"} | ({"config": config.to_json()} if told else {})
    save_file({name: tensor.to(dtype).contiguous() for name, tensor in state.items()}, path, facts)
    return path


# Ends of residual branches. Training starts them at zero and leaves them small; at full size a random network would be
# chaotic, and two runs that round differently would part.
BRANCH_ENDS = (".leave.weight", ".out.weight", ".down.weight", "convs.3.weight", ".conv2.weight")
BRANCH_SIZE = 0.3


def network_state(config: AnimateXConfig, seed: int) -> dict[str, torch.Tensor]:
    """Weights of a sane scale; norms are near one, so that every path carries signal, and latents near one too."""
    generator = torch.Generator().manual_seed(seed)
    state = AnimateX(config).state_dict()
    for name, tensor in state.items():
        if name.endswith("positions"):
            continue
        deviation = 0.05 if tensor.ndim == 1 else tensor[0].numel() ** -0.5
        tensor.normal_(0, deviation, generator=generator)
        if "norm" in name and name.endswith("weight"):
            tensor.add_(1)
        if name.endswith(BRANCH_ENDS):
            tensor.mul_(BRANCH_SIZE)
    return state


def clip_state(projection: int) -> dict[str, torch.Tensor]:
    """A CLIP vision tower of two layers."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    config = CLIPVisionConfig(
        hidden_size=64, intermediate_size=128, projection_dim=projection, num_hidden_layers=2, num_attention_heads=1,
        image_size=224, patch_size=32, hidden_act="gelu",
    )  # fmt: skip
    state = CLIPVisionModelWithProjection(config).state_dict()
    return {name: tensor * 4 for name, tensor in state.items() if not name.endswith("position_ids")}


def vae_state() -> dict[str, torch.Tensor]:
    """A tiny VAE by ComfyUI's names."""
    from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny

    state = {}
    for name, tensor in AutoencoderTiny().state_dict().items():
        side, _, number, rest = name.split(".", 3)
        state[f"taesd_{side}.{int(number) + (side == 'decoder')}.{rest}"] = tensor
    return state
