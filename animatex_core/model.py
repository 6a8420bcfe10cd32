"""The whole model: condition encoders and IPI, run once, and the UNet, run at every time step.

inputs --encode--> conditions --+
                                +--> forward(x, timesteps, conditions) --> v
noisy latents, timesteps -------+
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor, nn

from .conditions import ImageTokens, LatentEncoder, PictureEncoder
from .config import AnimateXConfig
from .ipi import ImplicitPoseIndicator
from .layers import Layers
from .unet import UNet

PER_FRAME = ("pose", "keypoints", "features")


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What the model is conditioned on; None leaves a condition out, and all of it None is the unconditional pass.

    Pictures are 8 times the latent size, RGB in 0..1, poses in the trained palette. What has F rows belongs to the
    driving frames, what is called reference to the reference; b is the batch.
    """

    pose: Tensor | None = None  # [b, 3, F, H, W]
    reference_pose: Tensor | None = None  # [b, 3, H, W]
    reference: Tensor | None = None  # [b, 3, H, W]
    reference_latent: Tensor | None = None  # [b, 4, H/8, W/8], scaled by 0.18215
    image_feature: Tensor | None = None  # [b, clip width], the projected CLIP feature of the reference
    keypoints: Tensor | None = None  # [b, F, 2, 18], the driver's own, in 0..1 or -1 where absent
    reference_keypoints: Tensor | None = None  # [b, 2, 18]; those of the first driving frame when left out
    features: Tensor | None = None  # [b, F, clip width], CLIP features of the driving frames
    reference_feature: Tensor | None = None  # [b, clip width], the IPI's frame 0; image_feature when left out
    pose_strength: float = 1.0  # of the pose pictures' features; 0 is what the unconditional pass has
    reference_strength: float = 1.0  # of everything that comes from the reference, the IPI's frame 0 excepted

    def window(self, frames: Sequence[int]) -> Inputs:
        """The inputs of these frames alone: what a separate run on them would get.

        The IPI's frame 0 stays that of the whole clip: the reference does not change with the window.
        """
        anchored = self.reference_keypoints
        if anchored is None and self.keypoints is not None:
            anchored = self.keypoints[:, 0]
        index = torch.as_tensor(frames)
        picked: dict[str, Any] = {"reference_keypoints": anchored}
        for name in PER_FRAME:
            value = getattr(self, name)
            if value is not None:
                axis = 2 if name == "pose" else 1
                picked[name] = value.index_select(axis, index.to(value.device))
        return replace(self, **picked)

    def to(self, device: torch.device | str, dtype: torch.dtype) -> Inputs:
        """All tensors on the device in the dtype."""
        moved = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{k: v.to(device, dtype) for k, v in moved.items() if isinstance(v, Tensor)})


@dataclass(frozen=True)
class Conditions:
    """Inputs after encoding: what every time step reuses."""

    pixels: Tensor  # [b, channels, F, h, w], pose and reference pictures
    reference: Tensor  # [b, channels + 4, 1, h, w], the frame before the others
    context: Tensor  # [b, text + image tokens, context width]
    motion: Tensor | None  # [(b (F+1)), tokens, context width]


class AnimateX(nn.Module):
    """Animate-X, or UniAnimate when the configuration has no IPI."""

    empty_prompt: Tensor

    def __init__(self, config: AnimateXConfig, layers: Layers | None = None):
        super().__init__()
        layers = layers or Layers()
        self.config = config
        conditions, channels = config.conditions, config.conditions.channels
        entering = channels + config.unet.in_channels
        self.unet = UNet(config.unet, channels, layers)
        self.pose = PictureEncoder(channels, conditions, layers)
        self.reference = PictureEncoder(channels, conditions, layers)
        self.reference_pose = PictureEncoder(entering, conditions, layers)
        self.reference_latent = LatentEncoder(config.unet.in_channels, entering, conditions, layers)
        self.image_tokens = ImageTokens(config.unet.context_width, conditions, layers)
        self.ipi = None
        if config.ipi is not None:
            self.ipi = ImplicitPoseIndicator(config.ipi, config.unet.context_width, config.alpha, layers)
        prompt = torch.zeros(1, conditions.text_tokens, config.unet.context_width)
        self.register_buffer("empty_prompt", prompt.to(dtype=layers.dtype, device=layers.device))

    def forward(self, x: Tensor, timesteps: Tensor, conditions: Conditions, motion_scale: Tensor | float = 1) -> Tensor:
        """v for noisy latents x [b, 4, F, h, w] at timesteps [b]; shaped like x.

        motion_scale multiplies alpha, the weight of motion attention.
        """
        c = conditions
        alpha = self.config.alpha * motion_scale
        return self.unet(x, timesteps, c.pixels, c.reference, c.context, c.motion, alpha)

    def encode(
        self, inputs: Inputs, frames: int, height: int, width: int, batch: int = 1, like: Tensor | None = None
    ) -> Conditions:
        """Encode the inputs for F frames of latents [height, width]. Raises ValueError when sizes disagree.

        like: has the device and dtype to work in where the weights do not tell (a host may keep them elsewhere, or in
        8 bits); without it those of the pose pictures or of the weights.
        """
        check_sizes(inputs, frames, height, width, batch, self.config)
        channels = self.config.conditions.channels
        if like is None:
            like = self.empty_prompt if inputs.pose is None else inputs.pose
        pixels = like.new_zeros(batch, channels, frames, height, width)
        if inputs.pose is not None:
            pixels = pixels + self.pose(inputs.pose) * inputs.pose_strength
        if inputs.reference is not None:
            # F equal frames without positions attend to each other to no effect: one frame, broadcast, is the same.
            pixels = pixels + self.reference(inputs.reference.unsqueeze(2)) * inputs.reference_strength
        return Conditions(
            pixels, self._reference_frame(inputs, pixels), self._context(inputs, pixels), self._motion(inputs, pixels)
        )

    def _reference_frame(self, inputs: Inputs, like: Tensor) -> Tensor:
        batch, channels, _, height, width = like.shape
        frame = like.new_zeros(batch, channels + self.config.unet.in_channels, 1, height, width)
        if inputs.reference_latent is not None:
            frame = frame + self.reference_latent(inputs.reference_latent)
            if inputs.reference_pose is not None:
                frame = frame + self.reference_pose(inputs.reference_pose.unsqueeze(2))
        return frame * inputs.reference_strength

    def _context(self, inputs: Inputs, like: Tensor) -> Tensor:
        prompt = self.empty_prompt.to(like).expand(like.shape[0], -1, -1)
        if inputs.image_feature is None:
            tokens = prompt.new_zeros(like.shape[0], self.config.conditions.image_tokens, prompt.shape[-1])
        else:
            tokens = self.image_tokens(inputs.image_feature) * inputs.reference_strength
        return torch.cat([prompt, tokens], dim=1)

    def _motion(self, inputs: Inputs, like: Tensor) -> Tensor | None:
        if self.ipi is None:
            return None
        config, batch, frames = self.ipi.config, like.shape[0], like.shape[2]
        keypoints = like.new_zeros(batch, frames + 1, 2, config.keypoints)
        features = like.new_zeros(batch, frames + 1, config.clip_width)
        if inputs.keypoints is not None:
            first = inputs.keypoints[:, 0] if inputs.reference_keypoints is None else inputs.reference_keypoints
            keypoints = torch.cat([first[:, None], inputs.keypoints], dim=1)
        first = inputs.image_feature if inputs.reference_feature is None else inputs.reference_feature
        if inputs.features is not None and first is not None:
            features = torch.cat([first[:, None], inputs.features], dim=1)
        return self.ipi(keypoints, features)


def check_sizes(inputs: Inputs, frames: int, height: int, width: int, batch: int, config: AnimateXConfig) -> None:
    """Raises ValueError naming the input whose shape does not fit. What no IPI reads may be of any width."""
    picture, clip = (8 * height, 8 * width), config.conditions.clip_width
    points, read = (None, None) if config.ipi is None else (config.ipi.keypoints, config.ipi.clip_width)
    expected: dict[str, tuple[int | None, ...]] = {
        "pose": (batch, 3, frames, *picture),
        "reference_pose": (batch, 3, *picture),
        "reference": (batch, 3, *picture),
        "reference_latent": (batch, config.unet.in_channels, height, width),
        "image_feature": (batch, clip),
        "keypoints": (batch, frames, 2, points),
        "reference_keypoints": (batch, 2, points),
        "features": (batch, frames, read),
        "reference_feature": (batch, read),
    }
    for name, shape in expected.items():
        value = getattr(inputs, name)
        if value is None:
            continue
        if value.ndim != len(shape) or any(e not in (None, s) for e, s in zip(shape, value.shape, strict=True)):
            wanted = ", ".join("any" if side is None else str(side) for side in shape)
            raise ValueError(f"{name}: expected a tensor [{wanted}], got {list(value.shape)}")
    if (inputs.features is None) != (inputs.keypoints is None):
        raise ValueError("keypoints and features of the driving frames go together: give both or neither")
    if inputs.features is not None and inputs.image_feature is None and inputs.reference_feature is None:
        raise ValueError("features of the driving frames need the image_feature of the reference (the IPI's frame 0)")
