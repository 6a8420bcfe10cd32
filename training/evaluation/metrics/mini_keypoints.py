"""The mini keypoint network: the body's joints of one character in a small picture, by a heat map for each.

It was trained on renders of `animatex_training.synthetic` alone (`mini_keypoints_train`), humans and figures, and reads
such pictures and what a small model makes of them. It is no detector of people in photographs: see DWPose for those.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from animatex_core.pictures import resize
from animatex_core.tensor_files import WeightsError, open_safetensors

WIDTH, HEIGHT = 128, 192
STRIDE = 4  # pixels to a cell of the heat maps
JOINTS = 18
FORMAT = "animatex mini keypoints 1"  # in the metadata of the file
_WIDTHS = (16, 32, 48, 64, 64)  # after each halving
_NEAR = 2  # cells about the hottest one whose mean is the joint
_BATCH = 16


class MiniKeypoints(nn.Module):
    """Pictures [n, 3, 192, 128] in 0..1 -> logits [n, 18, 48, 32], a softmax over the cells for each joint."""

    def __init__(self) -> None:
        super().__init__()
        entering = (3, *_WIDTHS)
        self.down = nn.ModuleList(_down(a, b, i > 0) for i, (a, b) in enumerate(zip(entering, _WIDTHS, strict=False)))
        self.up = nn.ModuleList(nn.Conv2d(_WIDTHS[i + 1], _WIDTHS[i], 1) for i in (3, 2, 1))
        self.mix = nn.ModuleList(_separable(_WIDTHS[i]) for i in (3, 2, 1))
        self.head = nn.Sequential(_convolution(_WIDTHS[1], _WIDTHS[1]), nn.Conv2d(_WIDTHS[1], JOINTS, 1))

    def forward(self, pictures: Tensor) -> Tensor:
        """See the class."""
        x, levels = pictures - 0.5, []
        for block in self.down:
            x = block(x)
            levels.append(x)
        for up, mix, level in zip(self.up, self.mix, (3, 2, 1), strict=True):
            x = mix(interpolate(up(x), scale_factor=2.0) + levels[level])
        return self.head(x)

    @torch.no_grad()
    def find(self, frames: np.ndarray) -> np.ndarray:
        """Joints [n, 18, 2] in pixels of the frames, uint8 RGB [n, H, W, 3] of any size with the shape of 128x192."""
        height, width = frames.shape[1:3]
        if height * WIDTH != width * HEIGHT:
            raise ValueError(f"the mini keypoint network reads pictures with sides as 2 to 3, not {width}x{height}")
        small = frames if width == WIDTH else resize(frames, WIDTH, HEIGHT)
        pictures = torch.from_numpy(np.ascontiguousarray(small)).permute(0, 3, 1, 2).float() / 255
        return torch.cat([hottest(self(part)) for part in pictures.split(_BATCH)]).numpy() * (width / WIDTH)


def hottest(logits: Tensor) -> Tensor:
    """Joints [n, 18, 2] in pixels of 128x192: the mean place of the heat about the hottest cell."""
    rows, columns = logits.shape[-2:]
    heat = logits.flatten(2).softmax(-1)
    best = heat.argmax(-1, keepdim=True)
    cells = torch.arange(rows * columns)
    y, x = cells // columns, cells % columns
    near = ((y - best // columns).abs() <= _NEAR) & ((x - best % columns).abs() <= _NEAR)
    heat = heat * near
    place = torch.stack([(heat * x).sum(-1), (heat * y).sum(-1)], -1) / heat.sum(-1)[..., None]
    return (place + 0.5) * STRIDE


def load_keypoints(path: Path) -> MiniKeypoints:
    """The network of a file that `mini_keypoints_train` wrote. Raises WeightsError naming the file."""
    opened = open_safetensors(path)
    model = MiniKeypoints()
    wanted = {name: tensor for name, tensor in model.state_dict().items() if tensor.is_floating_point()}
    wrong = [n for n, t in wanted.items() if n not in opened.tensors or opened.tensors[n].shape != t.shape]
    if wrong:
        raise WeightsError(
            f"{path}: no mini keypoint network in it ({wrong[0]} missing or misshapen): make the file with "
            "python -m animatex_training.mini_keypoints_train"
        )
    model.load_state_dict({name: opened.tensors[name].float() for name in wanted}, strict=False)
    return model.eval()


def _convolution(entering: int, leaving: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(entering, leaving, 3, stride, 1, bias=False), nn.BatchNorm2d(leaving), nn.ReLU(inplace=True)
    )


def _down(entering: int, leaving: int, twice: bool) -> nn.Sequential:
    first = _convolution(entering, leaving, 2)
    return nn.Sequential(first, _convolution(leaving, leaving)) if twice else first


def _separable(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(width, width, 3, 1, 1, groups=width, bias=False), nn.Conv2d(width, width, 1, bias=False),
        nn.BatchNorm2d(width), nn.ReLU(inplace=True),
    )  # fmt: skip
