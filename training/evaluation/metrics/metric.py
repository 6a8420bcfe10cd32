"""What there is to say of a metric."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PROXY = "efficientnet_lite0"


@dataclass(frozen=True)
class Metric:
    """A line of the table.

    better: which way is better. of: what one value is about: a clip, or all clips of a method against all true ones.
    preset: the one that yields it. needs: files of Backbones without which it is absent, and inputs of a clip besides
    result and truth. needs_truth: whether a clip whose truth nobody knows lacks it.
    """

    name: str
    display: str
    unit: str
    better: Literal["higher", "lower"]
    of: Literal["clip", "set"]
    preset: Literal["disco", "clean"]
    definition: str
    source: str
    needs: tuple[str, ...] = ()
    needs_truth: bool = True
