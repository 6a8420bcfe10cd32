"""From noise to latents: the guided network, in windows when the clip is long, under the released DDIM."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from . import diffusion
from .model import AnimateX, Conditions, Inputs
from .windows import Window, WindowPlan, fuse

# Guided v for the latents [1, 4, window, h, w] of these frames at a time step.
WindowDenoiser = Callable[[Tensor, int, Window], Tensor]
# Called after each step with the number done, the total and the latents.
OnStep = Callable[[int, int, Tensor], None]


class GuidedDenoiser:
    """The network with classifier-free guidance. The conditions of each distinct window are encoded once.

    Latents, guidance and with them the sampler keep their own precision (float32); the network has that of its weights.
    """

    def __init__(self, model: AnimateX, inputs: Inputs, guidance: float = diffusion.GUIDANCE):
        self.model, self.inputs, self.guidance = model, inputs, guidance
        self._encoded: dict[Window, Conditions] = {}
        self._unconditional: dict[int, Conditions] = {}

    def __call__(self, x: Tensor, timestep: int, window: Window) -> Tensor:
        """v [1, 4, window, h, w], in the precision of x."""
        conditional = self._predict(x, timestep, self._conditions(x, window))
        if self.guidance == 1:
            return conditional
        return diffusion.guide(conditional, self._predict(x, timestep, self._without(x)), self.guidance)

    def _predict(self, x: Tensor, timestep: int, conditions: Conditions) -> Tensor:
        t = torch.full((x.shape[0],), timestep, device=x.device)
        return self.model(x.to(self.model.empty_prompt.dtype), t, conditions).to(x.dtype)

    def _conditions(self, x: Tensor, window: Window) -> Conditions:
        if window not in self._encoded:
            inputs = self.inputs.window(window)
            self._encoded[window] = self.model.encode(inputs, *x.shape[2:], batch=x.shape[0])
        return self._encoded[window]

    def _without(self, x: Tensor) -> Conditions:
        frames = x.shape[2]
        if frames not in self._unconditional:
            self._unconditional[frames] = self.model.encode(Inputs(), *x.shape[2:], batch=x.shape[0])
        return self._unconditional[frames]


@torch.inference_mode()
def sample(
    denoise: WindowDenoiser,
    noise: Tensor,
    *,
    steps: int = 30,
    plan: WindowPlan | None = None,
    known: Tensor | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """Latents [1, 4, F, h, w] from start noise of that shape, by the released DDIM.

    plan: windows; None predicts all frames in one go. known: clean latents [1, 4, k, h, w] of the previous clip, held
    over the first k frames (noised to the level of each step with the start noise). Raises ValueError for known
    latents that do not fit and FloatingPointError when the network overflows.
    """
    check_known(known, noise)
    done_steps = 0

    def whole(x: Tensor, timestep: int) -> Tensor:
        frames = x.shape[2]
        windows = [tuple(range(frames))] if plan is None else plan.windows(frames, done_steps)
        x = hold(x, known, noise, timestep)
        if len(windows) == 1 and windows[0] == tuple(range(frames)):
            return denoise(x, timestep, windows[0])
        predictions = [(w, denoise(x[:, :, torch.tensor(w, device=x.device)], timestep, w)) for w in windows]
        assert plan is not None
        return fuse(predictions, plan.weights(len(windows[0])), frames)

    def count(done: int, total: int, x: Tensor) -> None:
        nonlocal done_steps
        done_steps = done
        if on_step is not None:
            on_step(done, total, x)

    latents = diffusion.ddim_sample(whole, noise, steps, count)
    if known is None:
        return latents
    return torch.cat([known.to(latents), latents[:, :, known.shape[2] :]], dim=2)


def hold(x: Tensor, known: Tensor | None, noise: Tensor, timestep: int) -> Tensor:
    """x with its first frames replaced by the known ones at the noise level of the time step."""
    if known is None:
        return x
    frames = known.shape[2]
    noised = diffusion.add_noise(known.to(x), torch.full((x.shape[0],), timestep), noise[:, :, :frames])
    return torch.cat([noised, x[:, :, frames:]], dim=2)


def check_known(known: Tensor | None, noise: Tensor) -> None:
    """Raises ValueError when the frames to continue from do not fit the clip."""
    if known is None:
        return
    same = known.ndim == 5 and known.shape[:2] == noise.shape[:2] and known.shape[3:] == noise.shape[3:]
    if not same or not 0 < known.shape[2] < noise.shape[2]:
        raise ValueError(
            f"the frames to continue from are {list(known.shape)}; they must be fewer frames of the same latents "
            f"{list(noise.shape)}"
        )
