"""The training loop: from a configuration and data to a run's folder, interrupted and resumed without a trace."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import torch

from .activation import checkpoint_levels, stages_by_level
from .checkpoint import Checkpoints
from .config import TrainConfig
from .config_file import network_config
from .ema import EMA
from .feed import Data, Drawn, Feed
from .fingerprint import check_same, fingerprint
from .guard import Guard, Outcome
from .initial import check_start, initial_network
from .network import TrainedNetwork
from .objective import noise_batch, sample_losses
from .optimiser import HALVES, choose_trainable, clip_gradients, make_optimiser, set_rates, trainable
from .sharding import Ranks, gradients_stay, spread
from .snapshot import Snapshot
from .stopping import StopRequest
from .validation import Validation, clips_of, on_device
from .watch import Watch

LOG = logging.getLogger(__name__)
CHECKPOINTS, VALIDATION = "checkpoints", "validation/loss"


class Trainer:
    """A run in a folder. Raises ValueError when the folder holds a run that is not resumed, or another one than this.

    With `resume` it goes on after the newest complete checkpoint, or begins when there is none.
    """

    def __init__(
        self, config: TrainConfig, data: Data, folder: Path, ranks: Ranks, device: torch.device, *, resume: bool = False
    ):
        self.config, self.data, self.ranks, self.device, self.step = config, data, ranks, device, 0
        check_start(config.start)
        self.checkpoints = Checkpoints(folder / CHECKPOINTS, config.save.keep)
        if not resume and self.checkpoints.steps():
            raise ValueError(f"{folder}: holds a run already: resume it, or give another folder")
        ranks.wait()
        folder.mkdir(parents=True, exist_ok=True)
        self.facts = fingerprint(config, data, ranks.world)
        network = initial_network(network_config(config.model), config.start.weights, config.run.seed)
        choose_trainable(network, config.trainable, config.run)
        network.to(device)
        checkpoint_levels(network.unet, config.run.checkpoint_levels)
        if config.run.compile:
            for _, stage in stages_by_level(network.unet):
                stage.compile()
        self.module = spread(TrainedNetwork(network), ranks, config.run.sharding, device)
        self.parameters = trainable(network)
        self.optimiser = make_optimiser(network, config.optimiser)
        self.ema = EMA(self.parameters, config.optimiser.ema)
        self.scaler = torch.amp.GradScaler(device.type, enabled=config.run.precision == "fp16")
        self.snapshot = Snapshot(self.parameters, self.optimiser, self.ema, self.scaler)
        self.feed = Feed(data, ranks.rank, ranks.world, config.data.workers)
        self.guard = Guard(config.watch.bad_steps, folder / f"bad_steps-{ranks.rank}.jsonl")
        self.validation: Validation | None = None
        if config.watch.sample_every:
            self.validation = Validation(data, config, device)
        self.seen: list[float] = []  # losses since the last line of the log
        resumed = resume and self._resume()
        self.watch = Watch(folder, self.step if resumed else None) if ranks.first else None

    def run(self, stop: StopRequest | None = None, advance: Any = None) -> int:
        """Train to the last step; returns the signal that ended it before, or 0. Always leaves a checkpoint.

        advance: called with the clips trained on, of how many, and what to show beside them.
        """
        ended_by = self._validate(stop)
        if ended_by:
            self.save()
        with closing(self.feed.batches()) as batches:
            ended_by = ended_by or self._train(batches, stop, advance)
        if self.watch is not None:
            self.watch.close()
        return ended_by

    def _train(self, batches: Iterator[Drawn], stop: StopRequest | None, advance: Any) -> int:
        steps, ended_by = self.config.run.steps, 0
        while self.step < steps and not ended_by:
            outcome = self._train_step(batches)
            self.seen.append(outcome.loss)
            if self.step % self.config.watch.log_every == 0 or self.step == steps:
                self._log(self.seen, outcome, advance)
                self.seen = []
            ended_by = self._asked_to_stop(stop)
            if self.step % self.config.save.every == 0 or self.step == steps or ended_by:
                self.save()
            ended_by = ended_by or self._validate(stop)
            if ended_by:
                self.save()
        return ended_by

    def save(self) -> None:
        """Write a checkpoint of this step; all processes call it, the first one writes."""
        state = {"step": self.step, "position": list(self.feed.position), "facts": self.facts, "bad": self.guard.bad}
        # JSON knows no other numbers, and the log leaves them out.
        saved = self.snapshot.take(state | {"seen": [loss for loss in self.seen if math.isfinite(loss)]})
        error = None
        if self.ranks.first:
            try:
                self.checkpoints.save(self.step, saved)
            except (OSError, ValueError) as failed:
                error = failed
        self.ranks.first_does(error)

    def _resume(self) -> bool:
        """Take over the newest complete checkpoint; returns whether there is one."""
        found, error = None, None
        if self.ranks.first:
            try:
                found = self.checkpoints.newest()
            except (OSError, ValueError) as failed:
                error = failed
        self.ranks.first_does(error)
        step = self.ranks.agreed(None if found is None else found[0])
        if step is None:
            LOG.warning("%s: no checkpoint to go on from; the run begins at step 0", self.checkpoints.folder)
            return False
        saved = self.checkpoints.read(step) if found is None else found[1]
        self.ranks.wait()  # the others read after the first one, for longer than a step may take
        check_same(self.facts, saved.state["facts"], self.checkpoints.path(step))
        self.snapshot.put(saved)
        self.step = step
        epoch, batch = saved.state["position"]
        self.feed.position = (epoch, batch)
        # Checkpoints of before these were kept have neither.
        self.seen, self.guard.bad = list(saved.state.get("seen", [])), saved.state.get("bad", 0)
        LOG.info("resumed after step %d", step)
        return True

    def _train_step(self, batches: Iterator[Drawn]) -> Outcome:
        settings, count = self.config.optimiser, self.config.data.accumulate
        set_rates(self.optimiser, settings, self.step, self.config.run.steps)
        self.optimiser.zero_grad(set_to_none=True)
        drawn = [next(batches) for _ in range(count)]
        loss = torch.zeros((), device=self.device)
        for number, part in enumerate(drawn, 1):
            loss += self._backward(part, last=number == count)
        loss = float(self.ranks.total(loss)) / self.ranks.world
        self.scaler.unscale_(self.optimiser)
        norm = clip_gradients(self.parameters.values(), settings.clip)
        outcome = Outcome(loss, norm, self.scaler.get_scale())
        good = self.guard.check(self.step + 1, outcome, drawn)
        if good:
            self.scaler.step(self.optimiser)
        self.scaler.update()
        self.step += 1
        if good:
            self.ema.update(self.step)
        return outcome

    def _backward(self, drawn: Drawn, last: bool) -> torch.Tensor:
        """Add the gradients of a batch to those of the step; returns its share of the loss."""
        batch, objective = drawn.batch, self.config.objective
        latents, inputs = on_device(batch, self.device, self.config.data.reference)
        noised = noise_batch(latents, [draw.seed for draw in drawn.draws], objective)
        with gradients_stay(self.module, last):
            with self._precision():
                v = self.module(noised.x, noised.timesteps, inputs, noised.keep)
            losses = sample_losses(v, noised, batch.weight, objective.min_snr)
            loss = losses.sum() / (self.config.data.batch * self.config.data.accumulate)
            self.scaler.scale(loss).backward()
        return loss.detach()

    def _precision(self) -> Any:
        precision = self.config.run.precision
        if precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=HALVES[precision])

    def _asked_to_stop(self, stop: StopRequest | None) -> int:
        """The signal that any process received: all of them leave after the same step."""
        asked = torch.tensor(0 if stop is None else stop.signal, device=self.device)
        return int(self.ranks.largest(asked))

    def _validate(self, stop: StopRequest | None) -> int:
        """Loss and videos of the validation clips, with the averaged weights, where the step is due for them and they
        are not there yet. Returns the signal that ended it, or 0: nothing is shown then, the resumed run does it."""
        if self.validation is None or not self._validation_is_due():
            return 0
        made: list[torch.Tensor | FloatingPointError] = []
        with self.ema.in_place(self.module), self._precision():
            if ended_by := self._asked_to_stop(stop):
                return ended_by
            loss = self.validation.loss(self.module)
            for number in range(len(self.validation.batches)):
                if ended_by := self._asked_to_stop(stop):
                    return ended_by
                try:
                    made.append(self.validation.sample(self.module, number))
                except FloatingPointError as error:  # of these weights; steps that are not finite are the guard's
                    made.append(error)
        if self.watch is not None:
            self._show(self.validation, loss, made)
        self.ranks.wait()  # for as long as the videos take, not only as long as a step may
        return 0

    def _validation_is_due(self) -> bool:
        if self.step % self.config.watch.sample_every and self.step != self.config.run.steps:
            return False
        return not self.ranks.agreed(self.watch is not None and self.watch.holds(self.step, VALIDATION))

    def _show(self, validation: Validation, loss: float, made: list[torch.Tensor | FloatingPointError]) -> None:
        assert self.watch is not None
        for number, (clip, result) in enumerate(zip(clips_of(validation.batches), made, strict=True)):
            name = f"{number}-{_plain(clip)}"
            try:
                if isinstance(result, FloatingPointError):
                    raise result
                self.watch.video(self.step, name, validation.picture(number, result))
            except (FloatingPointError, OSError, ValueError) as error:
                LOG.warning("step %d: the sample video %s is left out: %s", self.step, name, error)
        self.watch.scalars(self.step, {VALIDATION: loss})

    def _log(self, seen: list[float], outcome: Outcome, advance: Any) -> None:
        finite = [loss for loss in seen if math.isfinite(loss)]
        loss = sum(finite) / len(finite) if finite else math.nan
        rate = self.optimiser.param_groups[0]["lr"]
        if self.watch is not None:
            self.watch.scalars(self.step, {"train/loss": loss, "train/gradient_norm": outcome.norm, "train/rate": rate})
        if advance is not None:
            clips = self.config.data.batch * self.config.data.accumulate * self.ranks.world
            what = f"step {self.step} loss {loss:.4f}"
            advance(clips * self.step, clips * self.config.run.steps, what)


def _plain(clip: str) -> str:
    """A clip's name as the name of a file."""
    return "".join(c if c.isalnum() or c in "-_" else "_" for c in clip)[:60]
