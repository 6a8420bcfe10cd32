"""Who is who: people followed from frame to frame, so that a slot of a PoseSequence holds one person all along."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from .changes import Change
from .figure import as_complex, sound
from .keypoints import BODY, POINTS, PoseSequence

ORDERS = ("main", "largest", "central", "left", "right")
# Fewer body points than this are nobody.
_FEWEST = 3
# How far from where a person is expected, in the size of the figure, somebody is still taken for them: right away, and
# more for every frame they were not seen.
_NEAR, _FARTHER = 0.9, 0.1
_FARTHEST = 6.0


@dataclass
class _Track:
    """A person on their way through the clip."""

    points: np.ndarray  # [18] complex64, where they were last seen
    seen: np.ndarray  # [18] bool
    speed: complex
    frame: int
    slots: dict[int, int] = field(default_factory=dict)  # frame -> slot


def track_people(poses: PoseSequence, order: str = "main") -> tuple[PoseSequence, Change]:
    """The same people, each in a slot of their own from the first frame to the last.

    A person is expected where the last motion leads; two who cross are told apart by where each was going and by their
    poses; somebody who leaves and comes back is taken up again, the farther away the longer they were gone.
    order: which person comes first: "main" (large and long in the picture), "largest", "central", "left", "right".
    """
    if order not in ORDERS:
        raise ValueError(f"unknown order of people {order!r}; expected one of {', '.join(ORDERS)}")
    if poses.people < 2 or len(poses) == 0:
        return poses, Change("people followed", 0, ())
    z, valid = as_complex(poses)[..., BODY], sound(poses)[..., BODY]
    tracks: list[_Track] = []
    for frame in range(len(poses)):  # each frame's choice hangs on the one before
        there = [slot for slot in range(poses.people) if valid[frame, slot].sum() >= _FEWEST]
        _follow(tracks, frame, there, z[frame], valid[frame])
    tracks = [tracks[i] for i in _ranking(tracks, z, valid, order, poses.width)]
    return _rearranged(poses, tracks)


def select_person(poses: PoseSequence, which: str | int = "main") -> tuple[PoseSequence, Change]:
    """One person alone, followed through the clip: an order of `track_people`, or a slot number as it stands."""
    if isinstance(which, int):
        return poses.person(which), Change("person selected", 0, (), f"slot {which} of {poses.people}")
    tracked, change = track_people(poses, which)
    chosen = tracked.person(0)
    seen = int(sound(chosen).any((1, 2)).sum())
    note = f"the {which} of {tracked.people}, seen in {seen} of {len(poses)} frames"
    return chosen, replace(change, step="person selected", note=note)


def _follow(tracks: list[_Track], frame: int, there: list[int], z: np.ndarray, valid: np.ndarray) -> None:
    """Give the people in the slots `there` to the tracks that they fit best; who fits none begins a new one."""
    costs = np.full((len(tracks), len(there)), np.inf)
    for i, track in enumerate(tracks):
        away = min(_NEAR + _FARTHER * (frame - track.frame - 1), _FARTHEST)
        for j, slot in enumerate(there):
            cost = _distance(track, frame, z[slot], valid[slot])
            costs[i, j] = cost if cost <= away else np.inf
    taken = _assign(costs)
    for j, slot in enumerate(there):
        if j in taken:
            _extend(tracks[taken[j]], frame, slot, z[slot], valid[slot])
        else:
            tracks.append(_Track(z[slot], valid[slot], 0j, frame, {frame: slot}))


def _distance(track: _Track, frame: int, z: np.ndarray, valid: np.ndarray) -> float:
    """Mean distance from where the person is expected, in the size of the figure (spread of its points)."""
    both = track.seen & valid
    if not both.any():
        both = np.ones_like(both)
        old, new = track.points[track.seen].mean(), z[valid].mean()
    else:
        old, new = track.points[both], z[both]
    # after a while nobody goes on in the direction they had
    expected = old + track.speed * min(frame - track.frame, 5)
    spread = max(_spread(z[valid]), _spread(track.points[track.seen]), 1e-3)
    return float(np.abs(new - expected).mean() / spread)


def _spread(points: np.ndarray) -> float:
    return float(2 * np.sqrt(np.mean(np.abs(points - points.mean()) ** 2)))


def _assign(costs: np.ndarray) -> dict[int, int]:
    """Column -> row, cheapest pairs first, then pairs of pairs exchanged as long as that is cheaper."""
    taken: dict[int, int] = {}
    for flat in np.argsort(costs, axis=None, kind="stable"):
        row, column = divmod(int(flat), costs.shape[1])
        if np.isfinite(costs[row, column]) and column not in taken and row not in taken.values():
            taken[column] = row
    columns = list(taken)
    for a in columns:
        for b in columns:
            if costs[taken[b], a] + costs[taken[a], b] < costs[taken[a], a] + costs[taken[b], b]:
                taken[a], taken[b] = taken[b], taken[a]
    return taken


def _extend(track: _Track, frame: int, slot: int, z: np.ndarray, valid: np.ndarray) -> None:
    both = track.seen & valid
    gap = frame - track.frame
    step = complex((z[both] - track.points[both]).mean() / gap) if both.any() else 0j
    track.speed = (0.5 * track.speed + 0.5 * step) if gap == 1 else 0j
    # a joint that is hidden now keeps its last place
    track.points = np.where(valid, z, track.points)
    track.seen = valid | (track.seen if gap == 1 else False)
    track.frame = frame
    track.slots[frame] = slot


def _ranking(tracks: list[_Track], z: np.ndarray, valid: np.ndarray, order: str, width: int) -> list[int]:
    """The tracks' numbers, the one that counts most first."""
    keys = []
    for track in tracks:
        at = [(z[f, s][valid[f, s]]) for f, s in track.slots.items()]
        sizes = np.array([_spread(points) for points in at])
        x = float(np.median([points.real.mean() for points in at]))
        keys.append(
            {
                "main": -sizes.sum(),
                "largest": -float(np.median(sizes)),
                "central": abs(x - width / 2),
                "left": x,
                "right": -x,
            }[order]
        )
    return sorted(range(len(tracks)), key=lambda i: keys[i])


def _rearranged(poses: PoseSequence, tracks: list[_Track]) -> tuple[PoseSequence, Change]:
    people = max(len(tracks), 1)
    points = np.zeros((len(poses), people, POINTS, 2), poses.points.dtype)
    scores = np.zeros((len(poses), people, POINTS), np.float32)
    moved = np.zeros(scores.shape, bool)
    for i, track in enumerate(tracks):
        frames, slots = np.array(list(track.slots)), np.array(list(track.slots.values()))
        points[frames, i], scores[frames, i] = poses.points[frames, slots], poses.scores[frames, slots]
        usual = np.bincount(slots).argmax()
        moved[frames[slots != usual], i] = True
    moved &= scores > 0
    counts = ", ".join(str(len(track.slots)) for track in tracks)
    note = f"{len(tracks)} people, seen in {counts} of {len(poses)} frames" if tracks else "nobody"
    return replace(poses, points=points, scores=scores), Change.of("people followed", moved, note)
