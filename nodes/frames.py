"""Fewer frames a second, on images and poses alike."""

from __future__ import annotations

import logging
import math
from typing import Any

from comfy_api.latest import io
from comfy_execution.graph_utils import ExecutionBlocker

from .schema import PoseKeypoint, schema

LOG = logging.getLogger(__name__)


def picked(frames: int, source_fps: float, target_fps: float, skip: int, most: int) -> list[int]:
    """Numbers of the frames that remain: those that are on screen at the target's times. most 0: all."""
    step = max(source_fps / target_fps, 1.0)
    numbers = [skip + math.floor(k * step + 1e-6) for k in range(math.ceil((frames - skip) / step))]
    numbers = [number for number in numbers if number < frames]
    return numbers[:most] if most else numbers


class PickFrames(io.ComfyNode):
    """Pick Frames."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node as people see it."""
        rate = {"min": 0.1, "max": 240.0, "step": 0.001}
        return schema(
            node_id="AnimateX_PickFrames",
            display_name="Pick Frames (frame rate)",
            description=(
                "Thins out a video and its poses to a lower frame rate, both by the same frames. The network was "
                "trained on about 8 frames a second; raise the rate of the result with frame interpolation afterwards."
            ),
            search_aliases=["select every nth", "fps", "frame rate", "reduce frames", "stride"],
            inputs=[
                io.Image.Input("images", optional=True, tooltip="The driving video's frames."),
                PoseKeypoint.Input("poses", optional=True, tooltip="Its poses, one a frame."),
                io.Float.Input(
                    "source_fps",
                    default=24.0,
                    tooltip="Frames a second of what comes in (Get Video Components).",
                    **rate,
                ),
                io.Float.Input("target_fps", default=8.0, tooltip="Frames a second wanted; 8 as trained.", **rate),
                io.Int.Input(
                    "skip_first_frames", default=0, min=0, max=1 << 20, tooltip="How many frames to leave out at first."
                ),
                io.Int.Input(
                    "frame_load_cap",
                    default=0,
                    min=0,
                    max=1 << 20,
                    tooltip="At most this many frames come out; 0: all.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="images", tooltip="The frames that remain."),
                PoseKeypoint.Output(display_name="poses", tooltip="The poses of the same frames."),
                io.Float.Output(display_name="fps", tooltip="For Create Video."),
                io.Int.Output(display_name="frame_count", tooltip="How many frames remain."),
            ],
        )

    @classmethod
    def execute(
        cls, source_fps: float, target_fps: float, skip_first_frames: int, frame_load_cap: int, images: Any = None,
        poses: Any = None,
    ) -> io.NodeOutput:  # fmt: skip
        """Pick by number. Raises ValueError when there is nothing to pick from or lengths differ."""
        lengths = {name: len(value) for name, value in (("images", images), ("poses", poses)) if value is not None}
        if not lengths:
            raise ValueError("connect images, poses, or both")
        if len(set(lengths.values())) > 1:
            raise ValueError(
                f"images has {lengths['images']} frames, poses {lengths['poses']}: take both from the same clip, "
                "before any frames are left out"
            )
        frames = next(iter(lengths.values()))
        if target_fps > source_fps:
            LOG.warning("target_fps %g is above source_fps %g: every frame is kept", target_fps, source_fps)
        numbers = picked(frames, source_fps, target_fps, skip_first_frames, frame_load_cap)
        if not numbers:
            raise ValueError(f"skip_first_frames is {skip_first_frames}, but there are only {frames} frames")
        return io.NodeOutput(
            ExecutionBlocker("Pick Frames has no images: connect them to its input")
            if images is None
            else images[numbers],
            ExecutionBlocker("Pick Frames has no poses: connect them to its input")
            if poses is None
            else [poses[number] for number in numbers],
            min(target_fps, source_fps),
            len(numbers),
        )


NODES = [PickFrames]
