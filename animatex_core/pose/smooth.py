"""Jitter taken out of keypoints over time: One-Euro and Savitzky-Golay, both without lag and both aware of gaps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .changes import USUAL_FPS, Change
from .figure import as_complex, as_pairs, figure, sound
from .keypoints import PoseSequence
from .proportions import body_size, measure


def one_euro(
    poses: PoseSequence, min_cutoff: float = 1.5, beta: float = 10.0, speed_cutoff: float = 3.0
) -> tuple[PoseSequence, Change]:
    """One-Euro filter (Casiez et al., CHI 2012): still points are smoothed much, fast ones hardly.

    min_cutoff: Hz, at rest. beta: Hz per speed, in sizes of the figure (neck to hip) a second. speed_cutoff: Hz, of the
    speed's own filter. The clip is known to its end, so it is filtered forwards and backwards and the mean is taken,
    which cancels the lag. The filter starts anew after a gap.
    """
    for name, value in (("min_cutoff", min_cutoff), ("speed_cutoff", speed_cutoff)):
        if not 0 < value < np.inf:
            raise ValueError(f"{name} must be above 0 Hz, got {value}")
    if not 0 <= beta < np.inf:
        raise ValueError(f"beta must be 0 or more, got {beta}")
    if poses.people == 0 or len(poses) == 0:
        return poses, Change("smoothed (One-Euro)", 0, ())
    z, valid = _points(poses)
    scale = _size(poses)[:, None]
    fps = poses.fps or USUAL_FPS
    gentle = beta / scale
    forwards = _one_way(z, valid, fps, min_cutoff, gentle, speed_cutoff)
    backwards = _one_way(z[::-1], valid[::-1], fps, min_cutoff, gentle, speed_cutoff)[::-1]
    return _smoothed(poses, valid, (forwards + backwards) / 2, "smoothed (One-Euro)")


def _one_way(
    z: np.ndarray, valid: np.ndarray, fps: float, min_cutoff: float, beta: np.ndarray, speed_cutoff: float
) -> np.ndarray:
    # a recursive filter whose strength hangs on its own output cannot be written without a loop over the frames
    result = z.copy()
    place, speed = z[0].copy(), np.zeros_like(z[0])
    speed_part = _weight(np.float32(speed_cutoff), fps)
    for i in range(1, len(z)):
        going_on = valid[i] & valid[i - 1]
        speed = np.where(going_on, speed + speed_part * ((z[i] - z[i - 1]) * fps - speed), 0)
        part = _weight(min_cutoff + beta * np.abs(speed), fps)
        place = np.where(going_on, place + part * (z[i] - place), z[i])
        result[i] = place
    return result


def _weight(cutoff: np.ndarray | np.float32, fps: float) -> np.ndarray:
    """How much of a new value a first-order low-pass filter of this cutoff (Hz) takes."""
    turn = 2 * np.pi * cutoff / fps
    return np.asarray(turn / (turn + 1), np.float32)


def savitzky_golay(poses: PoseSequence, window: int = 7, order: int = 2) -> tuple[PoseSequence, Change]:
    """Savitzky-Golay filter: a polynomial of `order` fitted by least squares to the `window` frames about each frame.

    window: odd, larger than order. order: 0 to 4. Only frames that have the point take part, so gaps and the ends of
    the clip need no padding; where fewer than order + 1 frames have it the point stays as it is.
    """
    if window < 3 or window % 2 == 0 or not 0 <= order <= 4 or window <= order:
        raise ValueError(f"window must be odd, from 3 and above order (0 to 4); got window {window}, order {order}")
    if poses.people == 0 or len(poses) == 0:
        return poses, Change("smoothed (Savitzky-Golay)", 0, ())
    z, valid = _points(poses)
    half = window // 2
    times = np.arange(-half, half + 1) / half
    moments = _shifted_sums(valid.astype(np.float64), times, 2 * order)
    targets = _shifted_sums(z.astype(np.complex128), times, order)
    rows = np.arange(order + 1)
    normal = np.moveaxis(moments[rows[:, None] + rows], (0, 1), (-2, -1))
    enough = valid & (moments[0] > order + 0.5)
    normal = np.where(enough[..., None, None], normal, np.eye(order + 1))
    fitted = np.linalg.solve(normal, np.moveaxis(targets, 0, -1)[..., None])[..., 0, 0]
    return _smoothed(poses, valid, np.where(enough, fitted, z).astype(np.complex64), "smoothed (Savitzky-Golay)")


def _shifted_sums(values: np.ndarray, times: np.ndarray, highest: int) -> np.ndarray:
    """Sums over the window of time^k * value, k = 0..highest: [highest + 1, F, P, 130]; nothing beyond the ends."""
    half = len(times) // 2
    beyond = np.zeros((half, *values.shape[1:]), values.dtype)
    padded = np.concatenate([beyond, values, beyond])
    sums = np.zeros((highest + 1, *values.shape), values.dtype)
    for i, time in enumerate(times):
        part = padded[i : i + len(values)]
        for k in range(highest + 1):
            sums[k] += time**k * part
    return sums


def _points(poses: PoseSequence) -> tuple[np.ndarray, np.ndarray]:
    valid = sound(poses)
    return np.where(valid, as_complex(poses), 0).astype(np.complex64), valid


def _size(poses: PoseSequence) -> np.ndarray:
    """Neck to hip [P] in pixels; a fifth of the canvas for somebody who cannot be measured."""
    size = body_size(measure(figure(poses)).lengths)
    return np.where(size > 0, size, np.float32(0.2 * poses.height))


def _smoothed(poses: PoseSequence, valid: np.ndarray, z: np.ndarray, step: str) -> tuple[PoseSequence, Change]:
    away = np.where(valid, np.abs(z - np.where(valid, as_complex(poses), 0)), 0)
    changed = away > 0.01
    points = np.where(valid[..., None], as_pairs(z), poses.points).astype(np.float32)
    note = f"by {away[changed].mean():.1f} pixels on average, {away.max():.1f} at most" if changed.any() else ""
    return replace(poses, points=points), Change.of(step, changed, note)
