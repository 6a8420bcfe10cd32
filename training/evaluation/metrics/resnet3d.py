"""3D ResNet-50 (Hara et al. 2018), Kinetics, shortcut B, in the layout of resnet-50-kinetics.pth: that of FID-VID."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn
from torch.nn.functional import max_pool3d, relu

from .weight_files import fill

FEATURES, SIDE, SEGMENT = 2048, 112, 16
MEAN = (114.7748, 107.7354, 99.4750)
"""Subtracted from pixels in 0..255, in the order of RGB; there is no division."""


class _Bottleneck(nn.Module):
    def __init__(self, entering: int, inner: int, stride: int):
        super().__init__()
        leaving = inner * 4
        self.conv1, self.bn1 = nn.Conv3d(entering, inner, 1, bias=False), nn.BatchNorm3d(inner)
        self.conv2, self.bn2 = nn.Conv3d(inner, inner, 3, stride, 1, bias=False), nn.BatchNorm3d(inner)
        self.conv3, self.bn3 = nn.Conv3d(inner, leaving, 1, bias=False), nn.BatchNorm3d(leaving)
        self.downsample = (
            nn.Sequential(nn.Conv3d(entering, leaving, 1, stride, bias=False), nn.BatchNorm3d(leaving))
            if stride != 1 or entering != leaving
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        beside = x if self.downsample is None else self.downsample(x)
        y = relu(self.bn2(self.conv2(relu(self.bn1(self.conv1(x))))))
        return relu(self.bn3(self.conv3(y)) + beside)


class ResNet3d(nn.Module):
    """Features of segments of 16 frames."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(3, 64, 7, (1, 2, 2), 3, bias=False)
        self.bn1 = nn.BatchNorm3d(64)
        entering = 64
        for index, (inner, blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3))):
            layers = []
            for place in range(blocks):
                layers.append(_Bottleneck(entering, inner, 2 if index and not place else 1))
                entering = inner * 4
            self.add_module(f"layer{index + 1}", nn.Sequential(*layers))
        self.fc = nn.Linear(FEATURES, 400)  # in the file, not asked for

    def forward(self, segments: Tensor) -> Tensor:
        """[n, 3, 16, 112, 112], pixels 0..255 minus MEAN -> [n, 2048], what the classifier would read."""
        x = max_pool3d(relu(self.bn1(self.conv1(segments))), 3, 2, 1)
        for index in range(4):
            x = self.get_submodule(f"layer{index + 1}")(x)
        return x.mean((2, 3, 4))


def load_resnet3d(path: Path, device: str = "cpu") -> ResNet3d:
    """The network with the weights of resnet-50-kinetics.pth. Raises WeightsError for any other file."""
    network = ResNet3d()
    fill(network, path, "3D ResNet-50 (resnet-50-kinetics)", lambda name: name.removeprefix("module."))
    return network.to(device)
