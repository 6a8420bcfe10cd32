"""Every width of the network as a number: the released configuration, the small one of the tests, and UniAnimate.

Source: arXiv 2410.10306 and the published checkpoint (2,100 tensors, 1,817,742,348 numbers).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, get_args

MotionAttention = Literal["serial", "parallel", "none"]
IPIQuery = Literal["merged", "pose", "learned", "clip"]
TemporalKind = Literal["attention", "mamba"]
LARGEST_ALPHA = 1e6
PER_LEVEL = ("unet.blocks_per_level",)  # fields of one number or a list of them


@dataclass(frozen=True, kw_only=True)
class UNetConfig:
    """The time-dependent network."""

    in_channels: int = 4
    out_channels: int = 4
    width: int = 320
    multipliers: tuple[int, ...] = (1, 2, 4, 4)
    blocks_per_level: int | tuple[int, ...] = 2  # of the encoder, one number or one a level; the decoder has one more
    attention_levels: int = 3  # the first levels, counted from full latent size, have transformers
    head_width: int = 64
    entrance_heads: int = 8  # heads of the first temporal module, whatever the width
    context_width: int = 1024
    groups: int = 32
    feed_forward: int = 4
    motion_attention: MotionAttention = "serial"  # "parallel" is PA of table 4, "none" is UniAnimate
    temporal: TemporalKind = "attention"
    mamba_states: int = 16  # of every channel; these three count for "mamba" only
    mamba_kernel: int = 4  # frames of the short convolution before a scan
    mamba_expand: int = 2  # channels inside, over the width of the module

    def __post_init__(self) -> None:
        given = self.blocks_per_level
        if isinstance(given, int):
            return
        if len(given) != len(self.multipliers):
            wanted = f"a positive integer, or a list of {len(self.multipliers)}, one a level as in unet.multipliers"
            raise ValueError(f"configuration unet.blocks_per_level: expected {wanted}, got {str(list(given))[:100]}")
        # One network has one spelling: configurations are compared, also as text.
        object.__setattr__(self, "blocks_per_level", given[0] if len(set(given)) == 1 else tuple(given))

    @property
    def alignment(self) -> int:
        """Latent sides are padded to multiples of this: every level but the last halves them."""
        return 2 ** (len(self.multipliers) - 1)

    @property
    def blocks(self) -> tuple[int, ...]:
        """Stages of every level of the encoder; the decoder has one more."""
        given = self.blocks_per_level
        return (given,) * len(self.multipliers) if isinstance(given, int) else given


@dataclass(frozen=True, kw_only=True)
class ConditionConfig:
    """The encoders of pose pictures, reference picture, reference latent and image tokens."""

    channels: int = 8  # concatenated to the noise
    stem: int = 32  # channels inside a picture stack
    heads: int = 2  # of the small transformer over time
    feed_forward: int = 4
    clip_width: int = 1024
    text_tokens: int = 77  # the empty prompt
    image_tokens: int = 4


@dataclass(frozen=True, kw_only=True)
class IPIConfig:
    """The Implicit Pose Indicator (section 3.3): pose queries that read CLIP features of the driving frames."""

    width: int = 1024
    keypoints: int = 18
    tokens: int = 4
    query_layers: int = 3
    query_heads: int = 8
    query_feed_forward: int = 1024
    positions: int = 33  # length of the table in the file; longer clips rebuild it
    reader_layers: int = 8
    reader_heads: int = 16
    reader_head_width: int = 64
    reader_feed_forward: int = 4
    clip_width: int = 1024
    # What reads the CLIP features (table 5): poses and a learned query added, or only one of the two. "clip" is KV_Q:
    # the CLIP feature, with the learned query added, reads the poses instead.
    query: IPIQuery = "merged"


@dataclass(frozen=True, kw_only=True)
class AnimateXConfig:
    """The whole model. ``ipi`` is None for the variant without it (UniAnimate)."""

    unet: UNetConfig = field(default_factory=UNetConfig)
    conditions: ConditionConfig = field(default_factory=ConditionConfig)
    ipi: IPIConfig | None = field(default_factory=IPIConfig)
    alpha: float = 1.0  # weight of motion attention's residual and of the IPI's learned query (figure 13)

    def __post_init__(self) -> None:
        unet = self.unet
        _one_of("motion_attention", unet.motion_attention, get_args(MotionAttention))
        _one_of("temporal", unet.temporal, get_args(TemporalKind))
        if not _is_number(self.alpha):
            raise ValueError(f"configuration alpha: expected a number, got {str(self.alpha)[:100]}")
        if (self.ipi is None) != (unet.motion_attention == "none"):
            raise ValueError("an IPI and motion attention go together: give both or neither")
        for multiplier in unet.multipliers:
            channels = unet.width * multiplier
            if channels % unet.groups or channels % unet.head_width:
                wanted = f"{unet.groups} (groups) and {unet.head_width} (head width)"
                raise ValueError(f"{channels} channels must be a multiple of {wanted}")
        if self.ipi is None:
            return
        _one_of("ipi.query", self.ipi.query, get_args(IPIQuery))
        if self.ipi.width % self.ipi.query_heads:
            wanted = f"a multiple of ipi.query_heads, {self.ipi.query_heads}"
            raise ValueError(f"configuration ipi.width: expected {wanted}, got {self.ipi.width}")

    def to_json(self) -> str:
        """As kept in the metadata of a model file."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> AnimateXConfig:
        """Read what `to_json` wrote. Raises ValueError naming an unknown or misshapen field."""
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            cause = "nested too deeply" if isinstance(error, RecursionError) else error
            raise ValueError(f"the configuration is not JSON: {cause}") from None
        if not isinstance(data, dict):
            raise ValueError(f"the configuration must be an object, got {type(data).__name__}")
        _no_others(data, [f.name for f in fields(cls)], "the configuration")
        ipi = data.get("ipi", {})
        return cls(
            unet=_section(UNetConfig, data.get("unet", {}), "unet"),
            conditions=_section(ConditionConfig, data.get("conditions", {}), "conditions"),
            ipi=None if ipi is None else _section(IPIConfig, ipi, "ipi"),
            alpha=data.get("alpha", 1.0),
        )


def _section(kind: type, values: Any, name: str) -> Any:
    if not isinstance(values, dict):
        raise ValueError(f"configuration {name}: expected an object, got {type(values).__name__}")
    known = {f.name: f for f in fields(kind)}
    _no_others(values, known, f"configuration {name}")
    return kind(**{key: _checked(value, known[key].default, f"{name}.{key}") for key, value in values.items()})


def _no_others(values: Iterable[str], known: Iterable[str], where: str) -> None:
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ValueError(f"{where}: unknown fields {', '.join(unknown)[:200]}")


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"configuration {name} must be {', '.join(choices[:-1])} or {choices[-1]}, got {value!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST_ALPHA


def _checked(value: Any, example: Any, name: str) -> Any:
    if isinstance(example, tuple) or (name in PER_LEVEL and not _is_width(value)):
        if not isinstance(value, list) or not value or not all(_is_width(v) for v in value):
            wanted = f"{'a positive integer, or ' if name in PER_LEVEL else ''}a list of positive integers"
            raise ValueError(f"configuration {name}: expected {wanted}, got {str(value)[:100]}")
        return tuple(value)
    right = isinstance(value, str) if isinstance(example, str) else _is_width(value)
    if not right:
        raise ValueError(f"configuration {name}: expected something like {example!r}, got {value!r}")
    return value


def _is_width(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 1 << 20


RELEASED = AnimateXConfig()
UNIANIMATE = AnimateXConfig(unet=UNetConfig(motion_attention="none"), ipi=None)
TINY = AnimateXConfig(
    unet=UNetConfig(
        width=32, multipliers=(1, 2), blocks_per_level=1, attention_levels=2, head_width=16, entrance_heads=2,
        context_width=64, groups=8,
    ),
    conditions=ConditionConfig(channels=8, stem=16, clip_width=64),
    ipi=IPIConfig(
        width=64, query_layers=1, query_heads=4, query_feed_forward=64, reader_layers=2, reader_heads=4,
        reader_head_width=16, clip_width=64,
    ),
)  # fmt: skip
CONFIGS = {"released": RELEASED, "unianimate": UNIANIMATE, "tiny": TINY}


def with_unet(config: AnimateXConfig, **changes: Any) -> AnimateXConfig:
    """The same model with other UNet numbers, e.g. ``with_unet(RELEASED, width=64, multipliers=(1, 2))``."""
    return replace(config, unet=replace(config.unet, **changes))
