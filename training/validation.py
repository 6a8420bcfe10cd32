"""The fixed clips that a run is watched by: their loss, and the videos that the network makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from animatex_core import diffusion
from animatex_core.choices import ReferenceMode
from animatex_core.model import Inputs
from animatex_core.vae import VAE, load_vae

from .config import TrainConfig
from .feed import Data
from .objective import Keep, noise_batch, sample_losses

NOISES = 4  # of each clip, at time steps of their own
SEED = 1


class Validation:
    """The same clips, noise and time steps whenever it is asked, and in every run on the same data."""

    def __init__(self, data: Data, config: TrainConfig, device: torch.device):
        settings = config.watch
        self.settings, self.device = settings, device
        self.reference: ReferenceMode = config.data.reference
        self.objective = replace(config.objective, drop_all=0.0, keep_all=1.0)
        draws = data.validation[: settings.samples]
        self.batches: list[Any] = [data.collate([data.dataset[draw]]) for draw in draws]
        self.vae: VAE | None = load_vae(settings.vae, device=device) if settings.vae else None

    @torch.no_grad()
    def loss(self, module: nn.Module) -> float:
        """The mean over clips and noises."""
        total = 0.0
        for number, batch in enumerate(self.batches):
            latents, inputs = on_device(batch, self.device, self.reference)
            for noise in range(NOISES):
                noised = noise_batch(latents, [SEED + NOISES * number + noise], self.objective)
                v = module(noised.x, noised.timesteps, inputs, noised.keep)
                plain = torch.ones_like(batch.weight)  # comparable whatever a run weighs more
                total += float(sample_losses(v, noised, plain, self.objective.min_snr).mean())
        return total / max(1, NOISES * len(self.batches))

    @torch.no_grad()
    def sample(self, module: nn.Module, number: int) -> Tensor:
        """Latents [F, 4, h, w] that the network makes of a clip's conditions. All processes call it."""
        latents, inputs = on_device(self.batches[number], self.device, self.reference)
        noise = diffusion.offset_noise(tuple(latents.shape), torch.Generator().manual_seed(SEED), 0.0)
        denoise = guided(module, inputs, self.settings.guidance)
        made = diffusion.ddim_sample(denoise, noise.to(self.device), self.settings.sampling_steps)
        return made[0].transpose(0, 1).cpu()

    def picture(self, number: int, made: Tensor) -> np.ndarray:
        """Target, pose and result side by side, uint8 RGB [F, H, 3 W, 3]."""
        batch = self.batches[number]
        target = self._decoded(batch.latents[0].transpose(0, 1))
        poses = batch.inputs.pose
        shown = torch.zeros_like(target) if poses is None else poses[0].transpose(0, 1).float()
        frames = torch.cat([target, shown, self._decoded(made)], dim=3)
        return (frames.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()

    def _decoded(self, latents: Tensor) -> Tensor:
        """Pictures in 0..1 [F, 3, H, W]."""
        if self.vae is not None:
            return torch.cat([part.float().cpu() for part in self.vae.decode(latents)])
        return functional.interpolate(latents[:, :3].float() / 6 + 0.5, scale_factor=8)


def guided(module: nn.Module, inputs: Inputs, guidance: float) -> diffusion.Denoiser:
    """v of noisy latents [b, 4, F, h, w] with guidance between all of the inputs and none; once only where it is 1."""

    def denoise(x: Tensor, timestep: int) -> Tensor:
        times = torch.full((x.shape[0],), timestep, device=x.device)
        conditional = module(x, times, inputs, _all(1.0, x))
        if guidance == 1:
            return conditional.float()
        return diffusion.guide(conditional, module(x, times, inputs, _all(0.0, x)), guidance).float()

    return denoise


def on_device(batch: Any, device: torch.device, reference: ReferenceMode) -> tuple[Tensor, Inputs]:
    """A batch's latents and inputs, float32; of the reference what its mode feeds."""
    unused = {"released": ("reference_latent", "reference_pose"), "paper": ("reference",), "both": ()}[reference]
    inputs = replace(batch.inputs, **dict.fromkeys(unused))
    return batch.latents.to(device, torch.float32), inputs.to(device, torch.float32)


def clips_of(batches: Sequence[Any]) -> list[str]:
    """Their names."""
    return [clip for batch in batches for clip in batch.clips]


def _all(value: float, x: Tensor) -> Keep:
    return Keep(*(x.new_full((x.shape[0],), value) for _ in range(4)))
