"""What the Implicit Pose Indicator reads: CLIP features of the driving frames and the driver's own keypoints."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from comfy_api.latest import io
from torch import Tensor

from ..animatex_core.pictures import resize
from ..animatex_core.pose.draw import draw_poses
from ..animatex_core.pose.io import from_pose_keypoint
from ..animatex_core.pose.keypoints import PoseSequence
from .pictures import first_picture, squares
from .pose_sockets import is_aligned
from .progress import steps_progress
from .schema import Motion, PoseKeypoint, schema

LOG = logging.getLogger(__name__)
CLIP_SIDE = 224
CLIP_BATCH = 8
SOURCES = ("auto", "video", "poses", "reference", "off")

SOURCE_TOOLTIP = (
    "What the IPI's CLIP features come from. 'video': the driving frames (as trained). 'poses': pictures of the poses. "
    "'reference': the reference at every frame, so the motion comes from the keypoints alone. 'off': nothing. 'auto': "
    "video when driving images are connected, reference else."
)


@dataclass(frozen=True, eq=False)
class MotionInputs:
    """ANIMATEX_MOTION, float32 on the CPU: features [F, width] and keypoints [F, 2, 18] of the driving frames, None
    where the source is off; features [1, width] and keypoints [1, 2, 18] of the reference (the IPI's frame 0)."""

    frames: int
    features: Tensor | None
    keypoints: Tensor | None
    reference_feature: Tensor | None
    reference_keypoints: Tensor | None
    source: str


def clip_features(clip_vision: Any, pictures: np.ndarray, name: str) -> Tensor:
    """Projected, un-normalised CLIP features [n, width] of uint8 RGB [n, H, W, 3], float32 on the CPU.

    Each picture is stretched to 224x224 (Pillow's bilinear, no crop) as in the released program; the tower then only
    normalises. Raises ValueError for a tower without a projection.
    """
    found = []
    show = steps_progress(len(pictures))
    side = getattr(clip_vision, "image_size", CLIP_SIDE)
    for start in range(0, len(pictures), CLIP_BATCH):
        batch = resize(resize(pictures[start : start + CLIP_BATCH], CLIP_SIDE, CLIP_SIDE), side, side)
        output = clip_vision.encode_image(torch.from_numpy(batch).to(torch.float32).div_(255))
        feature = output["image_embeds"]
        if feature is None or feature.ndim != 2:
            raise ValueError(f"{name}: this CLIP vision gives no single feature a picture; load CLIP ViT-H")
        if not torch.isfinite(feature).all():
            raise ValueError(f"{name}: CLIP vision gives numbers that are not finite; load it in another precision")
        found.append(feature.float().cpu())
        show(min(start + CLIP_BATCH, len(pictures)))
    return torch.cat(found)


def poses_of(keypoints: Any, name: str) -> PoseSequence:
    """The first person of POSE_KEYPOINT. Raises ValueError naming the input and the bad field."""
    try:
        poses = from_pose_keypoint(keypoints).person(0)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    blank = np.flatnonzero(~poses.present.any(axis=(1, 2)))
    if len(blank) and len(poses) > 1:
        LOG.warning("%s: nobody in %d of %d frames, the first is %d", name, len(blank), len(poses), blank[0])
    return poses


def encode_motion(
    clip_vision: Any, images: Any, poses: Any, reference: Any, reference_pose: Any, source: str = "auto"
) -> MotionInputs:
    """The IPI's inputs; `reference` is an IMAGE or its CLIP feature [1, width]. Lengths must agree."""
    raw = poses_of(poses, "driving_pose")
    if is_aligned(poses):
        LOG.warning(
            "driving_pose: these poses were fitted to a character. The IPI was trained on the driver's own poses: "
            "connect those from before the alignment"
        )
    source = ("reference" if images is None else "video") if source == "auto" else source
    if source == "video" and images is None:
        raise ValueError("the motion source is 'video', but no driving images are connected")
    if source == "off":
        return MotionInputs(len(raw), None, None, None, None, source)
    feature = reference
    if not (isinstance(reference, Tensor) and reference.ndim == 2):
        feature = clip_features(clip_vision, first_picture(reference, "reference")[None], "reference")
    keypoints = torch.from_numpy(raw.ipi_keypoints())
    first = keypoints[:1]
    if reference_pose is not None:
        first = torch.from_numpy(poses_of(reference_pose, "reference_pose").ipi_keypoints()[:1])
    features = _driving(clip_vision, images, raw, feature, source)
    return MotionInputs(len(raw), features, keypoints, feature, first, source)


def _driving(clip_vision: Any, images: Any, raw: PoseSequence, feature: Tensor, source: str) -> Tensor:
    if source == "reference":
        return feature.repeat(len(raw), 1)
    if source == "poses":
        return clip_features(clip_vision, draw_poses(raw), "driving_pose")
    if len(images) != len(raw):
        raise ValueError(
            f"driving_images has {len(images)} frames, driving_pose {len(raw)}: take both from the same clip "
            "(Pick Frames thins out images and poses alike)"
        )
    return clip_features(clip_vision, squares(images, "driving_images", CLIP_SIDE), "driving_images")


class EncodeIPI(io.ComfyNode):
    """Encode Motion (IPI)."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node as people see it."""
        return schema(
            node_id="AnimateX_EncodeIPI",
            display_name="Encode Motion (IPI)",
            description=(
                "Reads the motion of the driving video for the Implicit Pose Indicator: CLIP features of its frames "
                "and its own poses. Give it the poses from before any fitting to the character."
            ),
            search_aliases=["implicit pose indicator", "motion features", "driving video", "animate-x motion"],
            inputs=[
                io.ClipVision.Input(
                    "clip_vision", tooltip="CLIP ViT-H: from Load Animate-X Model or Load CLIP Vision."
                ),
                io.Image.Input("reference", tooltip="The character's picture; its CLIP feature is the IPI's frame 0."),
                PoseKeypoint.Input(
                    "driving_pose",
                    display_name="driving_pose (before align)",
                    tooltip="The driver's own poses, as detected or cleaned, not fitted to the character.",
                ),
                io.Image.Input(
                    "driving_images", optional=True, tooltip="The driving video's frames, as many as there are poses."
                ),
                PoseKeypoint.Input(
                    "reference_pose",
                    optional=True,
                    tooltip="The character's pose. Without it the first driving pose is used, as released.",
                ),
                io.Combo.Input("source", options=list(SOURCES), default="auto", optional=True, tooltip=SOURCE_TOOLTIP),
            ],
            outputs=[Motion.Output(display_name="motion", tooltip="For Animate-X Conditioning.")],
        )

    @classmethod
    def execute(
        cls, clip_vision: Any, reference: Any, driving_pose: Any, driving_images: Any = None,
        reference_pose: Any = None, source: str = "auto",
    ) -> io.NodeOutput:  # fmt: skip
        """Run CLIP over the driving frames."""
        return io.NodeOutput(
            encode_motion(clip_vision, driving_images, driving_pose, reference, reference_pose, source)
        )


NODES = [EncodeIPI]
