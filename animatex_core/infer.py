"""A configuration from the shapes of the tensors, for files that carry none.

Shapes tell every width and every count, but not how a width is cut into heads or groups. For those the numbers of the
released network hold: 8 heads in the first temporal module whatever its width (which gives the width of a head), 8
heads of the pose query, heads of 64 in the reader, 32 groups. The ablations of the IPI are never guessed: a file that
lacks its learned query or its pose query is taken for a damaged one unless it says what it is.
"""

from __future__ import annotations

from dataclasses import replace

from .config import RELEASED, AnimateXConfig, ConditionConfig, IPIConfig, UNetConfig
from .inventory import POSITIONS, Shapes
from .keymap import released_name
from .tensor_files import WeightsError

RELEASED_IPI = IPIConfig()
_MIXER = "unet.entrance_temporal.block.mixer"


class _Finder:
    """Shapes by our names, in a file of ours or of the released format."""

    def __init__(self, shapes: Shapes):
        self.shapes = shapes
        self.released = not any(name.startswith("unet.") for name in shapes)

    def get(self, ours: str) -> tuple[int, ...] | None:
        return self.shapes.get(released_name(ours, RELEASED) if self.released else ours)

    def need(self, ours: str) -> tuple[int, ...]:
        shape = self.get(ours)
        if shape is None or len(shape) < (1 if ours.endswith("bias") else 2):
            name = released_name(ours, RELEASED) if self.released else ours
            found = "is missing" if shape is None else f"has the shape {list(shape)}"
            raise WeightsError(f"the configuration cannot be told from the tensors: {name} {found}")
        return shape

    def count(self, pattern: str) -> int:
        """How many of `pattern` there are, numbered from 0."""
        number = 0
        while self.get(pattern.format(number)) is not None:
            number += 1
        return number


def infer_config(shapes: Shapes, *, entrance_heads: int = 8) -> AnimateXConfig:
    """The configuration of a file with our names or the released ones, without any prefix.

    Raises WeightsError naming the tensor that is missing or whose size makes no sense.
    """
    find = _Finder(shapes)
    channels = find.need("pose.conv3.weight")[0]
    try:
        return AnimateXConfig(
            unet=_unet(find, channels, entrance_heads),
            conditions=_conditions(find, channels),
            ipi=_ipi(find) if find.get("ipi.reader.learned_query") or find.get("ipi.reader.enter.weight") else None,
        )
    except (ValueError, ArithmeticError) as error:
        raise WeightsError(str(error)) from error


def _unet(find: _Finder, condition_channels: int, entrance_heads: int) -> UNetConfig:
    width, entering = find.need("unet.entrance.weight")[:2]
    inner = find.need("unet.entrance_temporal.enter.weight")[0]
    levels = _levels(find)
    feed_forward = find.need("unet.middle.spatial.block.feed_forward.up.weight")
    config = UNetConfig(
        in_channels=entering - condition_channels,
        out_channels=find.need("unet.out.weight")[0],
        width=width,
        multipliers=tuple(_quotient(level[0][0], width, "channels of a level") for level in levels),
        blocks_per_level=tuple(len(level) for level in levels),
        attention_levels=sum(level[0][1] for level in levels),
        head_width=_quotient(inner, entrance_heads, "width of the first temporal module"),
        entrance_heads=entrance_heads,
        context_width=find.need("unet.middle.spatial.block.cross_attention.key.weight")[1],
        feed_forward=_quotient(feed_forward[0], 2 * feed_forward[1], "feed-forward"),
        motion_attention="none" if find.get("unet.middle.motion.enter.weight") is None else "serial",
    )
    return config if find.get(f"{_MIXER}.enter.weight") is None else _with_mamba(config, find)


def _with_mamba(config: UNetConfig, find: _Finder) -> UNetConfig:
    inner, width = find.need(f"{_MIXER}.enter.weight")[:2]
    return replace(
        config,
        temporal="mamba",
        mamba_states=find.need(f"{_MIXER}.ahead.decay_log")[1],
        mamba_kernel=find.need(f"{_MIXER}.ahead.taps")[1],
        mamba_expand=_quotient(inner, 2 * width, "channels inside Mamba"),
    )


def _levels(find: _Finder) -> list[list[tuple[int, bool]]]:
    """For every level of the encoder, its blocks as (channels, has attention)."""
    levels: list[list[tuple[int, bool]]] = [[]]
    stage = 0
    while True:
        block = find.get(f"unet.encoder.{stage}.res.conv1.weight")
        if block is not None and len(block) > 0:
            levels[-1].append((block[0], find.get(f"unet.encoder.{stage}.spatial.enter.weight") is not None))
        elif find.get(f"unet.encoder.{stage}.conv.weight") is not None:
            levels.append([])
        else:
            break
        stage += 1
    if any(not level for level in levels):
        find.need(f"unet.encoder.{stage}.res.conv1.weight")
    if any(level != [level[0]] * len(level) for level in levels):
        raise WeightsError(f"a level of the encoder has blocks that differ: {levels}")
    return levels


def _conditions(find: _Finder, channels: int) -> ConditionConfig:
    context, clip = find.need("image_tokens.enter.weight")[:2]
    prompt = find.get("empty_prompt") if not find.released else None
    over_time = "pose.over_time"
    return ConditionConfig(
        channels=channels,
        stem=find.need("pose.conv1.weight")[0],
        heads=_quotient(find.need(f"{over_time}.query_key_value.weight")[0], 3 * channels, f"{over_time} heads"),
        feed_forward=_quotient(find.need(f"{over_time}.up.weight")[0], channels, f"{over_time} feed-forward"),
        clip_width=clip,
        text_tokens=prompt[1] if prompt is not None and len(prompt) == 3 else ConditionConfig().text_tokens,
        image_tokens=_quotient(find.need("image_tokens.leave.weight")[0], context, "image tokens"),
    )


def _ipi(find: _Finder) -> IPIConfig:
    width, clip = find.need("ipi.reader.enter.weight")[:2]
    inner = find.need("ipi.reader.layers.0.query.weight")[0]
    head_width = RELEASED_IPI.reader_head_width
    positions = find.get(POSITIONS)
    return IPIConfig(
        width=width,
        keypoints=_quotient(find.need("ipi.query.lift1.weight")[1], 2, "keypoints"),
        tokens=find.need("ipi.reader.learned_query")[1],
        query_layers=find.count("ipi.query.layers.{}.up.weight"),
        query_heads=RELEASED_IPI.query_heads,
        query_feed_forward=find.need("ipi.query.layers.0.up.weight")[0],
        positions=positions[1] if positions is not None and len(positions) == 3 else RELEASED_IPI.positions,
        reader_layers=find.count("ipi.reader.layers.{}.query.weight"),
        reader_heads=_quotient(inner, head_width, "width of the reader's attention"),
        reader_head_width=head_width,
        reader_feed_forward=_quotient(find.need("ipi.reader.layers.0.up.weight")[0], width, "reader's feed-forward"),
        clip_width=clip,
    )


def _quotient(number: int, unit: int, what: str) -> int:
    if unit < 1 or number % unit or not number:
        raise WeightsError(f"{what}: {number} is no multiple of {unit}")
    return number // unit
