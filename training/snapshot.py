"""The state of a training run as a checkpoint holds it, and back: bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .checkpoint import Saved
from .ema import EMA
from .sharding import put, whole

VERSION = 1


class Snapshot:
    """Reads and writes parameters that learn, optimiser, EMA, loss scale and the generator of torch.

    The rest of the network is not kept: it is made again from the file and the seed that training started from.
    """

    def __init__(
        self,
        parameters: Mapping[str, nn.Parameter],
        optimiser: torch.optim.Optimizer,
        ema: EMA,
        scaler: torch.amp.GradScaler,
    ):
        self.parameters, self.optimiser, self.ema, self.scaler = parameters, optimiser, ema, scaler

    def take(self, state: Mapping[str, Any]) -> Saved:
        """Everything, on the CPU. All processes call it."""
        tensors = {"model": {name: whole(p) for name, p in self.parameters.items()}}
        tensors["ema"] = {name: whole(average) for name, average in self.ema.averages.items()}
        numbers: dict[str, dict[str, Any]] = {}
        for name, parameter in self.parameters.items():
            for key, value in self.optimiser.state.get(parameter, {}).items():
                if isinstance(value, Tensor):
                    tensors.setdefault(f"optimiser-{key}", {})[name] = whole(value)
                else:
                    numbers.setdefault(key, {})[name] = value
        tensors["random"] = {"torch": torch.get_rng_state()}
        kept = {"version": VERSION, "optimiser": numbers, "scaler": self.scaler.state_dict()}
        return Saved({name: group for name, group in tensors.items() if group}, {**state, **kept})

    def put(self, saved: Saved) -> None:
        """Take everything over from a checkpoint. All processes call it with the same one."""
        put_all(dict(self.parameters), saved.tensors.get("model", {}), "model")
        put_all(self.ema.averages, saved.tensors.get("ema", {}), "ema")
        self._put_optimiser(saved)
        if saved.state["scaler"]:
            self.scaler.load_state_dict(saved.state["scaler"])
        torch.set_rng_state(saved.tensors["random"]["torch"])

    def _put_optimiser(self, saved: Saved) -> None:
        groups = {k.removeprefix("optimiser-"): v for k, v in saved.tensors.items() if k.startswith("optimiser-")}
        for name, parameter in self.parameters.items():
            own: dict[str, Any] = {
                key: self._beside(parameter, group[name]) for key, group in groups.items() if name in group
            }
            own |= {key: values[name] for key, values in saved.state["optimiser"].items() if name in values}
            if own:
                self.optimiser.state[parameter] = own

    def _beside(self, parameter: nn.Parameter, value: Tensor) -> Tensor:
        """A tensor of the optimiser's where it was: beside its parameter and spread like it; step counts of plain
        AdamW stay on the CPU."""
        if value.shape != parameter.shape:
            stays = value.ndim == 0 and not self.optimiser.param_groups[0].get("fused")
            return value if stays else value.to(parameter.device)
        target = torch.empty_like(parameter.detach(), dtype=value.dtype)
        put(target, value)
        return target


def put_all(targets: Mapping[str, Tensor], values: Mapping[str, Tensor], group: str) -> None:
    """Copy by name. Raises ValueError when names or shapes differ."""
    if targets.keys() != values.keys():
        odd = sorted(targets.keys() ^ values.keys())
        raise ValueError(f"the checkpoint's {group} and the run's differ in {len(odd)} tensors, the first is {odd[0]}")
    for name, target in targets.items():
        if target.shape != values[name].shape:
            found = list(values[name].shape)
            raise ValueError(f"the checkpoint's {group} {name}: expected {list(target.shape)}, found {found}")
        put(target.detach(), values[name])
