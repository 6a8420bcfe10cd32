"""The mean of exports of one network."""

import json

import pytest
import torch
from animatex_training.average import average
from animatex_training.cli import main
from animatex_training.export import export
from animatex_training.initial import weights_sha256
from safetensors.torch import load_file, save_file

from animatex_core.tensor_files import WeightsError, open_safetensors
from animatex_core.weights import load_model
from tests.training.test_export import trained


@pytest.fixture(scope="module")
def legs(tmp_path_factory):
    """Two files of one network: what was learned, and its average over the steps."""
    folder = tmp_path_factory.mktemp("legs")
    trained(folder / "run")
    for name, averaged in (("one", True), ("two", False)):
        export(folder / "run", folder / f"{name}.safetensors", dtype="fp16", averaged=averaged)
    return folder / "one.safetensors", folder / "two.safetensors"


def test_the_mean_of_two_is_half_way_and_loads(legs, tmp_path, capsys):
    out = tmp_path / "mean.safetensors"
    assert main(["average", *map(str, legs), "--out", str(out)]) == 0
    one, two, mean = (load_file(path) for path in (*legs, out))
    assert mean.keys() == one.keys() and any(not torch.equal(one[name], two[name]) for name in one)
    for name, tensor in mean.items():
        assert tensor.dtype == one[name].dtype
        assert torch.equal(tensor, ((one[name].float() + two[name].float()) / 2).to(tensor.dtype)), name
    load_model(out)
    metadata = open_safetensors(out).metadata
    told = json.loads(metadata["mean_of"])
    assert [leg["file"] for leg in told] == ["one.safetensors", "two.safetensors"]
    assert [leg["sha256"] for leg in told] == [weights_sha256(str(path)) for path in legs]
    assert json.loads(metadata["training"])["weights"] == "last"
    assert main(["average", *map(str, legs), "--out", str(out)]) == 1  # never over a file that is there
    assert "overwriting it was not asked for" in capsys.readouterr().err


def test_what_both_have_in_common_stays_to_the_bit_and_whole_numbers_have_no_mean(legs, tmp_path):
    paths = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    codes = torch.arange(-3, 4, dtype=torch.int8)
    for path, value in zip(paths, (1.0, 2.0), strict=True):
        save_file({"codes": codes, "same": torch.full((2,), 0.1), "w": torch.full((2,), value)}, path)
    average(paths, tmp_path / "mean.safetensors")
    mean = load_file(tmp_path / "mean.safetensors")
    assert torch.equal(mean["codes"], codes) and torch.equal(mean["same"], torch.full((2,), 0.1))
    assert mean["w"].tolist() == [1.5, 1.5]
    save_file({"codes": codes + 1, "same": torch.full((2,), 0.1), "w": torch.ones(2)}, paths[1])
    with pytest.raises(WeightsError, match=r"a\.safetensors and .*b\.safetensors: codes: whole numbers"):
        average(paths, tmp_path / "no.safetensors")


@pytest.mark.parametrize(
    ("tensors", "metadata", "message"),
    [
        ({"w": torch.ones(3)}, {}, r"w: \[2\] torch.float32 and \[3\] torch.float32"),
        ({"w": torch.ones(2, dtype=torch.float16)}, {}, r"w: \[2\] torch.float32 and \[2\] torch.float16"),
        ({"w": torch.ones(2), "more": torch.ones(2)}, {}, "more: is in one of them only"),
        ({"w": torch.ones(2)}, {"config": "{}"}, "config: two networks"),
        ({"w": torch.ones(2)}, {"source_sha256": '{"vae.safetensors": "1"}'}, "source_sha256: other networks"),
        ({"w": torch.ones(2)}, {"license": "CC0-1.0"}, "license: two licences"),
    ],
)
def test_files_of_two_networks_are_refused_by_name(tmp_path, tensors, metadata, message):
    save_file({"w": torch.ones(2)}, tmp_path / "one.safetensors")
    save_file(tensors, tmp_path / "other.safetensors", metadata)
    with pytest.raises(WeightsError, match=rf"one\.safetensors and .*other\.safetensors: {message}"):
        average([tmp_path / "one.safetensors", tmp_path / "other.safetensors"], tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


def test_weights_that_are_broken_are_refused_by_their_file(tmp_path):
    save_file({"w": torch.ones(2)}, tmp_path / "one.safetensors")
    save_file({"w": torch.tensor([1.0, float("nan")])}, tmp_path / "broken.safetensors")
    with pytest.raises(WeightsError, match=r"^[^ ]*broken\.safetensors: w: holds numbers that are not finite"):
        average([tmp_path / "one.safetensors", tmp_path / "broken.safetensors"], tmp_path / "out.safetensors")


def test_one_file_has_no_mean(tmp_path, capsys):
    assert main(["average", str(tmp_path / "one.safetensors"), "--out", str(tmp_path / "out.safetensors")]) == 1
    assert "two files or more, got 1" in capsys.readouterr().err
