"""Gauges: each takes the frames of a clip one after the other and gives its metrics at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from ..records import Value


class Gauge(Protocol):
    """Measures one clip."""

    def add(self, made: np.ndarray, truth: np.ndarray | None) -> None:
        """Take the next frame of the result and, where it is known, of the truth: uint8 RGB [H, W, 3]."""
        ...

    def values(self) -> dict[str, Value]:
        """Name of the metric -> value; what cannot be told of this clip is not in it."""
        ...


class FrameMean:
    """A metric of two frames, averaged over the clip."""

    def __init__(
        self, name: str, measure: Callable[[np.ndarray, np.ndarray], float], settings: Mapping[str, Any]
    ) -> None:
        self.name, self.measure, self.settings = name, measure, settings
        self.found: list[float] = []
        self.size: tuple[int, ...] = ()

    def add(self, made: np.ndarray, truth: np.ndarray | None) -> None:
        """See Gauge."""
        if truth is not None:
            self.found.append(self.measure(made, truth))
            self.size = truth.shape[:2]

    def values(self) -> dict[str, Value]:
        """See Gauge."""
        if not self.found:
            return {}
        height, width = self.size
        return {self.name: mean_value(self.found, {**self.settings, "height": height, "width": width})}


def mean_value(found: Sequence[float], settings: Mapping[str, Any], frames: Sequence[int] | None = None) -> Value:
    """The mean over frames. frames: the numbers of those that have the metric, when not all have."""
    told = dict(settings) if frames is None else {**settings, "frames": list(frames)}
    return Value(float(np.mean(found)), len(found), tuple(map(float, found)), told)
