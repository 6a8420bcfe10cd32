"""A stage more on a level: the same predictions, and something new that learns."""

import json

import pytest
import torch
from animatex_training.cli import main
from animatex_training.deepen import deepen
from animatex_training.export import export
from safetensors.torch import load_file, save_file

from animatex_core.config import AnimateXConfig
from animatex_core.tensor_files import WeightsError, open_safetensors
from animatex_core.weights import load_model
from tests.training.fakes import NETWORK
from tests.training.test_export import trained

SIZE = (2, 3, 16, 8)  # batch, frames, rows, columns of latents


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    folder = tmp_path_factory.mktemp("network")
    trained(folder / "run")
    export(folder / "run", folder / "fresh.safetensors", dtype="fp32")
    tensors = load_file(folder / "fresh.safetensors")
    random = torch.Generator().manual_seed(0)
    for name, tensor in tensors.items():
        if name.startswith("unet.") and not tensor.any():  # a new network's branches add nothing, and hide what is lost
            tensor.copy_(0.05 * torch.randn(tensor.shape, generator=random))
    tensors["vae.a"] = torch.ones(2, dtype=torch.float16)
    save_file(tensors, folder / "network.safetensors", open_safetensors(folder / "fresh.safetensors").metadata)
    return folder / "network.safetensors"


def predicted(file, learning=False):
    """What the UNet says of random inputs, and the UNet."""
    unet = load_model(file, dtype=torch.float32).unet.requires_grad_(learning)
    random = torch.Generator().manual_seed(1)
    batch, frames, *sides = SIZE
    config, context = unet.config, unet.config.context_width
    beside = unet.entrance.weight.shape[1] - config.in_channels

    def some(*shape):
        return torch.randn(*shape, generator=random)

    v = unet(
        some(batch, config.in_channels, frames, *sides), torch.tensor([3, 900]), some(batch, beside, frames, *sides),
        some(batch, beside + config.in_channels, 1, *sides), some(batch, 5, context),
        some(batch * (frames + 1), 4, context),
    )  # fmt: skip
    return v, unet


@pytest.mark.parametrize("level, blocks", [(0, [2, 1]), (1, [1, 2])])
def test_a_stage_more_says_the_same_to_the_bit_and_learns(network, tmp_path, capsys, level, blocks):
    out = tmp_path / "deeper.safetensors"
    assert main(["deepen", str(network), "--level", str(level), "--out", str(out)]) == 0
    assert f"blocks_per_level = {blocks}" in capsys.readouterr().out
    wanted, before = predicted(network)
    found, after = predicted(out, learning=True)
    assert torch.equal(found, wanted) and wanted.std() > 0
    assert len(after.encoder) == len(before.encoder) + 1 and len(after.decoder) == len(before.decoder) + 1
    found.square().mean().backward()
    still = [n for n, p in after.named_parameters() if p.grad is None]
    assert not still
    new = [n for n, p in after.named_parameters() if n.endswith(("conv2.weight", "leave.weight")) and not p.any()]
    gradients = dict(after.named_parameters())
    assert new and all(gradients[n].grad.any() for n in new)


def test_twice_gives_two_and_one_number_where_all_levels_are_alike_again(network, tmp_path):
    first, second, third = (tmp_path / f"{n}.safetensors" for n in "abc")
    deepen(network, first, 0)
    assert deepen(first, second, 0, seed=1).unet.blocks_per_level == (3, 1)
    assert deepen(first, third, 1).unet.blocks_per_level == 2
    wanted = predicted(network)[0]
    for file in (second, third):
        assert torch.equal(predicted(file)[0], wanted)


def test_what_else_is_in_the_file_stays(network, tmp_path):
    out = tmp_path / "deeper.safetensors"
    deepen(network, out)
    before, after = open_safetensors(network), open_safetensors(out)
    assert torch.equal(after.tensors["vae.a"], before.tensors["vae.a"])
    told = dict(after.metadata)
    assert AnimateXConfig.from_json(told.pop("config")).unet.blocks == (2, 1)
    assert told == {name: words for name, words in before.metadata.items() if name != "config"}


def test_a_run_goes_on_from_it(network, tmp_path):
    deepen(network, tmp_path / "deeper.safetensors")
    start = {"weights": str(tmp_path / "deeper.safetensors")}
    model = {"unet": NETWORK["unet"] | {"blocks_per_level": [2, 1]}}
    trainer = trained(tmp_path / "run", start=start, model=model)
    assert trainer.module.network.config.unet.blocks == (2, 1)
    export(tmp_path / "run", tmp_path / "out.safetensors", dtype="fp32")
    config = json.loads(open_safetensors(tmp_path / "out.safetensors").metadata["config"])
    assert config["unet"]["blocks_per_level"] == [2, 1]
    with pytest.raises(ValueError, match=r"_level: expected \[1, 1\] as \[model\] says, found \[2, 1\]"):
        trained(tmp_path / "other", start=start)


@pytest.mark.parametrize("level", [-1, 2])
def test_levels_that_there_are_not(network, tmp_path, level):
    with pytest.raises(ValueError, match=f"level: expected 0 to 1, got {level}"):
        deepen(network, tmp_path / "out.safetensors", level)
    assert not (tmp_path / "out.safetensors").exists()


def test_a_file_that_is_no_such_model(tmp_path):
    save_file({"a": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match=r"other\.safetensors: no converted Animate-X model"):
        deepen(tmp_path / "other.safetensors", tmp_path / "out.safetensors")
