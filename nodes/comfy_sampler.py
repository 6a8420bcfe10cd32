"""The released DDIM inside ComfyUI's own sampling: its guider, conds, hooks, patches, previews and cancel."""

from __future__ import annotations

import time
from typing import Any

import comfy.context_windows as context_windows
import comfy.model_management as management
import comfy.samplers
import latent_preview
import torch
from comfy.utils import PROGRESS_BAR_ENABLED
from torch import Tensor

from ..animatex_core import diffusion
from ..animatex_core import windows as core_windows
from ..animatex_core.sampling import sample
from ..animatex_core.windows import Window, WindowPlan
from .comfy_model import CARRIED, Carried, FrameNumbers

# The host's stand-in for the share of signal at the last time step, which is exactly 0 (its sigma would be infinite).
LAST_SHARE = 4.8973451890853435e-08


def released_sigmas(steps: int) -> Tensor:
    """Noise levels of the released time steps, largest first, then that of time step 0, where the program ends."""
    share = diffusion.alphas_cumprod().clamp(min=LAST_SHARE)
    times = torch.tensor([*diffusion.ddim_timesteps(steps), 0])
    return ((1 - share[times]) / share[times]).sqrt().float()


class PlannedWindows(context_windows.IndexListContextHandler):
    """The core's windows as the host's: seams move from step to step, predictions are blended smoothly."""

    def __init__(self, plan: WindowPlan):
        schedule = context_windows.ContextSchedule("animatex", None)
        fuse = context_windows.ContextFuseMethod("animatex", None)
        super().__init__(schedule, fuse, context_length=plan.length, context_overlap=plan.overlap, dim=0)
        self.causal_window_fix = False  # a separate run on a window's frames has no frame before them
        self.plan, self.step = plan, 0

    def should_use_context(
        self, model: Any, conds: Any, x_in: Tensor, timestep: Tensor, model_options: dict[str, Any]
    ) -> bool:  # fmt: skip
        """Always: a loop that fits one window has other first frames from step to step."""
        return True

    def set_step(self, timestep: Tensor, model_options: dict[str, Any]) -> None:
        """The sampler says which step it is; noise levels need not be looked up."""
        self._step = self.step

    def get_context_windows(self, model: Any, x_in: Tensor, model_options: dict[str, Any]) -> list[Any]:
        """The windows of this step."""
        frames = x_in.shape[0]
        windows = self.plan.windows(frames, self.step)
        return [context_windows.IndexListContextWindow(list(w), dim=0, total_frames=frames) for w in windows]

    def combine_context_window_results(
        self, x_in: Tensor, sub_conds_out: list[Tensor], sub_conds: Any, window: Any, window_idx: int,
        total_windows: int, timestep: Tensor, conds_final: list[Tensor], counts_final: list[Tensor],
        biases_final: Any,
    ) -> None:  # fmt: skip
        """Add a window's predictions and their weights to the sums that the host divides in the end."""
        weights = self.plan.weights(len(window.index_list)).to(x_in).view(-1, 1, 1, 1)
        for out, total, share in zip(sub_conds_out, conds_final, counts_final, strict=True):
            window.add_window(total, out * weights)
            window.add_window(share, weights)


class ReleasedDDIM(comfy.samplers.Sampler):
    """The core's sampler as a SAMPLER of the host. `known`: scaled latents [k, 4, h, w] held over the first frames."""

    def __init__(self, steps: int, windows: PlannedWindows | None, known: Tensor | None):
        self.steps, self.windows, self.known = steps, windows, known

    def sample(
        self, model_wrap: Any, sigmas: Tensor, extra_args: dict[str, Any], callback: Any, noise: Tensor,
        latent_image: Tensor | None = None, denoise_mask: Tensor | None = None, disable_pbar: bool = False,
    ) -> Tensor:  # fmt: skip
        """Latents [F, 4, h, w] at alpha_bar[0] from unit noise of that shape."""
        sigma_of = dict(zip(diffusion.ddim_timesteps(self.steps), sigmas[:-1].tolist(), strict=True))
        done, clean = 0, noise

        def denoise(x: Tensor, timestep: int, _window: Window) -> Tensor:
            nonlocal clean
            if self.windows is not None:
                self.windows.step = done
            frames, sigma = frames_of(x), sigma_of[timestep]
            scale = (sigma**2 + 1) ** 0.5
            clean = model_wrap(frames * scale, torch.full_like(frames[:, 0, 0, 0], sigma), **extra_args)
            return clip_of((frames / scale - clean) * (scale / sigma))

        def on_step(number: int, total: int, x: Tensor) -> None:
            nonlocal done
            done = number
            if callback is not None:
                callback(number - 1, clean, frames_of(x), total)

        known = None if self.known is None else clip_of(self.known.to(noise))
        return frames_of(sample(denoise, clip_of(noise), steps=self.steps, known=known, on_step=on_step))


def frames_of(clip: Tensor) -> Tensor:
    """[1, 4, F, h, w] -> [F, 4, h, w]."""
    return clip[0].transpose(0, 1)


def clip_of(frames: Tensor) -> Tensor:
    """[F, 4, h, w] -> [1, 4, F, h, w]."""
    return frames.transpose(0, 1)[None]


def start_noise(shape: tuple[int, ...], seed: int, offset: float, plan: WindowPlan | None, share: bool) -> Tensor:
    """Start noise [F, 4, h, w] of a seed, float32 on the CPU, as the program without ComfyUI draws it."""
    frames, channels, height, width = shape
    noise = core_windows.start_noise((1, channels, frames, height, width), seed, plan, shared=share, offset=offset)
    return frames_of(noise).contiguous()


def run(
    model: Any, positive: Any, negative: Any, noise: Tensor, *, steps: int, guidance: float, seed: int,
    plan: WindowPlan | None, known: Tensor | None,
) -> Tensor:  # fmt: skip
    """Latents [F, 4, h, w] as VAEs take them. known: latents of the previous clip's last frames, not scaled."""
    model = model.clone()
    windows = None if plan is None else PlannedWindows(plan)
    model.model_options.pop("context_handler", None)
    if windows is not None:
        model.model_options["context_handler"] = windows
        context_windows.create_prepare_sampling_wrapper(model)
    guider = comfy.samplers.CFGGuider(model)
    guider.set_conds(positive, negative)
    guider.set_cfg(guidance)
    scaled = None if known is None else model.model.process_latent_in(known)
    sigmas = released_sigmas(steps)
    return guider.sample(
        noise,
        torch.zeros_like(noise),
        ReleasedDDIM(steps, windows, scaled),
        sigmas,
        callback=latent_preview.prepare_callback(model, len(sigmas) - 1),
        disable_pbar=not PROGRESS_BAR_ENABLED,
        seed=seed,
    )


@torch.inference_mode()
def seconds_a_frame(model: Any, width: int, height: int, frames: int = 4) -> float:
    """How long one prediction takes a frame at this size, in seconds, measured once after a first run."""
    real, device = model.model, model.load_device
    carried = Carried(frames=frames, width=width, height=height)
    numbers = [FrameNumbers(torch.arange(frames), carried)]
    x = torch.zeros(frames, real.config.unet.in_channels, height // 8, width // 8, device=device)
    management.load_models_gpu([model], memory_required=real.memory_required(list(x.shape)))
    model.pre_run()
    try:
        for _ in range(2):
            start = time.perf_counter()
            real.apply_model(x, torch.ones(frames, device=device), **{CARRIED: numbers}).sum().item()
            seconds = time.perf_counter() - start
    finally:
        model.cleanup()
    return seconds / (frames + 1)
