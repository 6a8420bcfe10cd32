"""IMAGE of ComfyUI (float [n, H, W, channels] in 0..1) to the pictures that the core works on, checked."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..animatex_core.pictures import resize

LOG = logging.getLogger(__name__)
FRAMES_AT_ONCE = 16


def rgb_frames(images: Any, name: str) -> np.ndarray:
    """uint8 RGB [n, H, W, 3]. Transparency is put on white, as the core does with files; values are cut to 0..1.

    name: of the input, for messages. Raises ValueError: no frames, another shape, integers, NaN or infinities.
    """
    return np.concatenate(list(_chunks(images, name)))


def squares(images: Any, name: str, side: int) -> np.ndarray:
    """uint8 RGB [n, side, side, 3]: `rgb_frames`, each stretched as in the released program, a few at a time."""
    return np.concatenate([resize(chunk, side, side) for chunk in _chunks(images, name)])


def _chunks(images: Any, name: str) -> Iterator[np.ndarray]:
    if not isinstance(images, Tensor) or images.ndim != 4 or images.shape[-1] not in (1, 3, 4):
        found = list(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise ValueError(f"{name}: expected an IMAGE [frames, height, width, 3], got {found}")
    if 0 in images.shape:
        raise ValueError(f"{name}: there are no frames in it ({list(images.shape)}); check the node that makes them")
    if not images.is_floating_point():
        raise ValueError(f"{name}: expected numbers from 0 to 1, got {images.dtype}; divide by 255")
    for start in range(0, len(images), FRAMES_AT_ONCE):
        chunk = images[start : start + FRAMES_AT_ONCE].to("cpu", torch.float32)
        bad = torch.isfinite(chunk).flatten(1).all(1).logical_not().nonzero()
        if len(bad):
            raise ValueError(
                f"{name}: frame {start + int(bad[0])} (counted from 0) holds numbers that are not finite; the node "
                "before this one overflowed: try another precision there"
            )
        yield (_opaque(chunk).clamp(0, 1) * 255).round().to(torch.uint8).numpy()


def first_picture(images: Any, name: str) -> np.ndarray:
    """The first frame of an IMAGE, uint8 RGB [H, W, 3]; more than one is said in the log."""
    if isinstance(images, Tensor) and images.ndim == 4 and len(images) > 1:
        LOG.warning("%s: %d pictures, the first is used", name, len(images))
        images = images[:1]
    return rgb_frames(images, name)[0]


class PackedPictures:
    """Pictures of one size, uint8 RGB, each compressed on its own: pose pictures are nearly all black, and a clip of
    them would else be kept in full for as long as the graph is."""

    def __init__(self, height: int, width: int):
        self.height, self.width = height, width
        self._frames: list[bytes] = []

    def __len__(self) -> int:
        return len(self._frames)

    def extend(self, pictures: np.ndarray) -> None:
        """Add uint8 RGB [n, height, width, 3]. Raises ValueError for another size."""
        if pictures.shape[1:] != (self.height, self.width, 3) or pictures.dtype != np.uint8:
            raise ValueError(f"expected pictures of {self.width}x{self.height}, got {list(pictures.shape)}")
        self._frames += [zlib.compress(np.ascontiguousarray(picture), 1) for picture in pictures]

    def rows(self, numbers: Sequence[int]) -> Tensor:
        """The pictures of these numbers, uint8 [n, height, width, 3]."""
        out = torch.empty(len(numbers), self.height, self.width, 3, dtype=torch.uint8)
        for row, number in enumerate(numbers):
            picture = np.frombuffer(zlib.decompress(self._frames[number]), np.uint8)
            out[row].numpy()[:] = picture.reshape(self.height, self.width, 3)
        return out


def _opaque(chunk: Tensor) -> Tensor:
    if chunk.shape[-1] == 1:
        return chunk.expand(-1, -1, -1, 3)
    if chunk.shape[-1] == 3:
        return chunk
    colours, alpha = chunk[..., :3], chunk[..., 3:]
    return colours * alpha + (1 - alpha)
