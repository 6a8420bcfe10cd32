"""Points that a detector put in the wrong place for a moment: found, and made absent, so that gaps can be filled."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .changes import USUAL_FPS, Change
from .figure import Figure, as_complex, figure
from .keypoints import POINTS, PoseSequence
from .proportions import body_size, measure
from .skeleton import BODY_PARENT, NECK

# A point this many deviations (of the window's own scatter) from the middle of its neighbours in time is a spike,
_DEVIATIONS = 4.0
# but never one that is nearer than this part of the figure's size (1.0 is an adult's neck to hip): at fewer frames a
# second than usual a sound limb gets farther from one frame to the next, so there it is more.
_NEAREST = 0.15
# A bone this much longer than its usual length has its far end in the wrong place.
_TOO_LONG = 1.75
# Body bones without the toes, whose apparent length changes too much to tell.
_BONES = tuple((child, BODY_PARENT[child]) for child in range(18) if child != NECK)
_SLICE = 16


def remove_outliers(poses: PoseSequence, window: int = 7) -> tuple[PoseSequence, Change]:
    """Make points absent that spike in time (Hampel filter over `window` frames) or stretch a bone beyond belief.

    window: odd, at least 3. A clip shorter than the window is left alone. The record's note says how many were which.
    """
    if window < 3 or window % 2 == 0:
        raise ValueError(f"the window must be an odd number of frames from 3, got {window}")
    if len(poses) < window or poses.people == 0:
        return poses, Change("outliers removed", 0, ())
    body = figure(poses)
    size = body_size(measure(body).lengths)
    nearest = _NEAREST * max(1.0, USUAL_FPS / (poses.fps or USUAL_FPS))
    spikes = _spikes(as_complex(poses), body.present, size, window, nearest)
    long = _overlong(body) & ~spikes
    bad = spikes | long
    note = f"{spikes.sum()} spikes, {long.sum()} ends of overlong bones" if bad.any() else ""
    result = replace(
        poses,
        points=np.where(bad[..., None], 0, poses.points).astype(np.float32),
        scores=np.where(bad, 0, poses.scores).astype(np.float32),
    )
    return result, Change.of("outliers removed", bad, note)


def _spikes(z: np.ndarray, valid: np.ndarray, size: np.ndarray, window: int, nearest: float) -> np.ndarray:
    """Points [F, P, 130] far from the median of their window; a slice of the points at a time, to bound the memory."""
    bad = np.zeros(valid.shape, bool)
    for start in range(0, POINTS, _SLICE):
        part = slice(start, start + _SLICE)
        here = np.where(valid[..., part], z[..., part], np.complex64(complex(np.nan, np.nan)))
        x, y = (_windows(component, window) for component in (np.real(here), np.imag(here)))
        count = np.isfinite(x).sum(-1)
        middle = _median(x, count) + 1j * _median(y, count)
        away = np.abs(here - middle)
        scatter = np.abs((x + 1j * y) - middle[..., None])
        limit = np.maximum(_DEVIATIONS * 1.4826 * _median(scatter, count), nearest * size[:, None])
        bad[..., part] = valid[..., part] & (count > window // 2) & (away > limit) & (size > 0)[:, None]
    return bad


def _windows(values: np.ndarray, window: int) -> np.ndarray:
    """Values [F, ...] as [F, ..., window], NaN beyond the ends."""
    half = window // 2
    beyond = np.full((half, *values.shape[1:]), np.nan, values.dtype)
    return np.lib.stride_tricks.sliding_window_view(np.concatenate([beyond, values, beyond]), window, axis=0)


def _median(values: np.ndarray, count: np.ndarray) -> np.ndarray:
    """The (lower) median over the last axis of the `count` values that are not NaN; NaN sorts last."""
    middle = np.maximum(count - 1, 0)[..., None] // 2
    return np.take_along_axis(np.sort(values, axis=-1), middle, axis=-1)[..., 0]


def _overlong(body: Figure) -> np.ndarray:
    """Far ends [F, P, 130] of bones that are too long; what hangs from a misplaced joint is not blamed for it."""
    usual = measure(body).lengths
    bad = np.zeros(body.present.shape, bool)
    for child, parent in _BONES:
        length = np.abs(body.points[..., child] - body.points[..., parent])
        seen = body.present[..., child] & body.present[..., parent] & ~bad[..., parent]
        bad[..., child] = seen & (usual[:, child] > 0) & (length > _TOO_LONG * usual[:, child])
    return bad
