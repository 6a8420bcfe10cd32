"""The diffusion of the released model as pure functions: schedule, v-prediction, offset noise, DDIM, guidance.

1000 steps, betas linear in their square roots from 0.00085 to 0.0120, rescaled to zero terminal SNR (Lin et al. 2024,
algorithm 1); v-prediction (Salimans and Ho 2022); DDIM with eta 0 (Song et al. 2021, equation 12).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from .choices import GUIDANCE as GUIDANCE
from .choices import OFFSET_NOISE as OFFSET_NOISE
from .choices import STEPS as STEPS

# v for noisy latents at one time step.
Denoiser = Callable[[Tensor, int], Tensor]


@cache
def alphas_cumprod() -> Tensor:
    """The signal's share of variance at time steps 0..999, float64; the last is exactly 0. Do not write to it."""
    betas = torch.linspace(0.00085**0.5, 0.0120**0.5, STEPS, dtype=torch.float64) ** 2
    root = torch.cumprod(1 - betas, 0).sqrt()
    root = (root - root[-1]) * (root[0] / (root[0] - root[-1]))
    return root**2


def signal_and_noise(timesteps: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """sqrt(alpha_bar) and sqrt(1 - alpha_bar) at timesteps [b], shaped to multiply `like` [b, ...]."""
    alpha = alphas_cumprod()[timesteps.cpu()].view(-1, *(1,) * (like.ndim - 1))
    return alpha.sqrt().to(like), (1 - alpha).sqrt().to(like)


def add_noise(x0: Tensor, timesteps: Tensor, noise: Tensor) -> Tensor:
    """Forward noising: x_t [b, ...] from clean latents, timesteps [b] in 0..999 and unit noise."""
    signal, spread = signal_and_noise(timesteps, x0)
    return signal * x0 + spread * noise


def v_target(x0: Tensor, timesteps: Tensor, noise: Tensor) -> Tensor:
    """What the network is trained to predict: v = sqrt(alpha_bar) noise - sqrt(1 - alpha_bar) x0."""
    signal, spread = signal_and_noise(timesteps, x0)
    return signal * noise - spread * x0


def clean_and_noise(x: Tensor, v: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor]:
    """x0 and epsilon that x_t and v stand for; finite at zero SNR too, where epsilon is x_t itself."""
    signal, spread = signal_and_noise(timesteps, x)
    return signal * x - spread * v, signal * v + spread * x


def offset_noise(shape: tuple[int, ...], generator: torch.Generator, strength: float = OFFSET_NOISE) -> Tensor:
    """Unit noise [b, c, F, h, w] plus `strength` times one number per channel and frame; float32, on the CPU.

    The CPU generator makes a seed mean the same on every device.
    """
    noise = torch.randn(shape, generator=generator)
    return noise + strength * torch.randn(*shape[:3], 1, 1, generator=generator)


def ddim_timesteps(steps: int) -> list[int]:
    """The released time steps, largest first: 1 + 0, s, 2s, ... with s = 1000 // steps, none above 999.

    30 makes 31 of them (991 .. 1), 50 makes 50. Raises ValueError outside 1..1000.
    """
    if not 1 <= steps <= STEPS:
        raise ValueError(f"steps must be 1 to {STEPS}, got {steps}")
    return [min(1 + t, STEPS - 1) for t in range(0, STEPS, STEPS // steps)][::-1]


def ddim_step(x: Tensor, v: Tensor, timestep: int, steps: int) -> Tensor:
    """One DDIM update, from `timestep` to the one `1000 // steps` below it (0 at the least)."""
    now = torch.full((x.shape[0],), timestep)
    x0, epsilon = clean_and_noise(x, v, now)
    signal, spread = signal_and_noise((now - STEPS // steps).clamp(min=0), x)
    return signal * x0 + spread * epsilon


def ddim_sample(
    denoise: Denoiser, x: Tensor, steps: int = 30, on_step: Callable[[int, int, Tensor], None] | None = None
) -> Tensor:
    """The released sampler: start noise x -> latents at alpha_bar[0]. `on_step(done, total, x)` follows each update.

    Raises FloatingPointError naming the step when the denoiser returns a number that is not finite.
    """
    timesteps = ddim_timesteps(steps)
    for done, timestep in enumerate(timesteps, 1):
        v = denoise(x, timestep)
        if not torch.isfinite(v).all():
            raise FloatingPointError(
                f"step {done} of {len(timesteps)} (time step {timestep}): the network's output is not finite; "
                "try another precision (bf16 or fp32)"
            )
        x = ddim_step(x, v, timestep, steps)
        if on_step is not None:
            on_step(done, len(timesteps), x)
    return x


def guide(conditional: Tensor, unconditional: Tensor, scale: float = GUIDANCE) -> Tensor:
    """Classifier-free guidance (Ho and Salimans 2022)."""
    return unconditional + scale * (conditional - unconditional)
