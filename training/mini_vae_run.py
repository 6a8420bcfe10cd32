"""The state of a training of the mini VAE or of its decoder: saved whole or not at all, and gone on with."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from animatex_core.atomic_file import replacing

from .mini_vae import MiniVAE, VAEShape, widened

LOG = logging.getLogger(__name__)
WARMUP = 200  # steps
DECAY = 0.25  # last share of the steps, over which the learning rate falls
_TOLD_EVERY = 250  # steps
_SAVED_EVERY = 120  # seconds


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """What trainings of either kind ask for; kept in the file. `CHANGEABLE` may be others where a run goes on."""

    CHANGEABLE: ClassVar[tuple[str, ...]] = ("steps", "batch", "rate")

    widths: tuple[int, ...] = VAEShape.widths
    encoder_blocks: tuple[int, ...] = VAEShape.encoder_blocks
    decoder_blocks: tuple[int, ...] = VAEShape.decoder_blocks
    steps: int
    batch: int
    rate: float
    ema: float
    edges: float  # weight of the error of differences between neighbours
    bf16: bool = True  # twice as fast where the processor can
    seed: int = 0

    @property
    def shape(self) -> VAEShape:
        """Of the network."""
        return VAEShape(self.widths, self.encoder_blocks, self.decoder_blocks)


class Run:
    """Network, averaged network, optimiser and step, saved and read together. part: what learns, of "" (all)."""

    def __init__(self, settings: RunSettings, part: str = ""):
        torch.manual_seed(settings.seed)
        self.settings, self.step = settings, 0
        self.legs: list[dict[str, Any]] = []  # what was changed, and from which step on
        self.model = MiniVAE(settings.shape)
        self.model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.average = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        learns = self.model.get_submodule(part).parameters()
        self.optimiser = torch.optim.AdamW(learns, settings.rate, (0.9, 0.99), weight_decay=1e-4)

    def begin(self, path: Path) -> None:
        """Start from the weights of a file."""
        self.model.load_state_dict(widened(path, self.settings.shape))
        self.average = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        self.legs.append({"from_file": path.name})

    def tell_leg(self) -> None:
        """Keep what may change with the step from which on it holds."""
        self.legs.append({"from_step": self.step} | {n: getattr(self.settings, n) for n in self.settings.CHANGEABLE})

    def descend(self, loss: Tensor) -> float:
        """One step down a loss; returns it. The rate rises at first and falls at the end."""
        s = self.settings
        warm, left = (self.step + 1) / WARMUP, (s.steps - self.step) / (s.steps * DECAY)
        self.optimiser.param_groups[0]["lr"] = s.rate * min(1.0, warm, left)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        learns = self.optimiser.param_groups[0]["params"]
        torch.nn.utils.clip_grad_norm_(learns, 1.0)
        self.optimiser.step()
        self.step += 1
        for name, tensor in self.model.state_dict().items():
            self.average[name].lerp_(tensor, 1 - min(s.ema, (1 + self.step) / (10 + self.step)))
        return float(loss.detach())

    def train(self, step: Callable[[], float], checkpoint: Path, seconds: float) -> None:
        """Steps, each of which descends, until all are done or so much time has passed; saves on the way."""
        started = saved = time.monotonic()
        losses = []
        while self.step < self.settings.steps and time.monotonic() - started < seconds:
            losses.append(step())
            if self.step % _TOLD_EVERY == 0:
                mean = sum(losses) / len(losses)
                LOG.info("step %d loss %.5f, %.0f s", self.step, mean, time.monotonic() - started)
                losses = []
            if time.monotonic() - saved > _SAVED_EVERY:
                self.save(checkpoint)
                saved = time.monotonic()
        self.save(checkpoint)

    def save(self, path: Path) -> None:
        """Everything that going on needs, whole or not at all."""
        state = {f"model.{n}": t for n, t in self.model.state_dict().items()}
        state |= {f"average.{n}": t for n, t in self.average.items()}
        for number, values in self.optimiser.state_dict()["state"].items():
            state |= {f"optimiser.{number}.{key}": value for key, value in values.items()}
        told = {"settings": asdict(self.settings), "legs": self.legs}
        facts = {"step": str(self.step)} | {name: json.dumps(value) for name, value in told.items()}
        with replacing(path, overwrite=True) as temporary:
            save_file({name: tensor.contiguous() for name, tensor in state.items()}, temporary, facts)

    def load(self, path: Path) -> None:
        """Raises ValueError when the checkpoint is of other settings."""
        with safe_open(path, "pt") as file:
            facts = file.metadata()
            told = json.loads(facts["settings"])
            wanted = json.loads(json.dumps(asdict(self.settings)))
            if told | {name: wanted[name] for name in self.settings.CHANGEABLE} != wanted:
                raise ValueError(f"{path}: made with other settings ({facts['settings']}): remove it to start anew")
            state = {name: file.get_tensor(name) for name in file.keys()}
        self.step, self.legs = int(facts["step"]), json.loads(facts["legs"])
        self.model.load_state_dict({n.removeprefix("model."): t for n, t in state.items() if n.startswith("model.")})
        self.average = {n.removeprefix("average."): t for n, t in state.items() if n.startswith("average.")}
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in state.items():
            if name.startswith("optimiser."):
                _, number, key = name.split(".")
                moments.setdefault(int(number), {})[key] = tensor
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": moments, "param_groups": groups})

    def averaged(self) -> MiniVAE:
        """The network that is kept."""
        model = MiniVAE(self.settings.shape)
        model.load_state_dict(self.average)
        return model.eval()


def changed(options: Any, names: Sequence[str]) -> dict[str, Any]:
    """What the command line gives of these settings."""
    return {name: value for name in names if (value := getattr(options, name)) is not None}
