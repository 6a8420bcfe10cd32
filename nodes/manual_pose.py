"""Joints by hand: a canvas in the node, for characters that no detector recognises."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch
from comfy_api.latest import io, ui

from ..animatex_core.pose.manual import (
    JOINTS,
    ManualJoints,
    ManualPose,
    canvas_figure,
    move_detected,
    parse_joints,
    place_figure,
)
from ..animatex_core.pose.mask_figure import figure_in_mask
from ..animatex_core.pose.pool import on_canvas
from .pose_sockets import read_poses, write_poses
from .schema import PoseKeypoint, schema


class PlaceJoints(io.ComfyNode):
    """Manual pose."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """See the help page."""
        return schema(
            node_id="AnimateX_ManualPose",
            display_name="Place Joints by Hand",
            description="Drag a skeleton onto the character's picture; the picture is there before the first run. "
            "Say which limbs do not exist. Half a skeleton is enough. For cartoons and animals that no detector sees.",
            search_aliases=["manual pose", "pose editor", "openpose editor", "cartoon pose", "skeleton editor"],
            inputs=[
                io.Image.Input("image", tooltip="The character's picture (the first one of a batch)."),
                io.String.Input(
                    "joints",
                    default="",
                    socketless=True,
                    extra_dict={"widgetType": "ANIMATEX_JOINTS", "figure": canvas_figure()},
                    tooltip="Drag joints. Shift drags the whole figure, Shift with the wheel scales it. Right-click: "
                    "the joint does not exist. Ctrl+Z: undo. Kept in the workflow as JSON.",
                ),
                io.Boolean.Input(
                    "complete",
                    default=True,
                    tooltip="Take joints that were not placed from the figure (hollow on the canvas). Off: leave them "
                    "out.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="The character's outline (or its background): the figure to start from is fitted to it.",
                ),
                PoseKeypoint.Input(
                    "detected_pose",
                    optional=True,
                    tooltip="What a detector found: the figure to start from, with hands and face. Joints that you "
                    "place go before it; it goes before the mask.",
                ),
            ],
            outputs=[
                PoseKeypoint.Output(display_name="pose", tooltip="The character's pose: one frame, one person."),
                io.String.Output(display_name="report", tooltip="How many joints came from where."),
            ],
        )

    @classmethod
    def validate_inputs(cls, joints: str) -> bool | str:
        """JSON written by hand is checked before the run."""
        try:
            parse_joints(joints or "")
        except ValueError as error:
            return str(error)
        return True

    @classmethod
    def execute(
        cls,
        image: torch.Tensor,
        joints: str,
        complete: bool,
        mask: torch.Tensor | None = None,
        detected_pose: Any = None,
    ) -> io.NodeOutput:
        """The pose; the canvas gets the picture and the figure that it stands on."""
        size = int(image.shape[2]), int(image.shape[1])
        given = parse_joints(joints)
        nobody = ManualJoints(np.full_like(given.places, np.nan), np.zeros_like(given.absent))
        result, base = _place(given, size, complete, mask, detected_pose), None
        if mask is not None or detected_pose is not None:
            base = _fractions(_place(nobody, size, True, mask, detected_pose), size)
        picture = ui.PreviewImage(image[:1, ..., :3], cls=cls).as_dict()["images"]
        told = {"animatex_picture": picture, "animatex_base": [json.dumps(base)], "text": (result.report,)}
        return io.NodeOutput(write_poses(result.poses), result.report, ui=told)


def _place(
    joints: ManualJoints, size: tuple[int, int], complete: bool, mask: torch.Tensor | None, detected_pose: Any
) -> ManualPose:
    """Joints by hand go before a detector's finding, that before the mask, that before the standing figure."""
    if detected_pose is not None:
        detected = on_canvas(read_poses(detected_pose, "detected_pose"), *size)
        if mask is None or detected.present[:1, :1, : len(JOINTS)].any():
            return move_detected(detected, joints, complete)
    if mask is None:
        return place_figure(joints, *size, complete=complete)
    outline, turned = _outline(mask)
    figure = figure_in_mask(outline)
    if figure is None:
        result = place_figure(joints, *size, complete=complete)
        return ManualPose(result.poses, f"the mask is empty; {result.report}")
    guess = figure.points * [size[0] / outline.shape[1], size[1] / outline.shape[0]]
    result = place_figure(joints, *size, guess=guess, complete=complete, source="the mask")
    return ManualPose(result.poses, f"{result.report}; {turned}{figure.note}")


def _outline(mask: torch.Tensor) -> tuple[np.ndarray, str]:
    """The first mask, turned round where it covers the background (Load Image masks what is transparent)."""
    outline = mask.reshape(-1, *mask.shape[-2:])[0].float().cpu().numpy()
    border = np.concatenate([outline[0], outline[-1], outline[:, 0], outline[:, -1]])
    if (border > 0.5).mean() > 0.5 and (outline <= 0.5).any():
        return 1 - outline, "the mask covers the background and was turned round; "
    return outline, ""


def _fractions(result: ManualPose, size: tuple[int, int]) -> list[list[float] | None]:
    """The 20 joints as fractions of the picture, None where absent: what the canvas shows hollow."""
    points, present = result.poses.points[0, 0, : len(JOINTS)], result.poses.present[0, 0, : len(JOINTS)]
    places = np.round(points / size, 5).tolist()
    return [place if there else None for place, there in zip(places, present, strict=True)]


NODES: list[type[io.ComfyNode]] = [PlaceJoints]
