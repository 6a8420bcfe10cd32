"""Batches for the trainer: the data set's own samples, each beside the draw that it came from."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from animatex_core.model import Inputs

from .stopping import ignore_stops, starting_processes


class Draw(Protocol):
    """A sample to be: everything random about it follows from the seed."""

    @property
    def index(self) -> int: ...
    @property
    def seed(self) -> int: ...


class Batch(Protocol):
    """Samples of one size."""

    @property
    def latents(self) -> Tensor: ...  # [b, 4, F, h, w], scaled
    @property
    def inputs(self) -> Inputs: ...
    @property
    def clips(self) -> Sequence[str]: ...
    @property
    def weight(self) -> Tensor: ...  # [b, F, h, w]


class Sampler(Protocol):
    """Endless batches of draws, from a position that can be set."""

    position: tuple[int, int]  # epoch and batch within it

    def __iter__(self) -> Iterator[list[Any]]: ...


@dataclass(frozen=True)
class Data:
    """A data set as the trainer knows it."""

    dataset: Any  # draw -> sample
    collate: Callable[[list[Any]], Any]
    sampler: Callable[[int, int], Sampler]  # (rank, world)
    validation: Sequence[Any]  # draws, the same in every run
    fingerprint: str  # changes with the clips and with how they are read


@dataclass(frozen=True)
class Drawn:
    """A batch, its draws, and the sampler's position after it."""

    batch: Any
    draws: list[Any]
    position: tuple[int, int]

    def pin_memory(self) -> Drawn:
        """In page-locked memory, as torch's DataLoader asks for on a CUDA machine."""
        return Drawn(self.batch.pin_memory(), self.draws, self.position)


class Feed:
    """Batches from a position on, read ahead by worker processes.

    Workers read ahead of what is trained on, so the position that counts is the one that came with the last batch.
    """

    def __init__(self, data: Data, rank: int, world: int, workers: int):
        self.data, self.workers = data, workers
        self.sampler = data.sampler(rank, world)
        self.position = tuple(self.sampler.position)

    def batches(self) -> Generator[Drawn, None, None]:
        """Endless. Close it: the workers end then."""
        self.sampler.position = (self.position[0], self.position[1])
        loader = DataLoader(
            _Reader(self.data.dataset, self.data.collate),
            sampler=_Positions(self.sampler),
            batch_size=None,
            num_workers=self.workers,
            # forked processes would inherit the locks of whatever threads run at the moment
            multiprocessing_context="spawn" if self.workers else None,
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=ignore_stops,
        )
        with starting_processes():
            read = iter(loader)
        try:
            for drawn in read:
                self.position = drawn.position
                yield drawn
        finally:
            # Workers do not hear SIGTERM, by which torch ends those of an iterator that something still refers to.
            if isinstance(read, _MultiProcessingDataLoaderIter):
                read._shutdown_workers()


class _Reader(Dataset):
    """The data set, asked for a whole batch at a time."""

    def __init__(self, dataset: Any, collate: Callable[[list[Any]], Any]):
        self.dataset, self.collate = dataset, collate

    def __getitem__(self, item: tuple[list[Any], tuple[int, int]]) -> Drawn:
        draws, position = item
        return Drawn(self.collate([self.dataset[draw] for draw in draws]), draws, position)


class _Positions:
    """Batches of draws, each with the position after it."""

    def __init__(self, sampler: Sampler):
        self.sampler = sampler

    def __iter__(self) -> Iterator[tuple[list[Any], tuple[int, int]]]:
        for draws in self.sampler:
            yield draws, (self.sampler.position[0], self.sampler.position[1])
