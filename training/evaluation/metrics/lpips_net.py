"""LPIPS v0.1 (Zhang et al. 2018): AlexNet or VGG16, differences of normalised features, weighted by learned heads.

The package `lpips` computes the same but needs torchvision for its backbones, which this file does without.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, max_pool2d, relu

from animatex_core.tensor_files import WeightsError, open_safetensors

SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)

# Of every convolution: entering and leaving channels, kernel, stride, padding, and the pooling (kernel, stride) before
# it; then the convolutions after which features are compared.
Layer = tuple[int, int, int, int, int, tuple[int, int] | None]


def _vgg() -> tuple[Layer, ...]:
    widths = (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
    pooled = (2, 4, 7, 10)
    return tuple(((3, *widths)[i], width, 3, 1, 1, (2, 2) if i in pooled else None) for i, width in enumerate(widths))


LAYERS: dict[str, tuple[Layer, ...]] = {
    "alex": (
        (3, 64, 11, 4, 2, None),
        (64, 192, 5, 1, 2, (3, 2)),
        (192, 384, 3, 1, 1, (3, 2)),
        (384, 256, 3, 1, 1, None),
        (256, 256, 3, 1, 1, None),
    ),
    "vgg": _vgg(),
}
TAPS = {"alex": (0, 1, 2, 3, 4), "vgg": (1, 3, 6, 9, 12)}
# Where torchvision keeps the convolutions: features.N
TORCHVISION = {"alex": (0, 3, 6, 8, 10), "vgg": (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)}


def lpips_shapes(net: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors of `alex` or `vgg` in a file that `lpips_convert` writes."""
    shapes: dict[str, tuple[int, ...]] = {}
    for i, (entering, leaving, kernel, *_) in enumerate(LAYERS[net]):
        shapes[f"lpips.{net}.conv{i}.weight"] = (leaving, entering, kernel, kernel)
        shapes[f"lpips.{net}.conv{i}.bias"] = (leaving,)
    for i, tap in enumerate(TAPS[net]):
        shapes[f"lpips.{net}.head{i}.weight"] = (1, LAYERS[net][tap][1], 1, 1)
    return shapes


class Lpips(nn.Module):
    """The distance of one network."""

    def __init__(self, net: str) -> None:
        super().__init__()
        self.net = net
        prefix = f"lpips.{net}."
        for name, shape in lpips_shapes(net).items():
            self.register_buffer(_attribute(name.removeprefix(prefix)), torch.zeros(shape))
        self.register_buffer("shift", torch.tensor(SHIFT).view(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor(SCALE).view(1, 3, 1, 1))

    shift: Tensor
    scale: Tensor

    @torch.no_grad()
    def distance(self, made: np.ndarray, truth: np.ndarray, *, half_range: bool = False) -> float:
        """LPIPS of two pictures uint8 RGB [H, W, 3] of one size.

        half_range: give the network 0..1 where it expects -1..1, as DisCo does; that is another number.
        """
        pair = torch.from_numpy(np.stack([made, truth])).to(self.shift.device).permute(0, 3, 1, 2).float() / 255
        return self(pair if half_range else pair * 2 - 1)

    def forward(self, pair: Tensor) -> float:
        """[2, 3, H, W] in -1..1 -> distance."""
        x = (pair - self.shift) / self.scale
        total, taps = 0.0, TAPS[self.net]
        for i, (_, _, _, stride, padding, pool) in enumerate(LAYERS[self.net]):
            if pool is not None:
                x = max_pool2d(x, *pool)
            x = relu(conv2d(x, getattr(self, f"conv{i}_weight"), getattr(self, f"conv{i}_bias"), stride, padding))
            if i in taps:
                total += self._compare(x, getattr(self, f"head{taps.index(i)}_weight"))
        return total

    def _compare(self, x: Tensor, head: Tensor) -> float:
        unit = x / (x.pow(2).sum(1, keepdim=True).sqrt() + 1e-10)
        difference = (unit[0] - unit[1]).pow(2)
        return float(conv2d(difference[None], head).mean())


def load_lpips(path: Path, net: str, device: str = "cpu") -> Lpips:
    """The distance of a network, `alex` or `vgg`, from a file that `lpips_convert` wrote. Raises WeightsError."""
    tensors = open_safetensors(path).tensors
    shapes = lpips_shapes(net)
    wrong = [n for n, shape in shapes.items() if n not in tensors or tuple(tensors[n].shape) != shape]
    if wrong:
        raise WeightsError(
            f"{path}: no LPIPS {net} in it ({wrong[0]} missing or misshapen): make the file with "
            "python -m animatex_training.evaluation.metrics.lpips_convert"
        )
    model = Lpips(net)
    for name in shapes:
        getattr(model, _attribute(name.removeprefix(f"lpips.{net}."))).copy_(tensors[name])
    return model.to(device).eval()


def networks_in(path: Path) -> tuple[str, ...]:
    """Which of `alex` and `vgg` a file holds. Raises WeightsError when it holds neither."""
    names = open_safetensors(path).tensors
    found = tuple(net for net in LAYERS if f"lpips.{net}.conv0.weight" in names)
    if not found:
        raise WeightsError(f"{path}: no LPIPS in it: python -m animatex_training.evaluation.metrics.lpips_convert")
    return found


def _attribute(name: str) -> str:
    return name.replace(".", "_")
