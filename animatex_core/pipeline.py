"""The whole job without ComfyUI: a picture and a motion in, a video out.

Models are loaded one after the other and let go of as soon as they are done: CLIP, VAE encoder, network, VAE decoder.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .choices import IPISource
from .fit import plan_fit
from .job_files import check_networks
from .model import AnimateX, Inputs
from .motion import CLIP_SIDE, Motion, choose_ipi_source, load_motion
from .motion import PoseExtractor as PoseExtractor
from .pictures import load_picture, resize, to_tensor
from .pose.io import load_openpose
from .pose.keypoints import PoseSequence
from .pose.realign import realign
from .sampling import GuidedDenoiser, OnStep, sample
from .settings import Settings
from .vae import load_vae
from .vision import load_clip_vision
from .weights import load_model
from .windows import WindowPlan, plan_windows, start_noise

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Job:
    """Files and settings of one animation. clip and vae may be the model file, when it has them bundled."""

    model: Path
    clip: Path
    vae: Path
    reference: Path
    video: Path | None = None
    poses: Path | None = None
    reference_pose: Path | None = None
    settings: Settings = field(default_factory=Settings)
    device: str = "cpu"
    dtype: torch.dtype = torch.float32


@dataclass(frozen=True)
class Prepared:
    """What the network needs, on the CPU, and what the result is called by. drawn: the motion that is drawn."""

    inputs: Inputs
    motion: Motion
    drawn: Motion
    ipi_source: IPISource


def prepare(
    job: Job,
    extract: PoseExtractor | None = None,
    *,
    motion: Motion | None = None,
    drawn: PoseSequence | None = None,
) -> Prepared:
    """Check the files, read picture and motion, run CLIP and (for the paper's reference mode) the VAE encoder.

    extract: reads the poses of a video that comes without them, and that of a reference without one where it is needed:
    the motion is fitted to it, or the reference mode draws it.
    motion: instead of the job's video and poses. drawn: the poses of the pose pictures where they are not those that
    the IPI reads, as after EPI: as many frames as the motion has. Without them the settings' `align` fits the motion.
    """
    settings = job.settings
    fitting = settings.align != "off" and drawn is None
    if fitting and job.reference_pose is None and extract is None:
        raise ValueError(
            "to fit the motion to the character, its pose is needed: --reference-pose FILE.json (made by "
            "`animate-x pose --image PICTURE --out FILE.json`), or DWPose's two files: --detector and --pose-model"
        )
    config = check_networks(job.model, job.clip, job.vae)
    reference = load_picture(job.reference)
    height, width = reference.shape[:2]
    reference_pose = _load_reference_pose(job, width, height)
    motion = load_motion(job.video, job.poses, settings, extract) if motion is None else motion
    if extract is not None and job.reference_pose is None and (fitting or settings.reference_mode != "released"):
        reference_pose = _found_pose(reference, extract)
    source = choose_ipi_source(settings.ipi_source, motion, has_ipi=config.ipi is not None)
    fit = plan_fit((width, height), (settings.width, settings.height), settings.fit)
    fitted = fit.apply(reference)
    shown = _drawn(motion, drawn, reference_pose, settings)
    pose_pictures = shown.pictures(settings)
    image_feature, features = _clip_features(job, reference, pose_pictures, motion, source)
    keypoints = torch.from_numpy(motion.poses.ipi_keypoints())[None]
    latent, reference_picture = _paper_inputs(job, fitted, reference_pose)
    return Prepared(
        Inputs(
            pose=to_tensor(pose_pictures).transpose(0, 1)[None],
            reference=None if settings.reference_mode == "paper" else to_tensor(fitted),
            image_feature=image_feature,
            keypoints=None if source == "off" else keypoints,
            features=features,
            reference_keypoints=_reference_keypoints(reference_pose, source),
            reference_latent=latent,
            reference_pose=reference_picture,
        ),
        motion,
        shown,
        source,
    )


def _drawn(motion: Motion, given: PoseSequence | None, anchor: PoseSequence | None, settings: Settings) -> Motion:
    """The motion that is drawn: as given, or fitted to the character's pose where the settings say so."""
    if given is None and settings.align != "off":
        if anchor is None:
            LOG.warning("Nobody was found in the reference: the motion drives as it is, not fitted.")
            return motion
        done = realign(motion.poses, anchor, mode=settings.align, drop_absent=settings.drop_absent)
        LOG.info("%s", done.summary())
        given = done.poses
    return motion if given is None else Motion(given, None, motion.fps)


def _load_reference_pose(job: Job, width: int, height: int) -> PoseSequence | None:
    """The pose of the reference picture, or None when there is nobody in it. Raises ValueError for another canvas."""
    if job.reference_pose is None:
        return None
    pose = load_openpose(job.reference_pose).person(0).frames(slice(0, 1))
    if (pose.width, pose.height) != (width, height):
        raise ValueError(
            f"{job.reference_pose}: the canvas is {pose.width}x{pose.height}, the reference picture "
            f"{width}x{height}; they must be the same"
        )
    if not pose.present.any():
        LOG.warning("%s: no person in it; going on as without a pose of the reference", job.reference_pose)
        return None
    return pose


def _found_pose(reference: np.ndarray, extract: PoseExtractor) -> PoseSequence | None:
    """The pose of the reference picture [H, W, 3] as the extractor sees it, or None when it sees nobody."""
    pose = extract([reference], None).person(0)
    return pose if pose.present.any() else None


def _reference_keypoints(pose: PoseSequence | None, source: IPISource) -> Tensor | None:
    if pose is None or source == "off":
        return None
    return torch.from_numpy(pose.ipi_keypoints())


def _paper_inputs(job: Job, fitted: np.ndarray, pose: PoseSequence | None) -> tuple[Tensor | None, Tensor | None]:
    """The reference's latent and pose picture, where the reference mode feeds them."""
    if job.settings.reference_mode == "released":
        return None, None
    vae = load_vae(job.vae, dtype=torch.float32, device=job.device)
    latent = vae.encode(to_tensor(fitted)).float().cpu()
    if pose is None:
        LOG.warning("The reference has no pose (--reference-pose): its latent is fed without one.")
        return latent, None
    picture = Motion(pose, None, 1.0).pictures(job.settings)
    return latent, to_tensor(picture)


def _clip_features(
    job: Job, reference: np.ndarray, poses: np.ndarray, motion: Motion, source: IPISource
) -> tuple[Tensor, Tensor | None]:
    """CLIP features [1, width] of the reference and [1, F, width] of what the IPI reads."""
    clip = load_clip_vision(job.clip, dtype=job.dtype, device=job.device)
    image_feature = clip.encode(resize(reference, CLIP_SIDE, CLIP_SIDE)[None]).float().cpu()
    if source == "off":
        return image_feature, None
    if source == "reference":
        return image_feature, image_feature[:, None].repeat(1, len(motion.poses), 1)
    pictures = motion.clip_pictures if source == "video" else resize(poses, CLIP_SIDE, CLIP_SIDE)
    assert pictures is not None
    return image_feature, clip.encode(pictures).float().cpu()[None]


def denoise(job: Job, prepared: Prepared, on_step: OnStep | None = None, *, model: AnimateX | None = None) -> Tensor:
    """Latents [F, 4, height/8, width/8], float32 on the CPU. model: the job's, where it is loaded already."""
    settings, frames = job.settings, len(prepared.motion.poses)
    plan = _plan(job, prepared)
    shape = (1, 4, frames, settings.height // 8, settings.width // 8)
    noise = start_noise(shape, settings.seed, plan, shared=settings.shared_noise)
    if model is None:
        model = load_model(job.model, dtype=job.dtype, device=job.device)
    guided = GuidedDenoiser(model, prepared.inputs.to(job.device, job.dtype), settings.guidance)
    latents = sample(guided, noise.to(job.device), steps=settings.steps, plan=plan, on_step=on_step)
    return latents[0].transpose(0, 1).cpu()


def _plan(job: Job, prepared: Prepared) -> WindowPlan | None:
    settings = job.settings
    return plan_windows(len(prepared.motion.poses), settings.window, settings.overlap, closed_loop=settings.closed_loop)


def decode(job: Job, latents: Tensor) -> Iterator[np.ndarray]:
    """Pictures uint8 RGB [height, width, 3], a few frames decoded at a time."""
    vae = load_vae(job.vae, dtype=job.dtype, device=job.device)
    for pictures in vae.decode(latents):
        yield from (pictures.float().cpu() * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


def _resolved(job: Job, prepared: Prepared) -> dict[str, Any]:
    """The settings that were left to us, as they were in the end."""
    plan = _plan(job, prepared)
    overlap = None if plan is None else plan.overlap
    return {"ipi_source": prepared.ipi_source, "fps": prepared.motion.fps, "overlap": overlap}


def metadata(job: Job, prepared: Prepared) -> dict[str, Any]:
    """Every setting, the files' names, and that the clip is generated."""
    names = {
        name: None if getattr(job, name) is None else Path(getattr(job, name)).name
        for name in ("model", "clip", "vae", "reference", "video", "poses", "reference_pose")
    }
    return {
        "generated": True,
        "generator": "Animate-X for ComfyUI (arXiv 2410.10306)",
        "files": names,
        "settings": job.settings.as_metadata() | _resolved(job, prepared),
        "frames": len(prepared.motion.poses),
        "device": job.device,
        "precision": str(job.dtype).removeprefix("torch."),
        "torch": torch.__version__,
    }
