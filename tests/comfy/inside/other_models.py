"""Small random weights of other models that the templates use, by ComfyUI's own classes.

    PYTHON tests/comfy/inside/other_models.py COMFYUI_PATH MODELS_FOLDER

FILM has one size only; Wan and its VAE are as narrow as ComfyUI can tell from their tensors.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import host


def main(comfy: str, models: str) -> None:
    """Write the three files by the names in the templates."""
    host.start(comfy, models)
    import comfy.ops
    import torch
    from comfy.ldm.wan.model import WanModel
    from comfy.ldm.wan.vae import WanVAE
    from comfy_extras.frame_interpolation_models.film_net import FILMNet
    from safetensors.torch import save_file

    def write(network, name, dtype):
        torch.manual_seed(0)
        state = {key: torch.empty_like(tensor, dtype=dtype) for key, tensor in network.state_dict().items()}
        for key, tensor in state.items():
            tensor.normal_(0, 0.1 if tensor.ndim == 1 else tensor[0].numel() ** -0.5)
            if key.endswith("gamma") or ("norm" in key and key.endswith("weight")):
                tensor.fill_(1)
        (Path(models) / name).parent.mkdir(parents=True, exist_ok=True)
        save_file(state, Path(models) / name)

    layers = {"operations": comfy.ops.disable_weight_init, "device": "cpu", "dtype": torch.float32}
    write(FILMNet(), "frame_interpolation/film_net_fp16.safetensors", torch.float16)
    wan = WanModel(dim=128, ffn_dim=128, num_heads=1, num_layers=1, **layers)
    write(wan, "diffusion_models/wan2.1_t2v_1.3B_fp16.safetensors", torch.float32)
    # As ComfyUI builds it for a file: a layer that the file lacked would hold whatever was in memory.
    vae = WanVAE(dim=16, z_dim=16, temperal_downsample=[False, True, True])
    write(vae, "vae/wan_2.1_vae.safetensors", torch.float32)


main(*sys.argv[1:])
