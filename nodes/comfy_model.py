"""The network as a native MODEL of ComfyUI: what a sampler, a LoRA, a cache or context windows meet.

Latents are [F, 4, h, w], batch = frames, as for core's own video model of the same age. Conditioning carries inputs
(`Carried`); the model encodes them once a run and once for each distinct window of frames. A window is known by the
numbers of its frames: they are the tensor that hosts slice (`FrameNumbers`), so whoever cuts a clip into windows, with
or without a frame put in front, gets the conditions of a separate run on those frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import comfy.conds
import comfy.latent_formats
import comfy.ldm.modules.attention as comfy_attention
import comfy.model_base
import comfy.patcher_extension as patching
import comfy.supported_models_base
import torch
from torch import Tensor

from ..animatex_core.config import AnimateXConfig
from ..animatex_core.layers import Layers, fused_attention
from ..animatex_core.model import AnimateX, Conditions, Inputs
from ..animatex_core.network_files import CONFIG_TENSOR
from ..animatex_core.windows import Window
from .pictures import PackedPictures

CARRIED = "animatex"  # in a conditioning's dictionary, and the name of the model's condition
NARROWEST_HEAD = 16  # kernels of hosts refuse narrower heads; the small transformers over time have them
MEMORY_FACTOR = 1.1  # of the host's estimate for fp16: about 8 GB of activations for 2 x 32 frames of 96x64 latents


@dataclass(frozen=True, eq=False)
class Carried:
    """What a conditioning holds for the model, on the CPU; pictures are uint8 RGB. An absent input is unconditional.

    What has F rows belongs to the driving frames: F pose pictures, keypoints [F, 2, 18], features [F, width]. The
    reference's tensors have one row.
    """

    frames: int
    width: int  # pixels
    height: int
    pose: PackedPictures | None = None
    reference: Tensor | None = None  # [1, H, W, 3]
    reference_pose: Tensor | None = None  # [1, H, W, 3]
    reference_latent: Tensor | None = None  # [1, 4, H/8, W/8], not scaled
    image_feature: Tensor | None = None  # [1, width]
    keypoints: Tensor | None = None
    reference_keypoints: Tensor | None = None  # [1, 2, 18]
    features: Tensor | None = None
    reference_feature: Tensor | None = None  # [1, width]
    pose_strength: float = 1.0
    reference_strength: float = 1.0
    motion_strength: float = 1.0

    @property
    def unconditional(self) -> bool:
        """Whether nothing is fed: one encoding does for every window of a length."""
        return self.pose is None and self.reference is None and self.image_feature is None and self.keypoints is None

    def inputs(self, window: Window, like: Tensor, scale: float) -> Inputs:
        """The model's inputs for these frames, on the device and in the dtype of `like`.

        scale: of VAE latents. Only the frames of the window are expanded from 8 bits.
        """
        index = torch.tensor(window)

        def picked(rows: Tensor | None) -> Tensor | None:
            return None if rows is None else rows[index][None].to(like)

        def single(row: Tensor | None) -> Tensor | None:
            return None if row is None else row.to(like)

        def pictures(stack: Tensor | None) -> Tensor | None:
            return None if stack is None else stack.to(like.device).movedim(-1, 1).to(like.dtype).div_(255)

        pose = pictures(None if self.pose is None else self.pose.rows(window))
        latent = single(self.reference_latent)
        return Inputs(
            pose=None if pose is None else pose.transpose(0, 1)[None],
            reference=pictures(self.reference),
            reference_pose=pictures(self.reference_pose),
            reference_latent=None if latent is None else latent * scale,
            image_feature=single(self.image_feature),
            keypoints=picked(self.keypoints),
            reference_keypoints=single(self.reference_keypoints),
            features=picked(self.features),
            reference_feature=single(self.reference_feature),
            pose_strength=self.pose_strength,
            reference_strength=self.reference_strength,
        )


class FrameNumbers(comfy.conds.CONDRegular):
    """The numbers of the frames that a batch holds, and what to condition them on.

    `cond` is the tensor that hosts cut when they cut the batch. It is never repeated, truncated or concatenated: a
    batch of several conditions gets the list of theirs.
    """

    def __init__(self, cond: Tensor, carried: Carried):
        super().__init__(cond)
        self.carried = carried

    def _copy_with(self, cond: Tensor) -> FrameNumbers:
        return type(self)(cond, self.carried)

    def process_cond(self, batch_size: int, area: Any = None, **_: Any) -> FrameNumbers:
        """For one call of the network."""
        if area is not None:
            raise ValueError("Animate-X conditions whole frames: use a mask (Conditioning Set Mask), not an area")
        return self._copy_with(self.cond)

    def can_concat(self, other: FrameNumbers) -> bool:
        """Whether two conditions can share a call: they can when they are as long."""
        return self.cond.shape == other.cond.shape

    def concat(self, others: list[FrameNumbers]) -> list[FrameNumbers]:
        """Itself and the others, in the order of the batch."""
        return [self, *others]


class HostAttention:
    """The attention that the user chose at start-up, or by a node that overrides it (`options`)."""

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}

    def __call__(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """[N, heads, length, head width] -> the shape of the query."""
        if query.shape[-1] < NARROWEST_HEAD:
            return fused_attention(query, key, value)
        return comfy_attention.optimized_attention(
            query, key, value, query.shape[1], skip_reshape=True, skip_output_reshape=True,
            transformer_options=self.options,
        )  # fmt: skip


class AnimateXNetwork(AnimateX):
    """The core's network with the host's layers and attention, called as hosts call a diffusion model."""

    def __init__(self, config: AnimateXConfig, dtype: torch.dtype, device: Any = None, operations: Any = None):
        attention = HostAttention()
        super().__init__(config, Layers(operations, attention, dtype, device))
        self.dtype, self.attention = dtype, attention

    def forward(
        self, x: Tensor, timesteps: Tensor, context: Any = None, control: Any = None,
        transformer_options: dict[str, Any] | None = None, **conditions: Tensor,
    ) -> Tensor:  # fmt: skip
        """v for noisy latents [n F, 4, h, w] of n conditions, through the wrappers that hosts put around it."""
        options = transformer_options or {}
        wrappers = patching.get_all_wrappers(patching.WrappersMP.DIFFUSION_MODEL, options)
        executor = patching.WrapperExecutor.new_class_executor(self._predict, self, wrappers)
        return executor.execute(x, timesteps, context, control, options, **conditions)

    def _predict(
        self, x: Tensor, timesteps: Tensor, context: Any, control: Any, transformer_options: dict[str, Any], *,
        pixels: Tensor, reference: Tensor, tokens: Tensor, motion: Tensor | None = None, motion_scale: Tensor,
    ) -> Tensor:  # fmt: skip
        samples = pixels.shape[0]
        clips = x.unflatten(0, (samples, -1)).transpose(1, 2)
        self.attention.options = transformer_options
        try:
            conditions = Conditions(pixels, reference, tokens, motion)
            v = super().forward(clips, timesteps.reshape(samples, -1)[:, 0], conditions, motion_scale)
        finally:
            self.attention.options = {}
        return v.transpose(1, 2).flatten(0, 1)


class AnimateXSettings(comfy.supported_models_base.BASE):
    """What core keeps about a kind of model."""

    unet_extra_config: dict[str, Any] = {}  # noqa: RUF012 (core's own way)
    sampling_settings = {  # noqa: RUF012
        "beta_schedule": "linear", "linear_start": 0.00085, "linear_end": 0.012, "timesteps": 1000, "zsnr": True,
    }  # fmt: skip
    latent_format = comfy.latent_formats.SD15
    memory_usage_factor = MEMORY_FACTOR


class AnimateXModel(comfy.model_base.BaseModel):
    """v-prediction on the zero terminal SNR schedule, with conditions that are encoded once a run and window."""

    def __init__(self, settings: AnimateXSettings, device: Any = None):
        kind = comfy.model_base.ModelType.V_PREDICTION
        super().__init__(settings, model_type=kind, device=device, unet_model=AnimateXNetwork)
        self.encoded: dict[tuple[Any, ...], tuple[Carried, Conditions]] = {}

    @property
    def config(self) -> AnimateXConfig:
        """The widths of the network."""
        return self.model_config.unet_config["config"]

    def extra_conds(self, **given: Any) -> dict[str, Any]:
        """The conditions of one entry of a conditioning; checked here, before the first step."""
        carried = given.get(CARRIED)
        if not isinstance(carried, Carried):
            raise ValueError(
                "the conditioning is not for this model: connect positive and negative of Animate-X Conditioning"
            )
        self._check(carried, given["noise"])
        return {CARRIED: FrameNumbers(torch.arange(carried.frames), carried)}

    def _check(self, carried: Carried, noise: Tensor) -> None:
        """Raises ValueError when conditioning, latents and model do not fit each other."""
        if noise.ndim != 4 or noise.shape[1] != self.config.unet.in_channels:
            raise ValueError(
                f"the latents are {list(noise.shape)}; Animate-X needs {self.config.unet.in_channels} channels and one "
                "latent a frame: connect the LATENT of Animate-X Conditioning"
            )
        found = (noise.shape[0], noise.shape[3] * 8, noise.shape[2] * 8)
        wanted = (carried.frames, carried.width, carried.height)
        if found != wanted:
            raise ValueError(
                "the conditioning is for {} frames of {}x{}, the latents are {} frames of {}x{}: connect the LATENT of "
                "the same Animate-X Conditioning".format(*wanted, *found)
            )
        width = self.config.conditions.clip_width
        for name, feature in (("reference", carried.image_feature), ("driving frames", carried.features)):
            if feature is not None and feature.shape[-1] != width:
                raise ValueError(
                    f"the CLIP features of the {name} are {feature.shape[-1]} wide, this model needs {width}: load "
                    + ("CLIP ViT-H (clip_vision_h.safetensors)" if width == 1024 else "the CLIP vision made for it")
                )

    def _apply_model(
        self, x: Tensor, t: Tensor, c_concat: Any = None, c_crossattn: Any = None, control: Any = None,
        transformer_options: dict[str, Any] | None = None, **given: Any,
    ) -> Tensor:  # fmt: skip
        numbers: list[FrameNumbers] = given.pop(CARRIED)
        conditions = self._conditions(numbers, x.to(self.get_dtype_inference()))
        return super()._apply_model(x, t, None, None, control, transformer_options or {}, **conditions, **given)

    def _conditions(self, numbers: list[FrameNumbers], x: Tensor) -> dict[str, Tensor]:
        """Encoded conditions of a batch, one after the other along the batch axis."""
        per_sample = x.shape[0] // len(numbers)
        found = [self._encoded(entry, x[:per_sample]) for entry in numbers]
        rows = {
            "pixels": torch.cat([c.pixels for c in found]),
            "reference": torch.cat([c.reference for c in found]),
            "tokens": torch.cat([c.context for c in found]),
        }
        strengths = torch.tensor([entry.carried.motion_strength for entry in numbers], device=x.device)
        rows["motion_scale"] = strengths.repeat_interleave(per_sample + 1).view(-1, 1, 1, 1)
        if all(c.motion is not None for c in found):
            rows["motion"] = torch.cat([c.motion for c in found if c.motion is not None])
        return rows

    def _encoded(self, entry: FrameNumbers, x: Tensor) -> Conditions:
        """The conditions of a window, encoded when they are first asked for; `clear_encoded` ends a run."""
        frames, _, height, width = x.shape
        carried, window = entry.carried, tuple(entry.cond.tolist())
        if len(window) != frames or (8 * width, 8 * height) != (carried.width, carried.height):
            raise ValueError(
                f"a window of {len(window)} frames of {carried.width}x{carried.height} meets latents of {frames} "
                f"frames of {8 * width}x{8 * height}: context windows must cut dimension 0, the frames"
            )
        key = (id(carried), frames if carried.unconditional else window, x.dtype, x.device, self._weights_in_use())
        if key not in self.encoded:
            inputs = carried.inputs(window, x, self.latent_format.scale_factor)
            conditions = self.diffusion_model.encode(inputs, frames, height, width, like=x)
            self.encoded[key] = (carried, conditions)  # holding `carried` keeps its id from being used again
        return self.encoded[key][1]

    def _weights_in_use(self) -> tuple[Any, ...]:
        """What conditions depend on beside their inputs: LoRAs that change from step to step."""
        hooks = getattr(self.current_patcher, "current_hooks", None)
        return () if hooks is None else tuple((id(hook), hook.strength) for hook in hooks.hooks)

    def clear_encoded(self) -> None:
        """Forget what was encoded."""
        self.encoded.clear()

    def state_dict_for_saving(self, unet_state_dict: dict[str, Tensor], *parts: Any, **named: Any) -> dict[str, Tensor]:
        """As core saves it, and the configuration, because hosts keep no metadata of ours."""
        saved = super().state_dict_for_saving(unet_state_dict, *parts, **named)
        config = self.config.to_json().encode()
        saved[CONFIG_TENSOR] = torch.frombuffer(bytearray(config), dtype=torch.uint8)
        return saved


def clear_encoded(patcher: Any) -> None:
    """At the end of a run, however it ended."""
    patcher.model.clear_encoded()
