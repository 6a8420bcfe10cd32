"""Small networks and inputs for the tests: wiring only, never a claim about quality."""

from dataclasses import fields, replace

import torch

from animatex_core.config import TINY
from animatex_core.model import AnimateX, Inputs


def tiny_model(config=TINY, seed=0, dtype=torch.float32):
    """Random weights of a sane scale; norms are near one, so that every path carries signal."""
    generator = torch.Generator().manual_seed(seed)
    model = AnimateX(config)
    for name, tensor in model.state_dict().items():
        if name.endswith("positions"):
            continue
        deviation = 0.05 if tensor.ndim == 1 else tensor[0].numel() ** -0.5
        tensor.normal_(0, deviation, generator=generator)
        if "norm" in name and name.endswith("weight"):
            tensor.add_(1)
    return model.to(dtype).requires_grad_(False).train(False)


def random_inputs(frames=5, height=12, width=8, batch=1, seed=1, config=TINY):
    """Every condition there is; latents [height, width]."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape):
        return torch.rand(batch, *shape, generator=generator)

    def normal(*shape):
        return torch.randn(batch, *shape, generator=generator)

    clip = config.conditions.clip_width
    return Inputs(
        pose=uniform(3, frames, 8 * height, 8 * width),
        reference_pose=uniform(3, 8 * height, 8 * width),
        reference=uniform(3, 8 * height, 8 * width),
        reference_latent=normal(4, height, width),
        image_feature=normal(clip),
        keypoints=uniform(frames, 2, 18),
        reference_keypoints=uniform(2, 18),
        features=normal(frames, clip),
    )


def pick(inputs, index):
    """One sample of a batch."""
    values = {f.name: getattr(inputs, f.name) for f in fields(inputs)}
    return replace(inputs, **{k: v[index : index + 1] for k, v in values.items() if isinstance(v, torch.Tensor)})


def relative(found, wanted):
    """Relative L2."""
    return ((found - wanted).double().norm() / wanted.double().norm()).item()
