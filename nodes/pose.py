"""Poses: found in pictures, cleaned and drawn."""

from __future__ import annotations

import logging
import os
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import folder_paths
import numpy as np
import torch
from comfy_api.latest import io

from ..animatex_core.pose.clean import SMOOTHERS, CleanOptions, clean
from ..animatex_core.pose.draw import draw_poses
from ..animatex_core.pose.dwpose import DWPose, PoseFiles, find_pose_files
from ..animatex_core.pose.figure import sound
from ..animatex_core.pose.gaps import POLICIES
from ..animatex_core.pose.keypoints import PoseSequence
from ..animatex_core.pose.report import examine
from ..animatex_core.pose.runtime import PROVIDERS
from ..animatex_core.pose.tracks import ORDERS
from .pictures import rgb_frames
from .pose_sockets import DRAWN_AT_ONCE, Film, is_aligned, read_poses, show, write_pictures, write_poses
from .progress import steps_progress
from .schema import PoseKeypoint, schema

LOG = logging.getLogger(__name__)
Detector = io.Custom("ANIMATEX_DWPOSE")
# Folders of ComfyUI's models in which people keep the files; controlnet_aux's are looked through as well.
MODEL_FOLDERS = ("dwpose", "animatex", "onnx", "detection", "pose", "controlnet_aux")
NO_FILE = "no file found"


class LoadDWPose(io.ComfyNode):
    """The two networks of DWPose."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Files are listed anew whenever ComfyUI asks for the nodes."""
        files = find_pose_files(pose_folders())
        return schema(
            node_id="AnimateX_LoadDWPose",
            display_name="Load Pose Detector (DWPose)",
            description="Opens the person detector (yolox_l) and the whole-body network (dw-ll_ucoco_384) with which "
            "Animate-X was trained. Files of comfyui_controlnet_aux are found by themselves.",
            search_aliases=["dwpose", "openpose", "pose detector", "yolox"],
            inputs=[
                io.Combo.Input(
                    "detector",
                    options=_labels(files.detectors),
                    tooltip="Person detector, yolox_l (.onnx or TorchScript). Put it into models/dwpose.",
                ),
                io.Combo.Input(
                    "pose",
                    options=_labels(files.poses),
                    tooltip="Whole-body network, dw-ll_ucoco_384 (.onnx or TorchScript). Put it into models/dwpose.",
                ),
                io.Combo.Input(
                    "device",
                    options=["auto", *PROVIDERS],
                    default="auto",
                    tooltip="Where the networks run. The report of Extract Poses says where they really ran.",
                ),
            ],
            outputs=[Detector.Output(display_name="dwpose", tooltip="For Extract Poses.")],
        )

    @classmethod
    def validate_inputs(cls, detector: str | None, pose: str | None) -> bool | str:
        """Before anything runs: files that are not there, and where they belong. None comes by a link."""
        known = {None, *(_label(path) for path in _known())}
        missing = [NO_FILE if name == NO_FILE else f"no file {name}" for name in (detector, pose) if name not in known]
        if not missing:
            return True
        return (
            f"pose detector: {', '.join(dict.fromkeys(missing))}. Put yolox_l.onnx and dw-ll_ucoco_384.onnx (or their "
            f"TorchScript files, which need no ONNX Runtime) into {os.path.join(folder_paths.models_dir, 'dwpose')} "
            "and press R"
        )

    @classmethod
    def fingerprint_inputs(cls, detector: str, pose: str, device: str) -> Any:
        """Files that were replaced are opened anew."""
        return [(str(path), path.stat().st_mtime) for path in _known() if _label(path) in (detector, pose)], device

    @classmethod
    def execute(cls, detector: str, pose: str, device: str) -> io.NodeOutput:
        """Open both networks."""
        files = {_label(path): path for path in _known()}
        missing = cls.validate_inputs(detector, pose)
        if missing is not True:
            raise ValueError(missing)
        try:
            return io.NodeOutput(DWPose.load(files[detector], files[pose], device=device))
        except ImportError as error:
            command = f'"{sys.executable}" -m pip install onnxruntime'
            raise ImportError(
                f"{error}. For this ComfyUI: {command} (NVIDIA: onnxruntime-gpu, AMD or Intel on Windows: "
                "onnxruntime-directml), then start ComfyUI anew"
            ) from error


class ExtractPose(io.ComfyNode):
    """Poses of the people in pictures."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """See the help page."""
        return schema(
            node_id="AnimateX_ExtractPose",
            display_name="Extract Poses (DWPose)",
            description="Finds body, toes, hands and face in every picture. A picture without a person gives an empty "
            "pose and a line in the report, never an error.",
            search_aliases=["dwpose", "openpose", "pose estimation", "keypoints"],
            inputs=[
                Detector.Input("dwpose", tooltip="From Load Pose Detector."),
                io.Image.Input("images", tooltip="The driving video's frames, or the reference picture."),
                io.Combo.Input(
                    "person",
                    options=["best", "all", *ORDERS],
                    default="best",
                    tooltip="Who is taken. best: the surest detection of each frame, as the released program does. "
                    "main, largest, central, left, right: one person followed through the clip. all: everybody; Clean "
                    "Poses can choose later.",
                ),
                io.Boolean.Input(
                    "skip_detector",
                    default=False,
                    tooltip="Take the whole picture as the person. For drawings that the person detector does not see.",
                ),
            ],
            outputs=[
                PoseKeypoint.Output(display_name="poses", tooltip="One pose a picture, in pixels."),
                io.String.Output(display_name="report", tooltip="What was found, where the networks ran, and doubts."),
            ],
        )

    @classmethod
    def execute(cls, dwpose: DWPose, images: torch.Tensor, person: str, skip_detector: bool) -> io.NodeOutput:
        """One frame is converted at a time, so that long clips are not held twice."""
        frames = (rgb_frames(image[None], "images")[0] for image in images)
        shown = steps_progress(len(images))
        poses, found = dwpose.extract(frames, person=person, skip_detector=skip_detector, progress=shown)
        report = f"{found}\n{examine(poses).text()}"
        told = _told_of_nobody(~poses.present.any(axis=(1, 2)))
        return io.NodeOutput(write_poses(poses), report, ui=show(cls, {told: Film(poses, images)}))


def _told_of_nobody(empty: np.ndarray) -> str:
    """What the preview says; bool [F] of pictures without a person, which the console hears of as well."""
    if not empty.any():
        return "found"
    LOG.warning(
        "images: nobody was found in %d of %d pictures. For drawings try skip_detector, or Place Joints by Hand",
        empty.sum(), len(empty),
    )  # fmt: skip
    return "nobody found" if empty.all() else f"nobody in {empty.sum()} of {len(empty)}"


class CleanPose(io.ComfyNode):
    """Poses without the detector's mistakes."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """See the help page."""
        return schema(
            node_id="AnimateX_CleanPose",
            display_name="Clean Poses",
            description="Follows one person, puts exchanged left and right back, removes joints in impossible places, "
            "fills gaps and smooths. The report says what every step changed.",
            search_aliases=["smooth pose", "fill missing pose", "fix keypoints", "stabilise pose", "jitter"],
            inputs=[
                PoseKeypoint.Input("poses", tooltip="From Extract Poses or any pack that gives POSE_KEYPOINT."),
                io.Combo.Input(
                    "person",
                    options=[*ORDERS, "all"],
                    default="main",
                    tooltip="Who is kept and followed, also when people cross or leave and come back.",
                ),
                io.Float.Input(
                    "min_score", default=0.3, min=0.0, max=1.0, step=0.05,
                    tooltip="Joints with a lower score count as missing. Most packs write 1 for every joint they see.",
                ),
                io.Boolean.Input("fix_swaps", default=True, tooltip="Put left and right back where they are swapped."),
                io.Boolean.Input("remove_outliers", default=True, tooltip="Remove joints that jump away for a moment."),
                io.Int.Input(
                    "max_gap", default=8, min=0, max=1000,
                    tooltip="Joints missing for no more frames than this are put on the line between. 0 fills nothing.",
                ),
                io.Combo.Input(
                    "no_person",
                    options=list(POLICIES),
                    default="hold",
                    tooltip="Frames without the person: hold the last pose, interpolate to the next, or leave blank.",
                ),
                io.Combo.Input(
                    "smoothing",
                    options=list(SMOOTHERS),
                    default="one-euro",
                    tooltip="one-euro keeps fast moves and calms slow ones; savitzky-golay smooths evenly.",
                ),
                io.Float.Input(
                    "smoothing_strength", default=1.0, min=0.1, max=10.0, step=0.1,
                    tooltip="Times the usual smoothing.",
                ),
                io.Float.Input(
                    "fps", default=0.0, min=0.0, max=1000.0, step=0.001,
                    tooltip="Frames per second of the poses, from Get Video Components. 0: not known, 25 is assumed.",
                ),
                io.Image.Input("images", optional=True, tooltip="The video, only to see the poses over it."),
            ],
            outputs=[
                PoseKeypoint.Output(display_name="poses", tooltip="The cleaned poses."),
                io.String.Output(display_name="report", tooltip="What every step changed, and what is left to mend."),
            ],
        )  # fmt: skip

    @classmethod
    def execute(
        cls,
        poses: Any,
        person: str,
        min_score: float,
        fix_swaps: bool,
        remove_outliers: bool,
        max_gap: int,
        no_person: str,
        smoothing: str,
        smoothing_strength: float,
        fps: float,
        images: torch.Tensor | None = None,
    ) -> io.NodeOutput:
        """The core's cleaning with these options."""
        before, unsure = _sure(read_poses(poses, "poses", fps), min_score)
        options = CleanOptions(
            person=person,
            swaps=fix_swaps,
            outliers=remove_outliers,
            max_gap=max_gap,
            missing=no_person,
            smoothing=smoothing,
            strength=smoothing_strength,
        )
        cleaned = clean(before, options)
        report = f"{unsure}{cleaned.summary()}\nafter cleaning: {examine(cleaned.poses).text()}"
        preview = show(cls, {"before": Film(before, images), "after": Film(cleaned.poses, images)})
        return io.NodeOutput(write_poses(cleaned.poses, aligned=is_aligned(poses)), report, ui=preview)


class DrawPose(io.ComfyNode):
    """Pictures of poses."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """See the help page."""
        return schema(
            node_id="AnimateX_DrawPose",
            display_name="Draw Poses",
            description="Draws poses as the model saw them in training, or in the usual OpenPose colours, over black "
            "or over pictures. Over the reference picture it is the best check before a long run.",
            search_aliases=["render pose", "openpose image", "pose overlay", "skeleton"],
            inputs=[
                PoseKeypoint.Input("poses", tooltip="Poses in pixels or normalised."),
                io.Combo.Input(
                    "palette",
                    options=["openpose", "trained"],
                    default="openpose",
                    tooltip="openpose: the usual colours. trained: red and blue exchanged, as Animate-X saw them.",
                ),
                io.Boolean.Input("hands", default=True, tooltip="Draw the hands."),
                io.Boolean.Input("face", default=False, tooltip="Draw the face points; Animate-X was trained without."),
                io.Combo.Input(
                    "stick",
                    options=["trained", "scaled"],
                    default="trained",
                    tooltip="Stick width. trained: the same at any size. scaled: with the height (equal at 768).",
                ),
                io.Int.Input(
                    "width", default=0, min=0, max=16384,
                    tooltip="Of the pictures. 0: as wide as the poses' own canvas, or as the background.",
                ),
                io.Int.Input(
                    "height", default=0, min=0, max=16384,
                    tooltip="Of the pictures. 0: as high as the poses' own canvas, or as the background.",
                ),
                io.Float.Input(
                    "opacity", default=1.0, min=0.0, max=1.0, step=0.05, tooltip="Of the figure over the background.",
                ),
                io.Image.Input(
                    "background", optional=True,
                    tooltip="One picture, or one a frame; poses are scaled to its size, width and height do not count.",
                ),
            ],
            outputs=[io.Image.Output(display_name="images", tooltip="One picture a pose.")],
        )  # fmt: skip

    @classmethod
    def execute(
        cls,
        poses: Any,
        palette: str,
        hands: bool,
        face: bool,
        stick: str,
        width: int,
        height: int,
        opacity: float,
        background: torch.Tensor | None = None,
    ) -> io.NodeOutput:
        """Draw all frames."""
        sequence, behind = read_poses(poses, "poses"), None
        if background is not None:
            behind = rgb_frames(background if len(background) == len(sequence) else background[:1], "background")
            width = height = 0
        done, drawn = steps_progress(len(sequence)), []
        for start in range(0, len(sequence), DRAWN_AT_ONCE):
            done(start)
            some = slice(start, start + DRAWN_AT_ONCE)
            drawn.append(
                draw_poses(
                    sequence.frames(some),
                    width or None,
                    height or None,
                    palette="trained" if palette == "trained" else "openpose",
                    hands=hands,
                    face=face,
                    stick="scaled" if stick == "scaled" else "trained",
                    background=behind if behind is None or len(behind) != len(sequence) else behind[some],
                    opacity=opacity,
                )
            )
        pictures = np.concatenate(drawn)
        return io.NodeOutput(write_pictures(pictures), ui=show(cls, {"": pictures}))


def _sure(poses: PoseSequence, min_score: float) -> tuple[PoseSequence, str]:
    """Poses without the joints below the score or absurdly far away, and a line for the report."""
    unsure = poses.present & ((poses.scores < min_score) | ~sound(poses))
    if not unsure.any():
        return poses, ""
    told = f"joints below the score {min_score:g}, or nowhere near the picture, taken out: {int(unsure.sum())}\n"
    return replace(poses, scores=np.where(unsure, 0, poses.scores)), told


def pose_folders() -> list[Path]:
    """Where pose networks may lie, ComfyUI's own folders first."""
    named = [Path(p) for kind in MODEL_FOLDERS for p in folder_paths.folder_names_and_paths.get(kind, ([],))[0]]
    named += [Path(folder_paths.models_dir) / kind for kind in MODEL_FOLDERS]
    packs = [Path(root) for root in folder_paths.get_folder_paths("custom_nodes")]
    aux = [pack / "ckpts" for root in packs for pack in sorted(root.glob("*controlnet_aux*"))]
    return list(dict.fromkeys([*named, *aux]))


def _known() -> list[Path]:
    files: PoseFiles = find_pose_files(pose_folders())
    return [*files.detectors, *files.poses]


def _labels(paths: tuple[Path, ...]) -> list[str]:
    """Names for the list; what cannot run here for want of ONNX Runtime comes last."""
    unusable = find_spec("onnxruntime") is None
    ordered = sorted(paths, key=lambda path: unusable and path.suffix == ".onnx")
    return [_label(path) for path in ordered] or [NO_FILE]


def _label(path: Path) -> str:
    """A file by its place below ComfyUI's models or custom nodes; the whole path elsewhere."""
    for root in (folder_paths.models_dir, *folder_paths.get_folder_paths("custom_nodes")):
        if path.is_relative_to(root):
            return path.relative_to(root).as_posix()
    return path.as_posix()


NODES: list[type[io.ComfyNode]] = [LoadDWPose, ExtractPose, CleanPose, DrawPose]
