"""A prepared data set: draws in, samples out. Everything random about a sample follows from the seed of its draw."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from animatex_core.motion import Motion
from animatex_core.pictures import to_tensor
from animatex_core.pose.epi import PosePool
from animatex_core.pose.keypoints import PoseSequence
from animatex_core.settings import Settings
from animatex_core.vae import VAE, load_vae

from .anchors import open_pool
from .augment import ReadSettings, Window, draw_window, explicit_pose
from .sample import Draw, Sample
from .shards import ClipFile, ClipRecord, DatasetError, read_index

_TOLD = ("probability", "realign", "rescale", "body_shoulders", "neck_face", "arms_legs", "add", "drop", "pool")
_TOLD = (*_TOLD, "intervals", "hands", "vae", "validation_share")


class ClipDataset(Dataset[Sample]):
    """Clips of `frames` frames; `training` and `validation` are the numbers of the clips in either part.

    Clips that are too short for the smallest interval are left out. The anchors of the pose pool are those of the
    training part alone. Raises DatasetError: nothing there or nothing left, frames without a VAE to encode them.
    """

    def __init__(self, folder: Path, frames: int, settings: ReadSettings | None = None):
        self.folder, self.frames, self.settings = folder, frames, settings or ReadSettings()
        index = read_index(folder)
        least = (frames - 1) * min(self.settings.intervals) + 1
        self.records = [record for record in index.clips if record.frames >= least]
        held = [held_out(record.video, self.settings.validation_share) for record in self.records]
        self.training = [number for number, out in enumerate(held) if not out]
        self.validation = [number for number, out in enumerate(held) if out]
        if not self.training:
            raise DatasetError(f"{folder}: none of its {len(index.clips)} clips has {least} frames and is for training")
        if not self.settings.vae and any(record.store == "frames" for record in self.records):
            raise DatasetError(
                f"{folder}: holds frames, not latents: data.settings.vae must name the VAE to encode them"
            )
        kept = np.array([not held_out(record.video, self.settings.validation_share) for record in index.clips])
        self.pool: PosePool = open_pool(folder, index, self.settings.pool, kept)
        self._prepared = index.fingerprint

    def __len__(self) -> int:
        return len(self.records)

    def __getstate__(self) -> dict[str, Any]:
        """For another process: without the VAE, which it opens for itself."""
        return {name: value for name, value in self.__dict__.items() if name != "_vae"}

    @property
    def sizes(self) -> dict[int, tuple[int, int]]:
        """Width and height of every clip for training, for `sampler.Draws`."""
        return {number: self.records[number].size for number in self.training}

    @property
    def fingerprint(self) -> str:
        """Changes with the clips, their order, which of them are for training, and how they are read."""
        told = [self._prepared, [r.clip for r in self.records], self.frames, self.training]
        told += [getattr(self.settings, name) for name in _TOLD]
        return hashlib.sha256(repr(told).encode()).hexdigest()

    def fixed_draws(self, seed: int = 0) -> list[Draw]:
        """One draw of each clip for validation, the same in every run; of the others where none is held out."""
        return [Draw(index, seed + number) for number, index in enumerate(self.validation or self.training)]

    def __getitem__(self, draw: Draw) -> Sample:
        record = self.records[draw.index]
        clip = ClipFile(self.folder, record)
        # Windows and transformations draw from streams of their own: no setting of one changes the other.
        window_rng, pose_rng = np.random.default_rng(draw.seed).spawn(2)
        references = self._reference_frames(clip, record)
        window = draw_window(window_rng, record.frames, len(references), self.frames, self.settings.intervals)
        at = int(references[window.reference])
        driver, own = self._poses(clip, record, window.span), self._poses(clip, record, slice(at, at + 1))
        drawn = explicit_pose(driver, self.pool, pose_rng, self.settings).poses
        features = clip.read("features", slice(0, record.frames)).float()
        reference, latent, latents = self._pictures(clip, record, window, at)
        return Sample(
            clip=record.clip,
            latents=latents,
            pose=self._pose_pictures(drawn, record).transpose(0, 1).contiguous(),
            reference=reference,
            reference_pose=self._pose_pictures(own, record)[0],
            reference_latent=latent,
            image_feature=features[at],
            keypoints=torch.from_numpy(driver.ipi_keypoints()),
            reference_keypoints=torch.from_numpy(own.ipi_keypoints())[0],
            features=features[window.span],
        )

    def _reference_frames(self, clip: ClipFile, record: ClipRecord) -> Tensor:
        return torch.arange(record.frames) if record.store == "frames" else clip.read("reference_frames")

    def _poses(self, clip: ClipFile, record: ClipRecord, span: slice) -> PoseSequence:
        points, scores = clip.read("points", span).numpy(), clip.read("scores", span).numpy()
        return PoseSequence(points[:, None], scores[:, None], *record.canvas, record.fps)

    def _pose_pictures(self, poses: PoseSequence, record: ClipRecord) -> Tensor:
        """uint8 [F, 3, H, W]: drawn and fitted by the code that draws them for an animation."""
        settings = Settings(width=record.width, height=record.height, fit=record.fit, hands=self.settings.hands)  # pyright: ignore[reportArgumentType]
        pictures = Motion(poses, None, record.fps).pictures(settings)
        return torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)))

    def _pictures(self, clip: ClipFile, record: ClipRecord, window: Window, at: int) -> tuple[Tensor, Tensor, Tensor]:
        """The reference uint8 [3, H, W], its latent [4, h, w], and the latents [4, F, h, w] of the window."""
        if record.store == "latents":
            number = slice(window.reference, window.reference + 1)
            reference = clip.read("references", number)[0].permute(2, 0, 1).contiguous()
            latents = clip.read("latents", window.span).float()
            latent = clip.read("latents", slice(at, at + 1))[0].float()
            return reference, latent, latents.transpose(0, 1).contiguous()
        frames = clip.read("frames", window.span).numpy()
        reference = clip.read("frames", slice(at, at + 1)).numpy()
        latents = self._vae.encode(to_tensor(np.concatenate([reference, frames])))
        return (
            torch.from_numpy(reference[0]).permute(2, 0, 1).contiguous(),
            latents[0],
            latents[1:].transpose(0, 1).contiguous(),
        )

    @cached_property
    def _vae(self) -> VAE:
        return load_vae(self.settings.vae)


def held_out(video: str, share: float) -> bool:
    """Whether a video is for validation: by a hash of its name, so that more videos change nothing for the others."""
    number = int.from_bytes(hashlib.sha256(video.encode()).digest()[:8], "big")
    return number < share * 2**64
