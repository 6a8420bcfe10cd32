"""A stronger pose, in the weights: what the inputs' pose strength does, but for the epsilon of a norm."""

import logging

import pytest
import torch
from animatex_training.average import average
from animatex_training.cli import main
from animatex_training.initial import initial_network
from animatex_training.strengthen import strengthen
from safetensors.torch import load_file, save_file

from animatex_core.tensor_files import WeightsError, open_safetensors
from animatex_core.weights import load_model, load_state
from tests.training.test_export import new_export


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    folder = tmp_path_factory.mktemp("network")
    tensors, metadata = new_export(folder)
    tensors["pose.conv3.weight"] *= 100  # a new network's features are so small that the norm's epsilon shows
    random = torch.Generator().manual_seed(0)
    for name, tensor in tensors.items():
        if name.startswith("pose.over_time."):  # and what its blocks add is nothing beside them
            tensor.copy_(torch.randn(tensor.shape, generator=random))
    save_file(tensors, folder / "network.safetensors", metadata)
    return folder / "network.safetensors"


def test_the_pose_features_are_so_many_times_what_they_were_and_nothing_else_is(network, tmp_path, capsys):
    out = tmp_path / "more.safetensors"
    assert main(["strengthen", str(network), "--factor", "1.5", "--out", str(out)]) == 0
    assert str(out) in capsys.readouterr().out
    before, after = load_model(network, dtype=torch.float32), load_model(out, dtype=torch.float32)
    pictures = torch.rand(1, 3, 3, 32, 48, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        wanted, found = 1.5 * before.pose(pictures), after.pose(pictures)
    assert (found - wanted).abs().max() < 1e-3 * wanted.abs().max()
    one, other = load_file(network), load_file(out)
    scaled = {"conv3.weight", "over_time.out.weight", "over_time.down.weight", "over_time.up.weight"}
    scaled |= {"conv3.bias", "over_time.out.bias", "over_time.down.bias"}
    changed = {name for name in one if not torch.equal(one[name], other[name])}
    assert changed == {f"pose.{name}" for name in scaled if one[f"pose.{name}"].any()} and one.keys() == other.keys()
    assert open_safetensors(out).metadata["pose_strength"] == "1.5"


def test_factors_multiply_and_the_file_says_so(network, tmp_path):
    strengthen(network, tmp_path / "a.safetensors", 1.5)
    strengthen(tmp_path / "a.safetensors", tmp_path / "b.safetensors", 0.5)
    assert open_safetensors(tmp_path / "b.safetensors").metadata["pose_strength"] == "0.75"


def test_many_small_factors_are_no_way_around_the_most(network, tmp_path):
    strengthen(network, tmp_path / "a.safetensors", 1.5)
    with pytest.raises(ValueError, match=r"a\.safetensors: its pose strength would be 2.25 in all; at most 2"):
        strengthen(tmp_path / "a.safetensors", tmp_path / "b.safetensors", 1.5)
    assert not (tmp_path / "b.safetensors").exists()


def test_training_from_a_strengthened_file_says_so(network, tmp_path, caplog):
    strengthen(network, tmp_path / "a.safetensors", 1.5)
    strengthen(tmp_path / "a.safetensors", tmp_path / "b.safetensors", 0.6667)
    for file, told in (("a", 1), ("b", 0)):
        caplog.clear()
        caplog.set_level(logging.INFO, logger="animatex_training")
        weights = tmp_path / f"{file}.safetensors"
        initial_network(load_state(weights).config, str(weights), 0)
        assert caplog.text.count("strengthened by 1.5; ") == told == len(caplog.records)
        assert caplog.text.count("--factor 0.666667 ") == told


def test_what_was_put_in_comes_out_again(network, tmp_path):
    strengthen(network, tmp_path / "more.safetensors", 1.25)
    strengthen(tmp_path / "more.safetensors", tmp_path / "again.safetensors", 0.8)
    one, again = load_file(network), load_file(tmp_path / "again.safetensors")
    torch.testing.assert_close(again, one)
    assert open_safetensors(tmp_path / "again.safetensors").metadata["pose_strength"] == "1"


def test_what_was_taken_out_comes_in_again(network, tmp_path):
    strengthen(network, tmp_path / "less.safetensors", 0.3)
    strengthen(tmp_path / "less.safetensors", tmp_path / "again.safetensors", 1 / 0.3)
    assert float(open_safetensors(tmp_path / "again.safetensors").metadata["pose_strength"]) == pytest.approx(1)
    torch.testing.assert_close(load_file(tmp_path / "again.safetensors"), load_file(network))
    strengthen(tmp_path / "less.safetensors", tmp_path / "most.safetensors", 6.66667)
    assert open_safetensors(tmp_path / "most.safetensors").metadata["pose_strength"] == "2"
    with pytest.raises(ValueError, match=r"factor: expected a number above 0 and at most 6\.66667, got 7"):
        strengthen(tmp_path / "less.safetensors", tmp_path / "more.safetensors", 7)


def test_no_mean_of_files_that_were_strengthened_differently(network, tmp_path):
    strengthen(network, tmp_path / "more.safetensors", 1.25)
    with pytest.raises(WeightsError, match="pose_strength: strengthened by different numbers"):
        average([network, tmp_path / "more.safetensors"], tmp_path / "mean.safetensors")
    strengthen(tmp_path / "more.safetensors", tmp_path / "again.safetensors", 0.8)
    average([network, tmp_path / "again.safetensors"], tmp_path / "mean.safetensors")


@pytest.mark.parametrize("told", ["much", "nan", "0", "-1.2", "inf"])
def test_a_strength_that_is_no_number_is_named(network, tmp_path, told):
    tensors, metadata = load_file(network), open_safetensors(network).metadata
    save_file(tensors, tmp_path / "odd.safetensors", {**metadata, "pose_strength": told})
    with pytest.raises(
        WeightsError, match=r"odd\.safetensors: pose_strength: expected a number .* found " + f"'{told}'"
    ):
        strengthen(tmp_path / "odd.safetensors", tmp_path / "out.safetensors", 1.2)


@pytest.mark.parametrize("factor", [0, -1, 2.5, float("nan")])
def test_other_factors_are_refused_before_anything_is_written(network, tmp_path, factor):
    with pytest.raises(ValueError, match="factor: expected a number above 0 and at most 2"):
        strengthen(network, tmp_path / "out.safetensors", factor)
    assert not list(tmp_path.iterdir())


def test_a_file_without_a_pose_encoder_is_named(tmp_path):
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match=r"other\.safetensors: pose\.conv3\.weight: not in it"):
        strengthen(tmp_path / "other.safetensors", tmp_path / "out.safetensors", 1.2)
