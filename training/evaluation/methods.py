"""What is compared: a checkpoint of ours, a folder of another method's results, a ComfyUI workflow, or an oracle.

A method is given as NAME=PATH, with options after commas: `ours=model.safetensors,steps=30`,
`theirs=results/theirs`, `graph=workflow.json,url=http://127.0.0.1:8188`, `still=oracle:still`. What PATH is says which
kind; `mini` is the model that comes with the package.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from animatex_core.included import model_path

from ..sources import Source
from .comfy_client import RUN_SECONDS, ComfyUI
from .frames import clip_info, read_clip
from .inputs import CaseInputs
from .metrics.opencv_resize import resize_linear
from .records import checked_name
from .workflow import FILES, OUTPUT, SLOTS, load_workflow, saved_frames, upload_clip

OnStep = Callable[[int, int], None]
_VIDEOS = (".mp4", ".webm", ".mkv", ".mov", ".avi", ".gif")
_AT_ONCE = 1 << 22
_NOT_NEGATIVE = ("start", "seams", "timeout")
CHECKPOINT_OPTIONS = (
    "clip", "vae", "steps", "cfg", "seed", "window", "overlap", "reference_mode", "image_pose", "precision", "device",
    "alpha",
)  # fmt: skip
RESULT_OPTIONS = ("resize", "start", "seams")
WORKFLOW_OPTIONS = ("url", "seed_value", "timeout", "seams", *SLOTS)
ORACLE_OPTIONS = ("vae",)
_ORACLE = "oracle:"


class MethodError(ValueError):
    """A method that cannot be used, or that did not give what it was asked for; the message names it."""


@dataclass(frozen=True)
class MethodSpec:
    """A method as it was asked for; small, so that it can be sent to other processes."""

    name: str
    path: Path
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """checkpoint | results | workflow | oracle, by what the path is."""
        if self.oracle:
            return "oracle"
        if self.path.is_dir():
            return "results"
        return {".safetensors": "checkpoint", ".json": "workflow"}.get(self.path.suffix.lower(), "")

    @property
    def oracle(self) -> str:
        """Which oracle, where it is one."""
        text = str(self.path)
        return text.removeprefix(_ORACLE) if text.startswith(_ORACLE) else ""


class Method(Protocol):
    """Something that makes clips."""

    @property
    def facts(self) -> dict[str, Any]:
        """All that decides what it makes, apart from the case, as JSON: sha256 of files, options, seeds."""
        ...

    def digest(self, inputs: CaseInputs) -> str:
        """sha256 of what it shows of a case that is not in the inputs; empty for a method that takes those alone."""
        ...

    def check(self, inputs: CaseInputs) -> None:
        """Raises MethodError when what it has for a case beforehand is of another length or size."""
        ...

    def resized_from(self, inputs: CaseInputs) -> tuple[int, int] | None:
        """Width and height of what it has beforehand, where that is brought to the size asked for; else None."""
        ...

    def seams(self, frames: int) -> tuple[int, ...]:
        """The frames of a clip of so many at which its windows begin; none where it was made in one piece."""
        ...

    def make(self, inputs: CaseInputs, on_step: OnStep | None = None) -> Iterable[np.ndarray]:
        """As many frames uint8 RGB as the inputs have, of the size asked for."""
        ...


def parse_method(text: str) -> MethodSpec:
    """NAME=PATH[,option=value ...]. Raises MethodError naming what is wrong."""
    name, equals, rest = text.partition("=")
    place, *options = rest.split(",")
    if not equals or not place:
        raise MethodError(f"method {text!r}: expected NAME=PATH, and options after commas as option=value")
    pairs = [option.partition("=") for option in options]
    if any(not sign or not key for key, sign, _ in pairs):
        raise MethodError(f"method {name}: expected option=value after the path, got {', '.join(options)!r}")
    try:
        spec = MethodSpec(checked_name(name), model_path(place), {key: value for key, _, value in pairs})
    except ValueError as error:
        raise MethodError(str(error)) from None
    if not spec.oracle and not spec.path.exists():
        raise MethodError(f"method {name}: {spec.path}: no such file or folder")
    if not spec.kind:
        raise MethodError(
            f"method {name}: {spec.path}: expected a .safetensors, a folder of results, a workflow .json or oracle:NAME"
        )
    return spec


def open_method(spec: MethodSpec) -> Method:
    """The method, checked as far as that goes without running it. Raises MethodError naming it and the option."""
    known = {
        "checkpoint": CHECKPOINT_OPTIONS, "results": RESULT_OPTIONS, "workflow": WORKFLOW_OPTIONS,
        "oracle": ORACLE_OPTIONS,
    }[spec.kind]  # fmt: skip
    for option in spec.options:
        if option not in known:
            raise MethodError(f"method {spec.name}: unknown option {option!r}; a {spec.kind} has {', '.join(known)}")
    try:
        if spec.kind == "checkpoint":
            from .checkpoint_method import CheckpointMethod

            return CheckpointMethod(spec)
        if spec.kind == "oracle":
            from .oracle_method import OracleMethod

            return OracleMethod(spec)
        return ResultsMethod(spec) if spec.kind == "results" else WorkflowMethod(spec)
    except (ValueError, OSError) as error:
        raise MethodError(f"method {spec.name}: {error}") from error


def checked_frames(name: str, inputs: CaseInputs, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The frames, after a look at each. Raises MethodError for another size or number than was asked for."""
    wanted = (inputs.options.height, inputs.options.width, 3)
    count = 0
    for count, frame in enumerate(frames, 1):
        if frame.shape != wanted:
            raise MethodError(_other_size(name, inputs, count - 1, (frame.shape[1], frame.shape[0])))
        if count > len(inputs):
            break
        yield frame
    if count != len(inputs):
        found = f"more than {len(inputs)}" if count > len(inputs) else str(count)
        raise MethodError(_other_length(name, inputs, found))


def _other_size(name: str, inputs: CaseInputs, frame: int, size: tuple[int, int]) -> str:
    return (
        f"method {name}, case {inputs.case.name}: frame {frame} is {size[0]}x{size[1]}, expected "
        f"{inputs.options.width}x{inputs.options.height}; a folder of results takes the option resize=stretch"
    )


def _other_length(name: str, inputs: CaseInputs, found: str) -> str:
    wanted = len(inputs)
    return f"method {name}, case {inputs.case.name}: {found} frames, expected {wanted}: clips are compared whole"


class ResultsMethod:
    """Results that another program made: PATH/CASE/*.png or PATH/CASE.mp4 (.webm, .mkv, .mov, .avi, .gif).

    resize=stretch: frames of another size are stretched to the truth's, by OpenCV's bilinear as DisCo does; else they
    are refused. start=N: the first N frames are left out (a method that gives the reference first). seams=N: it made
    the clip in pieces that begin every N frames.
    """

    def __init__(self, spec: MethodSpec) -> None:
        self.name, self.folder = spec.name, spec.path
        self.resize = spec.options.get("resize", "no")
        if self.resize not in ("no", "stretch"):
            raise MethodError(f"method {spec.name}: resize: expected no or stretch, got {self.resize!r}")
        self.start = option_number(spec, "start", int, 0)
        self.every = option_number(spec, "seams", int, 0)

    @property
    def facts(self) -> dict[str, Any]:
        """Where the results lie changes nothing; what they are is in the digest of each case."""
        how = "stretch, as cv2.resize" if self.resize == "stretch" else self.resize
        return {"kind": "results", "resize": how, "start": self.start}

    def digest(self, inputs: CaseInputs) -> str:
        """sha256 of the files."""
        return Source(video=self._clip(inputs.case.name)).digest()

    def check(self, inputs: CaseInputs) -> None:
        """See Method."""
        try:
            count, width, height = clip_info(self._clip(inputs.case.name))
        except ValueError as error:
            raise MethodError(f"method {self.name}, case {inputs.case.name}: {error}") from error
        wanted = (inputs.options.width, inputs.options.height)
        if (width, height) != wanted and self.resize == "no":
            raise MethodError(_other_size(self.name, inputs, 0, (width, height)))
        if count - self.start != len(inputs):
            raise MethodError(_other_length(self.name, inputs, str(count - self.start)))

    def resized_from(self, inputs: CaseInputs) -> tuple[int, int] | None:
        """See Method."""
        height, width = next(read_clip(self._clip(inputs.case.name))).shape[:2]
        return (width, height) if (width, height) != (inputs.options.width, inputs.options.height) else None

    def seams(self, frames: int) -> tuple[int, ...]:
        """Every so many frames, as the user said."""
        return tuple(range(self.every, frames, self.every)) if self.every > 0 else ()

    def make(self, inputs: CaseInputs, on_step: OnStep | None = None) -> Iterator[np.ndarray]:
        """The frames as they are in the files, losslessly read."""
        width, height = inputs.options.width, inputs.options.height
        for number, frame in enumerate(read_clip(self._clip(inputs.case.name))):
            if number < self.start:
                continue
            fits = frame.shape[:2] == (height, width) or self.resize == "no"
            yield frame if fits else resize_linear(frame, width, height)
            if on_step:
                on_step(number + 1 - self.start, len(inputs))

    def _clip(self, case: str) -> Path:
        found = [path for path in (self.folder / case, *(self.folder / f"{case}{e}" for e in _VIDEOS)) if path.exists()]
        if len(found) != 1:
            what = "nothing" if not found else " and ".join(path.name for path in found)
            raise MethodError(
                f"method {self.name}: {self.folder}: expected {case}/ with PNGs or one video {case}.mp4, found {what}"
            )
        return found[0]


class WorkflowMethod:
    """A workflow through a running ComfyUI; its slots take the case (see `workflow`)."""

    def __init__(self, spec: MethodSpec) -> None:
        self.name = spec.name
        if "url" not in spec.options:
            raise MethodError(
                f"method {spec.name}: url: where ComfyUI runs is missing, as in url=http://127.0.0.1:8188"
            )
        given = {slot: spec.options[slot] for slot in SLOTS if slot in spec.options}
        self.workflow = load_workflow(spec.path, given)
        self.sha256 = file_sha256(spec.path)
        if not set(self.workflow.slots) & set(FILES):
            raise MethodError(f"{spec.path}: no slot takes the case; name one of {', '.join(FILES)}")
        self.every = option_number(spec, "seams", int, 0)
        self.seed = option_number(spec, "seed_value", int, 0)
        self.server = ComfyUI(spec.options["url"], run_seconds=option_number(spec, "timeout", float, RUN_SECONDS))
        self.versions = self.server.system()

    @property
    def facts(self) -> dict[str, Any]:
        """The workflow's sha256, its slots, and the server's versions."""
        slots = {slot: ".".join(place).rstrip(".") for slot, place in self.workflow.slots.items()}
        return {
            "kind": "workflow", "sha256": self.sha256, "slots": slots, "seed": self.seed, "server": self.versions
        }  # fmt: skip

    def digest(self, inputs: CaseInputs) -> str:
        """Nothing is there beforehand."""
        return ""

    def check(self, inputs: CaseInputs) -> None:
        """Nothing is there beforehand."""

    def resized_from(self, inputs: CaseInputs) -> tuple[int, int] | None:
        """Another size is refused."""
        return None

    def seams(self, frames: int) -> tuple[int, ...]:
        """Every so many frames, as the user said."""
        return tuple(range(self.every, frames, self.every)) if self.every > 0 else ()

    def make(self, inputs: CaseInputs, on_step: OnStep | None = None) -> Iterator[np.ndarray]:
        """What the output node saved."""
        slots = [slot for slot in self.workflow.slots if slot != OUTPUT]
        values = {slot: self._value(slot, inputs) for slot in slots}
        shown = self.server.run(self.workflow.filled(values))
        yield from saved_frames(self.server, self.workflow, shown)

    def _value(self, slot: str, inputs: CaseInputs) -> Any:
        options = inputs.options
        if slot == "reference":
            return self.server.upload(inputs.reference.read_bytes(), ".png")
        if slot == "poses":
            return self.server.upload((inputs.folder / "poses.json").read_bytes(), ".json")
        if slot in ("driver", "pose_pictures"):
            clip = inputs.driver_frames() if slot == "driver" else read_clip(inputs.folder / "poses")
            pictures = self.workflow.takes_pictures(slot)
            return upload_clip(self.server, list(clip), inputs.fps, pictures=pictures)
        numbers = {"width": options.width, "height": options.height, "frames": len(inputs), "fps": inputs.fps}
        return {**numbers, "seed": self.seed, "prompt": inputs.case.prompt}[slot]


def file_sha256(path: Path) -> str:
    """sha256 of a file's content."""
    whole = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_AT_ONCE):
            whole.update(chunk)
    return whole.hexdigest()


def option_number(spec: MethodSpec, option: str, kind: type, default: Any) -> Any:
    """An option as a number. Raises MethodError naming it."""
    text = spec.options.get(option)
    if text is None:
        return default
    try:
        number = kind(text)
        if option in _NOT_NEGATIVE and not 0 <= number < float("inf"):
            raise ValueError
        return number
    except ValueError:
        words = ("a whole number" if kind is int else "a number") + (" from 0 on" if option in _NOT_NEGATIVE else "")
        raise MethodError(f"method {spec.name}: {option}: expected {words}, got {text!r}") from None
