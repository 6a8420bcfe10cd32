"""Activation checkpointing: stages of chosen levels keep their input only and compute the rest again (Chen 2016)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint

from animatex_core.blocks import Downsample
from animatex_core.unet import Stage, UNet


def checkpoint_levels(unet: UNet, levels: Iterable[int]) -> int:
    """Make the stages of these levels (0 is full latent size) forget their activations; returns how many.

    Raises ValueError for a level that there is not.
    """
    wanted, count = set(levels), len(unet.config.multipliers)
    if wanted - set(range(count)):
        raise ValueError(f"run.checkpoint_levels: expected 0 to {count - 1}, got {sorted(wanted)}")
    chosen = [module for level, module in stages_by_level(unet) if level in wanted]
    for module in chosen:
        # Over the method and not around the module: names, hooks and sharding see no difference.
        module.forward = partial(checkpoint, module.forward, use_reentrant=False)
    return len(chosen)


def stages_by_level(unet: UNet) -> Iterator[tuple[int, nn.Module]]:
    """Every stage with its level; the first temporal module belongs to level 0, the middle to the last."""
    yield 0, unet.entrance_temporal
    level = 0
    for stage in unet.encoder:
        if isinstance(stage, Downsample):
            level += 1
        else:
            yield level, stage
    yield level, unet.middle
    yield level, unet.middle_out
    for stage in unet.decoder:
        assert isinstance(stage, Stage)
        yield level, stage
        level -= stage.upsample is not None
