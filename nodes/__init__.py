"""The nodes, by topic. Each module lists its own in NODES."""

from __future__ import annotations

from comfy_api.latest import io

from . import (
    conditioning,
    epi,
    frames,
    ipi,
    loaders,
    manual_pose,
    pose,
    pose_files,
    pose_report,
    preflight,
    sample_character,
    sampler,
)

NODES: list[type[io.ComfyNode]] = [
    *loaders.NODES,
    *sample_character.NODES,
    *pose.NODES,
    *manual_pose.NODES,
    *epi.NODES,
    *pose_files.NODES,
    *pose_report.NODES,
    *ipi.NODES,
    *conditioning.NODES,
    *sampler.NODES,
    *frames.NODES,
    *preflight.NODES,
]
