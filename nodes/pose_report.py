"""The pose report as a node: what is wrong with a motion before hours are spent on it."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io, ui

from ..animatex_core.pose.report import examine
from ..animatex_core.pose.report_plot import plot
from .pose_sockets import read_poses, write_pictures
from .schema import PoseKeypoint, schema


class PoseReport(io.ComfyNode):
    """Check poses."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """See the help page."""
        return schema(
            node_id="AnimateX_PoseReport",
            display_name="Check Poses",
            description="Missing joints by frame, jitter, exchanged sides, joints out of the picture, and how unlike "
            "the character the driver is built: as text and as a plot. Nothing is changed.",
            search_aliases=["pose quality", "pose report", "missing joints", "jitter"],
            is_output_node=True,
            inputs=[
                PoseKeypoint.Input("poses", tooltip="The motion to look at."),
                PoseKeypoint.Input("reference_pose", optional=True, tooltip="The character's pose, to compare bodies."),
                io.Float.Input(
                    "fps", default=0.0, min=0.0, max=1000.0, step=0.001,
                    tooltip="Frames per second, for the report. 0: not known.",
                ),
            ],
            outputs=[
                io.String.Output(display_name="report", tooltip="Facts first, then what to do about them."),
                io.Image.Output(display_name="plot", tooltip="The same as a picture over time."),
            ],
        )  # fmt: skip

    @classmethod
    def execute(cls, poses: Any, fps: float, reference_pose: Any = None) -> io.NodeOutput:
        """Look, and change nothing."""
        motion, reference = read_poses(poses, "poses", fps), None
        if reference_pose is not None:
            reference = read_poses(reference_pose, "reference_pose")
        report = examine(motion, reference)
        wanted = None if reference is None else float(examine(reference).size.max(initial=0)) or None
        picture = write_pictures(plot(report, wanted)[None])
        preview = ui.PreviewImage(picture, cls=cls)
        return io.NodeOutput(report.text(), picture, ui=preview.as_dict() | {"text": (report.text(),)})


NODES: list[type[io.ComfyNode]] = [PoseReport]
