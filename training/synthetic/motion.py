"""`Motion`: what a driver hands on to a character, free of the driver's lengths."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .skeleton import INDEX, JOINTS, SIDES, about_up

_CAMERA_SECONDS = 0.5  # over which the camera's path is smoothed
_HANGING = 1.2  # radians below the horizontal, of the arms of who stands


@dataclass(frozen=True)
class Motion:
    """A recording, or a part of one.

    rotations: [F, 23, 3, 3], of the segments that begin at `skeleton.JOINTS`, from the rest pose to the world.
    path: [F, 2], the hips over the ground (x, y), in lengths of the leg.
    clearance: [F], how far the lowest point of the feet is above the ground, in lengths of the leg, at least 0.
    fps: frames per second.
    """

    name: str
    rotations: np.ndarray
    path: np.ndarray
    clearance: np.ndarray
    fps: float

    def __post_init__(self) -> None:
        frames = len(self.rotations)
        wanted = {"rotations": (frames, len(JOINTS), 3, 3), "path": (frames, 2), "clearance": (frames,)}
        for field, shape in wanted.items():
            if getattr(self, field).shape != shape:
                raise ValueError(f"motion {self.name}: {field} must be {shape}, got {getattr(self, field).shape}")
        if frames == 0 or self.fps <= 0:
            raise ValueError(
                f"motion {self.name}: needs frames and a rate, got {frames} frames at {self.fps} per second"
            )

    def __len__(self) -> int:
        return len(self.rotations)

    @property
    def seconds(self) -> float:
        """How long it lasts, from the first frame to the last."""
        return (len(self) - 1) / self.fps

    def window(self, start: float, frames: int, fps: float) -> Motion:
        """So many frames from `start` seconds on, at another rate; the nearest recorded frame is taken for each.

        Where less than that is recorded, all of the rest is stretched over the frames: it is slower, and whole.
        """
        if not 0 <= start < max(self.seconds, 1e-9):
            raise ValueError(f"motion {self.name} lasts {self.seconds:.2f} s: no frames from {start:.2f} s on")
        end = min(self.seconds, start + (frames - 1) / fps)
        at = np.round(np.linspace(start, end, frames) * self.fps).astype(int).clip(0, len(self) - 1)
        return replace(self, rotations=self.rotations[at], path=self.path[at], clearance=self.clearance[at], fps=fps)

    def facing(self, angle: float = 0.0) -> Motion:
        """The same, turned so that it begins facing the viewer, or `angle` radians to the person's left of that."""
        front = self.rotations[0, INDEX["Hips"]] @ (0.0, -1.0, 0.0)
        turn = about_up(angle - np.arctan2(front[0], -front[1]))
        return replace(self, rotations=turn @ self.rotations, path=self.path @ turn[:2, :2].T)

    def mirrored(self) -> Motion:
        """The same as in a mirror that stands beside it: left is right. A reflection M makes M R M of a rotation R."""
        mirror = np.diag([-1.0, 1.0, 1.0])
        other = [INDEX[_other_side(joint)] for joint in JOINTS]
        return replace(self, rotations=mirror @ self.rotations[:, other] @ mirror, path=self.path * (-1, 1))

    def camera_path(self) -> np.ndarray:
        """Where the camera looks, [F, 2] in lengths of the leg: the path of the hips, smoothed."""
        time = (np.arange(len(self)) / self.fps - np.arange(len(self))[:, None] / self.fps) / _CAMERA_SECONDS
        weights = np.exp(-0.5 * time**2)
        weights /= weights.sum(1, keepdims=True)
        # a line through what is near, at its own time: a steady walk stays in the middle up to both ends
        mean, spread = (weights * time).sum(1, keepdims=True), (weights * time**2).sum(1, keepdims=True)
        lever = weights * (time - mean) / np.maximum(spread - mean**2, 1e-9)
        return (weights - mean * lever) @ self.path


def _other_side(joint: str) -> str:
    for side, other in (SIDES, SIDES[::-1]):
        if joint.startswith(side):
            return other + joint.removeprefix(side)
    return joint


def above_ground(heights: np.ndarray, leg: float) -> np.ndarray:
    """Clearance [F] of the heights [F, n] of points of the soles; the ground is where the lowest of them rest."""
    lowest = heights.min(1)
    return np.maximum(lowest - np.percentile(lowest, 5), 0.0) / leg


def standing() -> Motion:
    """One frame: upright, facing the viewer, arms hanging a little away from the body."""
    rotations = np.tile(np.eye(3), (1, len(JOINTS), 1, 1))
    for side, sign in zip(SIDES, (1.0, -1.0), strict=True):
        down = sign * _HANGING
        turn = np.array([[np.cos(down), 0, np.sin(down)], [0, 1, 0], [-np.sin(down), 0, np.cos(down)]])
        for part in ("Arm", "ForeArm", "Hand"):
            rotations[0, INDEX[side + part]] = turn
    return Motion("standing", rotations, np.zeros((1, 2)), np.zeros(1), 1.0)
