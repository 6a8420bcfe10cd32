"""Which clips make which batch: shuffled every epoch, one size a batch, each process its share.

The whole order follows from the seed. A position is two numbers, epoch and batch within it; setting it resumes
exactly, whatever the number of worker processes that read the clips.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping

import numpy as np

from .sample import Draw

_ORDER, _SEED = 1, 2  # keeps the two uses of one seed apart


class Draws:
    """Endless batches of draws of the clips of one process.

    sizes: for the number of every clip what must agree within a batch (its bucket). batch: clips of one process. Every
    epoch has each clip at least once; clips that do not fill the last batch of their size are joined by some again.
    position: (epoch, batch) of the batch that comes next; it may be set.
    """

    def __init__(self, sizes: Mapping[int, Hashable], *, seed: int, batch: int, world: int = 1, rank: int = 0):
        if not len(sizes):
            raise ValueError("the data set is empty: there is nothing to draw from")
        if batch < 1 or not 0 <= rank < world:
            raise ValueError(f"expected a batch of at least 1 and a rank below {world}, got {batch} and {rank}")
        self.seed, self.batch, self.world, self.rank = seed, batch, world, rank
        self._buckets = [np.array([i for i, s in sizes.items() if s == size]) for size in dict.fromkeys(sizes.values())]
        self.position: tuple[int, int] = (0, 0)

    @property
    def batches(self) -> int:
        """Batches of an epoch."""
        whole = self.batch * self.world
        return sum(-(-len(bucket) // whole) for bucket in self._buckets)

    def __iter__(self) -> Iterator[list[Draw]]:
        while True:
            epoch, number = self.position
            if not 0 <= number < self.batches or epoch < 0:
                raise ValueError(f"there is no batch {number} in epoch {epoch}: an epoch has {self.batches}")
            order = self._order(epoch)
            for current in range(number, len(order)):
                self.position = (epoch, current + 1) if current + 1 < len(order) else (epoch + 1, 0)
                yield self._draws(order[current], epoch, current)
                if self.position != ((epoch, current + 1) if current + 1 < len(order) else (epoch + 1, 0)):
                    break  # somebody set it meanwhile

    def _order(self, epoch: int) -> list[np.ndarray]:
        """The clips of every batch of all processes together."""
        rng = np.random.default_rng([self.seed, _ORDER, epoch])
        whole, batches = self.batch * self.world, []
        for bucket in self._buckets:
            shuffled = rng.permutation(bucket)
            full = np.resize(shuffled, -(-len(shuffled) // whole) * whole)
            batches += list(full.reshape(-1, whole))
        return [batches[i] for i in rng.permutation(len(batches))]

    def _draws(self, clips: np.ndarray, epoch: int, number: int) -> list[Draw]:
        seeds = np.random.default_rng([self.seed, _SEED, epoch, number]).integers(0, 2**63, len(clips))
        mine = slice(self.rank * self.batch, (self.rank + 1) * self.batch)
        return [Draw(int(i), int(s)) for i, s in zip(clips[mine], seeds[mine], strict=True)]
