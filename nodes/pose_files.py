"""Poses from and to OpenPose JSON files in ComfyUI's own folders."""

from __future__ import annotations

import os
from typing import Any

import folder_paths
from comfy_api.latest import io

from ..animatex_core.included import ASSETS
from ..animatex_core.pose.io import load_openpose, save_openpose
from ..animatex_core.pose.keypoints import PoseSequence
from ..animatex_core.pose.report import examine
from .folders import SHIPPED
from .pose_sockets import Film, is_aligned, read_poses, show, write_poses
from .schema import PoseKeypoint, schema

NO_FILE = "no .json file in the input or output folder"
UNITS = {"find out": None, "pixels": False, "normalised": True}
_DEEPEST = 3  # folders below input and output in which files are listed
_MOST = 2000  # files listed
_ASSETS = os.path.realpath(ASSETS)


class SavePose(io.ComfyNode):
    """Write poses."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """See the help page."""
        return schema(
            node_id="AnimateX_SavePose",
            display_name="Save Poses (OpenPose JSON)",
            description="Writes poses into ComfyUI's output folder as one OpenPose JSON file, in pixels.",
            search_aliases=["save keypoints", "export pose", "openpose json"],
            is_output_node=True,
            inputs=[
                PoseKeypoint.Input("poses", tooltip="The poses to write."),
                io.String.Input(
                    "filename_prefix", default="poses/animate-x", tooltip="Folder and name below the output folder."
                ),
                io.Float.Input(
                    "fps", default=0.0, min=0.0, max=1000.0, step=0.001,
                    tooltip="Frames per second, kept in the file. 0: not known.",
                ),
            ],
            outputs=[
                PoseKeypoint.Output(display_name="poses", tooltip="The same poses, to go on with."),
                io.String.Output(display_name="file", tooltip="Where they were written; Load Poses lists it after R."),
            ],
        )  # fmt: skip

    @classmethod
    def execute(cls, poses: Any, filename_prefix: str, fps: float) -> io.NodeOutput:
        """A new file with the next free number."""
        sequence = read_poses(poses, "poses", fps)
        root = folder_paths.get_output_directory()
        folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(filename_prefix, root)
        path = os.path.join(folder, f"{name}_{counter:05}_.json")
        if not _within(path, root):
            raise ValueError(f"filename_prefix: {filename_prefix!r} leads out of the output folder")
        save_openpose(path, sequence)
        where = os.path.join(subfolder, os.path.basename(path)).replace(os.sep, "/") + " [output]"
        return io.NodeOutput(
            write_poses(sequence, aligned=is_aligned(poses), certain=False),
            where,
            ui=show(cls, {"saved": Film(sequence)}),
        )


class LoadPose(io.ComfyNode):
    """Read poses."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Files are listed anew whenever ComfyUI asks for the nodes."""
        return schema(
            node_id="AnimateX_LoadPose",
            display_name="Load Poses (OpenPose JSON)",
            description="Reads poses from an OpenPose JSON file in ComfyUI's input or output folder: those of Save "
            "Poses, of comfyui_controlnet_aux, of pose editors.",
            search_aliases=["load keypoints", "import pose", "openpose json"],
            inputs=[
                io.Combo.Input(
                    "file", options=_files() or [NO_FILE],
                    tooltip="A .json file in the input folder, or in the output folder ([output]). R lists new files.",
                ),
                io.Combo.Input(
                    "units", options=list(UNITS), default="find out",
                    tooltip="Whether places are pixels or 0..1 of the canvas. It is found out unless the file is odd.",
                ),
                io.Int.Input("skip_first_frames", default=0, min=0, max=99999, tooltip="Frames to leave out."),
                io.Int.Input("frame_load_cap", default=0, min=0, max=100000, tooltip="Frames at most. 0: all."),
            ],
            outputs=[
                PoseKeypoint.Output(display_name="poses", tooltip="The poses, in pixels."),
                io.Float.Output(display_name="fps", tooltip="Frames per second as the file says; 0 when it does not."),
                io.Int.Output(display_name="frame_count", tooltip="How many frames were read."),
                io.String.Output(display_name="report", tooltip="What the file holds, and doubts."),
            ],
        )  # fmt: skip

    @classmethod
    def validate_inputs(cls, file: str | None) -> bool | str:
        """Said before the run, by the file's name."""
        try:
            return file is None or bool(_path(file))  # None: linked, and known when the run comes to it
        except ValueError as error:
            return str(error)

    @classmethod
    def fingerprint_inputs(cls, file: str | None, **_: Any) -> Any:
        """A file that was written anew is read anew."""
        if file is None:
            return file
        try:
            known = os.stat(_path(file))
        except (OSError, ValueError):
            return file
        return file, known.st_mtime_ns, known.st_size

    @classmethod
    def execute(cls, file: str, units: str, skip_first_frames: int, frame_load_cap: int) -> io.NodeOutput:
        """Read, and cut to the wanted frames."""
        poses = load_openpose(_path(file), normalised=UNITS[units])
        poses = _cut(poses, skip_first_frames, frame_load_cap)
        frames, fps = write_poses(poses, certain=False), float(poses.fps or 0.0)
        return io.NodeOutput(frames, fps, len(poses), examine(poses).text(), ui=show(cls, {"loaded": Film(poses)}))


def _cut(poses: PoseSequence, skip: int, most: int) -> PoseSequence:
    if skip >= len(poses):
        raise ValueError(f"skip_first_frames: the file has {len(poses)} frames, {skip} are to be skipped")
    return poses.frames(slice(skip, skip + most if most else None))


def _path(name: str) -> str:
    """The file that a name of the list means. Raises ValueError unless it lies in input, output or the pack."""
    if name == NO_FILE:
        raise ValueError(f"file: there is {NO_FILE}; put one there and press R")
    plain = name.removesuffix(" [output]").removesuffix(" [input]").removesuffix(SHIPPED)
    if not plain.lower().endswith(".json"):
        raise ValueError(f"file: expected the name of a .json file, found {name!r}")
    if name.endswith(SHIPPED):
        path, roots = os.path.realpath(os.path.join(_ASSETS, name.removesuffix(SHIPPED))), (_ASSETS,)
    else:
        path = os.path.realpath(folder_paths.get_annotated_filepath(name))
        roots = (folder_paths.get_input_directory(), folder_paths.get_output_directory())
    if not any(_within(path, root) for root in roots):
        raise ValueError(f"file: {name!r} is not in ComfyUI's input or output folder")
    if not os.path.isfile(path):
        raise ValueError(f"file: there is no {name!r}; press R to list the files anew")
    return path


def _within(path: str, root: str) -> bool:
    """Whether the path lies in the folder, links followed."""
    real, base = os.path.realpath(path), os.path.realpath(root)
    try:
        return os.path.commonpath([real, base]) == base and real != base
    except ValueError:  # different drives
        return False


def _files() -> list[str]:
    found: list[str] = []
    roots = ((folder_paths.get_input_directory(), ""), (folder_paths.get_output_directory(), " [output]"))
    for root, mark in roots:
        for place, inner, files in os.walk(root):
            below = os.path.relpath(place, root)
            depth = 0 if below == "." else below.count(os.sep) + 1
            inner[:] = sorted(inner) if depth < _DEEPEST else []
            names = sorted(file for file in files if file.lower().endswith(".json"))
            found += [os.path.normpath(os.path.join(below, file)).replace(os.sep, "/") + mark for file in names]
    shipped = sorted(file for file in os.listdir(_ASSETS) if file.endswith(".json")) if os.path.isdir(_ASSETS) else []
    return found[:_MOST] + [file + SHIPPED for file in shipped]


NODES: list[type[io.ComfyNode]] = [SavePose, LoadPose]
