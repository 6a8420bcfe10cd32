"""The two sets of names of Stable Diffusion's VAE: the original ones, which ComfyUI reads too, and those of diffusers.

One table, used both ways. Files are brought to the original names; those of diffusers are needed to run its network.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from torch import Tensor

# {i}: level, {j}: block. Levels of the decoder are counted from the other end in diffusers.
_BLOCK = {"norm1": "norm1", "conv1": "conv1", "norm2": "norm2", "conv2": "conv2", "nin_shortcut": "conv_shortcut"}
_ATTENTION = {"norm": "group_norm", "q": "to_q", "k": "to_k", "v": "to_v", "proj_out": "to_out.0"}
_PAIRS = {
    "encoder.down.{i}.downsample.conv": "encoder.down_blocks.{i}.downsamplers.0.conv",
    "decoder.up.{i}.upsample.conv": "decoder.up_blocks.{i}.upsamplers.0.conv",
    **{
        f"encoder.down.{{i}}.block.{{j}}.{a}": f"encoder.down_blocks.{{i}}.resnets.{{j}}.{b}" for a, b in _BLOCK.items()
    },
    **{f"decoder.up.{{i}}.block.{{j}}.{a}": f"decoder.up_blocks.{{i}}.resnets.{{j}}.{b}" for a, b in _BLOCK.items()},
    **{
        f"{side}.mid.block_{n + 1}.{a}": f"{side}.mid_block.resnets.{n}.{b}"
        for side in ("encoder", "decoder")
        for n in range(2)
        for a, b in _BLOCK.items()
    },
    **{
        f"{side}.mid.attn_1.{a}": f"{side}.mid_block.attentions.0.{b}"
        for side in ("encoder", "decoder")
        for a, b in _ATTENTION.items()
    },
    **{f"{side}.norm_out": f"{side}.conv_norm_out" for side in ("encoder", "decoder")},
    **{f"{side}.{n}": f"{side}.{n}" for side in ("encoder", "decoder") for n in ("conv_in", "conv_out")},
    "quant_conv": "quant_conv",
    "post_quant_conv": "post_quant_conv",
}
_ORIGINAL = "decoder.mid.block_1.norm1.weight"
_DIFFUSERS = "decoder.mid_block.resnets.0.norm1.weight"
# Names that diffusers gave to attention in its first year.
_FIRST_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
_PREFIXES = ("", "first_stage_model.", "vae.")
_SIDES = ("encoder.", "decoder.", "quant_conv.", "post_quant_conv.")


def vae_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """The VAE in a file by its original names; None when there is none of this make."""
    for prefix in _PREFIXES:
        inside = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
        inside = {name: tensor for name, tensor in inside.items() if name.startswith(_SIDES)}
        if _ORIGINAL in inside:
            return {name: _squared(name, tensor) for name, tensor in inside.items()}
        if _DIFFUSERS in inside:
            return _from_diffusers(inside)
    return None


def diffusers_names(names: Iterable[str]) -> dict[str, str]:
    """Original name -> diffusers name, for those that have one."""
    names = list(names)
    return {name: there for name in names if (there := _translate(name, _TO_DIFFUSERS, _levels(names))) is not None}


def _from_diffusers(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    renamed = {}
    for name, tensor in tensors.items():
        parts = name.split(".")
        if "attentions" in parts and parts[-2] in _FIRST_NAMES:
            parts[-2] = _FIRST_NAMES[parts[-2]]
        renamed[".".join(parts)] = tensor
    levels = 1 + max(int(m[1]) for n in renamed if (m := re.match(r"decoder\.up_blocks\.(\d+)\.", n)))
    found = {}
    for name, tensor in renamed.items():
        original = _translate(name, _TO_ORIGINAL, levels)
        found[original or name] = _squared(original or name, tensor)
    return found


def _squared(name: str, tensor: Tensor) -> Tensor:
    """Attention is a convolution of one pixel in the original, a linear layer in diffusers."""
    if re.search(r"attn_1\.(q|k|v|proj_out)\.weight$", name) and tensor.ndim == 2:
        return tensor[:, :, None, None]
    return tensor


def _levels(names: Iterable[str]) -> int:
    return 1 + max((int(m[1]) for name in names if (m := re.match(r"decoder\.up\.(\d+)\.", name))), default=0)


def _translate(name: str, table: Iterable[tuple[re.Pattern[str], str]], levels: int) -> str | None:
    for pattern, target in table:
        found = pattern.fullmatch(name)
        if found:
            numbers = {key: int(value) for key, value in found.groupdict().items() if key != "part"}
            if "i" in numbers and target.startswith("decoder."):
                numbers["i"] = levels - 1 - numbers["i"]
            return f"{target.format(**numbers)}.{found['part']}"
    return None


def _compiled(pairs: Iterable[tuple[str, str]]) -> list[tuple[re.Pattern[str], str]]:
    return [(re.compile(_expression(source) + r"\.(?P<part>weight|bias)"), target) for source, target in pairs]


def _expression(template: str) -> str:
    return re.escape(template).replace(r"\{i\}", r"(?P<i>\d+)").replace(r"\{j\}", r"(?P<j>\d+)")


_TO_DIFFUSERS = _compiled(_PAIRS.items())
_TO_ORIGINAL = _compiled((there, here) for here, there in _PAIRS.items())
