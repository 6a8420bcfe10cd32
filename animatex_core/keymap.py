"""The released names of the tensors and ours, in one table, used both ways.

`key_map` gives the pairs for a configuration; a test proves that they are a bijection with the released list. The
UNet's stages are flat lists on both sides, so a stage keeps its number (the released encoder counts its entrance as 0)
and a part of a stage has a fixed place in it. Inside a part the tables below rename the rest.
"""

from __future__ import annotations

import re

from torch import Tensor

from .config import AnimateXConfig

# Inside a part: ours -> released, as prefixes. `{}` stands for a number, kept.
_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "out": "to_out.0"}
_BLOCK = {
    "self_norm": "norm1",
    "cross_norm": "norm2",
    "feed_norm": "norm3",
    "feed_forward.up": "ff.net.0.proj",
    "feed_forward.down": "ff.net.2",
    **{f"self_attention.{ours}": f"attn1.{theirs}" for ours, theirs in _ATTENTION.items()},
    **{f"cross_attention.{ours}": f"attn2.{theirs}" for ours, theirs in _ATTENTION.items()},
}
# There is no published file with Mamba: the names of its authors' block, and `_b` for the scan against time.
_SCAN = {
    "taps": "conv1d{}.weight",
    "taps_bias": "conv1d{}.bias",
    "project": "x_proj{}",
    "step": "dt_proj{}",
    "step_bias": "dt_proj{}.bias",
    "decay_log": "A{}_log",
    "skip": "D{}",
}
_MIXER = {
    "enter": "in_proj",
    "out": "out_proj",
    **{f"ahead.{ours}": theirs.format("") for ours, theirs in _SCAN.items()},
    **{f"back.{ours}": theirs.format("_b") for ours, theirs in _SCAN.items()},
}
_TRANSFORMER = {
    "norm": "norm",
    "enter": "proj_in",
    "leave": "proj_out",
    **{f"block.{ours}": f"transformer_blocks.0.{theirs}" for ours, theirs in _BLOCK.items()},
    **{f"block.mixer.{ours}": f"transformer_blocks.0.mamba.{theirs}" for ours, theirs in _MIXER.items()},
}
_RES = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "skip": "skip_connection",
    **{f"temporal.norms.{i}": f"temopral_conv.conv{i + 1}.0" for i in range(4)},
    "temporal.convs.0": "temopral_conv.conv1.2",
    **{f"temporal.convs.{i}": f"temopral_conv.conv{i + 1}.3" for i in range(1, 4)},
}
_MOTION = {ours: re.sub(r"^(norm|proj_in|proj_out|transformer_blocks)", r"\1_p", t) for ours, t in _TRANSFORMER.items()}
_OVER_TIME = {
    "norm": "layers.0.0.norm",
    "query_key_value": "layers.0.0.fn.to_qkv",
    "out": "layers.0.0.fn.to_out.0",
    "up": "layers.0.1.net.0.0",
    "down": "layers.0.1.net.2",
}
_PICTURE = {"conv1": "0", "conv2": "3", "conv3": "5"}
_LATENT = {"conv1": "0", "conv2": "2", "conv3": "4"}
_POSE_QUERY = {
    "positions": "pos_embed.pos_table",
    "lift1": "increase_embed_dim.0",
    "lift2": "increase_embed_dim.1",
    "enter": "pre_image_condition_p.0",
    "leave": "pre_image_condition_p.2",
    "layers.{}.query_key_value.weight": "encoder.layers.{}.self_attn.in_proj_weight",
    "layers.{}.query_key_value.bias": "encoder.layers.{}.self_attn.in_proj_bias",
    "layers.{}.out": "encoder.layers.{}.self_attn.out_proj",
    "layers.{}.up": "encoder.layers.{}.linear1",
    "layers.{}.down": "encoder.layers.{}.linear2",
    "layers.{}.norm1": "encoder.layers.{}.norm1",
    "layers.{}.norm2": "encoder.layers.{}.norm2",
}
_MOTION_READER = {
    "learned_query": "latents",
    "enter": "proj_in",
    "leave": "proj_out",
    "norm": "norm_out",
    "layers.{}.feature_norm": "layers.{}.0.norm1",
    "layers.{}.query_norm": "layers.{}.0.norm2",
    "layers.{}.query": "layers.{}.0.to_q",
    "layers.{}.key_value": "layers.{}.0.to_kv",
    "layers.{}.out": "layers.{}.0.to_out",
    "layers.{}.feed_norm": "layers.{}.1.0",
    "layers.{}.up": "layers.{}.1.1",
    "layers.{}.down": "layers.{}.1.3",
}

# A part of a stage: its place in the released stage, and its table.
_STAGE_PARTS = {
    "res": ("0", _RES),
    "spatial": ("1", _TRANSFORMER),
    "motion": ("1.pose_attention", _MOTION),
    "temporal": ("2", _TRANSFORMER),
    "conv": ("op", {}),
}

# Everything outside the lists of stages: ours -> released and table; the longest fitting name wins.
_PLACES = {
    "unet.time_in": ("time_embed.0", {}),
    "unet.time_out": ("time_embed.2", {}),
    "unet.entrance": ("input_blocks.0.0", {}),
    "unet.entrance_temporal": ("input_blocks.0.1", _TRANSFORMER),
    **{f"unet.middle.{part}": (f"middle_block.{place}", table) for part, (place, table) in _STAGE_PARTS.items()},
    "unet.middle_out": ("middle_block.3", _RES),
    "unet.out_norm": ("out.0", {}),
    "unet.out": ("out.2", {}),
    "image_tokens.enter": ("pre_image_condition.0", {}),
    "image_tokens.leave": ("pre_image_condition.2", {}),
    "reference": ("local_image_embedding", _PICTURE),
    "reference.over_time": ("local_image_embedding_after", _OVER_TIME),
    "pose": ("dwpose_embedding", _PICTURE),
    "pose.over_time": ("dwpose_embedding_after", _OVER_TIME),
    "reference_pose": ("randomref_pose2_embedding", _PICTURE),
    "reference_pose.over_time": ("randomref_pose2_embedding_after", _OVER_TIME),
    "reference_latent": ("randomref_embedding2", _LATENT),
    "reference_latent.over_time": ("randomref_embedding_after2", _OVER_TIME),
    "ipi.query": ("pose_embedding_before", _POSE_QUERY),
    "ipi.reader": ("pose_embedding_after", _MOTION_READER),
}

# Computed from the empty prompt at conversion; the released file does not hold it.
DERIVED = ("empty_prompt",)

_UPSAMPLE = {"conv": "conv"}
_LEAVES = ("weight", "bias")

# Layers that are convolutions over time with trailing axes of one in the released file.
_TRAILING_AXIS = re.compile(r"temporal\.(convs\.\d+|enter|leave)\.weight$")


def key_map(ours: list[str], config: AnimateXConfig) -> dict[str, str]:
    """Our tensor names (of the state dict) -> the released names. Raises KeyError like `released_name`."""
    return {name: released_name(name, config) for name in ours if name not in DERIVED}


def released_name(ours: str, config: AnimateXConfig) -> str:
    """The released name of one of our tensors. Raises KeyError for a name that no table knows."""
    stage = re.fullmatch(r"unet\.(encoder|decoder)\.(\d+)\.(\w+)\.(.+)", ours)
    if stage is None:
        head = max((p for p in _PLACES if ours.startswith(p + ".")), key=len, default=None)
        if head is None:
            raise KeyError(f"no released name for {ours}")
        place, table = _PLACES[head]
        return f"{place}.{_rename(ours[len(head) + 1 :], table)}"
    side, number, part, rest = stage[1], int(stage[2]), stage[3], stage[4]
    block = f"input_blocks.{number + 1}" if side == "encoder" else f"output_blocks.{number}"
    if part == "upsample":
        return f"{block}.{_upsample_place(number, config)}.{_rename(rest, _UPSAMPLE)}"
    if part not in _STAGE_PARTS:
        raise KeyError(f"no released name for {ours}")
    place, table = _STAGE_PARTS[part]
    return f"{block}.{place}.{_rename(rest, table)}"


def _upsample_place(stage: int, config: AnimateXConfig) -> int:
    """The upsampling convolution follows what the decoder stage has: one part, or three with attention."""
    levels = [level for level, blocks in enumerate(config.unet.blocks) for _ in range(blocks + 1)]
    if stage >= len(levels):
        raise KeyError(f"no released name for stage {stage} of the decoder: it has {len(levels)}")
    return 3 if levels[-1 - stage] < config.unet.attention_levels else 1


def _rename(name: str, table: dict[str, str]) -> str:
    """Rewrite what stands before `weight` or `bias`, or a whole name, by the table, literally or with numbers kept."""
    parts = name.split(".")
    if not table and name in _LEAVES:
        return name
    for cut in (len(parts), len(parts) - 1):
        head, tail = ".".join(parts[:cut]), parts[cut:]
        if tail and tail[0] not in _LEAVES:
            break
        if head in table:
            return ".".join([table[head], *tail])
        generic = ".".join("{}" if part.isdigit() else part for part in parts[:cut])
        if generic in table:
            return ".".join([table[generic].format(*(p for p in parts[:cut] if p.isdigit())), *tail])
    raise KeyError(f"no released name for {name}")


def to_ours(name: str, tensor: Tensor) -> Tensor:
    """A released tensor in the shape of our tensor `name`."""
    return tensor.squeeze(-1) if _TRAILING_AXIS.search(name) and tensor.shape[-1:] == (1,) else tensor


def to_released(name: str, tensor: Tensor) -> Tensor:
    """Our tensor `name` in its released shape."""
    return tensor.unsqueeze(-1) if _TRAILING_AXIS.search(name) else tensor
