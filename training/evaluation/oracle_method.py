"""Oracles: methods that know the answer, or do nothing. A metric that does not put them in order measures nothing.

`NAME=oracle:target` is the truth itself; `oracle:vae` the truth through a VAE (option vae), the most that a model with
it can reach; `oracle:warp` the reference, cut up along its skeleton and moved to the true joints; `oracle:still` the
reference, repeated; `oracle:wrong` the truth of the same motion by another character of the set, before the reference's
background where that character's silhouette is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch

from animatex_core.fit import edge_colour, plan_fit
from animatex_core.pictures import load_picture, to_tensor
from animatex_core.pose.io import load_openpose
from animatex_core.vae import load_vae

from .cases import Case, open_set
from .frames import read_clip
from .inputs import CaseInputs, chosen_frames
from .methods import MethodError, MethodSpec, OnStep, file_sha256
from .metrics.colours import border_colour
from .skeleton_warp import SkeletonWarp

KINDS = ("target", "vae", "warp", "still", "wrong")
DEFAULT_VAE = Path(__file__).parents[1] / "assets" / "mini_vae.safetensors"


class OracleMethod:
    """See the module."""

    def __init__(self, spec: MethodSpec) -> None:
        self.name, self.kind = spec.name, spec.oracle
        if self.kind not in KINDS:
            raise MethodError(f"method {spec.name}: expected oracle:{' | '.join(KINDS)}, got {str(spec.path)!r}")
        if self.kind != "vae" and spec.options:
            raise MethodError(f"method {spec.name}: oracle:{self.kind} has no options")
        self.vae_file = Path(spec.options.get("vae", DEFAULT_VAE))
        if self.kind == "vae" and not self.vae_file.is_file():
            raise MethodError(f"method {spec.name}: vae: {self.vae_file}: no such file")

    @property
    def facts(self) -> dict[str, Any]:
        """Which oracle, and of `vae` its file."""
        return {"kind": "oracle", "oracle": self.kind} | ({"sha256": self._sha256} if self.kind == "vae" else {})

    @cached_property
    def _sha256(self) -> str:
        return file_sha256(self.vae_file)

    def digest(self, inputs: CaseInputs) -> str:
        """sha256 of the other case that `wrong` shows. Raises MethodError when there is none."""
        return _another(inputs.case).digest() if self.kind == "wrong" else ""

    def check(self, inputs: CaseInputs) -> None:
        """Raises MethodError when the case lacks what the oracle shows."""
        if self.kind in ("target", "vae") and inputs.truth is None:
            raise MethodError(f"method {self.name}, case {inputs.case.name}: nobody knows the truth in this setting")
        if self.kind == "warp" and inputs.case.image_pose is None:
            raise MethodError(f"method {self.name}, case {inputs.case.name}: the case has no image_pose.json")
        if self.kind == "wrong":
            _another(inputs.case)

    def resized_from(self, inputs: CaseInputs) -> tuple[int, int] | None:
        """It makes the size asked for."""
        return None

    def seams(self, frames: int) -> tuple[int, ...]:
        """Made in one piece."""
        return ()

    def make(self, inputs: CaseInputs, on_step: OnStep | None = None) -> Iterable[np.ndarray]:
        """The frames."""
        self.check(inputs)
        return getattr(self, f"_{self.kind}")(inputs)

    def _target(self, inputs: CaseInputs) -> Iterator[np.ndarray]:
        assert inputs.truth is not None
        return read_clip(inputs.truth)

    def _vae(self, inputs: CaseInputs) -> Iterator[np.ndarray]:
        for frame in self._target(inputs):
            for decoded in self._network.decode(self._network.encode(to_tensor(frame[None]))):
                yield (decoded[0].float() * 255).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()

    def _still(self, inputs: CaseInputs) -> Iterator[np.ndarray]:
        picture = _fitted(load_picture(inputs.reference), inputs)
        return (picture for _ in range(len(inputs)))

    def _wrong(self, inputs: CaseInputs) -> Iterator[np.ndarray]:
        other = _another(inputs.case)
        colour = border_colour(load_picture(inputs.reference)) if other.mask else None
        masks = repeat(None) if colour is None else chosen_frames(other.clip("mask"), inputs.options, len(inputs))
        for frame, mask in zip(chosen_frames(other.clip("video"), inputs.options, len(inputs)), masks, strict=False):
            if mask is not None and colour is not None:
                frame = np.where(mask > 127, frame, colour.round().astype(np.uint8))
            yield _fitted(frame, inputs)

    def _warp(self, inputs: CaseInputs) -> Iterator[np.ndarray]:
        assert inputs.case.image_pose is not None
        picture = load_picture(inputs.reference)
        fit = plan_fit((picture.shape[1], picture.shape[0]), _size(inputs), inputs.options.fit)
        pose = load_openpose(inputs.case.image_pose).person(0)
        joints = np.where(pose.present[0, 0, :18, None], fit.points(pose.points[0, 0, :18]), np.nan)
        warp = SkeletonWarp(_fitted(picture, inputs), joints)
        person = inputs.expected.person(0)
        for points, there in zip(person.points[:, 0, :18], person.present[:, 0, :18], strict=True):
            yield warp.moved(np.where(there[:, None], points, np.nan))

    @cached_property
    def _network(self) -> Any:
        return load_vae(self.vae_file, dtype=torch.bfloat16)


def _another(case: Case) -> Case:
    """The next case of the set in the same motion by another character. Raises MethodError when there is none."""
    found = open_set(case.folder.parent)
    position = found.scored.index(case.name)
    for name in (*found.scored[position + 1 :], *found.scored[:position]):
        other = found.open(name)
        known = other.facts.get("character"), other.facts.get("motion")
        if None not in known and known[0] != case.facts.get("character") and known[1] == case.facts.get("motion"):
            return other
    raise MethodError(
        f"case {case.name}: oracle:wrong needs a case of another character in the same motion: `character` and "
        "`motion` in the facts of case.json"
    )


def _size(inputs: CaseInputs) -> tuple[int, int]:
    return inputs.options.width, inputs.options.height


def _fitted(picture: np.ndarray, inputs: CaseInputs) -> np.ndarray:
    fit = plan_fit((picture.shape[1], picture.shape[0]), _size(inputs), inputs.options.fit)
    return fit.apply(picture, edge_colour(picture))
