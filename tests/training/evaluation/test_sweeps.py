"""The tables of the paper in its rows: filled where a checkpoint is, `not run` elsewhere."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from animatex_training.augment import ReadSettings
from animatex_training.config_file import network_config, read_config
from animatex_training.evaluation.cli import main
from animatex_training.evaluation.methods import parse_method
from animatex_training.evaluation.records import Bench, MethodScores, RunFolder, Value
from animatex_training.evaluation.sweeps import (
    FULL,
    TABLES,
    alpha_specs,
    as_text,
    found_rows,
    write_curve,
    write_table,
)
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from animatex_core.config import TINY
from tests.comfy.small_models import write_model
from tests.training.evaluation.small_set import write_small_set

DOCS = Path(__file__).parents[3] / "docs/ablations.md"


def scores(name, psnr, mae=0.1):
    return MethodScores(name, ("a",), "key", {"psnr": Value(psnr, 1), "mae": Value(mae, 1)})


def test_the_rows_are_those_of_the_documented_ablations():
    lines = [line.strip("|").split("|") for line in DOCS.read_text().splitlines() if line.startswith("| ")]
    documented = {row.strip(): re.findall(r"`([^`]+)`", change) for row, _, change in lines}
    for row in {row.name: row for table in TABLES.values() for row in table}.values():
        name = {"w/o Rescale": "w/o Rescalings"}.get(row.name, row.name)
        config = read_config("paper", documented[name])
        network, data = network_config(config.model), ReadSettings(**config.data.settings)
        said = {"motion_attention": network.unet.motion_attention}
        said |= {"query": network.ipi.query} if network.ipi else {}
        for key, wanted in row.holds.items():
            assert said.get(key, getattr(data, key, None)) == wanted, row.name
    assert [len(TABLES[number]) for number in (4, 5, 6)] == [7, 14, 5]


def test_a_table_is_filled_as_far_as_there_are_checkpoints(tmp_path):
    (tmp_path / "weights").mkdir()
    write_model(tmp_path / "weights/animate-x.safetensors")
    unet = replace(TINY.unet, motion_attention="none")
    write_model(tmp_path / "weights/no-ipi.safetensors", replace(TINY, unet=unet, ipi=None))
    specs, rows = found_rows(4, tmp_path / "weights", "steps=2")
    assert [spec.name for spec in specs] == ["no-ipi", "animate-x"] and specs[0].options == {"steps": "2"}
    run = RunFolder(tmp_path / "run")
    run.write(Bench("rescaled", ("a",), ("no-ipi", "animate-x"), {}, {}))
    for name, psnr in (("no-ipi", 13.3), ("animate-x", 13.6)):
        run.write(scores(name, psnr))
    filled = write_table(run.root, 4, rows, ("no-ipi", "animate-x"))
    told = {row["row"]: row.get("psnr", row.get("state")) for row in filled}
    assert told == {"w/o IPI": 13.3, "Animate-X": 13.6} | dict.fromkeys(
        ("w/o LQ", "w/o DQ", "w/o EPI", "w/o Realign", "w/o Rescale"), "not run"
    )
    assert json.loads((run.root / "table4.json").read_text())["rows"] == filled
    text = as_text(filled)
    assert "psnr ^" in text and "mae v" in text and text.count("not run") == 10 and "13.6" in text


def test_a_checkpoint_of_another_row_is_refused(tmp_path):
    write_model(tmp_path / "no-ipi.safetensors")
    with pytest.raises(
        ValueError, match="w/o IPI has motion_attention = 'none', this checkpoint was made with 'serial'"
    ):
        found_rows(4, tmp_path)
    with pytest.raises(ValueError, match=r"none of the checkpoints of table 6 is there: lambda-100\.safetensors"):
        found_rows(6, tmp_path)
    assert FULL.holds["query"] == "merged"


def write_trained(path, settings):
    """A model that says the data settings of its training."""
    write_model(path, bundle=False)
    with safe_open(path, "pt") as file:
        facts = file.metadata()
    training = json.dumps({"config": {"data": {"settings": settings}}})
    save_file(load_file(path), path, {**facts, "training": training})


@pytest.mark.parametrize(
    ("file", "settings", "message"),
    [
        ("animate-x", {"probability": 0.0}, r"Animate-X has probability above 0, .* with 0\.0"),
        ("animate-x", {"drop": False}, "Animate-X has drop = True, .* with False"),
        ("no-realign", {"realign": False, "add": False}, "w/o Realign has add = True, .* with False"),
        ("no-rescale", {"rescale": False, "probability": 0.0}, "w/o Rescale has probability above 0"),
        ("no-epi", {}, r"w/o EPI has probability = 0\.0, .* with 0\.98"),
        ("no-epi", {"probability": 0.0, "realign": False}, "w/o EPI has realign = True"),
    ],
)
def test_a_checkpoint_that_differs_in_more_than_its_row_is_refused(tmp_path, file, settings, message):
    write_trained(tmp_path / f"{file}.safetensors", settings)
    with pytest.raises(ValueError, match=message):
        found_rows(4, tmp_path)


def test_a_checkpoint_trained_as_its_row_is_taken(tmp_path):
    held = {"animate-x": {"probability": 0.2}, "no-epi": {"probability": 0.0}, "no-realign": {"realign": False}}
    for file, settings in held.items():
        write_trained(tmp_path / f"{file}.safetensors", settings)
    assert {spec.name for spec in found_rows(4, tmp_path)[0]} == set(held)


def test_curves_are_normalised(tmp_path):
    run = RunFolder(tmp_path)
    specs = alpha_specs(parse_method(f"x={write_model(tmp_path / 'm.safetensors')},steps=2"), [0, 0.5, 1])
    assert [spec.options["alpha"] for spec in specs] == ["0", "0.5", "1"]
    for spec, psnr in zip(specs, (10, 13, 14), strict=True):
        run.write(scores(spec.name, psnr))
    write_curve(tmp_path, "alpha", {"alpha-0": 0, "alpha-0.5": 0.5, "alpha-1": 1})
    points = json.loads((tmp_path / "sweep_alpha.json").read_text())["points"]
    assert [point["normalised"] for point in points] == [
        {"psnr": 0, "mae": 0}, {"psnr": 0.75, "mae": 0}, {"psnr": 1, "mae": 0}
    ]  # fmt: skip
    for values, message in (([1, 1], "different numbers"), ([], "different numbers")):
        with pytest.raises(ValueError, match=message):
            alpha_specs(specs[0], values)
    with pytest.raises(ValueError, match="needs a checkpoint"):
        alpha_specs(parse_method(f"x={tmp_path}"), [1])


def test_the_ablation_command(tmp_path, capsys):
    write_small_set(tmp_path / "set", cases=1, frames=2)
    (tmp_path / "weights").mkdir()
    write_model(tmp_path / "weights/lambda-98.safetensors")
    given = ["ablation", 6, tmp_path / "set", "--checkpoints", tmp_path / "weights", "--sampling", "steps=1,device=cpu"]
    given += ["--out", tmp_path / "run", "--width", 64, "--height", 96, "--frames", 2, "--metrics", "psnr", "--quiet"]
    assert main([str(word) for word in given]) == 0
    told = capsys.readouterr().out
    assert "lambda 98 %" in told and told.count("not run") == 4
