"""What was prepared, to look at: a contact sheet of some clips and their poses, and numbers about all of them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from animatex_core.contact_sheet import contact_sheet, save_picture
from animatex_core.fit import plan_fit
from animatex_core.pose.draw import draw_poses
from animatex_core.pose.keypoints import BODY, PoseSequence

from .shards import ClipFile, ClipRecord, Index, write_json

SHEET, STATISTICS = "overview.png", "statistics.json"
_CLIPS, _PICTURES = 12, 6


def write_overview(folder: Path, index: Index) -> None:
    """Both files."""
    write_json(folder / STATISTICS, statistics(folder, index))
    save_picture(folder / SHEET, sheet(folder, index), {"clips": len(index.clips)}, overwrite=True)


def statistics(folder: Path, index: Index) -> dict[str, Any]:
    """Counts and spreads; lengths in frames, motion in heights of the picture a second."""
    clips = index.clips
    moved = [_motion(ClipFile(folder, clip), clip) for clip in clips]
    return {
        "clips": len(clips),
        "videos": len({clip.video for clip in clips}),
        "frames": _spread([clip.frames for clip in clips]),
        "minutes": round(sum(clip.frames / clip.fps for clip in clips) / 60, 2),
        "gigabytes": round(sum(clip.bytes for clip in clips) / 1e9, 3),
        "fps": _spread([clip.fps for clip in clips]),
        "people": _spread([clip.people for clip in clips]),
        "motion": _spread(moved),
        "references given": sum(ClipFile(folder, clip).holds("still") for clip in clips),
        "drivers given": sum(ClipFile(folder, clip).holds("driver_points") for clip in clips),
        "sizes": dict(Counter(f"{clip.width}x{clip.height}" for clip in clips)),
        "licences": dict(Counter(clip.licence or "not said" for clip in clips)),
        "consent": dict(Counter(clip.consent or "not said" for clip in clips)),
        "sources": dict(Counter(clip.source or "not said" for clip in clips)),
        "skipped": [{"video": video, "reason": reason} for video, reason in index.skipped],
    }


def _spread(values: list[Any]) -> dict[str, float]:
    low, middle, high = np.quantile(values, [0, 0.5, 1])
    return {"least": round(float(low), 4), "median": round(float(middle), 4), "most": round(float(high), 4)}


def _motion(clip: ClipFile, record: ClipRecord) -> float:
    """Mean speed of the body points that are there."""
    points, scores = clip.read("points").numpy()[:, BODY], clip.read("scores").numpy()[:, BODY]
    there = (scores[1:] > 0) & (scores[:-1] > 0)
    steps = np.linalg.norm(np.diff(points, axis=0), axis=-1)[there]
    return float(steps.mean() * record.fps / record.canvas[1]) if steps.size else 0.0


def sheet(folder: Path, index: Index) -> np.ndarray:
    """Some clips, evenly spread over the index: pictures, and below them the poses of the same frames.

    Where they were given, also the driver's poses at the same frames, and the reference with its own.
    """
    rows = {}
    for number in np.unique(np.linspace(0, len(index.clips) - 1, _CLIPS).round().astype(int)):
        record = index.clips[number]
        clip = ClipFile(folder, record)
        pictures, frames = _pictures(clip, record)
        rows[f"{number}: {record.video}"] = pictures
        rows[f"{number}: poses"] = _drawn(clip, record, frames, pictures)
        if clip.holds("driver_points"):
            rows[f"{number}: driver's poses"] = _drawn(clip, record, frames, pictures, "driver_")
        if clip.holds("still"):
            still = clip.read("still").numpy()
            rows[f"{number}: reference"] = _drawn(clip, record, np.array([0]), still, "still_")
    return contact_sheet(rows, _PICTURES)


def _pictures(clip: ClipFile, record: ClipRecord) -> tuple[np.ndarray, np.ndarray]:
    """Some pictures of a clip and which frames they are."""
    if record.store == "latents":
        frames = clip.read("reference_frames").numpy()
        chosen = np.unique(np.linspace(0, len(frames) - 1, _PICTURES).round().astype(int))
        return clip.read("references").numpy()[chosen], frames[chosen]
    frames = np.unique(np.linspace(0, record.frames - 1, _PICTURES).round().astype(int))
    return np.concatenate([clip.read("frames", slice(f, f + 1)).numpy() for f in frames]), frames


def _drawn(clip: ClipFile, record: ClipRecord, frames: np.ndarray, pictures: np.ndarray, whose: str = "") -> np.ndarray:
    """Over the pictures, so that poses that do not fit show at one glance."""
    points, scores = (clip.read(f"{whose}{name}").numpy()[frames] for name in ("points", "scores"))
    fit = plan_fit(record.canvas, record.size, record.fit)
    placed = np.where(scores[..., None] > 0, fit.points(points), 0).astype(np.float32)
    poses = PoseSequence(placed[:, None], scores[:, None], record.width, record.height)
    return draw_poses(poses, palette="openpose", stick="scaled", background=pictures // 2)
