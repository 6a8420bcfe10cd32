"""The Inception network of FID: TensorFlow's of 2015-12-05 in the layout of pytorch-fid, up to 2048 pooled features.

It differs from torchvision's: average pools do not count their padding, and the last block pools by maximum.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, max_pool2d, relu

from .weight_files import fill

FEATURES, SIDE = 2048, 299

Kernel = tuple[int, int]
# A step of a branch: name, channels that leave it, kernel, stride. Stride 2 is not padded, stride 1 keeps the size.
Step = tuple[str, int, Kernel, int]
# A branch: stages one after the other, in each of which steps are taken side by side.
Branch = tuple[tuple[Step, ...], ...]


def _chain(*steps: Step) -> Branch:
    return tuple((step,) for step in steps)


class _Convolution(nn.Module):
    def __init__(self, entering: int, leaving: int, kernel: Kernel, stride: int = 1, padded: bool = True):
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2) if padded and stride == 1 else (0, 0)
        self.conv = nn.Conv2d(entering, leaving, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(leaving, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return relu(self.bn(self.conv(x)))


class _Mixed(nn.Module):
    """Branches side by side, the last of them a pool; `pooled`: channels after the pool's convolution, 0 for none."""

    def __init__(self, entering: int, branches: tuple[Branch, ...], pool: str, pooled: int):
        super().__init__()
        self.branches, self.pool = branches, pool
        self.leaving = pooled or entering
        for branch in branches:
            width = entering
            for stage in branch:
                for name, leaving, kernel, stride in stage:
                    self.add_module(name, _Convolution(width, leaving, kernel, stride))
                width = sum(leaving for _, leaving, _, _ in stage)
            self.leaving += width
        self.branch_pool = _Convolution(entering, pooled, (1, 1)) if pooled else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([*(self._run(branch, x) for branch in self.branches), self._pooled(x)], 1)

    def _run(self, branch: Branch, x: Tensor) -> Tensor:
        for stage in branch:
            x = torch.cat([self.get_submodule(name)(x) for name, *_ in stage], 1)
        return x

    def _pooled(self, x: Tensor) -> Tensor:
        if self.pool == "reduce":
            return max_pool2d(x, 3, 2)
        if self.pool == "max":
            return self.branch_pool(max_pool2d(x, 3, 1, 1))
        return self.branch_pool(avg_pool2d(x, 3, 1, 1, count_include_pad=False))


def _block_a(entering: int, pooled: int) -> _Mixed:
    branches = (
        _chain(("branch1x1", 64, (1, 1), 1)),
        _chain(("branch5x5_1", 48, (1, 1), 1), ("branch5x5_2", 64, (5, 5), 1)),
        _chain(("branch3x3dbl_1", 64, (1, 1), 1), ("branch3x3dbl_2", 96, (3, 3), 1), ("branch3x3dbl_3", 96, (3, 3), 1)),
    )
    return _Mixed(entering, branches, "average", pooled)


def _block_b(entering: int) -> _Mixed:
    branches = (
        _chain(("branch3x3", 384, (3, 3), 2)),
        _chain(("branch3x3dbl_1", 64, (1, 1), 1), ("branch3x3dbl_2", 96, (3, 3), 1), ("branch3x3dbl_3", 96, (3, 3), 2)),
    )
    return _Mixed(entering, branches, "reduce", 0)


def _block_c(entering: int, inner: int) -> _Mixed:
    flat, tall = (1, 7), (7, 1)
    branches = (
        _chain(("branch1x1", 192, (1, 1), 1)),
        _chain(("branch7x7_1", inner, (1, 1), 1), ("branch7x7_2", inner, flat, 1), ("branch7x7_3", 192, tall, 1)),
        _chain(
            ("branch7x7dbl_1", inner, (1, 1), 1),
            ("branch7x7dbl_2", inner, tall, 1),
            ("branch7x7dbl_3", inner, flat, 1),
            ("branch7x7dbl_4", inner, tall, 1),
            ("branch7x7dbl_5", 192, flat, 1),
        ),
    )
    return _Mixed(entering, branches, "average", 192)


def _block_d(entering: int) -> _Mixed:
    branches = (
        _chain(("branch3x3_1", 192, (1, 1), 1), ("branch3x3_2", 320, (3, 3), 2)),
        _chain(
            ("branch7x7x3_1", 192, (1, 1), 1),
            ("branch7x7x3_2", 192, (1, 7), 1),
            ("branch7x7x3_3", 192, (7, 1), 1),
            ("branch7x7x3_4", 192, (3, 3), 2),
        ),
    )
    return _Mixed(entering, branches, "reduce", 0)


def _block_e(entering: int, pool: str) -> _Mixed:
    def crossed(name: str) -> tuple[Step, ...]:
        return (f"{name}a", 384, (1, 3), 1), (f"{name}b", 384, (3, 1), 1)

    branches = (
        _chain(("branch1x1", 320, (1, 1), 1)),
        (*_chain(("branch3x3_1", 384, (1, 1), 1)), crossed("branch3x3_2")),
        (*_chain(("branch3x3dbl_1", 448, (1, 1), 1), ("branch3x3dbl_2", 384, (3, 3), 1)), crossed("branch3x3dbl_3")),
    )
    return _Mixed(entering, branches, pool, 192)


class FidInception(nn.Module):
    """Features of pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = _Convolution(3, 32, (3, 3), 2)
        self.Conv2d_2a_3x3 = _Convolution(32, 32, (3, 3), padded=False)
        self.Conv2d_2b_3x3 = _Convolution(32, 64, (3, 3))
        self.Conv2d_3b_1x1 = _Convolution(64, 80, (1, 1))
        self.Conv2d_4a_3x3 = _Convolution(80, 192, (3, 3), padded=False)
        width = 192
        for name, block in (
            ("Mixed_5b", lambda w: _block_a(w, 32)), ("Mixed_5c", lambda w: _block_a(w, 64)),
            ("Mixed_5d", lambda w: _block_a(w, 64)), ("Mixed_6a", _block_b),
            ("Mixed_6b", lambda w: _block_c(w, 128)), ("Mixed_6c", lambda w: _block_c(w, 160)),
            ("Mixed_6d", lambda w: _block_c(w, 160)), ("Mixed_6e", lambda w: _block_c(w, 192)),
            ("Mixed_7a", _block_d), ("Mixed_7b", lambda w: _block_e(w, "average")),
            ("Mixed_7c", lambda w: _block_e(w, "max")),
        ):  # fmt: skip
            mixed = block(width)
            self.add_module(name, mixed)
            width = mixed.leaving
        self.fc = nn.Linear(FEATURES, 1008)  # in the file, not asked for

    def forward(self, pictures: Tensor) -> Tensor:
        """[n, 3, H, W] in 0..1 -> [n, 2048], resized as pytorch-fid does: bilinear, without smoothing."""
        x = 2 * interpolate(pictures, (SIDE, SIDE), mode="bilinear", align_corners=False) - 1
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(max_pool2d(x, 3, 2)))
        x = max_pool2d(x, 3, 2)
        for name, block in self.named_children():
            if name.startswith("Mixed"):
                x = block(x)
        return x.mean((2, 3))


def load_inception(path: Path, device: str = "cpu") -> FidInception:
    """The network with the weights of a file, such as pt_inception-2015-12-05-6726825d.pth. Raises WeightsError."""
    network = FidInception()
    fill(network, path, "FID's Inception (pt_inception-2015-12-05)")
    return network.to(device)
