"""Every setting of a training run, typed; `config_file` reads it from TOML, where an unknown key is an error."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args, get_type_hints

from animatex_core.choices import ReferenceMode

Precision = Literal["fp32", "bf16", "fp16"]
Sharding = Literal["none", "ddp", "fully_shard"]
Optimiser = Literal["adamw", "adamw8bit", "muon"]
Schedule = Literal["constant", "cosine"]
Base = Literal["released", "unianimate", "tiny"]


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """The network: a base of the core's table, and what differs from it (`unet.width = 64`, `ipi.query = "pose"`)."""

    base: Base = "released"
    unet: dict[str, Any] = field(default_factory=dict)
    conditions: dict[str, Any] = field(default_factory=dict)
    ipi: dict[str, Any] = field(default_factory=dict)
    alpha: float = 1.0  # weight of motion attention and of the IPI's learned query


@dataclass(frozen=True, kw_only=True)
class StartSettings:
    """Where the weights are from."""

    weights: str = ""  # a converted Animate-X or UniAnimate file; empty: random weights of the run's seed
    required: bool = False  # whether random weights are an error: the rest of the settings is for trained ones


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """What is read, and how much of it at a time."""

    folder: str = ""  # written by `animate-x-train prepare`
    frames: int = 32  # of a clip; 1 trains on single frames
    reference: ReferenceMode = "released"  # its picture; "paper": its latent and pose picture; "both"
    batch: int = 1  # clips of one process and one backward pass
    accumulate: int = 1  # backward passes of one step
    workers: int = 2
    settings: dict[str, Any] = field(default_factory=dict)  # of the augmentation: see `animatex_training.augment`


@dataclass(frozen=True, kw_only=True)
class ObjectiveSettings:
    """The loss. The paper's lineage: v-prediction with zero terminal SNR, offset noise, no weighting."""

    offset_noise: float = 0.1
    min_snr: float = 0.0  # gamma of Hang et al. 2023, often 5; 0: all time steps weigh the same
    shift: float = 1.0  # above 1: noisy time steps are drawn more often (Esser et al. 2024, section 5.3.2)
    # Condition dropout: pose, reference picture and image tokens, each on its own or all together.
    drop_each: float = 0.5
    drop_all: float = 0.1
    keep_all: float = 0.1
    drop_motion: bool = False  # when all are dropped, the IPI's inputs and the reference's latent as well


@dataclass(frozen=True, kw_only=True)
class OptimiserSettings:
    """AdamW, or Muon for weights that multiply, with a learning rate for the IPI and one for the rest."""

    kind: Optimiser = "adamw"  # rates and weight decay mean the same to all
    rate: float = 5e-5
    ipi_rate: float = 5e-7
    weight_decay: float = 0.01
    beta1: float = 0.9  # of Muon as well
    beta2: float = 0.999
    epsilon: float = 1e-8
    fused: bool = True
    clip: float = 1.0  # largest norm of the gradient; 0: not clipped
    warmup: int = 0  # steps
    schedule: Schedule = "constant"  # "cosine" falls to 0 at the last step
    ema: float = 0.9999  # 0: no EMA


@dataclass(frozen=True, kw_only=True)
class TrainableSettings:
    """What learns. Patterns of parameter names with stars: `unet.*.motion.*`, `ipi.*`."""

    train: tuple[str, ...] = ("*",)
    freeze: tuple[str, ...] = ()
    lora_rank: int = 0  # above 0: adapters on the layers that match, and nothing else learns
    lora_alpha: float = 0.0  # 0: the rank
    lora_layers: tuple[str, ...] = ("*attention*",)


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Length, precision and means of the run."""

    steps: int = 10000
    seed: int = 0
    device: str = "auto"
    precision: Precision = "bf16"
    frozen_precision: Precision = "fp32"  # of weights that do not learn
    checkpoint_levels: tuple[int, ...] = ()  # levels of the UNet that compute activations twice to keep fewer
    compile: bool = False
    sharding: Sharding = "ddp"  # of several processes; one process has no need of either
    timeout: int = 50  # seconds that a process waits for another one


@dataclass(frozen=True, kw_only=True)
class SaveSettings:
    """Checkpoints."""

    every: int = 1000  # steps
    keep: int = 3


@dataclass(frozen=True, kw_only=True)
class WatchSettings:
    """What is shown on the way."""

    log_every: int = 10  # steps between scalars
    sample_every: int = 1000  # steps between validations and sample videos; step 0 and the last one included; 0: none
    samples: int = 2  # clips of the validation set
    sampling_steps: int = 20
    guidance: float = 2.5
    vae: str = ""  # decodes the sample videos; empty: a false-colour view of the latents
    bad_steps: int = 3  # steps in a row whose loss is not finite before the run ends


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A training run."""

    model: ModelSettings = field(default_factory=ModelSettings)
    start: StartSettings = field(default_factory=StartSettings)
    data: DataSettings = field(default_factory=DataSettings)
    objective: ObjectiveSettings = field(default_factory=ObjectiveSettings)
    optimiser: OptimiserSettings = field(default_factory=OptimiserSettings)
    trainable: TrainableSettings = field(default_factory=TrainableSettings)
    run: RunSettings = field(default_factory=RunSettings)
    save: SaveSettings = field(default_factory=SaveSettings)
    watch: WatchSettings = field(default_factory=WatchSettings)

    def __post_init__(self) -> None:
        for section in fields(self):
            _check_choices(section.name, getattr(self, section.name))
        for name in ("data.frames", "data.batch", "data.accumulate", "run.steps", "save.every", "save.keep"):
            _at_least(self, name, 1)
        for name in ("data.workers", "optimiser.warmup", "trainable.lora_rank", "watch.sample_every", "run.seed"):
            _at_least(self, name, 0)
        for name in ("optimiser.rate", "optimiser.ipi_rate", "optimiser.clip", "optimiser.weight_decay"):
            _at_least(self, name, 0)
        for name in ("watch.log_every", "watch.samples", "watch.sampling_steps", "watch.bad_steps", "run.timeout"):
            _at_least(self, name, 1)
        _at_least(self, "objective.min_snr", 0)
        _at_least(self, "objective.offset_noise", 0)
        _at_least(self, "objective.shift", 1)
        self._check_shares()
        if self.run.precision == "fp32" and self.run.frozen_precision != "fp32":
            raise ValueError(
                f'run.frozen_precision: "{self.run.frozen_precision}" does not go with run.precision "fp32"; use "fp32"'
            )
        if self.run.sharding == "fully_shard":
            _no_shares("run.precision", self.run.precision, "fp16", "bf16")
            for kind in ("adamw8bit", "muon"):
                _no_shares("optimiser.kind", self.optimiser.kind, kind, "adamw")
            for half in ("bf16", "fp16"):
                _no_shares("run.frozen_precision", self.run.frozen_precision, half, "fp32")

    def _check_shares(self) -> None:
        o = self.objective
        for name in ("drop_each", "drop_all", "keep_all"):
            if not 0 <= getattr(o, name) <= 1:
                raise ValueError(f"objective.{name}: expected 0 to 1, got {getattr(o, name)}")
        if o.drop_all + o.keep_all > 1:
            raise ValueError(f"objective: drop_all and keep_all add up to {o.drop_all + o.keep_all}, at most 1")
        if not 0 <= self.optimiser.ema < 1:
            raise ValueError(f"optimiser.ema: expected 0 to below 1, got {self.optimiser.ema}")


def _check_choices(section: str, settings: Any) -> None:
    """A string that is typed as one of several is one of them."""
    for name, kind in get_type_hints(type(settings)).items():
        choices, value = get_args(kind), getattr(settings, name)
        if isinstance(value, str) and choices and value not in choices:
            raise ValueError(f"{section}.{name}: expected {', '.join(choices[:-1])} or {choices[-1]}, got {value!r}")


def _no_shares(name: str, value: str, unfit: str, fit: str) -> None:
    if value == unfit:
        raise ValueError(f'{name}: "{unfit}" does not go with run.sharding "fully_shard"; use "{fit}"')


def _at_least(config: TrainConfig, name: str, least: float) -> None:
    section, _, key = name.partition(".")
    value = getattr(getattr(config, section), key)
    if value < least:
        raise ValueError(f"{name}: expected at least {least}, got {value}")
