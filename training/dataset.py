"""A prepared data set: draws in, samples out. Everything random about a sample follows from the seed of its draw."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from animatex_core.fit import plan_fit
from animatex_core.motion import Motion
from animatex_core.pictures import to_tensor
from animatex_core.pose.epi import PosePool
from animatex_core.pose.keypoints import PoseSequence
from animatex_core.settings import Settings
from animatex_core.vae import VAE, load_vae

from .anchors import open_pool
from .augment import ReadSettings, draw_window, explicit_pose
from .emphasis import place_weights
from .prepare_settings import file_digest
from .sample import Draw, Sample
from .shards import ClipFile, ClipRecord, DatasetError, read_index

_TOLD = ("probability", "realign", "rescale", "body_shoulders", "neck_face", "arms_legs", "add", "drop", "pool")
_TOLD = (*_TOLD, "intervals", "hands", "vae", "validation_share", "still", "cross")


@dataclass(frozen=True)
class _Reference:
    """picture: uint8 [H, W, 3]. latent: [4, h, w]. feature: [clip width]. poses: of this one picture."""

    picture: Tensor
    latent: Tensor
    feature: Tensor
    poses: PoseSequence


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
        """Changes with the clips, their order, which of them are for training, and how they are read.

        VAE and pose pool count by their content, wherever they lie. Raises DatasetError for a VAE that is not there.
        """
        told = [self._prepared, [r.clip for r in self.records], self.frames, self.training]
        pool = _pool_sha256(self.pool) if self.settings.pool else ""
        settings = {name: getattr(self.settings, name) for name in _TOLD} | {"pool": pool, "vae": self._vae_sha256()}
        told += settings.values()
        # These only where they are used, so that runs of before they were there can go on.
        if self.settings.without_video:
            told.append(self.settings.without_video)
        if self.settings.details:
            told.append(f"details {float(self.settings.details)}")
        return hashlib.sha256(repr(told).encode()).hexdigest()

    def _vae_sha256(self) -> str:
        """Of the file that encodes; empty where nothing is left to encode."""
        if all(record.store == "latents" for record in self.records):
            return ""
        try:
            return file_digest(Path(self.settings.vae))
        except OSError as error:
            raise DatasetError(f"data.settings.vae: {self.settings.vae}: {error.strerror or error}") from error

    def fixed_draws(self, seed: int = 0) -> list[Draw]:
        """One draw of each clip for validation, the same in every run; of the others where none is held out."""
        return [Draw(index, seed + number) for number, index in enumerate(self.validation or self.training)]

    def __getitem__(self, draw: Draw) -> Sample:
        record = self.records[draw.index]
        clip = ClipFile(self.folder, record)
        # Windows and transformations draw from streams of their own: no setting of one changes the other.
        window_rng, pose_rng, pair_rng = np.random.default_rng(draw.seed).spawn(3)
        frames = self._reference_frames(clip, record)
        window = draw_window(window_rng, record.frames, len(frames), self.frames, self.settings.intervals)
        shares = (self.settings.still, self.settings.cross, self.settings.without_video)
        still, cross, alone = pair_rng.random(3) < shares
        reference = self._still(clip, record) if still else None
        reference = reference or self._own(clip, record, window.reference, int(frames[window.reference]))
        driver = "driver_" if cross and clip.holds("driver_points") else ""
        poses = self._poses(clip, record, window.span)
        drawn = explicit_pose(poses, self.pool, pose_rng, self.settings).poses
        read = self._poses(clip, record, window.span, driver) if driver else poses
        features = clip.read(f"{driver}features", window.span).float()
        return Sample(
            clip=record.clip,
            latents=self._latents(clip, record, "latents", "frames", window.span).transpose(0, 1).contiguous(),
            pose=self._pose_pictures(drawn, record).transpose(0, 1).contiguous(),
            reference=reference.picture.permute(2, 0, 1).contiguous(),
            reference_pose=self._pose_pictures(reference.poses, record)[0],
            reference_latent=reference.latent,
            image_feature=reference.feature,
            keypoints=torch.from_numpy(read.ipi_keypoints()),
            reference_keypoints=torch.from_numpy(reference.poses.ipi_keypoints())[0],
            features=reference.feature.expand_as(features).contiguous() if alone else features,
            weight=place_weights(poses, plan_fit(record.canvas, record.size, record.fit), self.settings.details),
        )

    def _reference_frames(self, clip: ClipFile, record: ClipRecord) -> Tensor:
        return torch.arange(record.frames) if record.store == "frames" else clip.read("reference_frames")

    def _own(self, clip: ClipFile, record: ClipRecord, number: int, at: int) -> _Reference:
        """Picture `number` of those that may be the reference, which is frame `at` of the clip."""
        name, where = ("references", number) if record.store == "latents" else ("frames", at)
        one = slice(at, at + 1)
        return _Reference(
            picture=clip.read(name, slice(where, where + 1))[0],
            latent=self._latents(clip, record, "latents", "frames", one)[0],
            feature=clip.read("features", one)[0].float(),
            poses=self._poses(clip, record, one),
        )

    def _still(self, clip: ClipFile, record: ClipRecord) -> _Reference | None:
        """The picture of the character that was given beside the video, if one was."""
        if not clip.holds("still"):
            return None
        one = slice(0, 1)
        return _Reference(
            picture=clip.read("still")[0],
            latent=self._latents(clip, record, "still_latents", "still", one)[0],
            feature=clip.read("still_features")[0].float(),
            poses=self._poses(clip, record, one, "still_"),
        )

    def _poses(self, clip: ClipFile, record: ClipRecord, span: slice, whose: str = "") -> PoseSequence:
        points, scores = (clip.read(f"{whose}{name}", span).numpy() for name in ("points", "scores"))
        return PoseSequence(points[:, None], scores[:, None], *record.canvas, record.fps)

    def _pose_pictures(self, poses: PoseSequence, record: ClipRecord) -> Tensor:
        """uint8 [F, 3, H, W]: drawn and fitted by the code that draws them for an animation."""
        settings = Settings(width=record.width, height=record.height, fit=record.fit, hands=self.settings.hands)
        pictures = Motion(poses, None, record.fps).pictures(settings)
        return torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)))

    def _latents(self, clip: ClipFile, record: ClipRecord, stored: str, pictures: str, span: slice) -> Tensor:
        """[F, 4, h, w], as they are stored or encoded from pictures."""
        if record.store == "latents":
            return clip.read(stored, span).float()
        return self._vae.encode(to_tensor(clip.read(pictures, span).numpy()))

    @cached_property
    def _vae(self) -> VAE:
        return load_vae(self.settings.vae)


def _pool_sha256(pool: PosePool) -> str:
    """Of the anchors in their order: the index of a pool names other files, which its own bytes do not tell of."""
    digest = hashlib.sha256()
    for anchor in pool.anchors:
        digest.update(repr((anchor.width, anchor.height, anchor.points.shape)).encode())
        digest.update(anchor.points.astype(np.float64).tobytes())
        digest.update(anchor.scores.astype(np.float64).tobytes())
    return digest.hexdigest()


def held_out(video: str, share: float) -> bool:
    """Whether a video is for validation: by a hash of its name, so that more videos change nothing for the others."""
    number = int.from_bytes(hashlib.sha256(video.encode()).digest()[:8], "big")
    return number < share * 2**64
