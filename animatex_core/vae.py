"""Pictures to latents and back, without ComfyUI: Stable Diffusion's VAE, or a tiny one, on diffusers' networks."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any, Protocol

import torch
from torch import Tensor

from .identify import describe, open_mapped
from .openclip import build
from .tensor_files import PathLike, WeightsError
from .vae_names import diffusers_names, vae_tensors

LOG = logging.getLogger(__name__)
SCALE = 0.18215  # of the latents that the network knows
LATENT_CHANNELS = 4
NORM_GROUPS = 32
TILE = 512  # pixels of a side of a tile
OutOfMemory = torch.cuda.OutOfMemoryError
_NEEDED = ("encoder.conv_in.weight", "encoder.conv_out.weight", "decoder.conv_in.weight", "decoder.conv_out.weight")
_TINY_NUMBERS = (("vae_scale", 1.0), ("vae_shift", 0.0))
_MISSING = 'the VAE needs diffusers: pip install "animate-x[offline]"'


class Network(Protocol):
    """What differs between the two makes."""

    def encode(self, pictures: Tensor) -> Tensor:
        """[n, 3, H, W] in -1..1 -> scaled latents [n, 4, H/8, W/8]."""
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """Scaled latents -> pictures in -1..1."""
        ...

    def tile(self) -> None:
        """From now on work in tiles."""
        ...


class VAE:
    """A VAE that gets by with the memory there is: fewer pictures at a time, then tiles."""

    def __init__(self, network: Network, dtype: torch.dtype, device: torch.device | str):
        self.network, self.dtype, self.device = network, dtype, torch.device(device)

    def encode(self, pictures: Tensor, batch: int = 4) -> Tensor:
        """Pictures [n, 3, H, W] in 0..1, sides multiples of 8 -> latents [n, 4, H/8, W/8], float32.

        The mean of the posterior, times 0.18215 (the released program draws a sample instead).
        """
        if pictures.ndim != 4 or pictures.shape[1] != 3 or pictures.shape[2] % 8 or pictures.shape[3] % 8:
            raise ValueError(f"expected pictures [n, 3, H, W] with sides in multiples of 8, got {list(pictures.shape)}")
        return torch.cat(list(self._run(self.network.encode, pictures * 2 - 1, batch)))

    def decode(self, latents: Tensor, batch: int = 2) -> Iterator[Tensor]:
        """Latents [n, 4, h, w] -> pictures [k, 3, 8h, 8w] in 0..1, float32, at most `batch` at a time, in order."""
        if latents.ndim != 4:
            raise ValueError(f"expected latents [n, 4, h, w], got {list(latents.shape)}")
        for pictures in self._run(self.network.decode, latents, batch):
            yield ((pictures + 1) / 2).clamp(0, 1)

    def _run(self, step: Any, tensors: Tensor, batch: int) -> Iterator[Tensor]:
        position = 0
        tiled = False
        while position < len(tensors):
            chunk = tensors[position : position + batch]
            out = self._attempt(step, chunk)
            if out is not None:
                position += len(chunk)
                yield out
            elif batch > 1:
                batch = 1
                LOG.warning("VAE: out of memory, one picture at a time from here on")
            elif not tiled:
                tiled = True
                self.network.tile()
                LOG.warning("VAE: out of memory with one picture, in tiles from here on")
            else:
                size = "x".join(str(side) for side in tensors.shape[2:])
                raise OutOfMemory(f"VAE: out of memory even in tiles, at {size}: make width and height smaller")

    @torch.no_grad()
    def _attempt(self, step: Any, chunk: Tensor) -> Tensor | None:
        """None when memory ran out. What held it is free again then: the exception has gone."""
        try:
            return step(chunk.to(self.device, self.dtype)).float()
        except OutOfMemory:
            pass
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        return None


class _Full:
    """Stable Diffusion's VAE."""

    def __init__(self, model: Any):
        self.model = model

    def encode(self, pictures: Tensor) -> Tensor:
        return self.model.encode(pictures).latent_dist.mode() * SCALE

    def decode(self, latents: Tensor) -> Tensor:
        return self.model.decode(latents / SCALE).sample

    def tile(self) -> None:
        self.model.enable_tiling()


class _Tiny:
    """The TAESD layout. Its file may say how its latents are scaled; ComfyUI reads the same two numbers."""

    def __init__(self, model: Any, scale: float, shift: float):
        self.model, self.scale, self.shift = model, scale, shift

    def encode(self, pictures: Tensor) -> Tensor:
        return (self.model.encode(pictures).latents / self.scale + self.shift) * SCALE

    def decode(self, latents: Tensor) -> Tensor:
        return self.model.decode((latents / SCALE - self.shift) * self.scale).sample

    def tile(self) -> None:
        self.model.enable_tiling()


def load_vae(path: PathLike, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> VAE:
    """The VAE of a file: alone, in an SD checkpoint, by diffusers' names, TAESD, or bundled in a model file.

    Raises WeightsError naming the file: no VAE in it, not complete, or not one of Stable Diffusion 1.x or 2.x.
    """
    tensors, tiny = _tensors_of(path)
    try:
        network = _full(tensors, dtype, device) if tensors is not None else _tiny(tiny, dtype, device)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error
    return VAE(network, dtype, device)


def check_vae(path: PathLike) -> None:
    """Raises WeightsError as `load_vae` would, as far as names, shapes and installed packages tell; reads nothing."""
    if find_spec("diffusers") is None:
        raise WeightsError(_MISSING)
    tensors, _ = _tensors_of(path)
    try:
        if tensors is not None:
            vae_sizes(tensors)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error


def _tensors_of(path: PathLike) -> tuple[dict[str, Tensor] | None, dict[str, Tensor]]:
    """Those of Stable Diffusion's VAE, or None and those of a tiny one."""
    checkpoint = open_mapped(path, "bundle it with animate-x convert ... --vae FILE")
    tensors, tiny = vae_tensors(checkpoint.tensors), tiny_tensors(checkpoint.tensors)
    if tensors is None and tiny is None:
        raise WeightsError(f"{path}: no VAE in it: {describe(checkpoint).title}")
    return tensors, tiny or {}


def tiny_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """A VAE of the TAESD layout in a file, by ComfyUI's names; None when there is none."""
    for prefix in ("", "vae."):
        if f"{prefix}taesd_decoder.1.weight" in tensors:
            wanted = re.compile(re.escape(prefix) + r"(taesd_(en|de)coder\.|vae_s(cale|hift)$)")
            return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if wanted.match(name)}
    return None


def _full(tensors: Mapping[str, Tensor], dtype: torch.dtype, device: torch.device | str) -> Network:
    try:
        from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    except ImportError as error:
        raise WeightsError(_MISSING) from error
    widths, blocks = vae_sizes(tensors)
    renamed = diffusers_names(tensors)
    state = {renamed.get(n, n): _linear(renamed.get(n, n), t).to(device, dtype) for n, t in tensors.items()}

    config = {
        "down_block_types": ("DownEncoderBlock2D",) * len(widths),
        "up_block_types": ("UpDecoderBlock2D",) * len(widths),
        "block_out_channels": widths,
        "layers_per_block": blocks,
        "latent_channels": LATENT_CHANNELS,
        "norm_num_groups": NORM_GROUPS,
        "sample_size": TILE,
    }
    return _Full(build(lambda: AutoencoderKL.from_config(config), state, "the VAE"))


def vae_sizes(tensors: Mapping[str, Tensor]) -> tuple[tuple[int, ...], int]:
    """Widths of the levels and blocks of a level, from the original names. Raises WeightsError: incomplete, unlike."""
    missing = [name for name in _NEEDED if name not in tensors or tensors[name].ndim != 4]
    if missing:
        raise WeightsError(f"the VAE is not complete: {', '.join(missing)} missing or not of four axes")
    widths = []
    while (first := tensors.get(f"encoder.down.{len(widths)}.block.0.conv1.weight")) is not None:
        widths.append(first.shape[0])
    blocks = 0
    while f"encoder.down.0.block.{blocks}.conv1.weight" in tensors:
        blocks += 1
    if not widths or any(width % NORM_GROUPS for width in widths):
        raise WeightsError(f"the VAE has levels of {widths} channels, expected multiples of {NORM_GROUPS}")
    latents = tensors["decoder.conv_in.weight"].shape[1]
    if latents != LATENT_CHANNELS:
        raise WeightsError(f"a VAE with {latents} latent channels; Animate-X needs that of Stable Diffusion 1.x or 2.x")
    return tuple(widths), blocks


def _linear(name: str, tensor: Tensor) -> Tensor:
    return tensor[..., 0, 0] if ".attentions." in name and tensor.ndim == 4 else tensor


def _tiny(tensors: Mapping[str, Tensor], dtype: torch.dtype, device: torch.device | str) -> Network:
    try:
        from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
    except ImportError as error:
        raise WeightsError(_MISSING) from error
    first = tensors.get("taesd_encoder.0.weight")
    if first is None or first.ndim != 4:
        raise WeightsError("the tiny VAE is not complete: taesd_encoder.0.weight missing")
    numbers = [float(tensors[name]) if name in tensors else default for name, default in _TINY_NUMBERS]
    widths = (first.shape[0],) * 4
    state = {}
    for name, tensor in tensors.items():
        side, _, rest = name.removeprefix("taesd_").partition(".")
        number, _, part = rest.partition(".")
        if part and number.isdigit():
            # ComfyUI counts the clamp at the entrance of the decoder, diffusers does not.
            state[f"{side}.layers.{int(number) - (side == 'decoder')}.{part}"] = tensor.to(device, dtype)

    config = {"encoder_block_out_channels": widths, "decoder_block_out_channels": widths}
    model = build(lambda: AutoencoderTiny.from_config(config), state, "the tiny VAE")
    # Convolutions and nothing else: a fifth less time on a CPU when the channels lie side by side.
    return _Tiny(model.to(memory_format=torch.channels_last), *numbers)
