"""The image tower of CLIP ViT-H, or a small one: pictures -> the features that image tokens and IPI read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from .identify import describe, open_mapped
from .mini_vision import FEATURES, PREFIX, SIDE, build_mini, mini_tower
from .openclip import VISION, build, layer_count, to_transformers
from .pictures import resize, to_tensor
from .tensor_files import PathLike, WeightsError

MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)
# Heads of the towers whose heads are not 64 wide: H, g and G.
_HEADS = {1280: 16, 1408: 16, 1664: 16}
_NEEDED = (
    "vision_model.embeddings.class_embedding",
    "vision_model.embeddings.patch_embedding.weight",
    "vision_model.embeddings.position_embedding.weight",
    "vision_model.encoder.layers.0.mlp.fc1.weight",
    "visual_projection.weight",
)


class ClipVision:
    """An image tower, ready to encode."""

    def __init__(self, model: nn.Module, size: int, projection: int):
        self.model, self.size, self.projection = model, size, projection

    @torch.no_grad()
    def encode(self, pictures: np.ndarray | Sequence[np.ndarray], batch: int = 8) -> Tensor:
        """Projected, not normalised features [n, projection], float32 on the CPU.

        pictures: uint8 RGB, [n, H, W, 3] or a sequence of [H, W, 3]. Each is stretched to the tower's square (Pillow's
        bilinear, no crop), as in the released program. batch: pictures at a time.
        """
        parameter = next(self.model.parameters())
        found = []
        for start in range(0, len(pictures), batch):
            pixels = preprocess(pictures[start : start + batch], self.size)
            out = self.model(pixel_values=pixels.to(parameter.device, parameter.dtype)).image_embeds
            found.append(out.float().cpu())
        return torch.cat(found) if found else torch.zeros(0, self.projection)


def preprocess(pictures: np.ndarray | Sequence[np.ndarray], size: int = 224) -> Tensor:
    """uint8 RGB pictures -> [n, 3, size, size] float32, normalised with CLIP's mean and deviation."""
    squares = [resize(picture, size, size) for picture in pictures]
    mean, deviation = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, DEVIATION))
    return (to_tensor(np.stack(squares)) - mean) / deviation


def load_clip_vision(
    path: PathLike, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> ClipVision:
    """The image tower of a file: OpenCLIP (vision alone or with text), transformers names, or bundled in a model file.

    The small tower of `mini_vision` is taken as well: only models that were trained with it know its features.

    Raises WeightsError naming the file: no tower in it, or one that is not complete.
    """
    tensors = _tower_of(path)
    try:
        if _is_mini(tensors):
            return ClipVision(build_mini(tensors, MEAN, DEVIATION, dtype, device), SIDE, FEATURES)
        return _build(tensors, dtype, device)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error


def projection_width(path: PathLike) -> int:
    """How many numbers a feature of the file's image tower has, without reading it. Raises like `load_clip_vision`."""
    tensors = _tower_of(path)
    return FEATURES if _is_mini(tensors) else tensors["visual_projection.weight"].shape[0]


def _is_mini(tensors: Mapping[str, Tensor]) -> bool:
    return f"{PREFIX}stem.weight" in tensors


def _tower_of(path: PathLike) -> dict[str, Tensor]:
    checkpoint = open_mapped(path, "bundle it with animate-x convert ... --clip FILE")
    tensors = vision_tower(checkpoint.tensors)
    if tensors is None:
        raise WeightsError(f"{path}: no CLIP vision tower in it: {describe(checkpoint).title}")
    needed = () if _is_mini(tensors) else _NEEDED
    missing = [name for name in needed if name not in tensors or not tensors[name].ndim]
    if missing:
        raise WeightsError(f"{path}: the CLIP vision tower is not complete: {', '.join(missing)} missing")
    return tensors


def vision_tower(tensors: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """The image tower in a file, by transformers' names or those of `mini_vision`; None when there is none."""
    mini = mini_tower(tensors)
    if mini is not None:
        return mini
    for prefix in ("", "clip_vision.", "model."):
        if f"{prefix}visual.transformer.resblocks.0.ln_1.weight" in tensors:
            start = f"{prefix}visual."
            found = {n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)}
            return to_transformers(found, VISION, "vision_model.")
        if f"{prefix}vision_model.encoder.layers.0.layer_norm1.weight" in tensors:
            wanted = (f"{prefix}vision_model.", f"{prefix}visual_projection.")
            found = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(wanted)}
            return {name: tensor for name, tensor in found.items() if not name.endswith("position_ids")}
    return None


def _build(tensors: Mapping[str, Tensor], dtype: torch.dtype, device: torch.device | str) -> ClipVision:
    try:
        from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection
    except ImportError as error:
        raise WeightsError("CLIP vision needs transformers: pip install transformers") from error
    patches = tensors["vision_model.embeddings.patch_embedding.weight"]
    places = tensors["vision_model.embeddings.position_embedding.weight"].shape[0] - 1
    side = round(places**0.5)
    if patches.ndim != 4 or side * side != places or side < 1:
        raise WeightsError(f"the CLIP vision tower has {places} places, expected a square: another model")
    width, projection = patches.shape[0], tensors["visual_projection.weight"].shape[0]
    config = CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=tensors["vision_model.encoder.layers.0.mlp.fc1.weight"].shape[0],
        projection_dim=projection,
        num_hidden_layers=layer_count(tensors, "vision_model.encoder.layers.{}.layer_norm1.weight"),
        num_attention_heads=_HEADS.get(width, max(1, width // 64)),
        image_size=side * patches.shape[-1],
        patch_size=patches.shape[-1],
        hidden_act="gelu",
    )
    state = {name: tensor.to(device=device, dtype=dtype) for name, tensor in tensors.items()}
    model = build(lambda: CLIPVisionModelWithProjection(config), state, "the CLIP vision tower")
    return ClipVision(model, side * patches.shape[-1], projection)
