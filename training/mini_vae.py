"""A small VAE in the layout of TAESD (Bohan, 2023): 4 channels, an eighth of the size, which ComfyUI loads as it is.

It exists so that everything can be trained and looked at offline, without Stable Diffusion's VAE. It is no
replacement: its latents are its own. Trained by `mini_vae_train` on rendered characters and pictures in the public
domain; figures and licence are in the metadata of the file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from animatex_core.vae import LATENT_CHANNELS, SCALE

LAYOUT_WIDTH = 64  # of TAESD and so of ComfyUI's class; a narrower network is padded with zeros to the same function
_MISSING = 'the mini VAE needs diffusers: pip install "animate-x[offline]"'


class MiniVAE(nn.Module):
    """The network, `width` channels inside. Pictures are [n, 3, H, W] in -1..1, latents [n, 4, H/8, W/8] near one."""

    def __init__(self, width: int):
        super().__init__()
        if not LATENT_CHANNELS < width <= LAYOUT_WIDTH:
            raise ValueError(f"the width of the mini VAE must be above 4 and at most {LAYOUT_WIDTH}, got {width}")
        try:
            from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
        except ImportError as error:
            raise ImportError(_MISSING) from error
        net = AutoencoderTiny(encoder_block_out_channels=(width,) * 4, decoder_block_out_channels=(width,) * 4)
        self.encoder, self.decoder, self.width = net.encoder, net.decoder, width

    def encode(self, pictures: Tensor) -> Tensor:
        """Latents as the denoising network gets them."""
        return self.encoder(pictures)

    def decode(self, latents: Tensor) -> Tensor:
        """Pictures of latents."""
        return self.decoder(latents)


def to_taesd(state: Mapping[str, Tensor], width: int) -> dict[str, Tensor]:
    """The weights by the names of ComfyUI's class and at its width, and how the latents are scaled.

    ComfyUI multiplies what a VAE gives by 0.18215; dividing by it here makes the product what the network was trained
    to give.
    """
    found = {}
    for name, tensor in state.items():
        side, _, rest = name.partition(".layers.")
        number, _, part = rest.partition(".")
        # ComfyUI counts the clamp at the entrance of the decoder, diffusers does not
        found[f"taesd_{side}.{int(number) + (side == 'decoder')}.{part}"] = _padded(tensor, width)
    return found | {"vae_scale": torch.tensor(SCALE), "vae_shift": torch.tensor(0.0)}


def _padded(tensor: Tensor, width: int) -> Tensor:
    """Every axis that is as long as the network is wide, lengthened by zeros to the layout's."""
    shape = [LAYOUT_WIDTH if side == width else side for side in tensor.shape]
    wide = tensor.new_zeros(shape)
    wide[tuple(slice(0, side) for side in tensor.shape)] = tensor
    return wide


def save_mini_vae(path: Path, state: Mapping[str, Tensor], width: int, facts: Mapping[str, Any]) -> None:
    """Write the file that `animatex_core.vae.load_vae` and ComfyUI read: fp16, scales in full, facts as metadata."""
    tensors = to_taesd(state, width)
    stored = {name: (t.half() if t.ndim else t.float()).contiguous() for name, t in tensors.items()}
    save_file(stored, path, {"facts": json.dumps(dict(facts), sort_keys=True)})


def psnr(found: Tensor, wanted: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of pictures [n, 3, H, W] in 0..1, in decibels, [n]."""
    error = (found.clamp(0, 1) - wanted).square().flatten(1).mean(1)
    return -10 * torch.log10(error.clamp_min(1e-10))
