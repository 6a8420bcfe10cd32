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
    file = DATA.parents[2].parent / "shared" / "golden" / "unet_full_f1_seed7.safetensors"
    if not file.is_file():
        pytest.skip(f"the golden file of the released size is not at {file}")
    assert golden.main([str(file), "--seed", "7", "--frames", "1"]) == 0, capsys.readouterr().err


def test_comparison_fails_on_missing_extra_misshapen_and_different():
    right = {name: torch.ones(2, 3) for name in golden.OUTPUTS}
    assert len(golden.compare(right, right)) == 6
    for wrong, message in (
        ({k: v for k, v in right.items() if k != "unet.cond"}, "missing|unet.cond"),
        (right | {"more": torch.ones(1)}, "more"),
        (right | {"unet.cond": torch.ones(2, 4)}, "unet.cond: shape"),
        (right | {"unet.cond": torch.ones(2, 3) * 1.001}, "not below 0.0001: unet.cond"),
        (right | {"unet.cond": torch.full((2, 3), float("nan"))}, "not below 0.0001: unet.cond"),
    ):
        with pytest.raises(ValueError, match=message):
            golden.compare(right, wrong)


def test_files_that_are_no_golden_files_end_with_a_message(tmp_path, capsys):
    truncated, fewer, more = (tmp_path / f"{name}.safetensors" for name in ("cut", "fewer", "more"))
    truncated.write_bytes(SMALL.read_bytes()[:1000])
    outputs = load_file(SMALL)
    save_file({name: t for name, t in outputs.items() if name != "ipi.query"}, fewer)
    save_file(outputs | {"stray": torch.ones(1)}, more)
    for file, said in (
        (truncated, "cut.safetensors"),
        (tmp_path / "none.safetensors", "No such file"),
        (fewer, "missing entries: ipi.query; unexpected: none"),
        (more, "missing entries: none; unexpected: stray"),
    ):
        assert golden.main([str(file), *OPTIONS]) == 1
        assert said in capsys.readouterr().err
