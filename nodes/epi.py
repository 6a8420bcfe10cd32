"""The Explicit Pose Indicator as nodes: a motion fitted to a character, or put on a body of another shape."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from comfy_api.latest import io

from ..animatex_core.pose import epi
from ..animatex_core.pose.keypoints import PoseSequence
from ..animatex_core.pose.report import examine
from .pose_sockets import Film, is_aligned, read_poses, show, write_poses
from .schema import PoseKeypoint, schema

LOG = logging.getLogger(__name__)
NONE = "none"
CUSTOM = "custom"
FACTORS = (*epi.OPERATIONS, "size")


class AlignPose(io.ComfyNode):
    """Pose realign."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """See the help page."""
        return schema(
            node_id="AnimateX_AlignPose",
            display_name="Fit Motion to Character (EPI realign)",
            description="The driver's motion on the character's body: bones keep the driver's directions and take the "
            "character's lengths, and the figure stands where the character stands. What cannot be trusted falls back "
            "to plain scaling, and the report says so. Give Encode Motion the poses from before this node.",
            search_aliases=["retarget pose", "pose align", "rescale pose to reference", "epi", "realign"],
            inputs=[
                PoseKeypoint.Input("driving_poses", tooltip="The motion, from the driving video."),
                PoseKeypoint.Input(
                    "reference_pose", tooltip="The character's pose: extracted from its picture, or joints by hand."
                ),
                io.Combo.Input(
                    "mode",
                    options=["character", "full", "similarity", "off"],
                    default="character",
                    tooltip="character: every bone is fitted, and the head as one piece. full: every bone by itself. "
                    "similarity: the whole figure is scaled and moved, as the paper does. off: the poses are passed "
                    "on.",
                ),
                io.Float.Input(
                    "strength", default=1.0, min=0.0, max=1.0, step=0.05,
                    tooltip="1 is the fitted motion, 0 the driver's own figure on the character's canvas.",
                ),
                io.Boolean.Input(
                    "drop_absent_parts", default=False,
                    tooltip="Take away arms, legs, hands, ears ... that the character's pose does not have.",
                ),
                io.Boolean.Input(
                    "hands", default=True,
                    tooltip="Keep the hands. Off for paws: drawn hands are how human fingers appear.",
                ),
                io.Combo.Input(
                    "drop_part", options=[NONE, *epi.PARTS], default=NONE,
                    tooltip="One more part to take away, whatever the character's pose shows.",
                ),
                io.Boolean.Input(
                    "correct_foreshortening", default=True,
                    tooltip="A limb that points at the viewer in the character's picture looks short: take its length "
                    "from the other side and from what bodies usually look like.",
                ),
                io.Image.Input("reference_image", optional=True, tooltip="The character, to see the poses over it."),
            ],
            outputs=[
                PoseKeypoint.Output(display_name="poses", tooltip="The fitted motion on the character's canvas."),
                io.String.Output(display_name="report", tooltip="What was really done, how sure it is, and why."),
            ],
        )  # fmt: skip

    @classmethod
    def execute(
        cls,
        driving_poses: Any,
        reference_pose: Any,
        mode: str,
        strength: float,
        drop_absent_parts: bool,
        hands: bool,
        drop_part: str,
        correct_foreshortening: bool,
        reference_image: torch.Tensor | None = None,
    ) -> io.NodeOutput:
        """Fit, blend, and say what was done."""
        driver, anchor = read_poses(driving_poses, "driving_poses"), read_poses(reference_pose, "reference_pose")
        if anchor.people not in (1, driver.people):
            anchor = anchor.person(0)
        drop = [part for part in (drop_part, NONE if hands else "hands") if part != NONE]
        done = epi.realign(
            driver, anchor, mode=mode, drop=drop, drop_absent=drop_absent_parts, correct=correct_foreshortening
        )
        poses = done.poses if strength >= 1 or mode == "off" else _blended(driver, done.poses, strength)
        held = f"\n{int(done.clamped.any((1, 2)).sum())} frames with joints held back" if done.clamped.any() else ""
        scale = _compared(driver, anchor)
        rows = {"before": Film(epi.on_canvas(driver, poses.width, poses.height), reference_image)}
        preview = show(cls, rows | {_after(done, mode): Film(poses, reference_image)})
        aligned = mode != "off" or is_aligned(driving_poses)
        return io.NodeOutput(write_poses(poses, aligned=aligned), f"{done.summary()}{scale}{held}", ui=preview)


def _compared(driver: PoseSequence, anchor: PoseSequence) -> str:
    """A line on how large the character is, or what to do when there is nobody to compare with."""
    if not anchor.present.any():
        return (
            "\nnobody was found in the character's picture: place the joints by hand (Place Joints by Hand), or try "
            "skip_detector in Extract Poses; until then the motion drives as it is"
        )
    mismatch = examine(driver, anchor).mismatch
    if mismatch is None or mismatch.scale == 0:
        return ""
    return f"\nthe character is {mismatch.scale:.2f} times as large as the driver"


def _after(done: epi.Realigned, mode: str) -> str:
    """The preview's word for the result; where less was done than asked for it says so, and the console why."""
    if all(found == mode for found in done.modes):
        return "after"
    LOG.warning("the motion is not fitted as asked (%s): %s", mode, done.summary())
    return f"after: {', '.join(sorted({'not fitted' if found == 'off' else found for found in done.modes}))}"


class RescalePose(io.ComfyNode):
    """Pose rescale."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """See the help page."""
        factors = [
            io.Float.Input(name, default=1.0, min=0.05, max=10.0, step=0.05, tooltip=tip, advanced=name in ("feet",))
            for name, tip in _FACTOR_TIPS.items()
        ]
        return schema(
            node_id="AnimateX_RescalePose",
            display_name="Change Body Shape (EPI rescale)",
            description="The same motion on a body of another shape: chibi, big head, short legs, armless ... The feet "
            "stay on the ground. For references that no pose can be had of, or to go beyond them.",
            search_aliases=["body proportions", "chibi", "pose scale", "short legs", "big head", "epi"],
            inputs=[
                PoseKeypoint.Input("poses", tooltip="The poses to change."),
                io.Combo.Input(
                    "shape", options=[CUSTOM, *epi.PRESETS], default=CUSTOM,
                    tooltip="A ready shape; the factors below are applied on top of it.",
                ),
                io.Float.Input(
                    "strength", default=1.0, min=0.0, max=1.0, step=0.05,
                    tooltip="How far to go: 1 is the shape, 0 changes no length. Dropped and added parts do not depend "
                    "on it.",
                ),
                *factors,
                io.Combo.Input("drop_part", options=[NONE, *epi.PARTS], default=NONE, tooltip="A part to take away."),
                io.Combo.Input(
                    "add_part", options=[NONE, *epi.ADDABLE], default=NONE,
                    tooltip="A part to add where a person shows none of it in the whole clip.",
                ),
                io.Image.Input("images", optional=True, tooltip="A picture or the video, to see the poses over it."),
            ],
            outputs=[
                PoseKeypoint.Output(display_name="poses", tooltip="The poses of the new body, on the same canvas."),
                io.String.Output(display_name="report", tooltip="The factors that were applied."),
            ],
        )  # fmt: skip

    @classmethod
    def execute(
        cls,
        poses: Any,
        shape: str,
        strength: float,
        body: float,
        shoulders: float,
        neck: float,
        face: float,
        arms: float,
        legs: float,
        hands: float,
        feet: float,
        size: float,
        drop_part: str,
        add_part: str,
        images: torch.Tensor | None = None,
    ) -> io.NodeOutput:
        """The shape's factors times the given ones, to the power of the strength."""
        given = (body, shoulders, neck, face, arms, legs, hands, feet, size)
        wanted = _shape(shape, dict(zip(FACTORS, given, strict=True)), strength, drop_part, add_part)
        before = read_poses(poses, "poses")
        done = epi.rescale(before, wanted)
        told = ", ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {', '.join(v)}" for k, v in _told(wanted))
        held = f"; {int(done.clamped.any((1, 2)).sum())} frames with joints held back" if done.clamped.any() else ""
        report = f"{shape}: {told or 'nothing changed'}{held}"
        preview = show(cls, {"before": Film(before, images), "after": Film(done.poses, images)})
        aligned = bool(wanted.changed()) or is_aligned(poses)
        return io.NodeOutput(write_poses(done.poses, aligned=aligned), report, ui=preview)


_FACTOR_TIPS = {
    "body": "Neck to hips, times.",
    "shoulders": "Width of the shoulders, times.",
    "neck": "Neck to nose, times.",
    "face": "Size of the face and head, times.",
    "arms": "Both arms, times.",
    "legs": "Both legs, times.",
    "hands": "Both hands, times.",
    "feet": "Both feet, times.",
    "size": "The whole figure, times.",
}


def _shape(shape: str, factors: dict[str, float], strength: float, drop: str, add: str) -> epi.Rescale:
    """One Rescale from a preset and the node's factors; lengths stay within what Rescale takes."""
    preset = epi.PRESETS.get(shape, epi.Rescale())
    lengths = {
        name: float(np.clip((factor * getattr(preset, name)) ** strength, 0.05, 10.0))
        for name, factor in factors.items()
    }
    extra = {
        "drop": preset.drop + (() if drop == NONE else (drop,)),
        "add": preset.add + (() if add == NONE else (add,)),
    }
    return epi.Rescale(**lengths, **extra)


def _told(shape: epi.Rescale) -> list[tuple[str, Any]]:
    return list(shape.changed().items())


def _blended(driver: PoseSequence, fitted: PoseSequence, strength: float) -> PoseSequence:
    """Between the driver's own figure on the character's canvas and the fitted one; bones keep their directions."""
    own = epi.on_canvas(driver, fitted.width, fitted.height).points
    with np.errstate(invalid="ignore", over="ignore"):
        points = own + np.float32(strength) * (fitted.points - own)
    return replace(fitted, points=np.where(fitted.present[..., None], points, 0).astype(np.float32))


NODES: list[type[io.ComfyNode]] = [AlignPose, RescalePose]
