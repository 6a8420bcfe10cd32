"""A small VAE in the layout of TAESD (Bohan, 2023): 4 channels, an eighth of the size, which ComfyUI loads as it is.

It exists so that everything can be trained and looked at offline, without Stable Diffusion's VAE. It is no
replacement: its latents are its own. Trained by `mini_vae_train` on rendered characters and pictures in the public
domain; figures and licence are in the metadata of the file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from animatex_core.vae import LATENT_CHANNELS, SCALE

LAYOUT_WIDTH = 64  # of TAESD and so of ComfyUI's class; a narrower network is padded with zeros to the same function
_ENCODER_BLOCKS, _DECODER_BLOCKS = (1, 3, 3, 3), (1, 3, 3, 3)  # of TAESD, from full size to an eighth


@dataclass(frozen=True)
class VAEShape:
    """Channels and residual blocks at full size, a half, a quarter and an eighth of it.

    What TAESD has more of is written as zeros: a block of zeros lets everything pass, since all that reaches it is
    positive.
    """

    widths: tuple[int, ...] = (24, 24, 48, 48)
    encoder_blocks: tuple[int, ...] = (1, 3, 3, 3)
    decoder_blocks: tuple[int, ...] = (1, 3, 3, 3)

    def __post_init__(self) -> None:
        if len(self.widths) != 4 or not all(1 <= w <= LAYOUT_WIDTH for w in self.widths):
            raise ValueError(f"widths of the mini VAE must be 4 numbers of 1 to {LAYOUT_WIDTH}, got {self.widths}")
        for name, most in (("encoder_blocks", _ENCODER_BLOCKS), ("decoder_blocks", _DECODER_BLOCKS)):
            found = getattr(self, name)
            if len(found) != 4 or any(not 0 <= n <= top for n, top in zip(found, most, strict=True)):
                raise ValueError(f"{name} of the mini VAE must be 4 numbers of 0 to {most}, got {found}")


_LAYOUT = VAEShape((LAYOUT_WIDTH,) * 4, _ENCODER_BLOCKS, _DECODER_BLOCKS)


class MiniVAE(nn.Module):
    """The network. Pictures are [n, 3, H, W] in -1..1, latents [n, 4, H/8, W/8] near one.

    Layers are numbered as ComfyUI numbers them, whichever are left out.
    """

    def __init__(self, shape: VAEShape):
        super().__init__()
        self.encoder = nn.Sequential(*_encoder(shape))
        self.decoder = nn.Sequential(*_decoder(shape))
        self.shape = shape
        self.apply(_start)

    def encode(self, pictures: Tensor) -> Tensor:
        """Latents as the denoising network gets them."""
        return self.encoder((pictures + 1) / 2)  # TAESD's own pictures are in 0..1

    def decode(self, latents: Tensor) -> Tensor:
        """Pictures of latents."""
        return self.decoder(latents) * 2 - 1


class _Block(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        first, second, third = (nn.Conv2d(width, width, 3, padding=1) for _ in range(3))
        self.conv = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), third)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.conv(x) + x)


class _Clamp(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x / 3) * 3


def _start(module: nn.Module) -> None:
    """Weights that keep the size of what goes through them; a block begins close to letting it pass."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, _Block):
        with torch.no_grad():
            module.get_parameter("conv.4.weight").mul_(0.1)


def _blocks(width: int, count: int, most: int) -> Iterator[nn.Module]:
    for number in range(most):
        yield _Block(width) if number < count else nn.ReLU()


def _encoder(shape: VAEShape) -> Iterator[nn.Module]:
    before = 3
    for level, (width, count) in enumerate(zip(shape.widths, shape.encoder_blocks, strict=True)):
        yield nn.Conv2d(before, width, 3, 2 if level else 1, 1, bias=not level)
        yield from _blocks(width, count, _ENCODER_BLOCKS[level])
        before = width
    yield nn.Conv2d(before, LATENT_CHANNELS, 3, padding=1)


def _decoder(shape: VAEShape) -> Iterator[nn.Module]:
    yield from (_Clamp(), nn.Conv2d(LATENT_CHANNELS, shape.widths[3], 3, padding=1), nn.ReLU())
    for level in (3, 2, 1):
        yield from _blocks(shape.widths[level], shape.decoder_blocks[level], _DECODER_BLOCKS[level])
        yield nn.Upsample(scale_factor=2)
        yield nn.Conv2d(shape.widths[level], shape.widths[level - 1], 3, padding=1, bias=False)
    yield from _blocks(shape.widths[0], shape.decoder_blocks[0], _DECODER_BLOCKS[0])
    yield nn.Conv2d(shape.widths[0], 3, 3, padding=1)


def to_taesd(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights by the names of ComfyUI's class and at its width, and how the latents are scaled.

    ComfyUI multiplies what a VAE gives by 0.18215; dividing by it here makes the product what the network was trained
    to give.
    """
    with torch.device("meta"):
        layout = MiniVAE(_LAYOUT).state_dict()
    found = {f"taesd_{name}": _padded(state.get(name), wide.shape) for name, wide in layout.items()}
    return found | {"vae_scale": torch.tensor(SCALE), "vae_shift": torch.tensor(0.0)}


def _padded(tensor: Tensor | None, shape: torch.Size) -> Tensor:
    """The tensor in the corner of zeros."""
    wide = torch.zeros(shape)
    if tensor is not None:
        wide[tuple(slice(0, side) for side in tensor.shape)] = tensor
    return wide


def stored_shape(path: Path) -> VAEShape:
    """Of the network of a file, which is padded with zeros there."""
    with safe_open(path, "pt") as file:
        told = json.loads(file.metadata()["facts"])["training"]
    if "widths" not in told:  # the first files
        return VAEShape((told["width"],) * 4, _ENCODER_BLOCKS, _DECODER_BLOCKS)
    return VAEShape(*(tuple(told[f.name]) for f in fields(VAEShape)))


def widened(path: Path, shape: VAEShape) -> dict[str, Tensor]:
    """The weights of a narrower network's file as a network of `shape` that does the same at first.

    New channels begin at random and nothing listens to them yet. Raises ValueError when the file is wider or deeper.
    """
    with safe_open(path, "pt") as file:
        stored = {name: file.get_tensor(name).float() for name in file.keys()}
    old = stored_shape(path)
    state, narrow = MiniVAE(shape).state_dict(), MiniVAE(old).state_dict()
    for name, tensor in narrow.items():
        if name not in state or any(a > b for a, b in zip(tensor.shape, state[name].shape, strict=True)):
            raise ValueError(f"{path}: {old} is no part of {shape}")
        corner = tuple(slice(0, side) for side in tensor.shape)
        if tensor.ndim > 1:
            state[name][: tensor.shape[0], tensor.shape[1] :] = 0
        state[name][corner] = stored[f"taesd_{name}"][corner]
    return state


def save_mini_vae(path: Path, state: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write the file that `animatex_core.vae.load_vae` and ComfyUI read: fp16, scales in full, facts as metadata."""
    tensors = to_taesd(state)
    stored = {name: (t.half() if t.ndim else t.float()).contiguous() for name, t in tensors.items()}
    save_file(stored, path, {"facts": json.dumps(dict(facts), sort_keys=True)})


def spread(latents: Tensor) -> Tensor:
    """How far mean and deviation of each channel of latents [n, 4, h, w] are from 0 and 1; a loss."""
    deviation, mean = torch.std_mean(latents, dim=(0, 2, 3))
    return mean.square().mean() + (deviation - 1).square().mean()


def psnr(found: Tensor, wanted: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of pictures [n, 3, H, W] in 0..1, in decibels, [n]."""
    error = (found.clamp(0, 1) - wanted).square().flatten(1).mean(1)
    return -10 * torch.log10(error.clamp_min(1e-10))
