"""Every row of the page of ablations is what it says, and training starts and exports with Mamba over time."""

import re
from dataclasses import asdict, fields, replace
from pathlib import Path

import pytest
import torch
from animatex_training.activation import checkpoint_levels
from animatex_training.augment import ReadSettings, read_settings
from animatex_training.config_file import network_config, read_config
from animatex_training.initial import initial_network
from safetensors.torch import save_file

from animatex_core.config import RELEASED, UNIANIMATE
from animatex_core.model import Inputs
from tests.training.fakes import small_config

PAGE = Path(__file__).parents[2] / "docs" / "ablations.md"
ROW = re.compile(r"^\| ([^|]+?) \| [^|]* \| ((?:`[^`]+` ?)*)\|$", re.MULTILINE)


def rows():
    found = {name: re.findall(r"`([^`]+)`", changes) for name, changes in ROW.findall(PAGE.read_text())}
    return {name: changes for name, changes in found.items() if name not in ("row of the paper", "---")}


# What differs from the full model: fields of the core's configuration and of the reading of samples.
SAYS = {
    "Animate-X": {},
    "Baseline": {"unet.motion_attention": "none", "ipi": None, "probability": 0.0},
    "w/o IPI": {"unet.motion_attention": "none", "ipi": None},
    "w/o LQ": {"ipi.query": "pose"},
    "w/o DQ": {"ipi.query": "learned"},
    "PA": {"unet.motion_attention": "parallel"},
    "KV_Q": {"ipi.query": "clip"},
    "w/o EPI": {"probability": 0.0},
    "w/o Add": {"add": False},
    "w/o Drop": {"drop": False},
    "w/o BS": {"body_shoulders": False},
    "w/o NF": {"neck_face": False},
    "w/o AL": {"arms_legs": False},
    "w/o Rescalings": {"rescale": False},
    "w/o Realign": {"realign": False},
    "lambda 100 %": {"probability": 1.0},
    "lambda 98 %": {},
    "lambda 95 %": {"probability": 0.95},
    "lambda 90 %": {"probability": 0.9},
    "lambda 80 %": {"probability": 0.8},
    "alpha of figure 13": {"alpha": 0.5},
    "Mamba over time": {"unet.temporal": "mamba"},
}


def flat(values, where=""):
    """Nested fields by their dotted names; an IPI that is not there is one value."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from flat(value, f"{where}{key}.")
        else:
            yield f"{where}{key}", value


def test_the_page_has_every_row():
    assert set(rows()) == set(SAYS)


@pytest.mark.parametrize("name", SAYS)
def test_a_row_changes_what_it_says_and_nothing_else(name):
    config, plain = read_config("paper", rows()[name]), read_config("paper")
    apart = {f.name for f in fields(config) if getattr(config, f.name) != getattr(plain, f.name)}
    assert apart <= {"model", "data"}
    assert replace(config.data, settings=plain.data.settings) == plain.data
    found = dict(flat(asdict(network_config(config.model)))) | asdict(read_settings(config.data.settings))
    full = dict(flat(asdict(RELEASED))) | asdict(ReadSettings())
    if SAYS[name].get("ipi", "kept") is None:
        full = {key: value for key, value in full.items() if not key.startswith("ipi.")}
    assert {key: value for key, value in found.items() if key not in full or full[key] != value} == SAYS[name]
    assert not full.keys() - found.keys()


def test_without_ipi_is_the_uni_animate_network():
    assert network_config(read_config("paper", rows()["w/o IPI"]).model) == UNIANIMATE


def network(temporal, weights="", seed=3):
    config = network_config(small_config().model)
    return initial_network(replace(config, unet=replace(config.unet, temporal=temporal)), str(weights), seed)


def saved(path, made):
    save_file(made.state_dict(), path, {"config": made.config.to_json()})
    return path


@pytest.mark.parametrize(("source", "target"), [("attention", "mamba"), ("mamba", "attention")])
def test_another_temporal_module_keeps_all_but_the_mixing(tmp_path, source, target):
    made = network(source, seed=4)
    started = network(target, saved(tmp_path / "m.safetensors", made)).state_dict()
    state, begun = made.state_dict(), network(target).state_dict()
    mixing = {name for name in started if "temporal.block.mixer." in name}
    if target == "attention":
        mixing = {n for n in started if "temporal.block.self_attention" in n or "temporal.block.cross_" in n}
    assert mixing and mixing == set(started) - set(state)
    assert all(torch.equal(tensor, begun[n] if n in mixing else state[n]) for n, tensor in started.items())


def loss_of(model):
    generator = torch.Generator().manual_seed(1)

    def draw(*shape):
        return torch.rand(shape, generator=generator)

    inputs = Inputs(
        pose=draw(1, 3, 2, 32, 32), reference=draw(1, 3, 32, 32), image_feature=draw(1, 32),
        keypoints=draw(1, 2, 2, 18), features=draw(1, 2, 32),
    )  # fmt: skip
    x = draw(1, 4, 2, 4, 4)
    return model(x, torch.tensor([500]), model.encode(inputs, 2, 4, 4)).square().mean()


def test_mamba_learns_the_same_with_and_without_activations_kept():
    plain, again = network("mamba"), network("mamba")
    for model in (plain, again):
        for parameter in model.parameters():
            parameter.data.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2)), alpha=0.05)
    assert checkpoint_levels(again.unet, [0, 1]) > 0
    for model in (plain, again):
        loss_of(model).backward()
    gradients = dict(again.named_parameters())
    for name, parameter in plain.named_parameters():
        if parameter.grad is None:
            assert gradients[name].grad is None, name
        else:
            assert torch.allclose(parameter.grad, gradients[name].grad, rtol=1e-5, atol=1e-8), name
    assert plain.get_parameter("unet.encoder.0.temporal.block.mixer.ahead.decay_log").grad.any()
