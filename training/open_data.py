"""The data of a training configuration, as the trainer takes it."""

from __future__ import annotations

import logging
from pathlib import Path

from .augment import read_settings
from .config import DataSettings
from .dataset import ClipDataset
from .feed import Data
from .sample import collate
from .sampler import Draws
from .shards import ClipFile, DatasetError

LOG = logging.getLogger(__name__)
# Settings that ask for what only prepared pairs bring, and the tensor in which a clip holds it.
_PAIRED = {"still": ("still", "a reference beside the video"), "cross": ("driver_points", "another driver")}


def open_data(settings: DataSettings, seed: int) -> Data:
    """Open a prepared data set. seed: of the order and of everything drawn.

    Raises ValueError (DatasetError) naming the folder or the setting that is off.
    """
    if not settings.folder:
        raise DatasetError("data.folder: expected the folder that animate-x-train prepare wrote, got nothing")
    dataset = ClipDataset(Path(settings.folder), settings.frames, read_settings(settings.settings))
    for name, (tensor, what) in _PAIRED.items():
        if settings.settings.get(name) and not _any_holds(dataset, tensor):
            LOG.warning(
                "data.settings.%s: none of the %d clips of %s has %s; all samples are from the video itself",
                name, len(dataset), settings.folder, what,
            )  # fmt: skip
    if dataset.settings.validation_share and not dataset.validation:
        LOG.warning(
            "data.settings.validation_share: %s holds out none of the videos of %s; validation is on clips of training",
            dataset.settings.validation_share, settings.folder,
        )  # fmt: skip

    def sampler(rank: int, world: int) -> Draws:
        return Draws(dataset.sizes, seed=seed, batch=settings.batch, world=world, rank=rank)

    return Data(dataset, collate, sampler, dataset.fixed_draws(), dataset.fingerprint)


def _any_holds(dataset: ClipDataset, tensor: str) -> bool:
    return any(ClipFile(dataset.folder, record).holds(tensor) for record in dataset.records)
