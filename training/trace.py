"""One forward pass without memory: what it computes and what it keeps for the backward pass, stage by stage."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from animatex_core.model import AnimateX, Inputs

from .activation import stages_by_level
from .config import TrainConfig
from .network import TrainedNetwork
from .objective import Keep


class _FusedAttention(torch.autograd.Function):
    """Attention as fused kernels keep it: query, key, value and the result, no table of weights."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        out = torch.empty_like(query)
        ctx.save_for_backward(query, key, value, out)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        raise NotImplementedError("a trace runs forward only")


class Trace:
    """Counts while `run` runs; `attention` is what the network's layers must have been given."""

    def __init__(self) -> None:
        self.work = 0  # FLOP of a batch
        self.kept = 0  # bytes of float32 kept for the backward pass
        self.work_of: Counter[int] = Counter()  # by level
        self.kept_of: Counter[int] = Counter()
        self.largest_of: Counter[int] = Counter()  # of one stage
        self.inputs_of: Counter[int] = Counter()  # bytes that go into the stages
        self._fused = 0
        self._seen: dict[int, Tensor] = {}
        self._counter: FlopCounterMode | None = None
        self._open: list[tuple[int, int]] = []

    def attention(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """[N, heads, length, width] -> the shape of the query."""
        self._fused += 4 * query.numel() * key.shape[2]
        result = _FusedAttention.apply(query, key, value)
        assert isinstance(result, Tensor)
        return result

    def run(self, config: TrainConfig, network: AnimateX, height: int, width: int) -> None:
        """A batch of the configuration, latents of height x width; the network is on the meta device."""
        hooks = []
        self._seen = {p.untyped_storage()._cdata: p for p in network.parameters()}
        for level, stage in stages_by_level(network.unet):
            hooks.append(stage.register_forward_pre_hook(self._enter))
            hooks.append(stage.register_forward_hook(self._leaver(level)))
        with FlopCounterMode(display=False) as self._counter, saved_tensors_hooks(self._keep, lambda kept: kept):
            TrainedNetwork(network)(*_batch(config, network, height, width))
            self.work = self._done()
        for hook in hooks:
            hook.remove()

    def _done(self) -> int:
        assert self._counter is not None
        return self._counter.get_total_flops() + self._fused

    def _keep(self, tensor: Tensor) -> Tensor:
        """Each storage counts once; weights do not count here."""
        storage = tensor.untyped_storage()
        if storage._cdata not in self._seen:
            self._seen[storage._cdata] = tensor  # held, so that the key is not used again
            self.kept += storage.nbytes()
        return tensor

    def _enter(self, stage: nn.Module, inputs: tuple[Any, ...]) -> None:
        self._open.append((self._done(), self.kept))

    def _leaver(self, level: int) -> Any:
        def leave(stage: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            work, kept = self._open.pop()
            self.work_of[level] += self._done() - work
            self.kept_of[level] += self.kept - kept
            self.largest_of[level] = max(self.largest_of[level], self.kept - kept)
            self.inputs_of[level] += inputs[0].untyped_storage().nbytes()

        return leave


def _batch(config: TrainConfig, network: AnimateX, height: int, width: int) -> tuple[Tensor, Tensor, Inputs, Keep]:
    batch, frames, settings = config.data.batch, config.data.frames, network.config

    def empty(*shape: int) -> Tensor:
        return torch.empty(batch, *shape, device="meta")

    picture = (8 * height, 8 * width)
    released, clip = config.data.reference != "paper", settings.conditions.clip_width
    inputs = Inputs(
        pose=empty(3, frames, *picture),
        reference=empty(3, *picture) if released else None,
        reference_latent=None if config.data.reference == "released" else empty(4, height, width),
        reference_pose=None if config.data.reference == "released" else empty(3, *picture),
        image_feature=empty(clip),
        keypoints=None if settings.ipi is None else empty(frames, 2, settings.ipi.keypoints),
        features=None if settings.ipi is None else empty(frames, settings.ipi.clip_width),
    )
    timesteps = torch.zeros(batch, dtype=torch.long, device="meta")
    return empty(4, frames, height, width), timesteps, inputs, Keep(*(empty() for _ in range(4)))
