"""A small image tower for machines without CLIP: EfficientNet-lite0 (Tan and Le 2019; Apache-2.0), 3.4 million numbers.

Its 1280 pooled features stand where CLIP's 1024 stand in a model that was trained with them. In a file its tensors are
`mini_vision.LAYER.weight` and `.bias`, batch norms folded in; a weight may be int8 beside a `.scale` for each of its
output channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, relu6

from .tensor_files import WeightsError

PREFIX = "mini_vision."
FEATURES, SIDE = 1280, 224
# (channels, kernel, stride, expansion) of every block
BLOCKS = (
    (16, 3, 1, 1), (24, 3, 2, 6), (24, 3, 1, 6), (40, 5, 2, 6), (40, 5, 1, 6), (80, 3, 2, 6), (80, 3, 1, 6),
    (80, 3, 1, 6), (112, 5, 1, 6), (112, 5, 1, 6), (112, 5, 1, 6), (192, 5, 2, 6), (192, 5, 1, 6), (192, 5, 1, 6),
    (192, 5, 1, 6), (320, 3, 1, 6),
)  # fmt: skip
_STEM = 32


@dataclass(frozen=True)
class Encoded:
    """As a transformers tower answers. image_embeds: [n, 1280]."""

    image_embeds: Tensor


class _Convolution(nn.Conv2d):
    """With the padding of TensorFlow, which trained it: an odd pixel more at the right and below."""

    def forward(self, input: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        missing = [max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in input.shape[-2:]]
        height, width = missing
        return super().forward(pad(input, [width // 2, width - width // 2, height // 2, height - height // 2]))


class _Block(nn.Module):
    """Inverted residual: widen, filter every channel on its own, narrow."""

    def __init__(self, entering: int, leaving: int, kernel: int, stride: int, expansion: int):
        super().__init__()
        wide = entering * expansion
        self.expand = _Convolution(entering, wide, 1) if expansion > 1 else None
        self.depthwise = _Convolution(wide, wide, kernel, stride, groups=wide)
        self.project = _Convolution(wide, leaving, 1)
        self.residual = stride == 1 and entering == leaving

    def forward(self, x: Tensor) -> Tensor:
        inside = x if self.expand is None else relu6(self.expand(x))
        out = self.project(relu6(self.depthwise(inside)))
        return x + out if self.residual else out


class MiniVision(nn.Module):
    """Takes what CLIP's towers take (pixels normalised with CLIP's mean and deviation), so that it can stand in."""

    def __init__(self, mean: tuple[float, ...], deviation: tuple[float, ...]):
        super().__init__()
        widths = [_STEM, *(block[0] for block in BLOCKS)]
        self.stem = _Convolution(3, _STEM, 3, 2)
        self.blocks = nn.ModuleList(_Block(widths[i], *block) for i, block in enumerate(BLOCKS))
        self.head = _Convolution(widths[-1], FEATURES, 1)
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(deviation).view(3, 1, 1), persistent=False)

    mean: Tensor
    deviation: Tensor

    def forward(self, pixel_values: Tensor) -> Encoded:
        """[n, 3, 224, 224] -> features."""
        x = (pixel_values * self.deviation + self.mean) * (255 / 128) - 127 / 128
        x = relu6(self.stem(x))
        for block in self.blocks:
            x = block(x)
        return Encoded(relu6(self.head(x)).mean((2, 3)))


def mini_tower(tensors: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """The tower in a file, alone or bundled, by its own names and as floats; None when there is none."""
    found = mini_stored(tensors)
    if found is None:
        return None
    return {n: _whole(n, t, found) for n, t in found.items() if not n.endswith(".scale")}


def mini_stored(tensors: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """The tower as it lies in a file, 8-bit weights and their scales included; None when there is none."""
    for start in (PREFIX, f"clip_vision.{PREFIX}"):
        if f"{start}stem.weight" in tensors:
            return {PREFIX + n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)}
    return None


def _whole(name: str, tensor: Tensor, tensors: Mapping[str, Tensor]) -> Tensor:
    if tensor.is_floating_point():
        return tensor
    scale = tensors.get(name.removesuffix("weight") + "scale")
    if scale is None or scale.shape != tensor.shape[:1]:
        raise WeightsError(f"{name}: {tensor.dtype} without a scale for each of its {len(tensor)} channels")
    return tensor.float() * scale.float().view(-1, 1, 1, 1)


def build_mini(
    tensors: Mapping[str, Tensor], mean: tuple[float, ...], deviation: tuple[float, ...], dtype: torch.dtype,
    device: torch.device | str,
) -> MiniVision:  # fmt: skip
    """The network of what `mini_tower` found. Raises WeightsError naming what is missing or misshapen."""
    model = MiniVision(mean, deviation)
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    state = {name.removeprefix(PREFIX): tensor for name, tensor in tensors.items()}
    wrong = [n for n in wanted if n not in state or tuple(state[n].shape) != wanted[n]]
    wrong += [n for n in state if n not in wanted]
    if wrong:
        raise WeightsError(
            f"the mini image tower is not complete: {', '.join(wrong[:4])} missing, misshapen or unknown"
        )
    model.load_state_dict(state)
    # Convolutions of one channel each are twice as fast on a CPU when the channels lie side by side.
    model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    return model.to(device, dtype).eval().requires_grad_(False)
