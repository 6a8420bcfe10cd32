"""A checkpoint of ours as a method of the benchmark: the core's whole job, with the model loaded once for all cases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import numpy as np

from animatex_core.choices import STEP_PRESETS, ReferenceMode
from animatex_core.cli_animate import PRECISIONS, choose_device, choose_dtype
from animatex_core.included import settings_for
from animatex_core.job_files import check_networks
from animatex_core.model import AnimateX
from animatex_core.motion import CLIP_SIDE, Motion
from animatex_core.pictures import resize
from animatex_core.pipeline import Job, decode, denoise, prepare
from animatex_core.settings import Settings
from animatex_core.weights import load_model
from animatex_core.windows import plan_windows

from .inputs import CaseInputs
from .methods import MethodError, MethodSpec, OnStep, file_sha256, option_number


class CheckpointMethod:
    """A model file with its CLIP image tower and VAE, and how it samples.

    Options: clip, vae (files; bundled in the model when left out), steps, cfg, seed, window, overlap, reference_mode,
    image_pose (yes: the pose of the image is used where the case has one), precision, device, alpha (weight of the
    IPI's residual in place of the file's, figure 13).
    """

    def __init__(self, spec: MethodSpec) -> None:
        self.spec, self.name = spec, spec.name
        self.files = {name: Path(spec.options.get(name, spec.path)) for name in ("clip", "vae")}
        self.files = {"model": spec.path, **self.files}
        for name, path in self.files.items():
            if not path.is_file():
                raise MethodError(f"method {spec.name}: {name}: {path}: no such file")
        self.config = check_networks(self.files["model"], self.files["clip"], self.files["vae"])
        self.alpha = option_number(spec, "alpha", float, None)
        self.image_pose = self._one_of("image_pose", ("yes", "no"), "yes") == "yes"
        self.device = choose_device(spec.options.get("device", "auto"))
        self.dtype = choose_dtype(self._one_of("precision", PRECISIONS, "auto"), self.device)
        self.sampling = self._sampling()
        Settings(**self.sampling)  # what is wrong with the numbers is said now

    @property
    def facts(self) -> dict[str, Any]:
        """sha256 of the files, and every setting of sampling as it is in the end."""
        return self._facts

    @cached_property
    def _facts(self) -> dict[str, Any]:
        digests = {path: file_sha256(path) for path in set(self.files.values())}
        kind = self.device.partition(":")[0]
        return {
            "kind": "checkpoint",
            "sha256": {name: digests[path] for name, path in self.files.items()},
            "sampling": self.sampling,
            "image_pose": self.image_pose,
            "alpha": self.config.alpha if self.alpha is None else self.alpha,
            "precision": str(self.dtype).removeprefix("torch."),
            "device": kind,
        }

    def digest(self, inputs: CaseInputs) -> str:
        """Nothing is there beforehand."""
        return ""

    def check(self, inputs: CaseInputs) -> None:
        """Nothing is there beforehand."""

    def resized_from(self, inputs: CaseInputs) -> tuple[int, int] | None:
        """It makes the size asked for."""
        return None

    def seams(self, frames: int) -> tuple[int, ...]:
        """Where the windows of the last step begin."""
        plan = plan_windows(frames, self.sampling["window"], self.sampling["overlap"])
        starts = [] if plan is None else [window[0] for window in plan.windows(frames, self.sampling["steps"] - 1)]
        return tuple(start for start in starts if start)

    def make(self, inputs: CaseInputs, on_step: OnStep | None = None) -> Iterator[np.ndarray]:
        """The animation of a case."""
        job = self._job(inputs)
        pictures = None
        if inputs.options.ipi == "video" and self.config.ipi is not None:
            pictures = np.stack([resize(frame, CLIP_SIDE, CLIP_SIDE) for frame in inputs.driver_frames()])
        motion = Motion(inputs.read, pictures, inputs.fps)
        prepared = prepare(job, motion=motion, drawn=inputs.drawn)
        step = None if on_step is None else lambda done, total, _: on_step(done, total)
        latents = denoise(job, prepared, step, model=self._model)
        yield from decode(job, latents)

    @cached_property
    def _model(self) -> AnimateX:
        model = load_model(self.files["model"], dtype=self.dtype, device=self.device)
        if self.alpha is not None:
            model.config = replace(model.config, alpha=self.alpha)
            if model.ipi is not None:
                model.ipi.alpha = self.alpha
        return model

    def _job(self, inputs: CaseInputs) -> Job:
        options = inputs.options
        settings = Settings(
            **self.sampling, width=options.width, height=options.height, frames=len(inputs), fit=options.fit,
            fps=inputs.fps, hands=options.hands, ipi_source=options.ipi if self.config.ipi is not None else "off",
        )  # fmt: skip
        pose = inputs.case.image_pose if self.image_pose else None
        return Job(
            **self.files, reference=inputs.reference, reference_pose=pose, settings=settings, device=self.device,
            dtype=self.dtype,
        )  # fmt: skip

    def _sampling(self) -> dict[str, Any]:
        spec, default = self.spec, settings_for(self.spec.path)
        steps = STEP_PRESETS.get(spec.options.get("steps", "")) or option_number(spec, "steps", int, default.steps)
        return {
            "steps": steps,
            "guidance": option_number(spec, "cfg", float, default.guidance),
            "seed": option_number(spec, "seed", int, default.seed),
            "window": option_number(spec, "window", int, None),
            "overlap": option_number(spec, "overlap", int, None),
            "reference_mode": self._one_of("reference_mode", get_args(ReferenceMode), default.reference_mode),
        }

    def _one_of(self, option: str, choices: tuple[str, ...], default: str) -> str:
        value = self.spec.options.get(option, default)
        if value not in choices:
            raise MethodError(f"method {self.name}: {option}: expected one of {', '.join(choices)}, got {value!r}")
        return value
