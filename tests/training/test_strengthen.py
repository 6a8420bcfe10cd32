"""A stronger pose, in the weights: what the inputs' pose strength does, but for the epsilon of a norm."""

import pytest
import torch
from animatex_training.cli import main
from animatex_training.export import export
from animatex_training.strengthen import strengthen
from safetensors.torch import load_file, save_file

from animatex_core.tensor_files import WeightsError, open_safetensors
from animatex_core.weights import load_model
from tests.training.test_export import trained


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    folder = tmp_path_factory.mktemp("network")
    trained(folder / "run")
    export(folder / "run", folder / "fresh.safetensors", dtype="fp32")
    tensors = load_file(folder / "fresh.safetensors")
    tensors["pose.conv3.weight"] *= 100  # a new network's features are so small that the norm's epsilon shows
    save_file(tensors, folder / "network.safetensors", open_safetensors(folder / "fresh.safetensors").metadata)
    return folder / "network.safetensors"


def test_the_pose_features_are_so_many_times_what_they_were_and_nothing_else_is(network, tmp_path, capsys):
    out = tmp_path / "more.safetensors"
    assert main(["strengthen", str(network), "--factor", "1.5", "--out", str(out)]) == 0
    assert str(out) in capsys.readouterr().out
    before, after = load_model(network, dtype=torch.float32), load_model(out, dtype=torch.float32)
    pictures = torch.rand(1, 3, 3, 32, 48)
    with torch.no_grad():
        torch.testing.assert_close(after.pose(pictures), 1.5 * before.pose(pictures), rtol=1e-4, atol=1e-5)
    one, other = load_file(network), load_file(out)
    assert {name for name in one if not torch.equal(one[name], other[name])} <= {
        n for n in one if n.startswith("pose.")
    }
    assert open_safetensors(out).metadata["pose_strength"] == "1.5"


def test_factors_multiply_and_the_file_says_so(network, tmp_path):
    strengthen(network, tmp_path / "a.safetensors", 1.5)
    strengthen(tmp_path / "a.safetensors", tmp_path / "b.safetensors", 0.5)
    assert open_safetensors(tmp_path / "b.safetensors").metadata["pose_strength"] == "0.75"


@pytest.mark.parametrize("factor", [0, -1, 2.5, float("nan")])
def test_other_factors_are_refused_before_anything_is_written(network, tmp_path, factor):
    with pytest.raises(ValueError, match="factor: expected a number above 0 and at most 2"):
        strengthen(network, tmp_path / "out.safetensors", factor)
    assert not list(tmp_path.iterdir())


def test_a_file_without_a_pose_encoder_is_named(tmp_path):
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match=r"other\.safetensors: pose\.conv3\.weight: not in it"):
        strengthen(tmp_path / "other.safetensors", tmp_path / "out.safetensors", 1.2)
