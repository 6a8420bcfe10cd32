"""Videos -> a data set on disk, in parallel, on one machine or a Ray cluster; started again, it goes on.

    FOLDER/clips/KEY-START.safetensors   a clip; KEY is a hash of the video, the settings and the encoders
    FOLDER/videos/KEY.json               what came of a video, written after its clips
    FOLDER/anchors.safetensors           the pose pool: one pose of every clip
    FOLDER/index.json                    the clips in their order; written last, it is the data set
    FOLDER/overview.png, statistics.json what to look at

Killed at any point it leaves whole files only. A second run does what has no result yet, and what was done under
other settings lies beside it unused.
"""

from __future__ import annotations

import json
import logging
import math
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .anchors import write_anchors
from .overview import write_overview
from .prepare_pair import SAME_RATE
from .prepare_settings import PrepareError, PrepareSettings, key_of
from .prepare_video import RESULTS, Job, Result, prepare_video
from .shards import CLIPS, Index, clip_path, record_of, write_index
from .sources import Source

LOG = logging.getLogger(__name__)
_STALE_SECONDS = 24 * 3600  # after which an unfinished file is nobody's any more
_IN_FLIGHT = 4  # jobs handed to Ray for each of its processors

Advance = Callable[[int, int], None]


@dataclass(frozen=True)
class Prepared:
    """What a run did. reused: videos that had a result already."""

    index: Index
    videos: int
    reused: int
    duplicates: int


def prepare(
    sources: Sequence[Source],
    folder: Path,
    settings: PrepareSettings,
    *,
    workers: int = 1,
    ray: str | None = None,
    most_bad: float = 0.25,
    progress: Advance | None = None,
) -> Prepared:
    """Prepare all videos. most_bad: share of videos without a single clip above which it is given up.

    workers: processes; 1 works in this one. ray: address of a cluster ("auto", "local") that shares `folder`.
    Raises PrepareError with the first reasons when too many videos gave nothing; what was done stays and is reused.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CLIPS).mkdir(exist_ok=True)
    _remove_stale(folder)
    facts = settings.facts()
    jobs, done, duplicates, unreadable = _plan(sources, folder, settings, facts)
    results = dict(done)
    bad = _Bad(most_bad, len(results) + len(jobs) + len(unreadable), [*unreadable, *done.values()])
    run = _by_ray(jobs, ray) if ray else _locally(jobs, workers)
    for number, (key, result) in enumerate(run, 1):
        results[key] = result
        bad.count(result)
        if progress:
            progress(number, len(jobs))
    index = _index([*results.values(), *unreadable], facts)
    if not index.clips:
        raise PrepareError(f"{folder}: not a single clip; {bad.reasons()}")
    write_anchors(folder, index)
    write_index(folder, index)
    write_overview(folder, index)
    return Prepared(index, len(results) + len(unreadable), len(done), duplicates)


class _Bad:
    """Counts videos that gave nothing."""

    def __init__(self, most: float, videos: int, known: Sequence[Result]):
        self.limit, self.videos = most * videos, videos
        self.found: list[Result] = []
        for result in known:
            self.count(result)

    def count(self, result: Result) -> None:
        """Raises PrepareError once there are too many."""
        if result.clips:
            return
        self.found.append(result)
        LOG.warning("%s: skipped: %s", result.video, "; ".join(result.skipped))
        if len(self.found) > self.limit:
            raise PrepareError(
                f"{len(self.found)} of {self.videos} videos gave no clip, more than --most-bad allows: {self.reasons()}"
            )

    def reasons(self) -> str:
        """The first few."""
        return "; ".join(f"{r.video}: {r.skipped[0] if r.skipped else 'nothing'}" for r in self.found[:5])


def _plan(
    sources: Sequence[Source], folder: Path, settings: PrepareSettings, facts: dict[str, Any]
) -> tuple[list[Job], dict[str, Result], int, list[Result]]:
    """Jobs to do, results there are, how many videos are copies of others, and those that cannot be read at all."""
    jobs: dict[str, Job] = {}
    done: dict[str, Result] = {}
    duplicates, unreadable = 0, []
    for source in sources:
        try:
            content = source.digest()
        except OSError as error:
            unreadable.append(Result(source.title, (), (f"cannot be read: {error.strerror or error}",)))
            continue
        key = key_of(facts, content, source.rate)
        if key in jobs or key in done:
            duplicates += 1
            LOG.warning("%s: the same content as a video before it", source.title)
            continue
        kept = _kept(folder, key, source) or _kept_without_rate(folder, key_of(facts, content), source, settings)
        if kept is None:
            jobs[key] = Job(source, key, folder, settings)
        else:
            done[key] = kept
    return list(jobs.values()), done, duplicates, unreadable


def _kept(folder: Path, key: str, source: Source) -> Result | None:
    """The result of an earlier run, when all its clips are there. Names and terms are those of today's list."""
    path = folder / RESULTS / f"{key}.json"
    try:
        document = json.loads(path.read_text())
        today = {"video": source.title, "source": source.source, "licence": source.licence, "consent": source.consent}
        clips = tuple(record_of({**values, **today}) for values in document["clips"])
        if any(clip_path(folder, clip.clip).stat().st_size != clip.bytes for clip in clips):
            return None
        return Result(source.title, clips, tuple(document["skipped"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _kept_without_rate(folder: Path, key: str, source: Source, settings: PrepareSettings) -> Result | None:
    """The result of a run whose keys did not know the rate of pictures yet, when its clips are of today's rate."""
    rate = source.rate
    kept = None if rate is None else _kept(folder, key, source)
    if rate is None or kept is None or not kept.clips:
        return None
    # Where only the driver is a folder, clips have the video's rate, and that of a driver may be a little off.
    off = 1e-9 if source.video.is_dir() else SAME_RATE
    thinned = rate / settings.stride(rate)
    return kept if all(math.isclose(clip.fps, thinned, rel_tol=off) for clip in kept.clips) else None


def _index(results: Sequence[Result], facts: dict[str, Any]) -> Index:
    """Everything in an order of its own, whichever process was first."""
    clips = sorted((clip for result in results for clip in result.clips), key=lambda clip: clip.clip)
    skipped = sorted((result.video, reason) for result in results for reason in result.skipped)
    return Index(tuple(clips), facts, tuple(skipped))


def _locally(jobs: Sequence[Job], workers: int) -> Iterator[tuple[str, Result]]:
    if workers <= 1 or len(jobs) <= 1:
        for job in jobs:
            yield job.key, prepare_video(job)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(jobs)), mp_context=context)
    try:
        running = {pool.submit(prepare_video, job): job.key for job in jobs}
        for future in as_completed(running):
            yield running[future], future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _by_ray(jobs: Sequence[Job], address: str) -> Iterator[tuple[str, Result]]:
    """Jobs as Ray tasks, a few for every processor at a time."""
    try:
        import ray  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise PrepareError('--ray needs Ray, here and on the cluster: pip install "ray"') from error
    if not ray.is_initialized():
        ray.init(address=None if address == "local" else address, log_to_driver=False)
    task, waiting, running = ray.remote(prepare_video), list(jobs), {}
    most = max(1, int(ray.cluster_resources().get("CPU", 1)) * _IN_FLIGHT)
    while waiting or running:
        while waiting and len(running) < most:
            job = waiting.pop(0)
            running[task.remote(job)] = job.key
        ready, _ = ray.wait(list(running), num_returns=1)
        for reference in ready:
            yield running.pop(reference), ray.get(reference)


def _remove_stale(folder: Path) -> None:
    """What a killed run left unfinished, once it is too old to be another run's."""
    for path in (p for part in (".", CLIPS, RESULTS) for p in (folder / part).glob(".*.partial*")):
        if time.time() - path.stat().st_mtime > _STALE_SECONDS:
            path.unlink(missing_ok=True)
