"""The parity tool: the recorded case holds, spoilt ones do not."""

from pathlib import Path

import numpy as np
import pytest

from tests.parity.dwpose import ENTRIES, main

CASE = Path(__file__).parents[1] / "data" / "poses" / "dwpose_case0.npz"


@pytest.fixture
def case():
    with np.load(CASE) as file:
        return {name: file[name] for name in file.files}


def run(tmp_path, entries, capsys):
    path = tmp_path / "case.npz"
    np.savez(path, **entries)
    code = main([str(path)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_recorded_case_holds(capsys):
    assert main([str(CASE)]) == 0
    out = capsys.readouterr().out
    assert out.count("ok    ") == 14 and "14 of 14 figures hold" in out


def shifted(array, by):
    return array + np.asarray(by, array.dtype)


@pytest.mark.parametrize(
    ("entry", "spoil", "figure"),
    [
        ("frame_lowres", lambda a: a[..., ::-1], "detector input"),
        ("detector_input", lambda a: shifted(a, 1), "detector input"),
        ("detector_raw", lambda a: a[1:], "boxes"),
        ("boxes", lambda a: shifted(a, 0.002), "boxes"),
        ("boxes", lambda a: a[:1], "boxes"),
        ("crop", lambda a: shifted(a, 0.05), "pose input"),
        ("crop0_input", lambda a: a[:, ::-1], "first pose input"),
        ("simcc_x", lambda a: a[..., ::-1], "keypoints"),
        ("keypoints", lambda a: shifted(a, 0.002), "keypoints"),
        ("scores", lambda a: shifted(a, 0.01), "scores"),
        ("bodies", lambda a: shifted(a, 0.001), "final pose, largest"),
        ("subset", lambda a: np.full_like(a, -1), "final pose, points present"),
        ("drawn_without_face", lambda a: a[..., ::-1], "drawn_without_face"),
        ("drawn_with_face", lambda a: np.zeros_like(a), "drawn_with_face"),
        ("drawn_without_face", lambda a: np.roll(a, 3, 1), "worst overlap"),
    ],
)
def test_a_spoilt_entry_fails_its_figure(tmp_path, case, capsys, entry, spoil, figure):
    code, out, _ = run(tmp_path, case | {entry: np.ascontiguousarray(spoil(case[entry]))}, capsys)
    assert code == 1
    assert any(line.startswith("FAIL") and figure in line for line in out.splitlines())


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_missing_entry_is_named(tmp_path, case, capsys, entry):
    del case[entry]
    code, _, err = run(tmp_path, case, capsys)
    assert code == 2 and f"missing entries: {entry}" in err


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"boxes": np.zeros((2, 5))}, "boxes: expected anyx4"),
        ({"width": np.array([400, 400])}, "width: expected a single number"),
        ({"width": np.array(399)}, "drawn_without_face: expected 600x399 pixels"),
        ({"height": np.array(-1)}, "expected 1 to 16384 pixels"),
        ({"frame_lowres": np.zeros((3, 3, 3))}, "frame_lowres: expected"),
        ({"scores": np.zeros((1, 134))}, "as many of both"),
    ],
)
def test_an_entry_of_another_shape_is_named(tmp_path, case, capsys, entries, message):
    code, _, err = run(tmp_path, case | entries, capsys)
    assert code == 2 and message in err


def test_more_entries_than_needed_do_not_matter(tmp_path, case, capsys):
    code, out, _ = run(tmp_path, case | {"note": np.array("seed 3")}, capsys)
    assert code == 0 and "14 of 14 figures hold" in out


def test_files_that_are_no_records(tmp_path, capsys):
    (tmp_path / "text.npz").write_text("hello")
    np.savez(tmp_path / "objects.npz", boxes=np.array([{}], object))
    for name in ("text.npz", "objects.npz", "nowhere.npz"):
        assert main([str(tmp_path / name)]) == 2
        assert name in capsys.readouterr().err
    assert main([]) == 2
