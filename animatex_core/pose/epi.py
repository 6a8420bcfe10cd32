"""The Explicit Pose Indicator (paper, section 3.2 and appendix A), as geometry on keypoints.

    realign(driver, anchor)   the driver's motion on the anchor's body
    rescale(poses, shape)     the same motion on a body of another shape; PRESETS has shapes by name
    transform(poses, pool, rng)   what training does: realign to a random anchor, rescale at random, with probability
                              lambda

The same functions serve the alignment nodes, training and the rescaled-pose setting of the evaluation. They change the
poses that are drawn; the Implicit Pose Indicator reads the driver's own.
"""

from __future__ import annotations

from .pool import (
    GROUPS,
    TABLE,
    Augmentation,
    Draw,
    PosePool,
    Transformed,
    load_pool,
    on_canvas,
    save_pool,
    transform,
)
from .realign import MODES, Realigned, realign
from .rescale import ADDABLE, OPERATIONS, PRESETS, Rescale, Rescaled, rescale
from .skeleton import PARTS

__all__ = [
    "ADDABLE",
    "GROUPS",
    "MODES",
    "OPERATIONS",
    "PARTS",
    "PRESETS",
    "TABLE",
    "Augmentation",
    "Draw",
    "PosePool",
    "Realigned",
    "Rescale",
    "Rescaled",
    "Transformed",
    "load_pool",
    "on_canvas",
    "realign",
    "rescale",
    "save_pool",
    "transform",
]
