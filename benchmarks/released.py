"""The released program's network out of a checkout of its repository, on the CPU, for a comparison in the same run.

It imports packages that only its GPU path needs; small stand-ins take their place. Its xformers call becomes fused
attention of four dimensions, the fast path of PyTorch on a CPU, so that the comparison is one of networks.
"""

from __future__ import annotations

import importlib
import sys
import types
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


def _attention(query: Tensor, key: Tensor, value: Tensor, attn_bias: None = None, op: None = None) -> Tensor:
    return functional.scaled_dot_product_attention(query[None], key[None], value[None])[0]


class _Registry:
    def register_class(self) -> Any:
        return lambda cls: cls


def _stand_in(name: str, **members: Any) -> None:
    module = types.ModuleType(name)
    for key, value in members.items():
        setattr(module, key, value)
    sys.modules[name] = module


def _install_stand_ins() -> None:
    operations = types.SimpleNamespace(memory_efficient_attention=_attention)
    _stand_in("xformers", ops=operations)
    _stand_in("xformers.ops", memory_efficient_attention=_attention)
    _stand_in("rotary_embedding_torch", RotaryEmbedding=nn.Identity)
    _stand_in("fairscale")
    _stand_in("fairscale.nn")
    _stand_in("fairscale.nn.checkpoint", checkpoint_wrapper=lambda module: module)
    _stand_in("open_clip")
    _stand_in("utils")
    _stand_in("utils.registry_class", MODEL=_Registry())


def load(checkout: Path, width: int, multipliers: tuple[int, ...], blocks: int, frames: int) -> nn.Module:
    """Their network with random weights. Raises FileNotFoundError when the checkout is not that repository."""
    folder = checkout / "animatex" / "model"
    if not (folder / "unet_animate_x.py").is_file():
        raise FileNotFoundError(f"{checkout}: expected a checkout with animatex/model/unet_animate_x.py")
    _install_stand_ins()
    for name, path in (("animatex", checkout / "animatex"), ("animatex.model", folder)):
        package = types.ModuleType(name)
        package.__path__ = [str(path)]
        sys.modules[name] = package
    network = importlib.import_module("animatex.model.unet_animate_x").UNetSD_Animate_X(
        in_dim=4, dim=width, y_dim=1024, context_dim=1024, out_dim=4, dim_mult=list(multipliers), num_heads=8,
        head_dim=64, num_res_blocks=blocks, attn_scales=[1.0, 0.5, 0.25], dropout=0.1, temporal_attention=True,
        num_tokens=4, no_hand=True, use_checkpoint=False, training=False, seq_len=frames + 1,
        zero_y=torch.randn(1, 77, 1024),
    )  # fmt: skip
    fill(network, "cpu")
    return network.requires_grad_(False).train(False)


@torch.no_grad()
def fill(network: nn.Module, device: str) -> None:
    """Seeded weights, none of them zero, of a scale that keeps activations finite in fp16."""
    generator = torch.Generator(device=device).manual_seed(7)
    floating = {name: tensor for name, tensor in network.state_dict().items() if tensor.is_floating_point()}
    for name, tensor in floating.items():
        fan_in = max(1, tensor[0].numel()) if tensor.ndim > 1 else 1
        tensor.normal_(0, 0.02 if fan_in == 1 else fan_in**-0.5, generator=generator)
        if tensor.ndim == 1 and name.endswith("weight"):
            tensor.add_(1)


def without_conditions(network: nn.Module, tokens: Tensor) -> nn.Module:
    """The same network with its IPI replaced by given motion tokens: what is left is the bare UNet."""
    for name in ("pose_embedding_before", "pose_embedding_after"):
        setattr(network, name, _Constant(tokens))
    return network


class _Constant(nn.Module):
    def __init__(self, value: Tensor):
        super().__init__()
        self.value = value

    def forward(self, *_: Tensor) -> Tensor:
        return self.value
