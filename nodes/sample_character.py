"""The characters that come with the pack."""

from __future__ import annotations

import torch
from comfy_api.latest import io

from ..animatex_core import included
from ..animatex_core.pictures import load_picture
from ..animatex_core.pose.io import load_openpose
from .pose_sockets import Film, show, write_poses
from .schema import PoseKeypoint, schema

NOBODY = "(no character found)"


class SampleCharacter(io.ComfyNode):
    """A picture to begin with."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node as people see it."""
        names = included.character_names() or [NOBODY]
        return schema(
            node_id="AnimateX_SampleCharacter",
            display_name="Sample Character (included)",
            description="A character that comes with this pack, and its pose: to try things without files of your own. "
            "Rendered, 128x192, of the kind that the mini model knows.",
            search_aliases=["example image", "demo character", "first animation", "test picture"],
            inputs=[
                io.Combo.Input(
                    "character", options=names, default=names[0],
                    tooltip="Which one. For your own picture use Load Image and Extract Poses or Place Joints.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="image", tooltip="The character, for Animate-X Conditioning."),
                PoseKeypoint.Output(display_name="pose", tooltip="Its pose, for Fit Motion to Character."),
            ],
        )  # fmt: skip

    @classmethod
    def execute(cls, character: str) -> io.NodeOutput:
        """Read both files."""
        picture_path, pose_path = included.character(character)
        picture, pose = load_picture(picture_path), load_openpose(pose_path)
        image = torch.from_numpy(picture)[None].to(torch.float32).div_(255)
        return io.NodeOutput(image, write_poses(pose, certain=False), ui=show(cls, {character: Film(pose, image)}))


NODES: list[type[io.ComfyNode]] = [SampleCharacter]
