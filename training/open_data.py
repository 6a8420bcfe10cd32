"""The data of a training configuration, as the trainer takes it."""

from __future__ import annotations

from pathlib import Path

from .augment import read_settings
from .config import DataSettings
from .dataset import ClipDataset
from .feed import Data
from .sample import collate
from .sampler import Draws
from .shards import DatasetError


def open_data(settings: DataSettings, seed: int) -> Data:
    """Open a prepared data set. seed: of the order and of everything drawn.

    Raises ValueError (DatasetError) naming the folder or the setting that is off.
    """
    if not settings.folder:
        raise DatasetError("data.folder: expected the folder that animate-x-train prepare wrote, got nothing")
    dataset = ClipDataset(Path(settings.folder), settings.frames, read_settings(settings.settings))

    def sampler(rank: int, world: int) -> Draws:
        return Draws(dataset.sizes, seed=seed, batch=settings.batch, world=world, rank=rank)

    return Data(dataset, collate, sampler, dataset.fixed_draws(), dataset.fingerprint)
