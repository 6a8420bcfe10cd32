"""What a user can choose by name, and the numbers of the released run. Without torch: no --help waits for it."""

from __future__ import annotations

from typing import Literal

# How a picture of one shape becomes one of another (`fit.plan_fit`).
FitMode = Literal["crop", "pad", "stretch"]

# How the reference enters. "released": picture and CLIP tokens (what the published program feeds). "paper": VAE latent
# and pose of the reference as the frame before the others. "both": all of it.
ReferenceMode = Literal["released", "paper", "both"]

# Where the IPI's CLIP features come from. The network was trained on the driving video's frames; the others are for
# poses without a video: pictures of the drawn poses, the reference at every frame, or nothing (zeros, as in the
# unconditional pass).
IPISource = Literal["video", "poses", "reference", "off"]

# How poses are fitted to the character before they are drawn (`pose.realign`): not at all, as a whole, bone by bone,
# bone by bone with trunk and head in pieces of their own.
AlignMode = Literal["off", "similarity", "full", "character"]

STEPS = 1000  # of the diffusion
STEP_PRESETS = {"released": 30, "paper": 50}
GUIDANCE = 2.5
OFFSET_NOISE = 0.1
