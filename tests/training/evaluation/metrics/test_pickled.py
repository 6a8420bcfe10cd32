"""Old weight files are read without running them; what else a pickle may ask for is refused."""

import collections
import io
import os
import pickle

import numpy as np
import pytest
import torch
from animatex_training.evaluation.metrics.pickled import is_old_torch, read_arrays, read_old_torch
from animatex_training.evaluation.metrics.weight_files import open_weights

from animatex_core.tensor_files import WeightsError

TENSORS = {
    "a": torch.randn(3, 4),
    "b.c": torch.arange(5),
    "half": torch.randn(2, 2).half(),
    "turned": torch.randn(4, 3).t(),
    "number": torch.tensor(7),
}


def old(content):
    data = io.BytesIO()
    torch.save(content, data, _use_new_zipfile_serialization=False)
    return data.getvalue()


class Touch:
    """Makes a file when a pickle with it is run."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_trees_of_arrays(protocol):
    tree = {"net": {"conv": {"kernel": np.arange(24, dtype=np.float32).reshape(2, 3, 4), "bias": np.zeros(3)}}}
    if protocol == 2:  # numpy goes through other functions there
        with pytest.raises(ValueError):
            read_arrays(pickle.dumps(tree, protocol))
        return
    if protocol == 5:
        with pytest.raises(ValueError, match="expected an array"):
            read_arrays(pickle.dumps(tree, protocol))
        return
    found = read_arrays(pickle.dumps(tree, protocol))
    assert set(found) == {"net/conv/kernel", "net/conv/bias"}
    assert np.array_equal(found["net/conv/kernel"], tree["net"]["conv"]["kernel"])


@pytest.mark.parametrize(
    "wrap", [dict, collections.OrderedDict, lambda t: {"state_dict": t, "epoch": 3, "m": torch.ones(9)}]
)
def test_old_archives_of_torch(tmp_path, wrap):
    data = old(wrap(TENSORS))
    assert is_old_torch(data[:32])
    (tmp_path / "a.pth").write_bytes(data)
    for found in (read_old_torch(data), open_weights(tmp_path / "a.pth")):
        assert set(found) == set(TENSORS)
        assert all(torch.equal(found[n], t) and found[n].dtype == t.dtype for n, t in TENSORS.items())


def test_a_state_dictionary_of_a_module():
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    found = read_old_torch(old(module.state_dict()))
    assert set(found) == set(module.state_dict()) and torch.equal(found["0.weight"], module[0].weight)


def test_shared_storages_are_read_once():
    base = torch.arange(10.0)
    found = read_old_torch(old({"x": base[:4], "y": base[4:]}))
    assert found["x"].tolist() == [0, 1, 2, 3] and found["y"].tolist() == [4, 5, 6, 7, 8, 9]


def test_nothing_in_a_file_is_run(tmp_path):
    mark = tmp_path / "mark"
    with pytest.raises(ValueError, match="expected an array"):
        read_arrays(pickle.dumps({"a": Touch(mark)}, 3))
    with pytest.raises(ValueError):
        read_old_torch(old({"a": Touch(mark)}))
    assert read_old_torch(old({"state_dict": TENSORS, "b": Touch(mark)}))["number"] == 7
    assert not mark.exists()


@pytest.mark.parametrize("cut", [10, 40, 200, -1])
def test_files_that_end_early_are_named(tmp_path, cut):
    (tmp_path / "cut.pth").write_bytes(old(TENSORS)[:cut])
    with pytest.raises(WeightsError, match=r"cut\.pth"):
        open_weights(tmp_path / "cut.pth")


def test_whatever_the_bytes_the_error_names_the_file(tmp_path):
    random, data = np.random.default_rng(0), np.frombuffer(old(TENSORS), np.uint8)
    for _ in range(200):
        broken = data.copy()
        broken[random.integers(40, len(data), 3)] = random.integers(0, 256, 3)
        (tmp_path / "b.pth").write_bytes(broken.tobytes())
        try:
            open_weights(tmp_path / "b.pth")
        except WeightsError as error:
            assert "b.pth" in str(error)


def test_other_files_are_no_weights(tmp_path):
    for name, data in (("text.pth", b"hello"), ("empty.pth", b"")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(WeightsError, match=name):
            open_weights(tmp_path / name)
    with pytest.raises(WeightsError, match=r"absent\.pth: cannot be read"):
        open_weights(tmp_path / "absent.pth")
