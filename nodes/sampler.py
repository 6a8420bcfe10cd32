"""The released sampler with windows for long clips, and its noise levels for ComfyUI's own samplers."""

from __future__ import annotations

from typing import Any

import comfy.model_management
import torch
from comfy_api.latest import io
from torch import Tensor

from ..animatex_core import diffusion
from ..animatex_core.windows import WindowPlan, plan_windows
from . import comfy_sampler
from .comfy_model import AnimateXModel
from .schema import schema

LARGEST_SEED = 0xFFFFFFFFFFFFFFFF
ENDS = ("clean", "as released")


class Sampler(io.ComfyNode):
    """Animate-X Sampler."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node as people see it."""
        return schema(
            node_id="AnimateX_Sampler",
            display_name="Animate-X Sampler (released DDIM)",
            description=(
                "Samples exactly as the released program, and clips of any length in windows that overlap. LoRAs, "
                "caches, previews and cancel work as in KSampler, which can be used instead."
            ),
            search_aliases=["ddim", "animate-x ksampler", "long video", "sliding window", "seamless loop"],
            inputs=[
                io.Model.Input("model", tooltip="From Load Animate-X Model, with or without LoRAs and patches."),
                io.Conditioning.Input("positive", tooltip="From Animate-X Conditioning."),
                io.Conditioning.Input("negative", tooltip="From Animate-X Conditioning."),
                io.Latent.Input("latent", tooltip="From Animate-X Conditioning; only its size is used."),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=LARGEST_SEED,
                    control_after_generate=True,
                    tooltip="The same seed gives the same clip, on every device and in the command line program.",
                ),
                io.Int.Input(
                    "steps",
                    default=30,
                    min=1,
                    max=diffusion.STEPS,
                    tooltip="30 as released (31 evaluations); 50 as in the paper; 15 for a draft.",
                ),
                io.Float.Input(
                    "cfg", default=diffusion.GUIDANCE, min=0.0, max=100.0, step=0.1,
                    tooltip="Guidance: how strongly the inputs are followed. 2.5 as released; 1 is twice as fast.",
                ),
                io.Float.Input(
                    "offset_noise", default=diffusion.OFFSET_NOISE, min=0.0, max=1.0, step=0.01, optional=True,
                    tooltip="Start noise common to a frame's pixels; 0.1 as released.",
                ),
                io.Int.Input(
                    "window_length", default=32, min=0, max=4096, optional=True,
                    tooltip="Frames denoised together; the network was trained on 32. 0: all in one go, as released.",
                ),
                io.Int.Input(
                    "window_overlap", default=8, min=0, max=4095, optional=True,
                    tooltip="Frames that neighbouring windows share and blend over.",
                ),
                io.Boolean.Input(
                    "closed_loop", default=False, optional=True,
                    tooltip="Windows also join end and start, for endless loops.",
                ),
                io.Boolean.Input(
                    "shared_noise", default=True, optional=True,
                    tooltip="Windows start from the same noise in another order, so that they agree more.",
                ),
                io.Latent.Input(
                    "continue_from", optional=True,
                    tooltip="The previous clip's latents: its last frames are held as this clip's first ones.",
                ),
                io.Int.Input(
                    "continue_frames", default=8, min=1, max=4095, optional=True,
                    tooltip="How many frames both clips share. The driving poses must start that many frames earlier.",
                ),
            ],
            outputs=[io.Latent.Output(display_name="latent", tooltip="For VAE Decode, one latent a frame.")],
        )  # fmt: skip

    @classmethod
    def execute(
        cls, model: Any, positive: Any, negative: Any, latent: dict[str, Any], seed: int, steps: int, cfg: float,
        offset_noise: float = diffusion.OFFSET_NOISE, window_length: int = 32, window_overlap: int = 8,
        closed_loop: bool = False, shared_noise: bool = True, continue_from: dict[str, Any] | None = None,
        continue_frames: int = 8,
    ) -> io.NodeOutput:  # fmt: skip
        """Draw the start noise, sample, and hand the latents on."""
        if not isinstance(model.model, AnimateXModel):
            raise ValueError(f"model: {type(model.model).__name__} is not Animate-X: connect Load Animate-X Model")
        shape = _shape(latent["samples"])
        if closed_loop and continue_from is not None:
            raise ValueError("closed_loop joins the end to the start, continue_from holds the start: choose one")
        plan = _plan(shape[0], window_length, window_overlap, closed_loop)
        known = None if continue_from is None else _known(continue_from["samples"], shape, continue_frames)
        noise = comfy_sampler.start_noise(shape, seed, offset_noise, plan, shared_noise)
        samples = comfy_sampler.run(
            model, positive, negative, noise, steps=steps, guidance=cfg, seed=seed, plan=plan, known=known
        )
        return io.NodeOutput({"samples": samples.to(comfy.model_management.intermediate_device())})


def _shape(samples: Tensor) -> tuple[int, int, int, int]:
    if samples.ndim != 4 or samples.shape[1] != 4 or 0 in samples.shape:
        raise ValueError(
            f"latent: expected [frames, 4, height/8, width/8], got {list(samples.shape)}: connect the LATENT of "
            "Animate-X Conditioning"
        )
    frames, channels, height, width = samples.shape
    return frames, channels, height, width


def _plan(frames: int, length: int, overlap: int, closed_loop: bool) -> WindowPlan | None:
    """Windows, or None when the clip goes in one piece."""
    if length == 0:
        return plan_windows(frames, None, closed_loop=closed_loop)
    return plan_windows(frames, length, overlap, closed_loop=closed_loop)


def _known(previous: Tensor, shape: tuple[int, ...], count: int) -> Tensor:
    """The last frames of the previous clip. Raises ValueError when they do not fit this one."""
    if previous.ndim != 4 or tuple(previous.shape[1:]) != shape[1:]:
        raise ValueError(
            f"continue_from: its latents are {list(previous.shape)}, this clip's {list(shape)}: make both clips at the "
            "same width and height"
        )
    if not count < shape[0] or count > previous.shape[0]:
        raise ValueError(
            f"continue_frames: {count} frames cannot be shared by a clip of {previous.shape[0]} and one of {shape[0]}"
        )
    if not torch.isfinite(previous).all():
        raise ValueError("continue_from: the latents hold numbers that are not finite")
    return previous[-count:]


class Sigmas(io.ComfyNode):
    """Animate-X Sigmas."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node as people see it."""
        return schema(
            node_id="AnimateX_Sigmas",
            display_name="Animate-X Sigmas (released steps)",
            description="The released program's noise levels, for SamplerCustom and SamplerCustomAdvanced.",
            search_aliases=["scheduler", "ddim_uniform", "noise schedule", "animate-x steps"],
            inputs=[
                io.Int.Input(
                    "steps",
                    default=30,
                    min=1,
                    max=diffusion.STEPS,
                    tooltip="30 as released, which makes 31 evaluations.",
                ),
                io.Combo.Input(
                    "end",
                    options=list(ENDS),
                    default=ENDS[0],
                    optional=True,
                    tooltip="'clean' ends without noise; 'as released' at the first noise level, like the program.",
                ),
            ],
            outputs=[io.Sigmas.Output(display_name="sigmas", tooltip="Largest first.")],
        )

    @classmethod
    def execute(cls, steps: int, end: str = ENDS[0]) -> io.NodeOutput:
        """Noise levels of the released time steps."""
        sigmas = comfy_sampler.released_sigmas(steps)
        return io.NodeOutput(torch.cat([sigmas[:-1], sigmas.new_zeros(1)]) if end == "clean" else sigmas)


NODES = [Sampler, Sigmas]
