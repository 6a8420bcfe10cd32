"""What the network is trained to do: predict v of noised latents (Salimans and Ho 2022), with zero terminal SNR.

Everything random about a sample follows from the seed of its draw. So a sample meets the same noise, time step and
dropped conditions whichever process trains on it, in whichever batch, and before or after an interruption.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from animatex_core.diffusion import STEPS, add_noise, alphas_cumprod, offset_noise, v_target

from .config import ObjectiveSettings

# Keeps these numbers apart from those that the data set draws from the same seed.
SALT = 0x5EED


@dataclass(frozen=True)
class Keep:
    """Which conditions each sample keeps: 1 or 0, [b]."""

    pose: Tensor
    reference: Tensor
    tokens: Tensor
    motion: Tensor  # the IPI's inputs and the reference's latent

    def to(self, like: Tensor) -> Keep:
        """On the device and in the dtype of `like`."""
        return Keep(*(t.to(like) for t in (self.pose, self.reference, self.tokens, self.motion)))


@dataclass(frozen=True)
class Noised:
    """A batch as the network sees it, and what it should answer; on the device of the latents."""

    x: Tensor  # [b, 4, F, h, w]
    timesteps: Tensor  # [b]
    target: Tensor  # [b, 4, F, h, w]
    keep: Keep


def noise_batch(latents: Tensor, seeds: Sequence[int], settings: ObjectiveSettings) -> Noised:
    """Noise clean latents [b, 4, F, h, w]; one seed for each sample."""
    shape = (1, *latents.shape[1:])
    timesteps, noises, kept = [], [], []
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed ^ SALT)
        timesteps.append(shifted(int(torch.randint(STEPS, (), generator=generator)), settings.shift))
        kept.append(draw_kept(settings, generator))
        noises.append(offset_noise(shape, generator, settings.offset_noise))
    times = torch.tensor(timesteps, device=latents.device)
    noise = torch.cat(noises).to(latents)
    keep = Keep(*torch.tensor(kept, dtype=torch.float32).to(latents.device).unbind(1))
    return Noised(add_noise(latents, times, noise), times, v_target(latents, times, noise), keep)


def shifted(timestep: int, shift: float) -> int:
    """A time step drawn evenly from 0..999, moved towards the noisy end: s t / (1 + (s - 1) t) of t in 0..1.

    Esser et al. 2024, equation 23. Where things stand is decided there; half of the draws are above s / (s + 1).
    """
    share = timestep / (STEPS - 1)
    return round((STEPS - 1) * shift * share / (1 + (shift - 1) * share))


def draw_kept(settings: ObjectiveSettings, generator: torch.Generator) -> tuple[float, float, float, float]:
    """1 or 0 for pose, reference picture, image tokens, motion: all dropped, all kept, or each on its own."""
    lot, *each = torch.rand(4, generator=generator).tolist()
    if lot < settings.drop_all:
        return (0.0, 0.0, 0.0, 0.0 if settings.drop_motion else 1.0)
    if lot < settings.drop_all + settings.keep_all:
        return (1.0, 1.0, 1.0, 1.0)
    pose, reference, tokens = (float(share >= settings.drop_each) for share in each)
    return (pose, reference, tokens, 1.0)


def loss_weights(timesteps: Tensor, min_snr: float) -> Tensor:
    """Weights of the squared error of v at timesteps [b]: min(SNR, gamma) / (SNR + 1), or 1 when gamma is 0.

    Hang et al. 2023 for v-prediction. At the last time step, where there is no signal, the weight is 0.
    """
    if not min_snr:
        return torch.ones_like(timesteps, dtype=torch.float32)
    alpha = alphas_cumprod()[timesteps.cpu()]
    # min(a / (1 - a), gamma) (1 - a): finite for every a
    return torch.minimum(alpha, min_snr * (1 - alpha)).to(timesteps.device, torch.float32)


def sample_losses(v: Tensor, noised: Noised, weight: Tensor, min_snr: float) -> Tensor:
    """Weighted mean squared error of each sample [b], in float32. weight [b, F, h, w] is the data set's own."""
    squares = (v.float() - noised.target.float()).square()
    errors = (squares * weight.unsqueeze(1).to(squares)).flatten(1).mean(1)
    return errors * loss_weights(noised.timesteps, min_snr)
