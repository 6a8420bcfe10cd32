"""OpenCV's bilinear resize of 8-bit pictures, for the `disco` preset: fixed-point, without smoothing when shrinking."""

from __future__ import annotations

import numpy as np

_ONE = 1 << 11


def resize_linear(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """uint8 RGB [H, W, 3] -> [height, width, 3] as cv2.resize with INTER_LINEAR."""
    left, right, across = _places(picture.shape[1], width)
    top, bottom, down = _places(picture.shape[0], height)
    wide = picture.astype(np.int64)
    rows = wide[:, left] * across[:, :1, None].swapaxes(0, 1) + wide[:, right] * across[:, 1:, None].swapaxes(0, 1)
    above = (down[:, :1, None] * (rows[top] >> 4)) >> 16
    below = (down[:, 1:, None] * (rows[bottom] >> 4)) >> 16
    return np.clip((above + below + 2) >> 2, 0, 255).astype(np.uint8)


def _places(source: int, target: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of every target pixel its two source pixels and their weights in 1/2048, [target, 2]."""
    exact = ((np.arange(target) + 0.5) * (source / target) - 0.5).astype(np.float32)
    first = np.floor(exact).astype(np.int64)
    part = exact - first
    part = np.where((first < 0) | (first >= source - 1), np.float32(0), part)
    first = np.clip(first, 0, source - 1)
    weights = np.rint(np.stack([1 - part, part], 1) * _ONE).astype(np.int64)
    return first, np.minimum(first + 1, source - 1), weights
