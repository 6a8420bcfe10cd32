"""Whether the nodes were tested in a real ComfyUI as they are now. Needs no ComfyUI."""

from __future__ import annotations

import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.comfy import report

FILES = sorted(path.name for path in Path(report.__file__).parent.glob("test_*.py"))
HOW = (
    "COMFYUI_PATH=... COMFYUI_PYTHON=... python -m pytest -m 'slow or not slow' --comfy-report tests/comfy"
    " and commit tests/comfy/report.json"
)


@pytest.mark.parametrize("name", FILES)
def test_the_nodes_are_those_that_were_tested(name):
    found = report.read().get(name)
    assert found, f"the record lacks {name}: {HOW}"
    assert found["nodes_sha256"] == report.hash_of(report.NODES), f"nodes/ has changed since {name} ran: {HOW}"
    shown = report.hash_of(report.SHOWN, report.SHOWN_KINDS)
    assert found.get("shown_sha256") == shown, f"{' or '.join(report.SHOWN)} has changed since {name} ran: {HOW}"
    assert found["failed"] == 0 < found["passed"]
    if found["core_sha256"] != report.hash_of(report.CORE):
        warnings.warn(f"THE CORE HAS CHANGED since {name} ran in ComfyUI: {HOW}", stacklevel=1)


def test_the_hash_sees_contents_and_names(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "ROOT", tmp_path)
    (tmp_path / "nodes").mkdir()
    (tmp_path / "__init__.py").write_text("")
    (tmp_path / "nodes/a.py").write_text("x = 1")
    first = report.hash_of(report.NODES)
    (tmp_path / "nodes/a.py").write_text("x = 2")
    second = report.hash_of(report.NODES)
    (tmp_path / "nodes/a.py").rename(tmp_path / "nodes/b.py")
    assert len({first, second, report.hash_of(report.NODES)}) == 3


@pytest.mark.parametrize(
    "file", ["web/js/a.js", "web/docs/A/zh.md", "workflows/a.json", "subgraphs/a.json", "locales/a.json"]
)
def test_the_hash_sees_what_comfyui_shows(tmp_path, monkeypatch, file):
    monkeypatch.setattr(report, "ROOT", tmp_path)
    path = tmp_path / file
    for folder in (*report.SHOWN, path.parent):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    hashes = []
    for text in ("1", "2"):
        path.write_text(text)
        hashes.append(report.hash_of(report.SHOWN, report.SHOWN_KINDS))
    path.with_name("picture.jpg").write_text("no text")
    assert len(set(hashes)) == 2 and report.hash_of(report.SHOWN, report.SHOWN_KINDS) == hashes[1]


def test_the_record_holds_the_hashes_of_now():
    hashes = report.Recorder().hashes
    assert hashes["shown_sha256"] == report.hash_of(report.SHOWN, report.SHOWN_KINDS)
    assert hashes["nodes_sha256"] == report.hash_of(report.NODES) and len(set(hashes.values())) == 3


def test_what_failed_or_ran_in_part_is_not_recorded(tmp_path, monkeypatch):
    class Told:
        user_properties = (("figures", 3),)
        skipped = False

        def __init__(self, file, failed=False):
            self.nodeid, self.failed, self.passed, self.when = f"tests/{file}::test_x", failed, not failed, "call"

    names = ("test_good.py", "test_bad.py", "test_named.py", "test_stopped.py", "test_stopped.py")
    session = SimpleNamespace(
        config=SimpleNamespace(args=("tests/test_named.py::test_x", "tests")),
        items=[SimpleNamespace(path=Path(name)) for name in names],
    )
    monkeypatch.setattr(report, "REPORT", tmp_path / "report.json")
    monkeypatch.setattr(report, "host_version", lambda: "0.0.0")
    recorder = report.Recorder()
    for told in map(Told, names[:-1]):
        recorder.pytest_runtest_logreport(told)
    recorder.pytest_runtest_logreport(Told("test_bad.py", failed=True))
    recorder.pytest_sessionfinish(session)
    assert list(report.read()) == ["test_good.py"]
    assert report.read()["test_good.py"]["figures"] == {"test_x": 3}
