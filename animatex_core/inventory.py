"""What a model of a given configuration consists of, and how a file differs from that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch

from .config import AnimateXConfig
from .layers import Layers
from .model import AnimateX
from .tensor_files import WeightsError

Shapes = Mapping[str, tuple[int, ...]]
POSITIONS = "ipi.query.positions"
FAMILIES_SHOWN = 12
SHAPES_SHOWN = 4
MAX_POSITIONS = 1 << 14


@dataclass(frozen=True)
class Difference:
    """Names that a file lacks, has too many, or has in another shape (name -> expected, found)."""

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misshapen: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.misshapen)

    def lines(self) -> list[str]:
        """Complete counts; long lists by family (numbers replaced by a star)."""
        found = [
            f"{len(names):,} {what}: {families(names)}"
            for what, names in (("missing", self.missing), ("unexpected", self.unexpected))
            if names
        ]
        if self.misshapen:
            shown = [f"{n} {list(e)} expected, {list(f)} found" for n, (e, f) in self.misshapen.items()]
            more = f"; and {len(shown) - SHAPES_SHOWN:,} more" if len(shown) > SHAPES_SHOWN else ""
            found.append(f"{len(shown):,} of another shape: {'; '.join(shown[:SHAPES_SHOWN])}{more}")
        return found


def families(names: Iterable[str]) -> str:
    """Names in one line: themselves when they are few, else counted by family.

    A family is a name with its numbers replaced by a star, cut as short as it takes to have few families.
    """
    names = sorted(names)
    if len(names) <= FAMILIES_SHOWN:
        return ", ".join(names)
    groups: Counter[str] = Counter()
    for depth in range(8, 0, -1):
        groups = Counter(_family(name, depth) for name in names)
        if len(groups) <= FAMILIES_SHOWN:
            break
    shown = [f"{group} ({count:,})" if count > 1 else group for group, count in groups.most_common(FAMILIES_SHOWN)]
    rest = len(names) - sum(count for _, count in groups.most_common(FAMILIES_SHOWN))
    return ", ".join(shown) + (f", and {rest:,} others" if rest else "")


def _family(name: str, depth: int) -> str:
    parts = ["*" if part.isdigit() else part for part in name.split(".")]
    return ".".join(parts if len(parts) <= depth else [*parts[:depth], "*"])


def empty_model(config: AnimateXConfig, layers: Layers, tensors: int) -> AnimateX:
    """A model without memory (on the meta device). Raises WeightsError when a file of so many tensors cannot hold it.

    Counts are looked at first because a configuration comes out of a file: a million layers would take minutes.
    """
    ipi = config.ipi
    blocks = sum(config.unet.blocks)
    count = blocks + (0 if ipi is None else ipi.query_layers + ipi.reader_layers)
    if count > tensors or blocks < 1:
        raise WeightsError(f"the configuration names {count:,} layers, the file holds {tensors:,} tensors")
    if ipi is not None and ipi.positions > MAX_POSITIONS:
        raise WeightsError(f"the configuration names {ipi.positions:,} positions, at most {MAX_POSITIONS:,} are built")
    try:
        with torch.device("meta"):
            return AnimateX(config, Layers(layers.operations, layers.attention, None, "meta"))
    except (ArithmeticError, RuntimeError, TypeError, ValueError) as error:
        raise WeightsError(f"the configuration describes no network that can be built: {error}") from error


def compare(expected: Shapes, found: Shapes, positions: str = POSITIONS) -> Difference:
    """How found shapes differ. The table of positions may have any length: it can be rebuilt."""
    misshapen = {}
    for name in expected.keys() & found.keys():
        same = expected[name] == found[name]
        if name == positions and not same and len(found[name]) == 3:
            same = found[name][1] > 0 and found[name][::2] == expected[name][::2]
        if not same:
            misshapen[name] = (expected[name], found[name])
    missing, unexpected = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    return Difference(tuple(missing), tuple(unexpected), dict(sorted(misshapen.items())))
