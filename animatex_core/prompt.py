"""The empty prompt as the network was trained with it: the text tower of CLIP ViT-H, its last block left out.

A constant of 77 tokens, so it is computed once, at conversion, and kept in the model file.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from .openclip import TEXT, build, layer_count, to_transformers
from .tensor_files import WeightsError

START, END, PADDING = 49406, 49407, 0
HEAD_WIDTH = 64  # of every text tower of CLIP
# Diffusers ships the text encoder of Stable Diffusion 2.x without the block that is left out anyway.
LAYERS_WITHOUT_LAST = 23
_NEEDED = (
    "embeddings.token_embedding.weight",
    "embeddings.position_embedding.weight",
    "encoder.layers.0.mlp.fc1.weight",
    "encoder.layers.1.mlp.fc1.weight",
)
HOLDERS = (
    "open_clip_pytorch_model.bin (OpenCLIP ViT-H-14), an SD 2.x checkpoint such as v2-1_512-ema-pruned.ckpt, "
    "or the text encoder of SD 2.x (text_encoder/model.safetensors)"
)


def text_tower(tensors: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """The text tower in a file, by transformers' names without prefix; None when there is none."""
    for name in tensors:
        prefix = name.removesuffix("embeddings.token_embedding.weight")
        if prefix != name:
            wanted = ("embeddings.", "encoder.layers.", "final_layer_norm.")
            found = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
            return {n: t for n, t in found.items() if n.startswith(wanted) and not n.endswith("position_ids")}
    for name in tensors:
        prefix = name.removesuffix("token_embedding.weight")
        if prefix != name and f"{prefix}transformer.resblocks.0.ln_1.weight" in tensors:
            found = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
            return to_transformers(found, TEXT)
    return None


def empty_prompt(tower: Mapping[str, Tensor], tokens: int, width: int) -> Tensor:
    """The context of the empty prompt [1, tokens, width], float32.

    tower: what `text_tower` found. Raises WeightsError when it is incomplete or of another model.
    """
    missing = [name for name in _NEEDED if name not in tower]
    if missing:
        raise WeightsError(f"the text tower is not complete: {', '.join(missing)} missing")
    table = tower["embeddings.token_embedding.weight"]
    if table.ndim != 2 or table.shape[1] != width or table.shape[0] <= END:
        raise WeightsError(
            f"the text tower has a table of {list(table.shape)}, expected [49408, {width}]: another CLIP"
        )
    if tower["embeddings.position_embedding.weight"].shape[0] < tokens:
        raise WeightsError(f"the text tower reads fewer than {tokens} tokens: another CLIP")
    layers = layer_count(tower, "encoder.layers.{}.layer_norm1.weight")
    kept = layers if layers == LAYERS_WITHOUT_LAST else layers - 1
    state = {name: t.float() for name, t in tower.items() if not name.startswith(f"encoder.layers.{kept}.")}
    ids = torch.tensor([[START, END, *[PADDING] * (tokens - 2)]])
    with torch.no_grad():
        found = _model(state, kept)(input_ids=ids).last_hidden_state
    if found.shape != (1, tokens, width) or not torch.isfinite(found).all():
        raise WeightsError("the text tower gives numbers that are not finite: its weights are broken")
    return found


def _model(state: Mapping[str, Tensor], layers: int) -> nn.Module:
    try:
        from transformers import CLIPTextConfig, CLIPTextModel
    except ImportError as error:
        raise WeightsError("the empty prompt needs transformers: pip install transformers") from error
    vocabulary, width = state["embeddings.token_embedding.weight"].shape
    config = CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=state["encoder.layers.0.mlp.fc1.weight"].shape[0],
        num_hidden_layers=layers,
        num_attention_heads=max(1, width // HEAD_WIDTH),
        max_position_embeddings=state["embeddings.position_embedding.weight"].shape[0],
        hidden_act="gelu",
        eos_token_id=END,
        bos_token_id=START,
        pad_token_id=PADDING,
    )

    def make() -> nn.Module:
        model = CLIPTextModel(config)
        return next((child for name, child in model.named_children() if name == "text_model"), model)

    return build(make, state, "the text tower")
