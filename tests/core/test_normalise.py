"""Group norm against float64, in both memory formats and for long clips."""

import pytest
import torch
from torch import nn

from animatex_core.normalise import CHUNK, GroupNorm
from tests.core.networks import relative


def norm_and_clip(frames, channels=8, pixels=4096, batch=1, layout=torch.channels_last):
    generator = torch.Generator().manual_seed(frames)
    clip = torch.randn(batch, channels, frames, pixels, generator=generator) * 1.5 + 0.7
    clip += torch.randn(1, channels, 1, 1, generator=generator)
    norm = GroupNorm(4, channels)
    for parameter in norm.parameters():
        nn.init.normal_(parameter, 0.5, generator=generator)
    return norm, clip.contiguous(memory_format=layout)


def exact(norm, clip):
    return nn.functional.group_norm(clip.double(), 4, norm.weight.double(), norm.bias.double(), norm.eps)


@torch.inference_mode()
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("frames", [1, 5, 101])
def test_rounding_does_not_grow_with_the_clip(frames, layout):
    norm, clip = norm_and_clip(frames, layout=layout)
    assert frames < 101 or clip.numel() > 10 * CHUNK
    out = norm(clip)
    assert out.stride() == clip.stride()
    assert relative(out, exact(norm, clip)) < 3e-7


@torch.inference_mode()
def test_pytorchs_own_kernel_needs_it():
    norm, clip = norm_and_clip(101)
    assert relative(nn.GroupNorm.forward(norm, clip), exact(norm, clip)) > 1e-6


@torch.inference_mode()
def test_samples_are_apart():
    norm, clip = norm_and_clip(3, batch=2)
    assert relative(norm(clip)[1:], norm(clip[1:].clone(memory_format=torch.preserve_format))) < 1e-6


def test_gradients():
    norm, clip = norm_and_clip(2, pixels=12)
    ours, theirs = clip.clone().requires_grad_(), clip.clone().requires_grad_()
    norm(ours).square().sum().backward()
    exact(norm, theirs.contiguous()).square().sum().backward()
    assert relative(ours.grad, theirs.grad) < 1e-4


@torch.inference_mode()
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions_are_pytorchs(dtype):
    norm, clip = norm_and_clip(2)
    norm, clip = norm.to(dtype), clip.to(dtype)
    assert torch.equal(norm(clip), nn.GroupNorm.forward(norm, clip))
