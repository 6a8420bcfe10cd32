"""Hostile and broken .safetensors: one clear message that names the file, at once, and nothing loaded."""

import json
import struct
import time

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from animatex_core.identify import identify
from animatex_core.tensor_files import MAX_HEADER_BYTES, MAX_TENSORS, WeightsError, open_safetensors, read_header
from animatex_core.weights import load_model, load_state
from tests.core.small_files import our_state, raw_file, save_ours


@pytest.fixture(scope="module")
def model_bytes(tmp_path_factory):
    return save_ours(tmp_path_factory.mktemp("files") / "m.safetensors", our_state()).read_bytes()


def refused(path, words):
    """Every reader refuses it within a second of work, naming the file and the cause."""
    for reader in (read_header, open_safetensors, load_model, identify):
        start = time.process_time()
        with pytest.raises(WeightsError, match=words) as caught:
            reader(path)
        assert str(path) in str(caught.value) and len(str(caught.value)) < 1000
        assert time.process_time() - start < 1


def entry(dtype="F32", shape=(2,), offsets=(0, 8), **more):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets), **more}


def test_a_good_file_is_read(tmp_path):
    tensors = {
        "a": torch.arange(6.0).view(2, 3), "b": torch.tensor(3, dtype=torch.int64), "c": torch.tensor([True]),
        "d": torch.ones(3, dtype=torch.bfloat16), "e": torch.ones(5).to(torch.float8_e4m3fn), "f": torch.zeros(0, 4),
    }  # fmt: skip
    save_file(tensors, tmp_path / "t.safetensors", {"note": "\u00e9"})
    opened = open_safetensors(tmp_path / "t.safetensors")
    assert opened.metadata == {"note": "\u00e9"} and set(opened.tensors) == set(tensors)
    for name, tensor in tensors.items():
        assert opened.tensors[name].dtype == tensor.dtype and opened.tensors[name].shape == tensor.shape
        assert torch.equal(opened.tensors[name].float(), tensor.float())
    header = read_header(tmp_path / "t.safetensors")
    assert {name: e.shape for name, e in header.entries.items()} == opened.shapes


def test_truncated_at_every_boundary(tmp_path, model_bytes):
    header = 8 + struct.unpack("<Q", model_bytes[:8])[0]
    path = tmp_path / "cut.safetensors"
    for length in (0, 4, 7, 8, 9, header - 1, header, header + 1, len(model_bytes) // 2, len(model_bytes) - 1):
        path.write_bytes(model_bytes[:length])
        refused(path, "too few for a header" if length < 10 else "truncated")


def test_bytes_after_the_last_tensor(tmp_path, model_bytes):
    (tmp_path / "m.safetensors").write_bytes(model_bytes + b"x")
    refused(tmp_path / "m.safetensors", "1 bytes after the last tensor belong to nothing")


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 100 * 2**20 + 1, MAX_HEADER_BYTES + 1])
def test_header_lengths_beyond_reason(tmp_path, length):
    refused(raw_file(tmp_path / "m.safetensors", "{}", b"x" * 100, length), "hostile")


def test_headers_beyond_reason(tmp_path):
    path = tmp_path / "m.safetensors"
    refused(raw_file(path, b"{}" + b" " * (99 << 20)), "at most 8,388,608 are read")
    many = {f"t{i}": entry("U8", [1], [i, i + 1]) for i in range(MAX_TENSORS + 1)}
    refused(raw_file(path, json.dumps(many, separators=(",", ":")), b"x" * len(many)), "20,001 tensors")
    deep = '{"a":' + "[" * 100_000 + "]" * 100_000 + "}"
    refused(raw_file(path, deep), "nested too deeply|expected an object")
    refused(raw_file(path, '{"a":' * 100_000), "nested too deeply|not valid JSON")


@pytest.mark.parametrize(
    "header, words",
    [
        (b'{"a\xff": 1}', "not valid JSON"),
        ("{" + " " * 10, "not valid JSON"),
        ("[1, 2, 3, 4]", "must be a JSON object"),
        ('{"a": NaN, "b": 1}', "not valid JSON: NaN"),
        ('{"a": %s, "a": %s}' % ((json.dumps(entry()),) * 2), "names 'a' twice"),
        ('{"__metadata__": {"k": "1", "k": "2"}}', "names 'k' twice"),
        ({"__metadata__": {"k": 1}}, "must map strings to strings"),
        ({"__metadata__": ["k"]}, "must map strings to strings"),
        ({"a\n": entry()}, "not a printable name"),
        ({"\ud800": entry()}, "not a printable name"),
        ({"a" * 2000: entry()}, "not a printable name"),
        ({"a": 7, "b": 8}, "a: expected an object with dtype"),
        ({"a": entry(more=1)}, "a: expected an object with dtype"),
        ({"a": entry("F33")}, "a: unknown dtype 'F33'"),
        ({"a": entry(["F32"])}, "a: unknown dtype"),
        ({"a": entry(shape=[2.0])}, "a: shape must be a list of sizes"),
        ({"a": entry(shape=[True, True])}, "a: shape must be a list of sizes"),
        ({"a": entry(shape=[-2])}, "a: shape must be a list of sizes"),
        ({"a": entry(shape=[1] * 17)}, "a: shape must be a list of sizes"),
        ({"a": entry(offsets=[8, 0])}, r"a: data_offsets must be \[start, end\]"),
        ({"a": entry(offsets=[-8, 0])}, r"a: data_offsets must be \[start, end\]"),
        ({"a": entry(offsets=[0, 8, 8])}, r"a: data_offsets must be \[start, end\]"),
        ({"a": entry(shape=[3])}, r"a: F32 \[3\] needs 12 bytes, data_offsets give 8"),
        ({"a": entry("F16")}, r"a: F16 \[2\] needs 4 bytes, data_offsets give 8"),
        ({"a": entry(shape=[2**31, 2**31])}, "a: F32 .* needs 18,446,744,073,709,551,616 bytes"),
        ({"a": entry(shape=[2**61, 8])}, "a: F32 .* needs"),
        ({"a": entry(), "b": entry()}, "b: starts at byte 0, expected 8: it overlaps"),
        ({"a": entry(), "b": entry(offsets=[4, 12])}, "b: starts at byte 4, expected 8: it overlaps"),
        ({"a": entry(offsets=[4, 12])}, "a: starts at byte 4, expected 0: it leaves a hole"),
        ({"a": entry(), "b": entry(offsets=[12, 20])}, "b: starts at byte 12, expected 8: it leaves a hole"),
        ({"a": entry(shape=[6], offsets=[0, 24])}, "truncated: the header promises 24 bytes of tensors"),
        ({"a": entry(shape=[1 << 40], offsets=[0, 4 << 40])}, "truncated: the header promises"),
    ],
)
def test_headers_that_lie(tmp_path, header, words):
    refused(raw_file(tmp_path / "m.safetensors", header, b"\0" * 16), words)


@pytest.mark.parametrize(
    "content, words",
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n", "Git LFS pointer"),
        (b"<!DOCTYPE html><html>Not found</html>" + b" " * 40, "a web page"),
        (b"GGUF\x03\0\0\0" + b"\0" * 40, "a GGUF file"),
        (b"This is no model at all, sorry about that." * 3, "not a .safetensors file"),
    ],
)
def test_other_files_are_named(tmp_path, content, words):
    (tmp_path / "m.safetensors").write_bytes(content)
    refused(tmp_path / "m.safetensors", words)


def test_no_file_and_folders(tmp_path):
    refused(tmp_path / "absent.safetensors", "no such file")
    refused(tmp_path, "a folder, not a file")


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_flipped_bytes_load_or_are_refused(tmp_path, model_bytes, data):
    header = 8 + struct.unpack("<Q", model_bytes[:8])[0]
    mutated = bytearray(model_bytes)
    for _ in range(data.draw(st.integers(1, 4))):
        end = header if data.draw(st.booleans()) else len(model_bytes)
        mutated[data.draw(st.integers(0, end - 1))] ^= data.draw(st.integers(1, 255))
    path = tmp_path / "flipped.safetensors"
    path.write_bytes(mutated)
    try:
        state = load_state(path).state
    except WeightsError as error:
        assert str(path) in str(error)
    else:
        assert all(torch.isfinite(tensor).all() for tensor in state.values())
