"""Where in a clip the loss counts more: details that are small on the picture and much to whoever looks at it.

The loss is a mean over places, so that eyes and hands, a few of some hundred cells of a small latent, are worth next to
nothing, and a small network leaves them out.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from animatex_core.fit import Fit
from animatex_core.pose.keypoints import PoseSequence

from .evaluation.metrics.joints import body_in_picture

CELL = 8  # pixels of a picture to a place of its latent

DETAILS = (0, 14, 15, 4, 7)
"""Nose, eyes and wrists among the 18 joints of the body."""


def place_weights(poses: PoseSequence, fit: Fit, details: float) -> Tensor:
    """What the loss at each place [F, h, w] of the latent is multiplied by: 1, up to 1 + details at eyes, nose, wrists.

    It falls off as a Gaussian of one cell, in any size, about the nearest of them. poses: as the clip has them, the
    first person counts; fit: from their canvas to the clip's pictures. A joint that is absent or outside of the canvas
    asks for nothing.
    """
    width, height = (side // CELL for side in fit.target)
    if not details:
        return torch.ones(len(poses), height, width)
    points, there = body_in_picture(poses)
    x, y = (fit.points(points)[:, DETAILS].astype(np.float64) / CELL).transpose(2, 0, 1)[..., None, None]
    squares = (np.arange(width) + 0.5 - x) ** 2 + (np.arange(height)[:, None] + 0.5 - y) ** 2
    squares[~there[:, DETAILS]] = np.inf
    return torch.from_numpy(1 + details * np.exp(-squares.min(1) / 2)).float()
