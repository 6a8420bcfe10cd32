"""Steps whose numbers are not finite: each is skipped and named, and a few in a row end the run."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .feed import Drawn

LOG = logging.getLogger(__name__)
SMALLEST_SCALE = 1.0  # of fp16's loss: below it is not the scale that is wrong


@dataclass(frozen=True)
class Outcome:
    """What a step came to, over all processes."""

    loss: float
    norm: float  # of the gradient, before it was clipped
    scale: float = 1.0  # of the loss, in fp16

    @property
    def finite(self) -> bool:
        """Whether weights may follow this step. In fp16 a gradient may overflow while the scale is being found."""
        return math.isfinite(self.loss) and (math.isfinite(self.norm) or self.scale > SMALLEST_SCALE)


class Guard:
    """Counts bad steps in a row."""

    def __init__(self, allowed: int, report: Path):
        self.allowed, self.report, self.bad = allowed, report, 0

    def check(self, step: int, outcome: Outcome, batches: Sequence[Drawn]) -> bool:
        """Whether the step is good. Raises FloatingPointError naming the clips after `allowed` bad ones in a row."""
        if outcome.finite:
            self.bad = 0
            return True
        self.bad += 1
        clips = ", ".join(clip for drawn in batches for clip in drawn.batch.clips)
        what = "loss" if not math.isfinite(outcome.loss) else "gradient"
        message = f"step {step}: the {what} is not finite; clips: {clips}"
        self._write({"step": step, "loss": str(outcome.loss), "norm": str(outcome.norm), "draws": _draws(batches)})
        if self.bad >= self.allowed:
            raise FloatingPointError(
                f"{message}. {self.bad} such steps in a row: look at those clips, lower optimiser.rate or use another "
                f"run.precision; all of them are listed in {self.report}"
            )
        LOG.warning("%s. The step is skipped (%d of %d in a row)", message, self.bad, self.allowed)
        return False

    def _write(self, line: dict[str, Any]) -> None:
        with open(self.report, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def _draws(batches: Sequence[Drawn]) -> list[dict[str, Any]]:
    return [
        {"clip": clip, "index": draw.index, "seed": draw.seed}
        for drawn in batches
        for clip, draw in zip(drawn.batch.clips, drawn.draws, strict=True)
    ]
