"""What a user can choose for an animation, checked before anything is loaded."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, get_args

from .choices import GUIDANCE, STEP_PRESETS, STEPS, AlignMode, FitMode, IPISource, ReferenceMode

MAX_SIDE = 4096
MAX_FRAMES = 4096


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that decides what the clip looks like. Raises ValueError naming the setting that is off.

    width, height: of the result, multiples of 8. frames: how many at most. stride: every which driving frame.
    fps: of the result; None takes the driver's divided by the stride. ipi_source: None takes the video when there is
    one. align: how the poses are fitted to the character before they are drawn. drop_absent: parts that the reference's
    pose lacks are taken away from the fitted poses. window: frames denoised together, None for all of them in one go as
    the released program does. overlap: frames that windows share, None for a quarter of the window and at most 8.
    closed_loop: the end joins the start. shared_noise: windows start from the same noise in another order, so that they
    agree more.
    """

    width: int = 512
    height: int = 768
    frames: int = 32
    start: int = 0
    stride: int = 1
    fps: float | None = None
    steps: int = STEP_PRESETS["released"]
    guidance: float = GUIDANCE
    seed: int = 0
    fit: FitMode = "pad"
    reference_mode: ReferenceMode = "released"
    ipi_source: IPISource | None = None
    align: AlignMode = "off"
    drop_absent: bool = False
    hands: bool = True
    window: int | None = None
    overlap: int | None = None
    closed_loop: bool = False
    shared_noise: bool = True

    def __post_init__(self) -> None:
        for name in ("width", "height"):
            side = getattr(self, name)
            if side % 8 or not 8 <= side <= MAX_SIDE:
                near = min(max(8 * round(side / 8), 8), MAX_SIDE)
                raise ValueError(f"{name} must be a multiple of 8 up to {MAX_SIDE}, got {side}; the nearest is {near}")
        _within("frames", self.frames, 1, MAX_FRAMES)
        _within("start", self.start, 0, None)
        _within("stride", self.stride, 1, None)
        _within("steps", self.steps, 1, STEPS)
        _within("seed", self.seed, 0, 2**64 - 1)
        if not 0 <= self.guidance <= 100:
            raise ValueError(f"cfg must be 0 to 100, got {self.guidance}")
        if self.fps is not None and not 0 < self.fps <= 240:
            raise ValueError(f"fps must be above 0 and at most 240, got {self.fps}")
        _one_of("fit", self.fit, get_args(FitMode))
        _one_of("reference mode", self.reference_mode, get_args(ReferenceMode))
        _one_of("align", self.align, get_args(AlignMode))
        if self.drop_absent and self.align == "off":
            raise ValueError(
                "drop_absent (--drop-absent): aligning finds what is lacking; "
                "it needs align character, full or similarity"
            )
        if self.ipi_source is not None:
            _one_of("IPI source", self.ipi_source, get_args(IPISource))
        if self.window is not None:
            _within("window", self.window, 1, None)
            _within("overlap", self.overlap or 0, 0, self.window - 1)
        elif self.overlap is not None:
            raise ValueError(f"overlap is what windows share: give a window too, got overlap {self.overlap} alone")

    def as_metadata(self) -> dict[str, Any]:
        """All of it, for the metadata of the result."""
        return asdict(self)


def _within(name: str, value: int, least: int, most: int | None) -> None:
    if value < least or (most is not None and value > most):
        wanted = f"at least {least}" if most is None else f"{least} to {most}"
        raise ValueError(f"{name} must be {wanted}, got {value}")


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} must be {', '.join(choices[:-1])} or {choices[-1]}, got {value!r}")
