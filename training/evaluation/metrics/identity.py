"""Whether the result still shows the character of the reference: the cosine between image features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from animatex_core.vision import ClipVision

from ..records import Value
from .backbones import encode
from .gauges import mean_value
from .temporal import last_minus_first

BATCH = 8


class Identity:
    """Identity and its drift under two names of the table."""

    def __init__(
        self, names: tuple[str, str], tower: ClipVision, reference: np.ndarray, settings: Mapping[str, Any]
    ) -> None:
        self.names, self.tower = names, tower
        self.settings = {**settings, "resize": "square, Pillow bilinear"}
        self.reference = _unit(encode(tower, [reference]))[0]
        self.waiting: list[np.ndarray] = []
        self.found: list[float] = []

    def add(self, made: np.ndarray, truth: np.ndarray | None) -> None:
        """See Gauge."""
        self.waiting.append(made)
        if len(self.waiting) == BATCH:
            self._flush()

    def values(self) -> dict[str, Value]:
        """See Gauge."""
        self._flush()
        identity, drift = self.names
        values = {identity: mean_value(self.found, self.settings)}
        change = last_minus_first(self.found)
        return values if change is None else values | {drift: Value(-change, len(self.found), None, self.settings)}

    def _flush(self) -> None:
        if self.waiting:
            self.found += (_unit(encode(self.tower, self.waiting)) @ self.reference).tolist()
            self.waiting.clear()


def _unit(features: np.ndarray) -> np.ndarray:
    features = features.astype(np.float64)
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
