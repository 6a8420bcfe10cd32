"""Small files with the recipe's weights, in our names and in the released ones, for tests."""

import functools
import json
import struct
from dataclasses import replace

import torch
from safetensors.torch import save_file

from animatex_core.config import AnimateXConfig, ConditionConfig, IPIConfig, UNetConfig
from animatex_core.keymap import key_map, to_released
from tests.parity.golden import build

# Every number that shapes cannot tell is the released one, so the configuration can be inferred.
SMALL = AnimateXConfig(
    unet=UNetConfig(
        width=32, multipliers=(1, 2), blocks_per_level=1, attention_levels=2, head_width=16, context_width=64
    ),
    conditions=ConditionConfig(channels=8, stem=16, clip_width=64),
    ipi=IPIConfig(
        width=64, query_layers=1, query_feed_forward=64, reader_layers=2, reader_heads=1, clip_width=64, positions=9
    ),
)
SMALL_MAMBA = replace(SMALL, unet=replace(SMALL.unet, temporal="mamba", mamba_states=3, mamba_kernel=5, mamba_expand=1))
SMALL_UNIANIMATE = AnimateXConfig(
    unet=UNetConfig(
        width=32, multipliers=(1, 2), blocks_per_level=1, attention_levels=1, head_width=16, context_width=64,
        motion_attention="none",
    ),
    conditions=ConditionConfig(channels=8, stem=16, clip_width=64),
    ipi=None,
)  # fmt: skip


@functools.cache
def _built(config, seed):
    return build(config, seed).state_dict()


def our_state(config=SMALL, seed=3, dtype=torch.float32):
    """Our names -> tensors, fresh ones."""
    return {name: tensor.to(dtype, copy=True) for name, tensor in _built(config, seed).items()}


def released_state(config=SMALL, seed=3):
    """Released names -> tensors of the released shapes."""
    ours = our_state(config, seed)
    return {there: to_released(name, ours[name]).clone() for name, there in key_map(list(ours), config).items()}


def save_ours(path, state, config=SMALL, **metadata):
    """A file as conversion writes it, in a few lines."""
    fields = {"format": "animate-x", "config": config.to_json(), **metadata}
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path, fields)
    return path


def raw_file(path, header, data=b"", length=None):
    """A .safetensors file with any header: an object, text or bytes."""
    if not isinstance(header, bytes):
        header = (header if isinstance(header, str) else json.dumps(header)).encode()
    path.write_bytes(struct.pack("<Q", len(header) if length is None else length) + header + data)
    return path
