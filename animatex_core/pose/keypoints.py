"""`PoseSequence`: the keypoints of every person in every frame, as arrays.

A frame holds P people of 130 points each, in this order:

| slice        | points                                                                     |
|--------------|----------------------------------------------------------------------------|
| `BODY`       | 18 of OpenPose (nose, neck, right arm, left arm, right leg, left leg, eyes, ears) |
| `TOES`       | 2: left, right (the middle of big and little toe)                          |
| `LEFT_HAND`  | 21: wrist, then four per finger, thumb first                               |
| `RIGHT_HAND` | 21                                                                         |
| `FACE`       | 68                                                                         |

Left and right are the person's own. Points are pixels of the canvas, so that lengths and angles mean what they say;
a point is there when its score is above zero, and an absent point is (0, 0) with score 0.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

BODY = slice(0, 18)
TOES = slice(18, 20)
LEFT_HAND = slice(20, 41)
RIGHT_HAND = slice(41, 62)
FACE = slice(62, 130)
POINTS = 130

BODY_NAMES = (
    "nose", "neck",
    "right shoulder", "right elbow", "right wrist",
    "left shoulder", "left elbow", "left wrist",
    "right hip", "right knee", "right ankle",
    "left hip", "left knee", "left ankle",
    "right eye", "left eye", "right ear", "left ear",
)  # fmt: skip


@dataclass(frozen=True)
class PoseSequence:
    """Keypoints of a clip.

    points: [F, P, 130, 2] float32 (float64 as DWPose finds them), pixels of the canvas (x, y); (0, 0) where absent.
    scores: [F, P, 130] float32 in 0..1; 0 means absent.
    width, height: the canvas in pixels.
    fps: frames per second, or None when nobody said.
    """

    points: np.ndarray
    scores: np.ndarray
    width: int
    height: int
    fps: float | None = None

    def __post_init__(self) -> None:
        if self.points.ndim != 4 or self.points.shape[2:] != (POINTS, 2):
            raise ValueError(f"pose points must be [frames, people, {POINTS}, 2], got {self.points.shape}")
        if self.scores.shape != self.points.shape[:3]:
            raise ValueError(f"pose scores must be {self.points.shape[:3]}, got {self.scores.shape}")
        if self.width < 1 or self.height < 1:
            raise ValueError(f"the pose canvas must be at least 1x1 pixels, got {self.width}x{self.height}")

    def __len__(self) -> int:
        return self.points.shape[0]

    @property
    def people(self) -> int:
        """The number of person slots P (some may be empty in some frames)."""
        return self.points.shape[1]

    @property
    def present(self) -> np.ndarray:
        """Which points are there, [F, P, 130] bool."""
        return self.scores > 0

    def person(self, index: int = 0) -> PoseSequence:
        """One person alone, P = 1; nobody at all (P = 0) becomes one absent person."""
        if self.people == 0:
            return empty(len(self), self.width, self.height, fps=self.fps)
        if not 0 <= index < self.people:
            raise ValueError(f"person {index} asked for, but the poses hold {self.people} (counted from 0)")
        return replace(self, points=self.points[:, index : index + 1], scores=self.scores[:, index : index + 1])

    def frames(self, index: slice | np.ndarray) -> PoseSequence:
        """The frames that `index` picks, in its order."""
        return replace(self, points=self.points[index], scores=self.scores[index])

    def ipi_keypoints(self) -> np.ndarray:
        """What the Implicit Pose Indicator reads: [F, 2, 18] float32, x/width then y/height of the first person's body.

        An absent point is (-1, -1), as the released program writes it.
        """
        first = self.person(0)
        normalised = first.points[:, 0, BODY] / np.array([self.width, self.height], np.float32)
        normalised = np.where(first.present[:, 0, BODY, None], normalised, -1.0)
        return np.ascontiguousarray(normalised.transpose(0, 2, 1), dtype=np.float32)


def empty(frames: int, width: int, height: int, people: int = 1, fps: float | None = None) -> PoseSequence:
    """A sequence in which every point of every person is absent."""
    points = np.zeros((frames, people, POINTS, 2), np.float32)
    return PoseSequence(points, np.zeros(points.shape[:3], np.float32), width, height, fps)


def toes_from_feet(points: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two toes of a PoseSequence from the six foot points of OpenPose and DWPose.

    points: [..., 6, 2] and scores [..., 6] of left big toe, small toe, heel, then the right foot's.
    Returns [..., 2, 2] and [..., 2]: a toe is the middle of big and small toe, with the lower of their scores.
    """
    big, small = points[..., [0, 3], :], points[..., [1, 4], :]
    return (big + small) / 2, np.minimum(scores[..., [0, 3]], scores[..., [1, 4]])
