"""Archives with a payload: refused, and the payload never runs."""

import ast
import io
import os
import pickle
import tarfile
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import animatex_core
from animatex_core import pickle_files
from animatex_core.identify import identify
from animatex_core.pickle_files import open_pickle
from animatex_core.tensor_files import WeightsError
from animatex_core.weights import load_model


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, path, call=os.system):
        self.path, self.call = path, call

    def __reduce__(self):
        return self.call, (f"echo ran > {self.path}",)


@pytest.fixture
def canary(tmp_path):
    path = tmp_path / "canary"
    yield path
    assert not path.exists(), "the payload ran"


def refused(path, words):
    for reader in (open_pickle, identify, load_model):
        with pytest.raises(WeightsError, match=words if reader is open_pickle else None) as caught:
            reader(path)
        assert str(path) in str(caught.value)


def archive(path, stream, **records):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", stream)
        file.writestr("archive/version", "3\n")
        for name, content in records.items():
            file.writestr(f"archive/{name}", content)
    return path


def test_the_payload_of_this_test_would_run(tmp_path):
    pickle.loads(pickle.dumps(Payload(tmp_path / "canary")))  # noqa: S301
    assert (tmp_path / "canary").exists()


def test_a_payload_beside_tensors(tmp_path, canary):
    torch.save({"state_dict": {"a": torch.ones(2)}, "extra": Payload(canary)}, tmp_path / "m.pth")
    refused(tmp_path / "m.pth", r"asks to run (posix|nt)\.system, which weights do not need\. Nothing of it was run")


def test_a_payload_by_way_of_a_resolver(tmp_path, canary):
    import pkgutil

    class Resolver:
        def __reduce__(self):
            return pkgutil.resolve_name, ("os:system",)

    torch.save({"a": torch.ones(2), "b": Resolver()}, tmp_path / "m.pth")
    refused(tmp_path / "m.pth", r"asks to run pkgutil\.resolve_name")


@pytest.mark.parametrize("call", [exec, eval])
def test_a_payload_in_builtins(tmp_path, canary, call):
    code = f"open({str(canary)!r}, 'w')"

    class Code:
        def __reduce__(self):
            return call, (code,)

    torch.save([Code()], tmp_path / "m.pth")
    refused(tmp_path / "m.pth", "asks to run (exec|eval), which")


def test_known_leftovers_have_a_stand_in_that_does_nothing(tmp_path):
    # The stand-in saved under its own name, then renamed in the stream to what published checkpoints hold.
    stream = io.BytesIO()
    torch.save({"state_dict": {"a": torch.ones(2)}, "callbacks": pickle_files.Inert()}, stream)
    text = b"canimatex_core.pickle_files\nInert\n"
    source = zipfile.ZipFile(stream).read("archive/data.pkl")
    assert text in source
    known = source.replace(text, b"cpytorch_lightning.callbacks.model_checkpoint\nModelCheckpoint\n")
    with zipfile.ZipFile(tmp_path / "m.ckpt", "w") as file:
        for record in zipfile.ZipFile(stream).infolist():
            content = known if record.filename.endswith("data.pkl") else zipfile.ZipFile(stream).read(record)
            file.writestr(record.filename, content)
    opened = open_pickle(tmp_path / "m.ckpt")
    assert torch.equal(opened.tensors["a"], torch.ones(2)) and opened.extras == ("callbacks (Inert)",)


def test_a_nested_pickle_and_a_bare_one(tmp_path, canary):
    inner = pickle.dumps(Payload(canary), protocol=2)
    archive(tmp_path / "nested.pth", inner, **{"data/0": inner})
    refused(tmp_path / "nested.pth", r"asks to run (posix|nt)\.system")
    for protocol in (2, 4):
        (tmp_path / "bare.pth").write_bytes(pickle.dumps(Payload(canary), protocol=protocol))
        refused(tmp_path / "bare.pth", "not a PyTorch archive of today's format but an older one")


def test_the_old_stream_and_the_old_tar(tmp_path, canary):
    torch.save({"a": Payload(canary)}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    refused(tmp_path / "old.pth", "an older one, which is not opened")
    with tarfile.open(tmp_path / "tar.pth", "w") as file:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            content = pickle.dumps(Payload(canary), protocol=2)
            record = tarfile.TarInfo(name)
            record.size = len(content)
            file.addfile(record, io.BytesIO(content))
    refused(tmp_path / "tar.pth", "not a PyTorch archive")


def test_wrong_extensions(tmp_path, canary):
    torch.save({"a": Payload(canary)}, tmp_path / "zip.pth")
    for name in ("zip.safetensors", "zip.SafeTensors"):
        (tmp_path / name).write_bytes((tmp_path / "zip.pth").read_bytes())
        refused(tmp_path / name, "named .safetensors, but is a zip archive: not opened")
    (tmp_path / "pickle.safetensors").write_bytes(pickle.dumps(Payload(canary), protocol=2))
    refused(tmp_path / "pickle.safetensors", "named .safetensors")


def test_tricks_with_the_archive(tmp_path, canary):
    stream = pickle.dumps({"a": 1}, protocol=2)
    good = archive(tmp_path / "m.pth", stream).read_bytes()
    (tmp_path / "cut.pth").write_bytes(good[:-30])
    refused(tmp_path / "cut.pth", "not a PyTorch archive|the archive is broken")
    with zipfile.ZipFile(tmp_path / "packed.pth", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/data.pkl", b"\0" * (64 << 20))
    refused(tmp_path / "packed.pth", "too large for weights")
    with zipfile.ZipFile(tmp_path / "packed2.pth", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/data.pkl", stream)
    refused(tmp_path / "packed2.pth", "compressed or encrypted records")
    with zipfile.ZipFile(tmp_path / "two.pth", "w") as file:
        file.writestr("a/data.pkl", stream)
        file.writestr("b/data.pkl", stream)
    refused(tmp_path / "two.pth", "2 data.pkl in it, expected one")
    archive(tmp_path / "large.pth", b"\x80\x02" + b"K\x01" * (9 << 20) + b".")
    refused(tmp_path / "large.pth", "too large for weights")


def test_streams_that_break(tmp_path, canary):
    for number, stream in enumerate((b"", b"\x80\x02", b"garbage.", b"\x80\x02h\x05.", b"\x80\x02X\xff\xff\xff\x7f.")):
        path = archive(tmp_path / f"{number}.pth", stream)
        refused(path, "cannot be opened safely")


def test_what_is_no_dictionary_of_dense_tensors(tmp_path):
    for content, words in (
        ([torch.ones(1)], "expected a dictionary of tensors, got list"),
        ({"epoch": 3, "name": "x"}, "no tensors in it, only epoch, name"),
        ({"a": torch.ones(2).to_sparse()}, "a: expected a dense tensor"),
        ({3: torch.ones(2)}, "a tensor is named '3'"),
        ({"a\n": torch.ones(2)}, "not a printable name|expected a printable name"),
    ):
        torch.save(content, tmp_path / "m.pth")
        with pytest.raises(WeightsError, match=words):
            open_pickle(tmp_path / "m.pth")


class Claim:
    """A tensor that claims another size than its numbers have."""

    def __init__(self, size, stride, offset):
        storage = torch.arange(20.0).untyped_storage()
        typed = torch.storage.TypedStorage(wrap_storage=storage, dtype=torch.float32, _internal=True)
        self.arguments = (typed, offset, size, stride, False, OrderedDict())

    def __reduce__(self):
        return torch._utils._rebuild_tensor_v2, self.arguments


@pytest.mark.parametrize(
    "claim", [((10**9,), (1,), 0), ((20,), (10**8,), 0), ((5,), (1,), 10**9), ((5,), (1,), -9), ((1 << 40,), (0,), 0)]
)
def test_tensors_that_claim_more_than_the_file_holds(tmp_path, claim):
    torch.save({"a": Claim(*claim)}, tmp_path / "m.pth")
    with pytest.raises(WeightsError, match=r"more numbers than the file holds|cannot be opened safely"):
        open_pickle(tmp_path / "m.pth")


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(flips=st.lists(st.tuples(st.integers(0, 2**16), st.integers(1, 255)), min_size=1, max_size=5))
@pytest.mark.filterwarnings("ignore")
def test_flipped_bytes_are_read_or_refused(tmp_path, flips):
    stream = io.BytesIO()
    torch.save({"state_dict": {"a.weight": torch.ones(3, 4), "b": torch.ones(2)}, "step": 3}, stream)
    mutated = bytearray(stream.getvalue())
    for position, change in flips:
        mutated[position % len(mutated)] ^= change
    path = tmp_path / "flipped.pth"
    path.write_bytes(mutated)
    try:
        identify(path)
    except WeightsError as error:
        assert str(path) in str(error)


def test_tensors_are_mapped_and_what_lies_beside_is_told(tmp_path):
    tensors = {"a": torch.arange(6.0).view(2, 3), "b": torch.ones(2, dtype=torch.bfloat16)}
    for content, extras in (
        (tensors, ()),
        ({"state_dict": tensors, "step": 7, "optimizer": {"lr": 1.0}}, ("step = 7", "optimizer (dict)")),
        ({"ema": tensors, "epoch": 2}, ("weights under 'ema'", "epoch = 2")),
        ({"state_dict": tensors, "ema": tensors}, ("ema (dict)",)),
        ({**tensors, "step": 9}, ("step = 9",)),
    ):
        torch.save(content, tmp_path / "m.pth")
        opened = open_pickle(tmp_path / "m.pth")
        assert opened.extras == extras
        assert all(torch.equal(opened.tensors[name], tensor) for name, tensor in tensors.items())
    if Path("/proc/self/maps").exists():
        assert "m.pth" in Path("/proc/self/maps").read_text()


@pytest.mark.parametrize("version, allowed", [("2.9.1", False), ("2.10.0+cpu", True), ("3.0.0a1", True)])
def test_torch_with_known_holes_is_refused(tmp_path, monkeypatch, version, allowed):
    torch.save({"a": torch.ones(1)}, tmp_path / "m.pth")
    monkeypatch.setattr(torch, "__version__", version)
    if allowed:
        assert list(open_pickle(tmp_path / "m.pth").tensors) == ["a"]
    else:
        with pytest.raises(WeightsError, match=r"torch 2\.10 or newer only, this is 2\.9\.1"):
            open_pickle(tmp_path / "m.pth")


def test_the_package_unpickles_in_one_place_only():
    for file in Path(animatex_core.__file__).parent.rglob("*.py"):
        tree = ast.parse(file.read_text())
        calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and ast.unparse(n.func) == "torch.load"]
        imported = {a.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        imported |= {n.module.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module}
        assert not imported & {"pickle", "marshal", "shelve", "joblib", "dill"}, file
        if file.name == "pickle_files.py":
            assert [k.value.value for c in calls for k in c.keywords if k.arg == "weights_only"] == [True]
        else:
            assert not calls, file
