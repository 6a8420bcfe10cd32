"""What is missing, doubtful or too large, said before a long run instead of in the middle of it."""

from __future__ import annotations

from typing import Any

import comfy.model_management as management
from comfy_api.latest import io
from comfy_execution.graph_utils import ExecutionBlocker

from ..animatex_core import diffusion
from ..animatex_core.identify import FileReport, identify
from ..animatex_core.pose.dwpose import find_pose_files
from ..animatex_core.pose.report import examine
from ..animatex_core.windows import WindowPlan
from . import folders
from .comfy_sampler import seconds_a_frame
from .ipi import poses_of
from .pose import pose_folders
from .schema import PoseKeypoint, schema

GIB = 2**30
# What may also lie in the model file: its folder, which is its name there too, and words.
SEPARATE = {"clip_vision": "CLIP vision ViT-H (clip_vision_h.safetensors)", "vae": "an SD 1.x or 2.x VAE"}
# What `identify` calls files that will do for them; what it cannot open or does not know may do as well.
WILL_DO = {
    "clip_vision": ("clip-vision", "clip", "openclip", "openclip-vision", "archive", "unknown"),
    "vae": ("sd-vae", "sd-vae-diffusers", "taesd", "archive", "unknown"),
}
NO_LATENT = "Check Before Running has no latent: connect that of Animate-X Conditioning to it"


class Preflight(io.ComfyNode):
    """Check Before Running."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node as people see it."""
        return schema(
            node_id="AnimateX_Preflight",
            display_name="Check Before Running",
            description=(
                "Says what files and poses are missing, how unlike driver and character are built, and "
                "how much memory and time the run will take. Put it between Conditioning and sampler (latent)."
            ),
            search_aliases=["preflight", "memory estimate", "time estimate", "missing files", "pose quality"],
            is_output_node=True,
            inputs=[
                io.Model.Input("model", optional=True, tooltip="To tell memory and time."),
                PoseKeypoint.Input("driving_pose", optional=True, tooltip="The poses to follow."),
                PoseKeypoint.Input("reference_pose", optional=True, tooltip="The character's pose."),
                io.Latent.Input("latent", optional=True, tooltip="From Conditioning, for the size; passed on."),
                io.Int.Input("steps", default=30, min=1, max=1000, tooltip="Steps of the sampler."),
                io.Int.Input("window_length", default=32, min=0, max=4096, tooltip="Of the sampler; 0: all at once."),
                io.Int.Input("window_overlap", default=8, min=0, max=4095, tooltip="Of the sampler's windows."),
                io.Boolean.Input(
                    "measure_time", default=True, tooltip="Run the network on 4 frames to tell the time (not on a CPU)."
                ),
                io.Boolean.Input(
                    "stop_on_problems", default=False, tooltip="Stop the run when something is missing or too large."
                ),
            ],
            outputs=[
                io.Latent.Output(display_name="latent", tooltip="As it came in, for the sampler."),
                io.String.Output(display_name="report", tooltip="What was found, problems first."),
            ],
        )  # fmt: skip

    @classmethod
    def execute(
        cls, steps: int, window_length: int, window_overlap: int, measure_time: bool, stop_on_problems: bool,
        model: Any = None, driving_pose: Any = None, reference_pose: Any = None, latent: Any = None,
    ) -> io.NodeOutput:  # fmt: skip
        """Look at everything that is connected."""
        problems, facts = missing_files(model, poses_needed=driving_pose is None), []
        if driving_pose is not None:
            told, facts_of_poses = _poses(driving_pose, reference_pose)
            problems, facts = problems + told, facts + facts_of_poses
        if model is not None and latent is not None:
            told, costs = _costs(model, latent["samples"].shape, steps, window_length, window_overlap, measure_time)
            problems, facts = problems + told, facts + costs
        text = "\n".join(
            [*(f"PROBLEM: {problem}" for problem in problems), *facts, *([] if problems else ["No problems."])]
        )
        if problems and stop_on_problems:
            raise ValueError(text)
        return io.NodeOutput(ExecutionBlocker(NO_LATENT) if latent is None else latent, text, ui={"text": (text,)})


def missing_files(model: Any, poses_needed: bool) -> list[str]:
    """What cannot be found in ComfyUI's model folders, in words.

    model: the MODEL that is there already, or None. poses_needed: whether poses must still be detected.
    """
    bundled = _bundled_parts(model)
    missing = []
    if bundled is None:
        missing.append("not found in models/diffusion_models or models/animatex: a converted Animate-X model")
    for kind, what in SEPARATE.items():
        if kind not in (bundled or ()) and not _there(kind):
            missing.append(f"not found in models/{kind}, nor inside a model file: {what}")
    pose_files = find_pose_files(pose_folders())
    if poses_needed and not (pose_files.detectors and pose_files.poses):
        missing.append("not found in models/dwpose: DWPose (yolox_l.onnx and dw-ll_ucoco_384.onnx), to detect poses")
    return missing


def _there(kind: str) -> bool:
    """Whether a file that will do lies in the folder of its kind. Only headers are read."""
    names = folders.files_of((kind,), folders.SAFE + folders.UNCONVERTED)
    return any(report.kind in WILL_DO[kind] for name in names if (report := _report_of(name, (kind,))))


def _bundled_parts(model: Any) -> set[str] | None:
    """What the model, and the Animate-X models in the folders, bundle; None when there is none. Only headers are read.

    The mini model counts where it is the one in use: beside another model its VAE and image encoder are of no use.
    """
    found: set[str] | None = None if model is None else set()
    made = getattr(model, "cached_patcher_init", None)  # how Load Model made it: the file is the first argument
    reports = [_report(str(made[1][0]))] if made else []
    names = folders.files_of(folders.MODEL_KINDS, folders.SAFE)
    for report in reports + [_report_of(name, folders.MODEL_KINDS) for name in names]:
        if report is not None and report.loadable:
            found = (found or set()) | set(report.bundled)
    return found


def _report_of(name: str, kinds: tuple[str, ...]) -> FileReport | None:
    """Of a file in a list; None for a broken one, or a link to nowhere: the loader of its kind says so."""
    try:
        return _report(folders.path_of(name, kinds))
    except ValueError:
        return None


def _report(path: str) -> FileReport | None:
    try:
        return identify(path, pickles=False)
    except ValueError:
        return None


def _poses(driving_pose: Any, reference_pose: Any) -> tuple[list[str], list[str]]:
    """Problems and facts of the poses."""
    poses = poses_of(driving_pose, "driving_pose")
    reference = None if reference_pose is None else poses_of(reference_pose, "reference_pose")
    problems = [] if poses.present.any() else ["driving_pose: nobody was found in any frame"]
    if reference is not None and not reference.present.any():
        problems.append("reference_pose: nobody was found; place the joints by hand (Place Joints)")
        reference = None
    return problems, [f"Poses: {examine(poses, reference).text()}"]


def _costs(model: Any, shape: Any, steps: int, length: int, overlap: int, measure: bool) -> tuple[list[str], list[str]]:
    """Problems and facts of memory and time. Weights can be kept outside of the device, working memory cannot."""
    frames, _, height, width = shape
    plan = None if length == 0 or frames <= length else WindowPlan(length=length, overlap=overlap)
    together = frames if plan is None else plan.length
    device = model.load_device
    weights = model.model_size()
    working = model.model.memory_required([2 * together, 4, height, width])
    least = model.model.memory_required([together, 4, height, width])
    total = management.get_total_memory(device)
    facts = [
        f"Size: {frames} frames of {8 * width}x{8 * height}, {together} together.",
        f"Memory: about {working / GIB:.1f} GiB to work in and {weights / GIB:.1f} GiB of weights; "
        f"{management.get_free_memory(device) / GIB:.1f} of {total / GIB:.1f} GiB are free.",
    ]
    problems = []
    if least > total:
        problems.append(
            f"{together} frames together need about {least / GIB:.1f} GiB, {device} has {total / GIB:.1f}: make width, "
            "height or the window smaller"
        )
    times = diffusion.ddim_timesteps(steps)
    windows = len(times) if plan is None else sum(len(plan.windows(frames, step)) for step in range(len(times)))
    facts.append(f"Work: {len(times)} steps, {windows} windows in all, each predicted with and without conditions.")
    if measure and not problems and not management.is_device_cpu(device):
        seconds = seconds_a_frame(model, 8 * width, 8 * height) * 2 * windows * (together + 1)
        facts.append(f"Time: about {seconds / 60:.1f} minutes to sample (measured on 4 frames).")
    return problems, facts


NODES = [Preflight]
