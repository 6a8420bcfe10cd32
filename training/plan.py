"""What a configuration will need, before anything is loaded: numbers, memory, floating-point work, time."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from animatex_core.config import AnimateXConfig
from animatex_core.layers import Layers
from animatex_core.model import AnimateX

from .config import TrainConfig
from .config_file import network_config
from .optimiser import HALVES, choose_trainable
from .trace import Trace

GIB = 2**30
# Dense TFLOP/s in 16 bits and GB by the makers' sheets, and the share of the first that such training usually reaches.
DEVICES = {"h200": (990, 141), "h100": (990, 80), "a100": (312, 80), "l40s": (362, 48), "rtx4090": (165, 24)}
SHARE = 0.4
OVERHEAD = 1.5  # GiB: the driver's own, and what the allocator cannot use again
# Under autocast most kept tensors are 16 bits wide, what norms read and write is 32.
HALF_SHARE = 0.6
OPTIMISER = {"adamw": 8, "adamw8bit": 2, "muon": 4}  # bytes of state a parameter; of Muon those of a matrix


@dataclass(frozen=True)
class Plan:
    """Figures of one process: memory in bytes, work in FLOP of one clip."""

    parameters: int
    learning: int
    weights: int
    gradients: int
    optimiser: int
    average: int
    activations: int  # of a batch, at their most
    forward: int
    again: int  # what activation checkpointing computes a second time

    @property
    def memory(self) -> int:
        """All of it."""
        return self.weights + self.gradients + self.optimiser + self.average + self.activations

    @property
    def work(self) -> int:
        """Forward, backward and again. Gradients of frozen weights are not computed."""
        return self.forward * (3 if self.learning == self.parameters else 2) + self.again

    def lines(self, config: TrainConfig, device: str, world: int) -> list[str]:
        """For people."""
        parts = ("weights", "gradients", "optimiser", "average", "activations")
        told = [
            f"parameters   {self.parameters:,}, of which {self.learning:,} learn",
            f"work         {self.forward / 1e12:.2f} TFLOP forward, {self.work / 1e12:.2f} TFLOP in training, a clip",
            *(f"{name:<12} {getattr(self, name) / GIB:8.2f} GiB" for name in parts),
            f"{'memory':<12} {self.memory / GIB + OVERHEAD:8.2f} GiB in each of {world} processes (an estimate)",
        ]
        return [*told, *self._times(config, device, world)] if device in DEVICES else told

    def _times(self, config: TrainConfig, device: str, world: int) -> list[str]:
        peak, has = DEVICES[device]
        clips, steps = config.data.batch * config.data.accumulate, config.run.steps
        seconds = clips * self.work / (peak * 1e12 * SHARE)
        fits = "fits" if self.memory / GIB + OVERHEAD <= has * 1e9 / GIB else "does NOT fit"
        return [
            f"{device:<12} it {fits} into {has} GB",
            f"{'time':<12} {seconds:8.2f} s a step at {SHARE:.0%} of {peak} TFLOP/s: {clips * world / seconds:.2f} "
            f"clips/s, {seconds * steps / 3600:.1f} hours for {steps:,} steps",
        ]


@dataclass(frozen=True)
class Traced:
    """What one forward pass of a configuration computes and keeps; checkpointed levels do not matter to it."""

    trace: Trace
    parameters: int
    learning: int


def make_plan(config: TrainConfig, height: int, width: int, world: int = 1) -> Plan:
    """Figures for clips of height x width pixels. Raises ValueError when that cannot be run."""
    return plan_of(config, traced(config, height, width), world)


def traced(config: TrainConfig, height: int, width: int) -> Traced:
    """A forward pass on height x width pixels without memory. Raises ValueError when that cannot be run."""
    if height % 8 or width % 8 or min(height, width) < 8:
        raise ValueError(f"the size: expected multiples of 8, got {width}x{height}")
    trace = Trace()
    network = _network(config, network_config(config.model), trace)
    trace.run(config, network, height // 8, width // 8)
    learning = sum(p.numel() for p in network.parameters() if p.requires_grad)
    return Traced(trace, sum(p.numel() for p in network.parameters()), learning)


def plan_of(config: TrainConfig, found: Traced, world: int = 1) -> Plan:
    """Figures from a forward pass of this configuration, in each of `world` processes."""
    trace, parameters, learning = found.trace, found.parameters, found.learning
    frozen = HALVES[config.run.frozen_precision].itemsize * (parameters - learning)
    half = config.run.precision != "fp32"
    cast = 2 * (learning + (parameters - learning if config.run.frozen_precision == "fp32" else 0)) if half else 0
    shares = world if config.run.sharding == "fully_shard" else 1
    return Plan(
        parameters=parameters,
        learning=learning,
        weights=(4 * learning + frozen) // shares + cast,
        gradients=4 * learning // shares,
        optimiser=OPTIMISER[config.optimiser.kind] * learning // shares,
        average=4 * learning // shares if config.optimiser.ema else 0,
        activations=int(_activations(config, trace) * (HALF_SHARE if half else 1)),
        forward=trace.work // config.data.batch,
        again=sum(trace.work_of[level] for level in config.run.checkpoint_levels) // config.data.batch,
    )


def _network(config: TrainConfig, settings: AnimateXConfig, trace: Trace) -> AnimateX:
    with torch.device("meta"):
        network = AnimateX(settings, Layers(attention=trace.attention, device="meta"))
        choose_trainable(network, config.trainable, replace(config.run, frozen_precision="fp32"))
    return network


def _activations(config: TrainConfig, trace: Trace) -> int:
    """Checkpointed stages keep their inputs, and while one is computed again everything of that one."""
    levels = config.run.checkpoint_levels
    saved = sum(trace.kept_of[level] - trace.inputs_of[level] for level in levels)
    return trace.kept - saved + max((trace.largest_of[level] for level in levels), default=0)
