"""Feature vectors of a clip for the distances between sets, collected frame by frame.

Names of features: `inception`, `resnet3d_whole`, `resnet3d_windows16`, `i3d_whole`, `i3d_windows16`, `proxy_frames`,
`proxy_segments`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from PIL import Image

from animatex_core.pictures import to_tensor

from . import i3d, resnet3d
from .backbones import Backbones, encode

BATCH = 8
WINDOW = 16

Network = Callable[[np.ndarray], np.ndarray]


class Collector(Protocol):
    """Makes feature vectors of one clip."""

    def add(self, frame: np.ndarray) -> None:
        """Take the next frame, uint8 RGB [H, W, 3]."""
        ...

    def vectors(self) -> dict[str, np.ndarray]:
        """Name of the features -> [n, width] float32."""
        ...


class EveryFrame:
    """One vector a frame."""

    def __init__(self, name: str, network: Callable[[list[np.ndarray]], np.ndarray]) -> None:
        self.name, self.network = name, network
        self.waiting: list[np.ndarray] = []
        self.found: list[np.ndarray] = []

    def add(self, frame: np.ndarray) -> None:
        """See Collector."""
        self.waiting.append(frame)
        if len(self.waiting) == BATCH:
            self._flush()

    def vectors(self) -> dict[str, np.ndarray]:
        """See Collector."""
        self._flush()
        return {self.name: np.concatenate(self.found)}

    def _flush(self) -> None:
        if self.waiting:
            self.found.append(self.network(self.waiting))
            self.waiting = []


class ProxyFrames(EveryFrame):
    """One vector a frame and, from them, one for each 16 frames: their mean and the mean of their changes."""

    def vectors(self) -> dict[str, np.ndarray]:
        """See Collector."""
        frames = super().vectors()[self.name]
        pieces = segments(frames)
        changes = np.abs(np.diff(pieces, axis=1)).mean(1)
        return {self.name: frames, "proxy_segments": np.concatenate([pieces.mean(1), changes], 1)}


class Segments:
    """One vector a clip: the mean over segments of 16 frames, the last one filled up with its last frame."""

    def __init__(self, name: str, prepare: Callable[[np.ndarray], np.ndarray], network: Network) -> None:
        self.name, self.prepare, self.network = name, prepare, network
        self.waiting: list[np.ndarray] = []
        self.found: list[np.ndarray] = []

    def add(self, frame: np.ndarray) -> None:
        """See Collector."""
        self.waiting.append(self.prepare(frame))
        if len(self.waiting) == WINDOW:
            self._flush()

    def vectors(self) -> dict[str, np.ndarray]:
        """See Collector."""
        if self.waiting:
            self._flush()
        return {self.name: np.concatenate(self.found).mean(0, keepdims=True)}

    def _flush(self) -> None:
        self.found.append(self.network(segments(np.stack(self.waiting))))
        self.waiting = []


class Windows:
    """One vector for each frame that has 15 behind it: n - 15 of them, none of a clip shorter than 16."""

    def __init__(self, name: str, prepare: Callable[[np.ndarray], np.ndarray], network: Network, width: int) -> None:
        self.name, self.prepare, self.network = name, prepare, network
        self.held: deque[np.ndarray] = deque(maxlen=WINDOW)
        self.found = [np.zeros((0, width), np.float32)]

    def add(self, frame: np.ndarray) -> None:
        """See Collector."""
        self.held.append(self.prepare(frame))
        if len(self.held) == WINDOW:
            self.found.append(self.network(np.stack(self.held)[None]))

    def vectors(self) -> dict[str, np.ndarray]:
        """See Collector."""
        return {self.name: np.concatenate(self.found)}


class WholeClip:
    """One vector a clip, in one pass: memory grows with its length, 0.6 MB a frame before the network's own."""

    def __init__(self, name: str, prepare: Callable[[np.ndarray], np.ndarray], network: Network) -> None:
        self.name, self.prepare, self.network = name, prepare, network
        self.held: list[np.ndarray] = []

    def add(self, frame: np.ndarray) -> None:
        """See Collector."""
        self.held.append(self.prepare(frame))

    def vectors(self) -> dict[str, np.ndarray]:
        """See Collector."""
        return {self.name: self.network(np.stack(self.held)[None])}


def segments(frames: np.ndarray) -> np.ndarray:
    """[n, ...] -> [ceil(n / 16), 16, ...], the last frame repeated to fill the last segment: 17 frames make two."""
    missing = -len(frames) % WINDOW
    filled = np.concatenate([frames, np.repeat(frames[-1:], missing, 0)])
    return filled.reshape(-1, WINDOW, *frames.shape[1:])


def resize_bicubic(frame: np.ndarray, side: int) -> np.ndarray:
    """uint8 RGB [H, W, 3] -> float32 [side, side, 3], each channel by Pillow's bicubic filter.

    Neither rounded nor clipped; the aspect is not kept.
    """
    channels = [Image.fromarray(frame[:, :, i].astype(np.float32)) for i in range(3)]
    return np.stack([np.asarray(c.resize((side, side), Image.Resampling.BICUBIC)) for c in channels], 2)


def collector(name: str, backbones: Backbones) -> Collector:
    """The collector of some features. Raises WeightsError when the file of its network is not what it should be."""
    device = backbones.device
    if name == "inception":
        inception = backbones.inception()
        return EveryFrame(name, lambda frames: _numbers(inception, to_tensor(np.stack(frames)), device))
    if name == "proxy_frames":
        tower = backbones.proxy()
        return ProxyFrames(name, lambda frames: encode(tower, frames))
    kind, _, protocol = name.partition("_")
    network, prepare, width = _video_network(kind, backbones)

    def run(clips: np.ndarray) -> np.ndarray:
        return _numbers(network, torch.from_numpy(clips).permute(0, 4, 1, 2, 3), device)

    if protocol == "windows16":
        return Windows(name, prepare, run, width)
    return Segments(name, prepare, run) if kind == "resnet3d" else WholeClip(name, prepare, run)


def _video_network(kind: str, backbones: Backbones) -> tuple[torch.nn.Module, Callable[[np.ndarray], np.ndarray], int]:
    if kind == "resnet3d":
        mean = np.array(resnet3d.MEAN, np.float32)
        return backbones.resnet3d(), lambda f: resize_bicubic(f, resnet3d.SIDE) - mean, resnet3d.FEATURES
    return backbones.i3d(), lambda f: resize_bicubic(f, i3d.SIDE) / 127.5 - 1, i3d.FEATURES


@torch.no_grad()
def _numbers(network: torch.nn.Module, batch: torch.Tensor, device: str) -> np.ndarray:
    return network(batch.to(device)).float().cpu().numpy()
