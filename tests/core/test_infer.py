"""Configurations told from shapes."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from animatex_core.config import RELEASED, UNIANIMATE, with_unet
from animatex_core.infer import infer_config
from animatex_core.keymap import key_map, to_released
from animatex_core.layers import Layers
from animatex_core.model import AnimateX
from animatex_core.tensor_files import WeightsError
from tests.core.small_files import SMALL, SMALL_MAMBA, SMALL_UNIANIMATE

MANIFEST = Path(__file__).parents[1] / "data" / "golden" / "unet_manifest.json"
OTHER = replace(
    with_unet(
        RELEASED, width=64, multipliers=(1, 2, 3), blocks_per_level=3, attention_levels=1, context_width=128,
        feed_forward=3, in_channels=5, out_channels=6,
    ),
    conditions=replace(RELEASED.conditions, channels=6, stem=24, heads=3, feed_forward=5, image_tokens=7),
    ipi=replace(
        RELEASED.ipi, width=192, keypoints=20, tokens=5, query_layers=2, query_feed_forward=72, positions=17,
        reader_layers=3, reader_heads=2, reader_feed_forward=2, clip_width=48,
    ),
)  # fmt: skip
CONFIGS = [
    RELEASED,
    UNIANIMATE,
    SMALL,
    SMALL_UNIANIMATE,
    SMALL_MAMBA,
    with_unet(RELEASED, temporal="mamba"),
    OTHER,
    with_unet(RELEASED, width=64, multipliers=(1, 2), attention_levels=2),
    with_unet(RELEASED, width=64, multipliers=(1, 2, 3), blocks_per_level=(3, 1, 2)),
]


def shapes_of(config, released):
    ours = AnimateX(config, Layers(device="meta")).state_dict()
    if not released:
        return {name: tuple(tensor.shape) for name, tensor in ours.items()}
    return {there: tuple(to_released(name, ours[name]).shape) for name, there in key_map(list(ours), config).items()}


@pytest.mark.parametrize("released", [False, True])
@pytest.mark.parametrize("config", CONFIGS)
def test_every_number_that_shapes_tell(config, released):
    assert infer_config(shapes_of(config, released)) == config


def test_the_published_list_is_the_released_configuration():
    assert infer_config({name: tuple(s) for name, s in json.loads(MANIFEST.read_text()).items()}) == RELEASED


def test_length_of_the_prompt_comes_from_the_buffer():
    config = replace(SMALL, conditions=replace(SMALL.conditions, text_tokens=5))
    assert infer_config(shapes_of(config, False)) == config


@pytest.mark.parametrize(
    "change, words",
    [
        ({"unet.entrance.weight": None}, r"told from the tensors: unet\.entrance\.weight is missing"),
        ({"unet.entrance.weight": (32,)}, r"unet\.entrance\.weight has the shape \[32\]"),
        ({"unet.encoder.2.res.conv1.weight": (48, 32, 3, 3)}, "channels of a level: 48 is no multiple of 32"),
        ({"unet.encoder.2.res.conv1.weight": None}, r"encoder\.2\.res\.conv1\.weight is missing"),
        ({"unet.entrance_temporal.enter.weight": (100, 32)}, "first temporal module: 100 is no multiple of 8"),
        ({"ipi.reader.layers.0.query.weight": (60, 64)}, "60 is no multiple of 64"),
        ({"unet.entrance.weight": (40, 12, 3, 3)}, "multiple of 40"),
    ],
)  # fmt: skip
def test_what_cannot_be_told_is_named(change, words):
    shapes = shapes_of(SMALL, False) | change
    with pytest.raises(WeightsError, match=words):
        infer_config({name: shape for name, shape in shapes.items() if shape is not None})
