"""One video -> its clips: shots, poses, CLIP features and latents. Runs in any process, on any machine."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from animatex_core.atomic_file import OutputError
from animatex_core.convert import DTYPES
from animatex_core.fit import plan_fit
from animatex_core.motion import CLIP_SIDE
from animatex_core.pictures import resize, to_tensor
from animatex_core.pose.keypoints import PoseSequence
from animatex_core.pose.mediapipe_backend import WorkerError
from animatex_core.tensor_files import WeightsError
from animatex_core.vae import VAE, load_vae
from animatex_core.video import VideoError
from animatex_core.vision import ClipVision, load_clip_vision

from .given_poses import given_poses, on_canvas, share_with_people
from .prepare_pair import Pair
from .prepare_settings import PrepareSettings
from .shards import ClipRecord, write_clip, write_json
from .shots import Span, clip_spans, find_cuts, thumbnail
from .sources import Source

RESULTS = "videos"
# The ends of a decoder process that tell nothing about the file: SIGKILL is how Linux ends what needs too much memory.
_DECODER_ENDED = re.compile(r"the decoder (has been silent|process )|the file crashes the decoder \(signal (9|15)\)")

Extract = Callable[[Iterator[np.ndarray], float], PoseSequence]


@dataclass(frozen=True)
class Job:
    """A video to do. key: name of its results."""

    source: Source
    key: str
    folder: Path
    settings: PrepareSettings


@dataclass(frozen=True)
class Result:
    """What came of a video: its clips, and the reason of each stretch (or of the whole) that gave none."""

    video: str
    clips: tuple[ClipRecord, ...]
    skipped: tuple[str, ...]


@dataclass(frozen=True)
class _Networks:
    vision: ClipVision
    vae: VAE | None
    extract: Extract | None


@dataclass(frozen=True)
class _Material:
    """A stretch of a video: frames fitted to the size, small pictures for CLIP, poses on the canvas of the video."""

    span: Span
    frames: np.ndarray
    small: np.ndarray
    poses: PoseSequence


class _NetworkError(ValueError):
    """The pose network did not do its work: the message says why."""


def prepare_video(job: Job) -> Result:
    """Write the clips of a video, then its result: a video without a result is done again, one with it never.

    Whatever is wrong with the video becomes a reason in the result. Errors of the machine are raised where they are
    known as such: a full disk, a network that cannot be opened, a device that is not there. What may be the fault of
    either is told and not kept: the end of MediaPipe or of a decoder process, and pose networks that fail in running.
    """
    networks = _open_networks(job.settings)
    try:
        result = _prepare(job, networks)
    except (OutputError, WeightsError):
        raise
    except ValueError as error:
        if _may_be_the_machine(error):
            return Result(job.source.title, (), (f"{error}; it is tried again by the next run",))
        result = Result(job.source.title, (), (str(error),))
    (job.folder / RESULTS).mkdir(parents=True, exist_ok=True)
    document = {"video": result.video, "clips": [asdict(c) for c in result.clips], "skipped": list(result.skipped)}
    write_json(job.folder / RESULTS / f"{job.key}.json", document)
    return result


def _may_be_the_machine(error: ValueError) -> bool:
    if isinstance(error, VideoError):
        return bool(_DECODER_ENDED.match(error.cause))
    return isinstance(error, WorkerError | _NetworkError)


def _prepare(job: Job, networks: _Networks) -> Result:
    settings = job.settings
    if settings.pose == "given" and job.source.poses is None:
        raise ValueError("no poses beside it; give them, or read them with --pose dwpose or --pose mediapipe")
    fps, frames = job.source.open(settings.isolated)
    stride = settings.stride(fps)
    thumbs = [thumbnail(frame) for frame in islice(frames, 0, None, stride)]
    cuts = find_cuts(np.stack(thumbs), settings.cut) if settings.cut and thumbs else []
    spans = clip_spans(len(thumbs), cuts, settings.shortest, settings.longest)
    if not spans:
        return Result(job.source.title, (), (_too_short(len(thumbs), cuts, settings),))
    given = None
    if settings.pose == "given":
        assert job.source.poses is not None
        given = given_poses(job.source.poses, len(thumbs), stride)
    pair = Pair(job.source, len(thumbs), stride, fps, settings)
    records, skipped = [], []
    for material in _materials(job, spans, stride, fps / stride, given, networks.extract):
        span, share = material.span, share_with_people(material.poses)
        for whose, people in (("", share), (" of the driver", pair.people(span))):
            if people < settings.people:
                skipped.append(f"frames {span.start}+{span.frames}{whose}: a person in {people:.0%} of them only")
                break
        else:
            records.append(_write(job, material, networks, share, pair))
    return Result(job.source.title, tuple(records), tuple(skipped))


def _too_short(frames: int, cuts: list[int], settings: PrepareSettings) -> str:
    shots = f" in {len(cuts) + 1} shots" if cuts else ""
    return f"too short: {frames} frames{shots}, a clip has at least {settings.shortest}"


def _materials(
    job: Job, spans: list[Span], stride: int, fps: float, given: PoseSequence | None, extract: Extract | None
) -> Iterator[_Material]:
    """The video read once more, a clip at a time in memory."""
    _, every = job.source.open(job.settings.isolated)
    frames = islice(every, 0, None, stride)
    position = 0
    for span in spans:
        part = islice(frames, span.start - position, span.start - position + span.frames)
        position = span.start + span.frames
        yield _material(job, span, part, fps, given, extract)


def _material(
    job: Job, span: Span, part: Iterator[np.ndarray], fps: float, given: PoseSequence | None, extract: Extract | None
) -> _Material:
    small: list[np.ndarray] = []
    fitted: list[np.ndarray] = []
    shape: list[tuple[int, int]] = []

    def seen() -> Iterator[np.ndarray]:
        for frame in part:
            height, width = frame.shape[:2]
            if shape and shape[0] != (width, height):
                raise ValueError(f"frames of {shape[0][0]}x{shape[0][1]} and of {width}x{height} in one video")
            shape.append((width, height))
            small.append(resize(frame, CLIP_SIDE, CLIP_SIDE))
            fitted.append(
                plan_fit((width, height), job.settings.size_for(width, height), job.settings.fit).apply(frame)
            )
            yield frame

    if extract is None:
        assert given is not None
        for _ in seen():
            pass
        poses = given.frames(slice(span.start, span.start + span.frames))
    else:
        poses = _extracted(extract, seen(), fps)
    if len(fitted) != span.frames or len(poses) != span.frames:
        raise ValueError(f"the video gives another number of frames when it is read again: {len(fitted)}")
    poses = replace(on_canvas(poses, *shape[0], job.source.poses), fps=fps)
    return _Material(span, np.stack(fitted), np.stack(small), poses)


def _extracted(extract: Extract, frames: Iterator[np.ndarray], fps: float) -> PoseSequence:
    """The person's poses. Raises what `frames` raises, WorkerError, and _NetworkError for any other ValueError."""
    unreadable: list[ValueError] = []

    def read() -> Iterator[np.ndarray]:
        try:
            yield from frames
        except ValueError as error:
            unreadable.append(error)
            raise

    try:
        return extract(read(), fps).person(0)
    except ValueError as error:
        if unreadable or isinstance(error, WorkerError):
            raise
        raise _NetworkError(str(error)) from error


def _write(job: Job, material: _Material, networks: _Networks, share: float, pair: Pair) -> ClipRecord:
    settings, span, source = job.settings, material.span, job.source
    clip, canvas = f"{job.key}-{span.start:06d}", (material.poses.width, material.poses.height)
    beside = pair.tensors(span, canvas, networks.vision, networks.vae)
    tensors = _tensors(material, networks, settings) | beside
    if not all(tensor.isfinite().all() for name, tensor in tensors.items() if name.endswith("latents")):
        advice = ": --vae-dtype bf16 or fp32" if settings.vae_dtype == "fp16" else ""
        raise ValueError(f"the VAE gives latents that are not finite in {settings.vae_dtype}{advice}")
    height, width = material.frames.shape[1:3]
    return ClipRecord(
        clip=clip, video=source.title, start=span.start, frames=span.frames, width=width, height=height,
        canvas=canvas, fps=material.poses.fps or 0.0, fit=settings.fit,
        store=settings.store, people=round(share, 4), bytes=write_clip(job.folder, clip, tensors),
        source=source.source, licence=source.licence, consent=source.consent,
    )  # fmt: skip


def _tensors(material: _Material, networks: _Networks, settings: PrepareSettings) -> dict[str, Tensor]:
    poses = material.poses
    found = {
        "points": torch.from_numpy(poses.points[:, 0].astype(np.float32)),
        "scores": torch.from_numpy(poses.scores[:, 0].astype(np.float32)),
        "features": networks.vision.encode(material.small).half(),
    }
    if settings.store == "frames" or networks.vae is None:
        return found | {"frames": torch.from_numpy(material.frames)}
    numbers = np.unique(np.linspace(0, len(material.frames) - 1, settings.references).round().astype(int))
    latents = torch.cat([networks.vae.encode(to_tensor(frame)).cpu() for frame in material.frames])
    return found | {
        "latents": latents.half(),
        "references": torch.from_numpy(material.frames[numbers]),
        "reference_frames": torch.from_numpy(numbers),
    }


# One process prepares many videos with the same networks.
@lru_cache(maxsize=1)
def _open_networks(settings: PrepareSettings) -> _Networks:
    assert settings.clip is not None
    vision = load_clip_vision(settings.clip, device=settings.device)
    dtype = DTYPES[settings.vae_dtype]
    vae = None if settings.store == "frames" else load_vae(settings.vae or "", dtype=dtype, device=settings.device)
    return _Networks(vision, vae, _extractor(settings))


def _extractor(settings: PrepareSettings) -> Extract | None:
    if settings.pose == "given":
        return None
    if settings.pose == "mediapipe":
        from animatex_core.pose import mediapipe_backend

        return lambda frames, fps: mediapipe_backend.extract(frames, settings.python, fps=fps)[0]
    from animatex_core.pose.dwpose import DWPose

    assert settings.detector is not None and settings.pose_model is not None
    dwpose = DWPose.load(settings.detector, settings.pose_model, device=settings.device)
    return lambda frames, fps: dwpose.extract(frames, fps=fps, person="main")[0]
