"""I3D (Carreira and Zisserman 2017), RGB, Kinetics-400, in the layout of i3d_pretrained_400.pt: the network of FVD."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool3d, max_pool3d, pad, relu

from .weight_files import fill

FEATURES, SIDE = 400, 224

Triple = tuple[int, int, int]
# Channels of b0, b1a, b1b, b2a, b2b, b3b
BLOCKS: dict[str, tuple[int, ...]] = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}
# Pools (kernel and stride) before these blocks
POOLS: dict[str, tuple[Triple, Triple]] = {
    "Mixed_3b": ((1, 3, 3), (1, 2, 2)),
    "Mixed_4b": ((3, 3, 3), (2, 2, 2)),
    "Mixed_5b": ((2, 2, 2), (2, 2, 2)),
}


def _same(x: Tensor, kernel: Triple, stride: Triple) -> Tensor:
    """Zeros around x as TensorFlow puts them: an odd one at the end."""
    missing = [max(k - s if n % s == 0 else k - n % s, 0) for n, k, s in zip(x.shape[2:], kernel, stride, strict=True)]
    t, h, w = missing
    return pad(x, (w // 2, w - w // 2, h // 2, h - h // 2, t // 2, t - t // 2))


def _pool(x: Tensor, kernel: Triple, stride: Triple) -> Tensor:
    return max_pool3d(_same(x, kernel, stride), kernel, stride)


class _Unit(nn.Module):
    def __init__(self, entering: int, leaving: int, kernel: Triple, stride: Triple = (1, 1, 1)):
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.conv3d = nn.Conv3d(entering, leaving, kernel, stride, bias=False)
        self.bn = nn.BatchNorm3d(leaving, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return relu(self.bn(self.conv3d(_same(x, self.kernel, self.stride))))


class _Mixed(nn.Module):
    def __init__(self, entering: int, widths: tuple[int, ...]):
        super().__init__()
        one, three = (1, 1, 1), (3, 3, 3)
        self.b0 = _Unit(entering, widths[0], one)
        self.b1a, self.b1b = _Unit(entering, widths[1], one), _Unit(widths[1], widths[2], three)
        self.b2a, self.b2b = _Unit(entering, widths[3], one), _Unit(widths[3], widths[4], three)
        self.b3b = _Unit(entering, widths[5], one)

    def forward(self, x: Tensor) -> Tensor:
        pooled = _pool(x, (3, 3, 3), (1, 1, 1))
        return torch.cat([self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(pooled)], 1)


class _Logits(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(1024, FEATURES, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv3d(x)


class I3d(nn.Module):
    """Logits of clips."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv3d_1a_7x7 = _Unit(3, 64, (7, 7, 7), (2, 2, 2))
        self.Conv3d_2b_1x1 = _Unit(64, 64, (1, 1, 1))
        self.Conv3d_2c_3x3 = _Unit(64, 192, (3, 3, 3))
        entering = 192
        for name, widths in BLOCKS.items():
            self.add_module(name, _Mixed(entering, widths))
            entering = widths[0] + widths[2] + widths[4] + widths[5]
        self.logits = _Logits()

    def forward(self, clips: Tensor) -> Tensor:
        """[n, 3, F, 224, 224] in -1..1 -> logits [n, 400], their mean over time, before any softmax."""
        x = _pool(self.Conv3d_1a_7x7(clips), (1, 3, 3), (1, 2, 2))
        x = self.Conv3d_2c_3x3(self.Conv3d_2b_1x1(x))
        for name in BLOCKS:
            if name in POOLS:
                x = _pool(x, *POOLS[name])
            x = self.get_submodule(name)(x)
        return self.logits(avg_pool3d(x, (1, 7, 7), 1)).mean((2, 3, 4))


def load_i3d(path: Path, device: str = "cpu") -> I3d:
    """The network with the weights of i3d_pretrained_400.pt. Raises WeightsError for any other file."""
    network = I3d()
    fill(network, path, "I3D RGB, Kinetics-400 (i3d_pretrained_400)")
    return network.to(device)
