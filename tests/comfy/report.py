"""The record of the tests in a real ComfyUI: which one, how many tests, their figures, and of which files."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REPORT = Path(__file__).with_name("report.json")
NODES, CORE = ("__init__.py", "nodes"), ("animatex_core",)
# What ComfyUI shows of the pack beside its nodes: scripts, help pages, templates, blueprints, translations.
SHOWN, SHOWN_KINDS = ("web", "workflows", "subgraphs", "locales"), (".json", ".js", ".md")


def hash_of(places: Iterable[str], kinds: tuple[str, ...] = (".py",)) -> str:
    """One hash of the files of these kinds in places under the root, by their names and contents."""
    digest = hashlib.sha256()
    for place in places:
        path = ROOT / place
        files = sorted(file for file in path.rglob("*") if file.suffix in kinds) if path.is_dir() else [path]
        for file in files:
            digest.update(f"{file.relative_to(ROOT).as_posix()}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()


def host_version() -> str:
    """Of the ComfyUI in COMFYUI_PATH."""
    text = (Path(os.environ["COMFYUI_PATH"]) / "comfyui_version.py").read_text()
    return re.search(r'"(.+)"', text)[1]


def read() -> dict:
    """The record: file of tests -> of its last complete run: host, counts, hashes, figures."""
    return json.loads(REPORT.read_text()) if REPORT.is_file() else {}


class Recorder:
    """A plugin of pytest that records every file whose tests all ran and passed."""

    def __init__(self):
        self.hashes = {
            "nodes_sha256": hash_of(NODES),
            "core_sha256": hash_of(CORE),
            "shown_sha256": hash_of(SHOWN, SHOWN_KINDS),
        }
        self.passed: dict[str, int] = {}
        self.figures: dict[str, dict] = {}
        self.incomplete: set[str] = set()

    def pytest_deselected(self, items):
        """Files of which only a part runs."""
        self.incomplete |= {item.path.name for item in items}

    def pytest_runtest_logreport(self, report):
        """Outcomes, and the figures that tests record."""
        path, _, name = report.nodeid.partition("::")
        file = Path(path).name
        if report.failed or report.skipped:
            self.incomplete.add(file)
        if report.when == "call" and report.passed:
            self.passed[file] = self.passed.get(file, 0) + 1
            figures = dict(report.user_properties).get("figures")
            if figures is not None:
                self.figures.setdefault(file, {})[name] = figures

    def pytest_sessionfinish(self, session):
        """Keep what is complete; what names a single test is not."""
        asked = {Path(argument.partition("::")[0]).name for argument in session.config.args if "::" in argument}
        wanted = Counter(item.path.name for item in session.items)
        complete = {name for name in wanted if self.passed.get(name) == wanted[name]} - self.incomplete - asked
        record = {name: entry for name, entry in read().items() if name not in complete}
        for name in complete:
            counts = {"host": f"ComfyUI {host_version()}", "passed": self.passed[name], "failed": 0}
            record[name] = counts | self.hashes | {"figures": self.figures.get(name, {})}
        REPORT.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
