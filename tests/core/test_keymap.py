"""The key map is a bijection with the published list of tensors."""

import json
from pathlib import Path

import pytest

from animatex_core.config import RELEASED, TINY, UNIANIMATE, with_unet
from animatex_core.keymap import key_map, to_ours, to_released
from animatex_core.layers import Layers
from animatex_core.model import AnimateX

MANIFEST = Path(__file__).parents[1] / "data" / "golden" / "unet_manifest.json"


def meta_state(config):
    return AnimateX(config, Layers(device="meta")).state_dict()


def test_bijection_with_the_published_names_and_shapes():
    ours, published = meta_state(RELEASED), json.loads(MANIFEST.read_text())
    pairs = key_map(list(ours), RELEASED)
    assert len(pairs) == len(set(pairs.values())) == len(published) == 2100
    assert set(pairs.values()) == set(published)
    shapes = {released: list(to_released(name, ours[name]).shape) for name, released in pairs.items()}
    assert shapes == published
    back = {released: name for name, released in pairs.items()}
    assert set(back) == set(published) and len(set(back.values())) == 2100
    for released, name in back.items():
        assert to_ours(name, ours[name].new_empty(published[released])).shape == ours[name].shape


def test_parameter_counts_are_exact():
    def count(state):
        return sum(t.numel() for name, t in state.items() if name != "empty_prompt")

    ours = meta_state(RELEASED)
    assert count(ours) == 1_817_742_348
    without_ipi = {n: t for n, t in ours.items() if not n.startswith("ipi.") and ".motion." not in n}
    assert count(meta_state(UNIANIMATE)) == count(without_ipi)
    assert set(meta_state(UNIANIMATE)) == set(without_ipi)


@pytest.mark.parametrize(
    "config",
    [
        TINY,
        UNIANIMATE,
        with_unet(TINY, temporal="mamba"),
        with_unet(RELEASED, width=64, multipliers=(1, 2, 3), blocks_per_level=3, attention_levels=1),
        with_unet(RELEASED, width=64, multipliers=(1, 2, 3), blocks_per_level=(3, 1, 2), attention_levels=2),
    ],
)
def test_every_tensor_of_other_configurations_has_its_own_name(config):
    names = [n for n in meta_state(config) if n != "empty_prompt"]
    assert len(set(key_map(names, config).values())) == len(names)


def test_released_names_place_the_upsampling_after_what_the_stage_has():
    pairs = key_map(list(meta_state(RELEASED)), RELEASED)
    assert pairs["unet.decoder.2.upsample.conv.weight"] == "output_blocks.2.1.conv.weight"
    assert pairs["unet.decoder.5.upsample.conv.weight"] == "output_blocks.5.3.conv.weight"
    uneven = with_unet(RELEASED, multipliers=(1, 2, 3), blocks_per_level=(3, 1, 1), attention_levels=2)
    pairs = key_map(list(meta_state(uneven)), uneven)
    assert pairs["unet.decoder.1.upsample.conv.weight"] == "output_blocks.1.1.conv.weight"
    assert pairs["unet.decoder.3.upsample.conv.weight"] == "output_blocks.3.3.conv.weight"


@pytest.mark.parametrize(
    "stranger",
    [
        "stranger",
        "unet.decoder.99.upsample.conv.weight",
        "unet.stranger.weight",
        "unet.time_in.stranger",
        "unet.time_in.more.weight",
        "unet.encoder.0.stranger.conv1.weight",
        "unet.encoder.0.res.stranger.weight",
        "unet.encoder.0.res.norm1.weight.more",
        "unet.encoder.0.res.norm1.stranger",
        "unet.decoder.2.upsample.conv.more.weight",
        "ipi.query.layers.x.up.weight",
        "ipi.reader.stranger",
        "pose.over_time.stranger.weight",
    ],
)
def test_a_name_that_no_table_knows_is_a_key_error(stranger):
    with pytest.raises(KeyError, match="no released name for "):
        key_map([stranger], RELEASED)
