"""The node that brings reference, poses and motion to one size and into a conditioning."""

from __future__ import annotations

import logging
from typing import Any

import comfy.model_management
import numpy as np
import torch
from comfy_api.latest import io
from torch import Tensor

from ..animatex_core.fit import Fit, FitMode, plan_fit
from ..animatex_core.pose.draw import draw_poses
from ..animatex_core.pose.keypoints import PoseSequence
from .comfy_model import CARRIED, Carried
from .ipi import SOURCE_TOOLTIP, SOURCES, MotionInputs, clip_features, encode_motion, poses_of
from .pictures import PackedPictures, first_picture
from .pose_sockets import DRAWN_AT_ONCE
from .progress import steps_progress
from .schema import Motion, PoseKeypoint, schema

LOG = logging.getLogger(__name__)
SETTINGS = ("released", "paper", "both")
FITS = ("pad", "crop", "stretch")
BLACK = (0, 0, 0)
LONGEST = 4096


def pose_pictures(poses: PoseSequence, width: int, height: int, mode: FitMode, hands: bool) -> PackedPictures:
    """F pictures of height x width: drawn at the size of the poses' canvas as in training, then fitted."""
    fit = plan_fit((poses.width, poses.height), (width, height), mode)
    packed = PackedPictures(height, width)
    done = steps_progress(len(poses))
    for start in range(0, len(poses), DRAWN_AT_ONCE):
        done(start)
        drawn = draw_poses(poses.frames(slice(start, start + DRAWN_AT_ONCE)), hands=hands)
        packed.extend(fit.apply(drawn, BLACK))
    return packed


def reference_latent(vae: Any, picture: np.ndarray) -> Tensor:
    """The VAE latent [1, 4, H/8, W/8] of uint8 RGB [H, W, 3], not scaled; the mean of the posterior.

    Raises ValueError for a VAE of another family.
    """
    latent = vae.encode(torch.from_numpy(picture)[None].to(torch.float32).div_(255))
    expected = (1, 4, picture.shape[0] // 8, picture.shape[1] // 8)
    if tuple(latent.shape) != expected:
        raise ValueError(
            f"vae: gives latents {list(latent.shape)}, Animate-X needs {list(expected)}: load a VAE of SD 1.x or 2.x"
        )
    return latent.float().cpu()


def _optional_inputs() -> list[io.Input]:
    """What works unwired: the motion, the reference's pose, the paper's setting, strengths."""
    strength = {"default": 1.0, "min": 0.0, "max": 2.0, "step": 0.05, "optional": True}
    return [
        Motion.Input("motion", optional=True, tooltip="From Encode Motion (IPI). Without it see driving_images."),
        io.Image.Input(
            "driving_images",
            optional=True,
            tooltip="The driving video's frames: the motion is encoded here when no motion is connected.",
        ),
        PoseKeypoint.Input(
            "driving_pose_raw",
            optional=True,
            tooltip=(
                "The driver's own poses, from before any fitting, for the motion. Needed when driving_pose "
                "was fitted to the character and no motion is connected."
            ),
        ),
        PoseKeypoint.Input("reference_pose", optional=True, tooltip="The character's own pose in its picture."),
        io.Vae.Input("vae", optional=True, tooltip="Needed for the settings 'paper' and 'both' only."),
        io.Combo.Input(
            "setting",
            options=list(SETTINGS),
            default="released",
            optional=True,
            tooltip=(
                "How the reference enters. 'released': picture and CLIP tokens, what the published weights are "
                "run with. 'paper': its VAE latent and pose as an extra frame. 'both': all of it."
            ),
        ),
        io.Combo.Input("motion_source", options=list(SOURCES), default="auto", optional=True, tooltip=SOURCE_TOOLTIP),
        io.Boolean.Input("hands", default=True, optional=True, tooltip="Draw hands. Off for paws, wings and mittens."),
        io.Float.Input("pose_strength", tooltip="How much the pose pictures count; 1 is exact.", **strength),
        io.Float.Input("reference_strength", tooltip="How much the reference counts; 1 is exact.", **strength),
        io.Float.Input("motion_strength", tooltip="How much the IPI's motion counts; 1 is exact.", **strength),
    ]


class Conditioning(io.ComfyNode):
    """Animate-X Conditioning."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node as people see it."""
        return schema(
            node_id="AnimateX_Conditioning",
            display_name="Animate-X Conditioning",
            description=(
                "Brings the character and the poses to one size and makes positive, negative and the empty LATENT for "
                "any sampler. Connect driving_images to let it encode the motion itself, or a motion."
            ),
            search_aliases=[
                "animate character",
                "pose to video",
                "animate-x apply",
                "character animation",
                "img2vid pose",
            ],
            inputs=[
                io.Image.Input("reference", tooltip="The character's picture; of several the first is used."),
                io.ClipVision.Input(
                    "clip_vision", tooltip="CLIP ViT-H: from Load Animate-X Model or Load CLIP Vision."
                ),
                PoseKeypoint.Input(
                    "driving_pose", tooltip="The poses to follow, fitted to the character or as detected."
                ),
                io.Int.Input("width", default=512, min=64, max=4096, step=8, tooltip="Width of the result in pixels."),
                io.Int.Input(
                    "height", default=768, min=64, max=4096, step=8, tooltip="Height of the result in pixels."
                ),
                io.Int.Input(
                    "length", default=0, min=0, max=LONGEST, tooltip="How many frames; 0 takes all driving poses."
                ),
                io.Combo.Input(
                    "fit",
                    options=list(FITS),
                    default="pad",
                    tooltip=(
                        "How pictures of other proportions are brought to the size, reference and poses alike: 'pad' "
                        "keeps everything, 'crop' fills the frame, 'stretch' is what the released program does."
                    ),
                ),
                *_optional_inputs(),
            ],
            outputs=[
                io.Conditioning.Output(display_name="positive", tooltip="Follows ComfyUI's timestep ranges."),
                io.Conditioning.Output(display_name="negative", tooltip="The unconditional side: all inputs zero."),
                io.Latent.Output(display_name="latent", tooltip="Empty latents of the right size, one a frame."),
            ],
        )

    @classmethod
    def execute(
        cls, reference: Any, clip_vision: Any, driving_pose: Any, width: int, height: int, length: int, fit: FitMode,
        motion: MotionInputs | None = None, driving_images: Any = None, driving_pose_raw: Any = None,
        reference_pose: Any = None, vae: Any = None, setting: str = "released", motion_source: str = "auto",
        hands: bool = True, pose_strength: float = 1.0, reference_strength: float = 1.0, motion_strength: float = 1.0,
    ) -> io.NodeOutput:  # fmt: skip
        """Check that everything fits together, then encode what does not depend on the model."""
        poses = _driving_poses(driving_pose, length)
        frames = len(poses)
        picture = first_picture(reference, "reference")
        plan = plan_fit((picture.shape[1], picture.shape[0]), (width, height), fit)
        fitted = plan.apply(picture)
        feature = clip_features(clip_vision, picture[None], "reference")
        if motion is None:
            raw = driving_pose if driving_pose_raw is None else driving_pose_raw
            if length and driving_images is not None and len(driving_images) == len(raw):
                raw, driving_images = raw[:frames], driving_images[:frames]  # CLIP need not see the rest
            motion = encode_motion(clip_vision, driving_images, raw, feature, reference_pose, motion_source)
        features, keypoints = _rows(motion, frames, length)
        paper = {} if setting == "released" else _paper(vae, fitted, plan, reference_pose, hands, setting)
        carried = Carried(
            frames=frames,
            width=width,
            height=height,
            pose=pose_pictures(poses, width, height, fit, hands),
            reference=None if setting == "paper" else torch.from_numpy(fitted)[None],
            image_feature=feature,
            features=features,
            keypoints=keypoints,
            reference_feature=motion.reference_feature,
            reference_keypoints=motion.reference_keypoints,
            pose_strength=pose_strength,
            reference_strength=reference_strength,
            motion_strength=motion_strength,
            **paper,
        )
        nothing = Carried(frames=frames, width=width, height=height, motion_strength=motion_strength)
        latent = torch.zeros(frames, 4, height // 8, width // 8, device=comfy.model_management.intermediate_device())
        return io.NodeOutput(
            [[feature[None], {CARRIED: carried}]],
            [[torch.zeros_like(feature[None]), {CARRIED: nothing}]],
            {"samples": latent},
        )


def _driving_poses(keypoints: Any, length: int) -> PoseSequence:
    """The first person's poses, as many as asked for. Raises ValueError when nobody is there in any frame."""
    poses = poses_of(keypoints, "driving_pose")
    if length > len(poses):
        LOG.warning("driving_pose: %d frames instead of %d, there are no more poses", len(poses), length)
    if length:
        poses = poses.frames(slice(0, length))
    if not poses.present.any():
        raise ValueError(
            f"driving_pose: nobody was found in any of the {len(poses)} frames, so there is no motion to follow. See "
            "them with Draw Poses; try skip_detector in Extract Poses, another detector, or another video"
        )
    return poses


def _rows(motion: MotionInputs, frames: int, length: int) -> tuple[Tensor | None, Tensor | None]:
    """Features and keypoints of the frames. Raises ValueError when the motion is of another length."""
    if motion.frames < frames or (motion.frames != frames and not length):
        raise ValueError(
            f"motion has {motion.frames} frames, driving_pose {frames}: take both from the same frames (Pick Frames "
            "thins out images and poses alike)"
        )
    features, keypoints = motion.features, motion.keypoints
    return None if features is None else features[:frames], None if keypoints is None else keypoints[:frames]


def _paper(
    vae: Any, fitted: np.ndarray, plan: Fit, reference_pose: Any, hands: bool, setting: str
) -> dict[str, Tensor]:
    """The reference as the frame before the others: latent, and pose picture fitted like the reference."""
    if vae is None:
        raise ValueError(f"the setting {setting!r} feeds the reference's latent: connect a vae, or choose 'released'")
    found = {"reference_latent": reference_latent(vae, fitted)}
    if reference_pose is None:
        LOG.warning("reference_pose is not connected: the reference's latent is fed without its pose")
        return found
    pose = poses_of(reference_pose, "reference_pose").frames(slice(0, 1))
    drawn = draw_poses(pose, hands=hands)
    own = plan if (pose.width, pose.height) == plan.source else _same_fit(plan, (pose.width, pose.height))
    return found | {"reference_pose": torch.from_numpy(own.apply(drawn, BLACK))}


def _same_fit(plan: Fit, canvas: tuple[int, int]) -> Fit:
    """The reference's fit for poses whose canvas has another size: the canvas is taken to show the whole picture."""
    ratio = (plan.source[0] / canvas[0], plan.source[1] / canvas[1])
    return Fit(canvas, plan.target, (plan.scale[0] * ratio[0], plan.scale[1] * ratio[1]), plan.offset)


NODES = [Conditioning]
