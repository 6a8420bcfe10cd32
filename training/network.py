"""The network as it is trained: noised latents and inputs -> v, conditions dropped sample by sample."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from animatex_core.model import AnimateX, Conditions, Inputs

from .objective import Keep


class TrainedNetwork(nn.Module):
    """One forward pass from inputs to v, which is what data parallelism has to see."""

    def __init__(self, network: AnimateX):
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, timesteps: Tensor, inputs: Inputs, keep: Keep) -> Tensor:
        """v for x [b, 4, F, h, w] at timesteps [b]."""
        return self.network(x, timesteps, encode_kept(self.network, inputs, keep, x))


def encode_kept(network: AnimateX, inputs: Inputs, keep: Keep, x: Tensor) -> Conditions:
    """The conditions of a batch, each sample without those that it does not keep.

    A dropped condition is multiplied by zero instead of left out: it is the same for the network (exact zeros), and
    every parameter has a gradient on every process.
    """
    keep = keep.to(x)
    frames, height, width = x.shape[2:]
    apart = replace(_without_motion(inputs, keep.motion), pose=None, reference=None)
    base = network.encode(apart, frames, height, width, batch=x.shape[0], like=x)
    pixels = base.pixels
    if inputs.pose is not None:
        pixels = pixels + network.pose(inputs.pose) * _per_sample(keep.pose, pixels)
    if inputs.reference is not None:
        pixels = pixels + network.reference(inputs.reference.unsqueeze(2)) * _per_sample(keep.reference, pixels)
    text, image = base.context.tensor_split([network.config.conditions.text_tokens], dim=1)
    context = torch.cat([text, image * _per_sample(keep.tokens, image)], dim=1)
    reference = base.reference * _per_sample(keep.motion, base.reference)
    return replace(base, pixels=pixels, context=context, reference=reference)


def _without_motion(inputs: Inputs, keep: Tensor) -> Inputs:
    """The IPI's inputs, zero for the samples that do not keep them: as the unconditional pass has them."""
    if inputs.keypoints is None or inputs.features is None:
        return inputs
    points = inputs.keypoints[:, 0] if inputs.reference_keypoints is None else inputs.reference_keypoints
    feature = inputs.image_feature if inputs.reference_feature is None else inputs.reference_feature
    assert feature is not None
    return replace(
        inputs,
        keypoints=inputs.keypoints * _per_sample(keep, inputs.keypoints),
        reference_keypoints=points * _per_sample(keep, points),
        features=inputs.features * _per_sample(keep, inputs.features),
        reference_feature=feature * _per_sample(keep, feature),
    )


def _per_sample(keep: Tensor, like: Tensor) -> Tensor:
    """[b] shaped to multiply [b, ...]."""
    return keep.view(-1, *(1,) * (like.ndim - 1)).to(like.dtype)
