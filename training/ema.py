"""An exponential moving average of what learns: smoother weights, which are what export writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from .sharding import let_go, local


class EMA:
    """Averages in float32, each beside its parameter and spread over processes like it."""

    def __init__(self, parameters: Mapping[str, nn.Parameter], decay: float):
        self.parameters, self.decay = parameters, decay
        self.averages: dict[str, Tensor] = {}
        if decay:
            self.averages = {name: p.detach().clone() for name, p in parameters.items()}

    @torch.no_grad()
    def update(self, steps: int) -> None:
        """After the optimiser's step number `steps` (from 1). Early averages forget faster: (1 + n) / (10 + n)."""
        decay = min(self.decay, (1 + steps) / (10 + steps))
        for name, average in self.averages.items():
            local(average).lerp_(local(self.parameters[name].detach()), 1 - decay)

    @contextmanager
    def in_place(self, module: nn.Module | None = None) -> Iterator[None]:
        """The network computes with the averages while this lasts. module: what is called, where it may be sharded."""
        kept = {name: local(self.parameters[name].detach()).clone() for name in self.averages}
        let_go(module)
        self._put(self.averages)
        try:
            yield
        finally:
            let_go(module)
            self._put(kept)

    @torch.no_grad()
    def _put(self, values: Mapping[str, Tensor]) -> None:
        for name, value in values.items():
            local(self.parameters[name].detach()).copy_(local(value))
