"""The commands of the report and the study, from flags to files, one after another on one run."""

import argparse
import json

import pytest
from animatex_training.evaluation.report import add_report
from animatex_training.evaluation.study import add_study, read_key

from tests.training.evaluation.run_folder import make_run
from tests.training.evaluation.study.raters import write_answers


def run(*words):
    parser = argparse.ArgumentParser()
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--quiet", action="store_true")
    commands = parser.add_subparsers()
    add_report(commands.add_parser("report", parents=[common]))
    add_study(commands.add_parser("study"), common)
    options = parser.parse_args([*map(str, words), "--quiet"])
    options.run(options)


def test_study_made_answered_analysed_and_reported(tmp_path, capsys):
    make_run(tmp_path / "run", methods=("fine", "noisy", "blocks"), cases=2, frames=6)
    study = tmp_path / "study"
    run("study", "make", tmp_path / "run", study, "--method", "fine", "--method", "noisy", "--checks", 1)
    said = capsys.readouterr().out
    assert "methods: 2, pairs of them: 1, cases: 2" in said and "judges: 3, some 1 min" in said
    with pytest.raises(ValueError, match=r"no answer files"):
        run("study", "analyse", study)
    write_answers(study / "answers", read_key(study / "key.json"), ["anna", "ben"], lambda _, a, b: a == "fine")
    (study / "answers" / "broken.json").write_text("{")
    run("study", "analyse", study, "--resamples", 100)
    said = capsys.readouterr().out
    assert "fine 4 of 4 100.0%" in " ".join(said.split()) and "refused: broken.json: not JSON" in said
    found = json.loads((study / "analysis.json").read_text())
    assert found["raters"] == ["anna", "ben"] and found["questions"]["quality"]["wins"] == [[0, 4], [0, 0]]
    out = tmp_path / "report.html"
    run("report", tmp_path / "run", "--out", out, "--pictures", 1, "--study", study / "analysis.json", "--title", "T")
    text = out.read_text()
    assert "<h1>T</h1>" in text and "100.0% [100.0%, 100.0%]" in text and "refused: broken.json" in text
    assert "identity: every comparison between these groups went one way: {fine} &gt; {noisy}" in text
    with pytest.raises(ValueError, match=r"key\.json: 'kind' is missing|analysis of a user study"):
        run("report", tmp_path / "run", "--out", out, "--overwrite", "--study", study / "key.json")
