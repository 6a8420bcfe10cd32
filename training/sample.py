"""One training sample and a batch of them: what the data set gives and the trainer takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from animatex_core.model import Inputs

PICTURES = ("pose", "reference", "reference_pose")


@dataclass(frozen=True)
class Draw:
    """A sample to be: the clip's number in the data set, and the seed of everything random about it (0 to 2**63)."""

    index: int
    seed: int


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One clip of F frames, and what the model is told about it; the fields of `Inputs` without the batch axis.

    clip: its id. latents: clean and scaled by 0.18215. Pictures are RGB bytes; poses are in the trained palette.
    The drawn pose may be transformed (EPI); keypoints and features are the driver's own. weight: of the loss, by place.
    """

    clip: str
    latents: Tensor  # [4, F, h, w]
    pose: Tensor  # uint8 [3, F, 8 h, 8 w]
    reference: Tensor  # uint8 [3, 8 h, 8 w]
    reference_pose: Tensor  # uint8 [3, 8 h, 8 w]
    reference_latent: Tensor  # [4, h, w]
    image_feature: Tensor  # [clip width], of the reference
    keypoints: Tensor  # [F, 2, 18]
    reference_keypoints: Tensor  # [2, 18]
    features: Tensor  # [F, clip width]
    weight: Tensor  # [F, h, w]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Samples of one size. latents [b, 4, F, h, w], weight [b, F, h, w]; pictures of the inputs: floats in 0..1."""

    latents: Tensor
    inputs: Inputs
    clips: Sequence[str]
    weight: Tensor

    def pin_memory(self) -> Batch:
        """In page-locked memory, as torch's DataLoader asks for on a CUDA machine."""
        held = {f.name: getattr(self.inputs, f.name) for f in fields(self.inputs)}
        pinned: dict[str, Any] = {name: v.pin_memory() if isinstance(v, Tensor) else v for name, v in held.items()}
        inputs = Inputs(**pinned)
        latents, weight = self.latents.pin_memory(), self.weight.pin_memory()
        return Batch(latents=latents, inputs=inputs, clips=self.clips, weight=weight)


def collate(samples: Sequence[Sample]) -> Batch:
    """Stack samples of one size. Raises ValueError naming the first sample and the field that differ."""
    if not samples:
        raise ValueError("a batch needs at least one sample")
    stacked = {f.name: _stack(samples, f.name) for f in fields(Sample) if f.name != "clip"}
    latents, weight = stacked.pop("latents"), stacked.pop("weight")
    inputs: dict[str, Any] = {name: v.float() / 255 if name in PICTURES else v for name, v in stacked.items()}
    return Batch(latents=latents, inputs=Inputs(**inputs), clips=[s.clip for s in samples], weight=weight)


def _stack(samples: Sequence[Sample], name: str) -> Tensor:
    first = getattr(samples[0], name)
    for sample in samples:
        shape = getattr(sample, name).shape
        if shape != first.shape:
            raise ValueError(
                f"clip {sample.clip}: {name} is {list(shape)}, that of {samples[0].clip} in the same batch "
                f"is {list(first.shape)}"
            )
    return torch.stack([getattr(sample, name) for sample in samples])
