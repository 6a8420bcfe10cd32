"""Records of a benchmark run come back as they were written, and a damaged one is named."""

import pytest
from animatex_training.evaluation.records import Bench, CaseScores, MethodScores, RunFolder, Value

VALUES = {"psnr": Value(31.5, 2, (31.0, 32.0), {"range": 255}), "fvd": Value(7.0, 4)}


def test_records_come_back(tmp_path):
    run = RunFolder(tmp_path)
    bench = Bench("self", ("cat", "egg"), ("ours",), {"width": 512.0}, {"torch": "2"})
    clip = CaseScores("ours", "cat", 2, 512, 768, "ab", VALUES)
    method = MethodScores("ours", ("cat", "egg"), "cd", VALUES)
    for record in (bench, clip, method):
        run.write(record)
    assert (run.bench(), run.case_scores("ours", "cat"), run.method_scores("ours")) == (bench, clip, method)
    assert run.case_scores("ours", "egg") is None and run.method_scores("theirs") is None


@pytest.mark.parametrize("name", ["../up", "", ".hidden", "a/b", "a\\b", "x" * 101])
def test_names_stay_in_the_folder(tmp_path, name):
    with pytest.raises(ValueError, match="expected up to 100"):
        RunFolder(tmp_path).frames(name, "case")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"format": 2}',
        '{"format": 1, "value": NaN}',
        '{"format": 1}',
        '{"format": 1, "cases": 3, "methods": 4}',
    ],
)
def test_what_is_no_record_is_named(tmp_path, text):
    (tmp_path / "bench.json").write_text(text)
    with pytest.raises(ValueError, match=r"bench\.json"):
        RunFolder(tmp_path).bench()
