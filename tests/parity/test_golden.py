"""The golden files through the tool that anyone can run."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.parity import golden

DATA = Path(__file__).parents[1] / "data" / "golden"
SMALL = DATA / "unet_small_f4_seed7.safetensors"
OPTIONS = ["--seed", "7", "--frames", "4", "--dim", "64", "--mult", "1,2", "--res-blocks", "1"]


def test_small_network(capsys):
    assert golden.main([str(SMALL), *OPTIONS]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(golden.OUTPUTS)
    assert all(float(line.split()[1]) < 1e-5 for line in lines)


@pytest.mark.slow
def test_released_size(capsys):
    file = DATA / "unet_full_f1_seed7.safetensors"
    assert golden.main([str(file), "--seed", "7", "--frames", "1"]) == 0, capsys.readouterr().err
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(golden.OUTPUTS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"unet.cond": None}, "missing entries: unet.cond; unexpected: none"),
        ({"more": torch.ones(1)}, "missing entries: none; unexpected: more"),
        ({"unet.cond": torch.ones(2, 4)}, "unet.cond: shape [2, 4] in the file, [2, 3] computed"),
        ({"unet.cond": torch.ones(2, 3) * 1.001}, "not below 0.0001: unet.cond"),
        ({"unet.cond": torch.full((2, 3), float("nan"))}, "not below 0.0001: unet.cond"),
        ({"unet.cond": torch.zeros(2, 3)}, "not below 0.0001: unet.cond"),
    ],
)
def test_a_file_that_differs_fails_and_every_figure_is_given(change, message):
    right = {name: torch.ones(2, 3) for name in golden.OUTPUTS}
    wrong = {name: tensor for name, tensor in (right | change).items() if tensor is not None}
    lines, problems = golden.compare(right, wrong)
    assert len(problems) == 1 and message in problems[0]
    assert [line.split()[0] for line in lines] == [name for name in golden.OUTPUTS if name in wrong]
    assert all(len(line.split()) == 3 for line in lines)
    assert lines[0] == "ipi.query 0.000e+00 0.000e+00" and golden.compare(right, right)[1] == []


@pytest.fixture
def outputs_at_hand(monkeypatch):
    """The small file's outputs instead of those of a network, which takes seconds."""
    outputs = load_file(SMALL)
    monkeypatch.setattr(golden, "build", lambda config, seed: None)
    monkeypatch.setattr(golden, "compute", lambda model, frames, seed: dict(outputs))
    return outputs


def test_a_failing_file_prints_its_figures_and_names_what_fails(outputs_at_hand, tmp_path, capsys):
    other = tmp_path / "other.safetensors"
    save_file(outputs_at_hand | {"unet.cond": outputs_at_hand["unet.cond"] + 1}, other)
    assert golden.main([str(other), *OPTIONS]) == 1
    said = capsys.readouterr()
    assert [line.split()[0] for line in said.out.splitlines()] == list(golden.OUTPUTS)
    assert said.err == f"{other}: relative L2 not below 0.0001: unet.cond\n"


def test_files_that_are_no_golden_files_end_with_a_message(outputs_at_hand, tmp_path, capsys):
    truncated, fewer, more = (tmp_path / f"{name}.safetensors" for name in ("cut", "fewer", "more"))
    truncated.write_bytes(SMALL.read_bytes()[:1000])
    save_file({name: t for name, t in outputs_at_hand.items() if name != "ipi.query"}, fewer)
    save_file(outputs_at_hand | {"stray": torch.ones(1)}, more)
    for file, said, figures in (
        (truncated, "cut.safetensors", 0),
        (tmp_path / "none.safetensors", "No such file", 0),
        (fewer, "missing entries: ipi.query; unexpected: none", 5),
        (more, "missing entries: none; unexpected: stray", 6),
    ):
        assert golden.main([str(file), *OPTIONS]) == 1
        output = capsys.readouterr()
        assert said in output.err and len(output.out.splitlines()) == figures


@pytest.mark.parametrize("error", [OverflowError("too large"), ZeroDivisionError(), RuntimeError("no memory")])
def test_what_cannot_be_computed_ends_with_a_message(error, monkeypatch, capsys):
    def fails(config, seed):
        raise error

    monkeypatch.setattr(golden, "build", fails)
    assert golden.main([str(SMALL), *OPTIONS]) == 1
    assert (str(error) or type(error).__name__) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flag", "value", "said"),
    [
        ("--mult", "1,x", "argument --mult: expected whole numbers from 1 such as 1,2,4,4, got '1,x'"),
        ("--mult", "", "argument --mult"),
        ("--mult", "1,0", "argument --mult"),
        ("--seed", "-1", "argument --seed"),
        ("--seed", "seven", "argument --seed: expected a whole number from 0, got 'seven'"),
        ("--frames", "0", "argument --frames: expected a whole number from 1, got '0'"),
        ("--dim", "4.5", "argument --dim"),
        ("--res-blocks", "0", "argument --res-blocks"),
    ],
)
def test_flags_that_are_no_numbers_are_one_message(flag, value, said, capsys):
    with pytest.raises(SystemExit) as end:
        golden.main([str(SMALL), *OPTIONS, f"{flag}={value}"])
    assert end.value.code == 2 and said in capsys.readouterr().err.splitlines()[-1]


def test_a_width_that_makes_no_network_is_one_message(capsys):
    assert golden.main([str(SMALL), *OPTIONS, "--dim", "60"]) == 1
    assert "60 channels must be a multiple of" in capsys.readouterr().err
