"""OpenCLIP's towers in the names of transformers, and towers of either make without a copy of their weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from .inventory import compare
from .tensor_files import WeightsError

_BLOCK = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
# Of a tower: what stands outside its blocks. A projection is kept turned around.
TEXT = {
    "token_embedding": "embeddings.token_embedding",
    "positional_embedding": "embeddings.position_embedding.weight",
    "ln_final": "final_layer_norm",
}
VISION = {
    "class_embedding": "vision_model.embeddings.class_embedding",
    "conv1": "vision_model.embeddings.patch_embedding",
    "positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "ln_pre": "vision_model.pre_layrnorm",
    "ln_post": "vision_model.post_layernorm",
}
_BLOCKS = "transformer.resblocks."
_PARTS = ("weight", "bias")


def to_transformers(tensors: Mapping[str, Tensor], outside: Mapping[str, str], tower: str = "") -> dict[str, Tensor]:
    """A tower by its names in OpenCLIP -> by those in transformers; names of other things are left out.

    outside: TEXT or VISION; tower: what stands before "encoder.layers" there. Tensors stay views.
    """
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name.startswith(_BLOCKS):
            number, _, rest = name.removeprefix(_BLOCKS).partition(".")
            for there, part in _block_parts(rest, tensor):
                found[f"{tower}encoder.layers.{number}.{there}"] = part
        elif name == "proj":
            found["visual_projection.weight"] = tensor.T
        else:
            head, _, part = name.rpartition(".")
            if name in outside:
                found[outside[name]] = tensor
            elif head in outside and part in _PARTS:
                found[f"{outside[head]}.{part}"] = tensor
    return found


def _block_parts(name: str, tensor: Tensor) -> list[tuple[str, Tensor]]:
    """A tensor of a block: itself renamed, or query, key and value, which OpenCLIP stacks."""
    stacked = {"attn.in_proj_weight": "weight", "attn.in_proj_bias": "bias"}.get(name)
    if stacked is not None:
        if tensor.shape[0] % 3:
            raise WeightsError(f"{name}: {tensor.shape[0]} rows are not query, key and value of equal size")
        return [(f"self_attn.{which}_proj.{stacked}", t) for which, t in zip("qkv", tensor.chunk(3), strict=True)]
    head, _, part = name.rpartition(".")
    return [(f"{_BLOCK[head]}.{part}", tensor)] if head in _BLOCK and part in _PARTS else []


def layer_count(names: Mapping[str, Tensor], pattern: str) -> int:
    """How many layers there are, `pattern` with their number in place of {}."""
    count = 0
    while pattern.format(count) in names:
        count += 1
    return count


def build(make: Callable[[], Any], state: Mapping[str, Tensor], what: str) -> Any:
    """A torch module around tensors that exist already. Raises WeightsError when they are not exactly its own.

    make: gives it; called on the meta device, so nothing is allocated or initialised.
    """
    with torch.device("meta"):
        module = make()
    expected = {n: tuple(t.shape) for n, t in module.state_dict().items() if not n.endswith("position_ids")}
    difference = compare(expected, {name: tuple(tensor.shape) for name, tensor in state.items()})
    if difference:
        raise WeightsError(f"{what} is not complete: {'; '.join(difference.lines())}")
    module.load_state_dict(dict(state), strict=False, assign=True)
    device = next(iter(state.values())).device
    for name, buffer in list(module.named_buffers()):
        if name.endswith("position_ids"):  # 0, 1, 2, ...: in no file
            owner, _, leaf = name.rpartition(".")
            setattr(module.get_submodule(owner), leaf, torch.arange(buffer.shape[-1], device=device).expand(1, -1))
    return module.requires_grad_(False).train(False)
