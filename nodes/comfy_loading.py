"""Model files as what ComfyUI passes around: MODEL, CLIP_VISION, VAE, under its memory manager."""

from __future__ import annotations

from typing import Any

import comfy.clip_vision
import comfy.model_management as management
import comfy.model_patcher
import comfy.sd
import torch
from comfy.patcher_extension import CallbacksMP
from torch import Tensor

from ..animatex_core.mini_vision import SIDE, build_mini, mini_tower
from ..animatex_core.tensor_files import WeightsError
from ..animatex_core.vision import DEVIATION, MEAN
from ..animatex_core.weights import LoadedState, load_part, load_state
from .comfy_model import AnimateXModel, AnimateXSettings, clear_encoded

WEIGHT_DTYPES = {
    "default": None,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
    "fp32": torch.float32,
    "fp8_e4m3fn": torch.float8_e4m3fn,
    "fp8_e5m2": torch.float8_e5m2,
}


def load_patcher(path: str, weight_dtype: str = "default", disable_dynamic: bool = False) -> Any:
    """The MODEL of a converted file, or of one that ComfyUI saved. Raises WeightsError naming what is wrong.

    weight_dtype: one of WEIGHT_DTYPES; "default" is what ComfyUI picks for the device. fp8 holds for matrices only,
    norms and biases stay in 16 bits or more.
    """
    loaded = load_state(path)
    load_device, offload_device = management.get_torch_device(), management.unet_offload_device()
    settings = _settings(loaded, WEIGHT_DTYPES[weight_dtype], load_device)
    model = AnimateXModel(settings, device="meta")
    model.device = offload_device
    state = _cast(loaded.state, settings.unet_config["dtype"], settings.manual_cast_dtype)
    model.diffusion_model.load_state_dict(state, strict=True, assign=True)
    model.diffusion_model.requires_grad_(False)
    management.archive_model_dtypes(model.diffusion_model)
    if not management.is_device_cpu(offload_device):
        model.to(offload_device)
    kind = comfy.model_patcher.ModelPatcher
    if not disable_dynamic:
        kind = getattr(comfy.model_patcher, "CoreModelPatcher", kind)
    patcher = kind(model, load_device=load_device, offload_device=offload_device)
    patcher.cached_patcher_init = (load_patcher, (path, weight_dtype))
    patcher.add_callback_with_key(CallbacksMP.ON_CLEANUP, "animatex", clear_encoded)
    return patcher


def _settings(loaded: LoadedState, dtype: torch.dtype | None, device: torch.device) -> AnimateXSettings:
    """The dtypes that ComfyUI holds weights and computes in, and the configuration."""
    settings = AnimateXSettings({"config": loaded.config})
    numbers = sum(tensor.numel() for tensor in loaded.state.values())
    supported = list(settings.supported_inference_dtypes)
    if dtype is None:
        stored = loaded.state["unet.entrance.weight"].dtype
        dtype = management.unet_dtype(model_params=numbers, supported_dtypes=supported, weight_dtype=stored)
    settings.set_inference_dtype(dtype, management.unet_manual_cast(dtype, device, supported))
    return settings


def _cast(state: dict[str, Tensor], dtype: torch.dtype, compute: torch.dtype | None) -> dict[str, Tensor]:
    """Tensors in the dtype they are held in; those that are not matrices never in less than 16 bits."""
    small = dtype if dtype.itemsize > 1 else compute or torch.float16
    full = ("empty_prompt", "ipi.query.positions")
    matrix = {name: tensor.ndim > 1 and name.endswith(".weight") for name, tensor in state.items()}
    return {n: t.float() if n in full else t.to(dtype if matrix[n] else small) for n, t in state.items()}


def load_clip_vision(path: str) -> Any | None:
    """The CLIP vision tower that a model file bundles, or None."""
    state = load_part(path, "clip_vision")
    if not state:
        return None
    mini = mini_tower(state)
    if mini is not None:
        return MiniClipVision(mini)
    if "vision_model.encoder.layers.30.layer_norm1.weight" in state:
        return comfy.clip_vision.load_clipvision_from_sd(dict(state))
    tower = comfy.clip_vision.ClipVisionModel(_tower_config(state))
    missing, unexpected = tower.load_sd(dict(state))
    if missing or unexpected:
        raise WeightsError(f"{path}: the bundled CLIP vision is not complete: {', '.join([*missing, *unexpected])}")
    return tower


class MiniClipVision:
    """The small image tower as ComfyUI's CLIP_VISION. It stays on the CPU: a picture takes it a tenth of a second."""

    def __init__(self, tensors: dict[str, Tensor]):
        self.model = build_mini(tensors, MEAN, DEVIATION, torch.float32, "cpu")
        self.image_size = SIDE

    @torch.no_grad()
    def encode_image(self, image: Tensor, crop: bool = True) -> Any:
        """IMAGE [n, H, W, 3] in 0..1 -> the output of a tower that has nothing but `image_embeds`."""
        pixels = comfy.clip_vision.clip_preprocess(
            image.cpu(), size=SIDE, mean=list(MEAN), std=list(DEVIATION), crop=crop
        )
        output = comfy.clip_vision.Output()
        output["image_embeds"] = self.model(pixels.float()).image_embeds
        output["last_hidden_state"] = output["penultimate_hidden_states"] = None
        return output


def _tower_config(state: dict[str, Tensor]) -> dict[str, Any]:
    """The configuration of a small tower, from its shapes; heads are 64 wide as in CLIP B and L."""
    patches = state["vision_model.embeddings.patch_embedding.weight"]
    places = state["vision_model.embeddings.position_embedding.weight"].shape[0] - 1
    layers = {name.split(".")[3] for name in state if name.startswith("vision_model.encoder.layers.")}
    return {
        "model_type": "clip_vision_model",
        "hidden_act": "gelu",
        "hidden_size": patches.shape[0],
        "image_size": round(places**0.5) * patches.shape[-1],
        "intermediate_size": state["vision_model.encoder.layers.0.mlp.fc1.weight"].shape[0],
        "layer_norm_eps": 1e-5,
        "num_attention_heads": max(1, patches.shape[0] // 64),
        "num_channels": 3,
        "num_hidden_layers": len(layers),
        "patch_size": patches.shape[-1],
        "projection_dim": state["visual_projection.weight"].shape[0],
    }


def load_vae(path: str) -> Any | None:
    """The VAE that a model file bundles, or None."""
    state = load_part(path, "vae")
    if not state:
        return None
    vae = comfy.sd.VAE(sd=dict(state))
    vae.throw_exception_if_invalid()
    return vae
