"""Several processes: who I am among them, what they agree on, and how the network is spread over them.

Plain torch: DDP, or `fully_shard` (every process holds a share of parameters, gradients and optimiser state). Started
by torchrun, on one machine or many; without it there is one process and nothing here does anything.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from .activation import stages_by_level
from .network import TrainedNetwork

SLOW_WORK = timedelta(minutes=60)  # one process writes a checkpoint, the others wait


class Ranks:
    """The processes of a run."""

    def __init__(self, rank: int = 0, world: int = 1, slow: Any = None):
        self.rank, self.world, self._slow = rank, world, slow

    @property
    def first(self) -> bool:
        """The process that writes and shows."""
        return self.rank == 0

    def total(self, numbers: Tensor) -> Tensor:
        """The sum over all processes."""
        if self.world > 1:
            dist.all_reduce(numbers)
        return numbers

    def largest(self, numbers: Tensor) -> Tensor:
        """The largest over all processes."""
        if self.world > 1:
            dist.all_reduce(numbers, op=dist.ReduceOp.MAX)
        return numbers

    def wait(self) -> None:
        """Until all are here; for as long as writing a checkpoint takes."""
        if self.world > 1:
            dist.barrier(group=self._slow)

    def agreed(self, value: Any) -> Any:
        """The first process's value, for all of them."""
        if self.world == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0, group=self._slow)
        return box[0]

    def first_does(self, error: Exception | None) -> None:
        """Raise on every process what went wrong on the first one."""
        failed = self.agreed(error)
        if failed is not None:
            raise failed


@contextmanager
def processes(device: torch.device, timeout: int) -> Iterator[Ranks]:
    """Join the processes that torchrun started; one that is lost makes the others fail after `timeout` seconds."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Ranks()
        return
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, timeout=timedelta(seconds=timeout))
    try:
        slow = dist.new_group(backend="gloo", timeout=SLOW_WORK)
        yield Ranks(dist.get_rank(), dist.get_world_size(), slow)
    finally:
        dist.destroy_process_group()


def pick_device(name: str) -> torch.device:
    """`auto`: this process's GPU when there is one, else the CPU."""
    if name != "auto":
        return torch.device(name)
    if not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(device)
    return device


def spread(network: TrainedNetwork, ranks: Ranks, sharding: str, device: torch.device) -> nn.Module:
    """The module to call. With `fully_shard` the network's parameters become DTensors, one unit for each stage."""
    if ranks.world == 1 or sharding == "none":
        if ranks.world > 1:
            raise ValueError(f'run.sharding: "none" is for one process, there are {ranks.world}; use "ddp"')
        return network
    if sharding == "ddp":
        return DistributedDataParallel(network, find_unused_parameters=True)
    mesh = init_device_mesh(device.type, (ranks.world,))
    unet = network.network.unet
    for _, stage in stages_by_level(unet):
        # The first temporal module's result is added to in place, which a unit's result must not be: it goes with the
        # rest of the network.
        if stage is not unet.entrance_temporal:
            fully_shard(stage, mesh=mesh)
    fully_shard(network, mesh=mesh)
    return network


def let_go(module: nn.Module | None) -> None:
    """Free what a forward pass gathered. The outermost unit of `fully_shard` keeps its weights in full for a backward
    pass; without one the next forward pass would take them again, whatever its shares hold by then."""
    if isinstance(module, FSDPModule):
        module.reshard()


@contextmanager
def gradients_stay(module: nn.Module, last: bool) -> Iterator[None]:
    """Backward passes before the last one of a step add up gradients without sending them to the other processes."""
    if isinstance(module, FSDPModule):
        module.set_requires_gradient_sync(last)
    apart = module.no_sync() if isinstance(module, DistributedDataParallel) and not last else nullcontext()
    with apart:
        yield


def whole(tensor: Tensor) -> Tensor:
    """A copy in full on the CPU, its shares gathered, that later steps do not change. All processes call it."""
    full = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
    return full.detach().to("cpu", copy=True)


@torch.no_grad()
def put(target: Tensor, full: Tensor) -> None:
    """Write full numbers into a tensor that may be one of several shares."""
    if isinstance(target, DTensor):
        shares = distribute_tensor(full.to(target.device), target.device_mesh, target.placements)
        target.to_local().copy_(shares.to_local())
    else:
        target.copy_(full)


def local(tensor: Tensor) -> Tensor:
    """This process's share."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
