"""What ComfyUI's registry gets: complete, nothing more than nodes need, and harmless to install and to import."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.comfy.real_host import ROOT, RealHost, skip_loudly

INSIDE = Path(__file__).parent / "inside"
PEOPLE = {"README.md", "LICENSE", "docs/epi.md", "docs/files.md", "docs/mini.md", "docs/templates.md"}
# What templates name, and what comes along so that the first of them runs at once.
TO_BEGIN_WITH = {
    f"animatex_core/assets/{name}"
    for name in (
        "banana.png", "dance.json", "dance_short.json", "animatex_mini.safetensors", "characters/bear.json",
        "characters/bear.png", "characters/hare.json", "characters/hare.png", "characters/person.json",
        "characters/person.png",
    )
}  # fmt: skip
SHOWN = ("locales/", "web/", "workflows/", "subgraphs/")
# Where ComfyUI decides: the device, the precision, and which layers hold the weights.
NOT_OURS = (
    r"\.cuda\s*\(|\.to\s*\(\s*(torch\.device\s*\(\s*)?['\"]cuda|torch\.(cuda\.)?(amp\.)?autocast|"
    r"(?<![\w.])(torch\.)?nn\.(Linear|Conv\w*|LayerNorm|GroupNorm|Embedding)\s*\("
)
FAULTS = """
import os, socket, subprocess, sys, time
import torch, comfy.samplers
open(os.path.join(os.path.dirname(__file__), "written"), "w").close()
subprocess.run([sys.executable, "-c", ""])
try:
    socket.create_connection(("127.0.0.1", 9), 1)
except OSError:
    pass
torch.manual_seed(1)
comfy.samplers.KSampler.sample = None
time.sleep(2)
async def comfy_entrypoint():
    class Nothing:
        async def get_node_list(self):
            return []
    return Nothing()
"""


def tool(folder, *command):
    """ComfyUI's command line in a folder; what it said."""
    comfy = shutil.which("comfy", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if not comfy:
        skip_loudly("the pack as the registry gets it: pip install comfy-cli")
    command = [comfy, "--skip-prompt", "--no-enable-telemetry", *command]
    home = {"HOME": str(folder.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=os.environ | home)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A fresh checkout of the files as they are now."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        skip_loudly("the pack as the registry gets it: this is no git checkout")
    folder = tmp_path_factory.mktemp("registry") / "animate-x"
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    for command in (["git", "init", "-q"], ["git", "add", "-A"]):
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def shipped(clone):
    """The unpacked archive."""
    tool(clone, "node", "pack")
    folder = clone.with_name("unpacked")
    with zipfile.ZipFile(clone / "node.zip") as archive:
        archive.extractall(folder)
    return folder


def needed(folder):
    """The Python files that ComfyUI reaches from the pack's root, by what each imports, early or late."""
    found, waiting = set(), [folder / "__init__.py"]
    while waiting:
        path = waiting.pop()
        if path in found or not path.is_file():
            continue
        found.add(path)
        package = path.relative_to(folder).parts[:-1]
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.ImportFrom) or not node.level:
                continue
            base = package[: len(package) - node.level + 1] + tuple(
                (node.module or "").split(".") if node.module else ()
            )
            for parts in (base, *((*base, alias.name) for alias in node.names)):
                waiting += [folder.joinpath(*parts[:n], "__init__.py") for n in range(1, len(parts) + 1)]
                waiting += [folder.joinpath(*parts).with_suffix(".py")] if parts else []
    return found


def test_nothing_is_missing_and_nothing_is_there_that_nodes_do_not_need(clone, shipped):
    names = {str(path.relative_to(shipped)) for path in shipped.rglob("*") if path.is_file()}
    python = {name for name in names if name.endswith(".py")}
    assert python == {str(path.relative_to(clone)) for path in needed(clone)}
    rest = {name for name in names - python if not name.startswith(SHOWN)}
    assert rest == PEOPLE | TO_BEGIN_WITH | {"pyproject.toml"}
    for place in SHOWN:
        wanted = {str(p.relative_to(clone)) for p in (clone / place).rglob("*") if p.is_file()}
        assert {name for name in names if name.startswith(place)} == wanted


def test_what_is_needed_is_found(tmp_path):
    (tmp_path / "nodes").mkdir()
    (tmp_path / "core").mkdir()
    (tmp_path / "__init__.py").write_text("def late():\n    from .nodes import a\n")
    (tmp_path / "nodes/__init__.py").write_text("")
    (tmp_path / "nodes/a.py").write_text("from ..core import b\nfrom ..core.c import x\n")
    for name in ("__init__", "b", "c", "unused"):
        (tmp_path / f"core/{name}.py").write_text("")
    names = {str(path.relative_to(tmp_path)) for path in needed(tmp_path)}
    assert names == {"__init__.py", "nodes/__init__.py", "nodes/a.py", "core/__init__.py", "core/b.py", "core/c.py"}


def test_validation_has_nothing_to_say(clone):
    told = tool(clone, "node", "validate")
    assert "All validation checks passed" in told
    assert not re.search(r"warning|error|S102|S307|E702", told, re.IGNORECASE), told


def test_validation_would_say_something(clone, tmp_path):
    faulty = shutil.copytree(clone, tmp_path / "faulty", ignore=shutil.ignore_patterns(".git"))
    (faulty / "nodes/faulty.py").write_text("eval('1'); exec('2')\n")
    assert re.search("S102|S307|E702", tool(faulty, "node", "validate"))


def test_weights_device_and_precision_are_left_to_comfyui(shipped):
    """The rules of comfy-test's syntax level, which runs below where it is installed."""
    for path in shipped.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        text.encode("cp1252")
        code = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
        assert not [line for line in code if re.search(NOT_OURS, line)], path
    assert re.search(NOT_OURS, "x = nn.Linear(3, 4)") and re.search(NOT_OURS, 'x.to("cuda")')


def test_comfy_test_syntax_level(shipped, tmp_path):
    try:
        from comfy_test.common.errors import TestError
        from comfy_test.orchestration.levels import syntax
    except ImportError:
        skip_loudly("comfy-test's syntax level: pip install comfy-test")
    told = []
    syntax.run(SimpleNamespace(node_dir=shipped, log=told.append, server=None, api=None))
    assert told[-1] == "Forbidden patterns check: OK", told
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "faulty.py").write_text("layer = nn.Linear(3, 4)\n")
    with pytest.raises(TestError):
        syntax.run(SimpleNamespace(node_dir=tmp_path, log=told.append, server=None, api=None))


def host_python():
    """ComfyUI's folder and interpreter."""
    comfy, python = os.environ.get("COMFYUI_PATH"), os.environ.get("COMFYUI_PYTHON")
    if not comfy or not python:
        skip_loudly("set COMFYUI_PATH and COMFYUI_PYTHON to import the pack as ComfyUI does")
    return comfy, python


def test_installing_it_changes_nothing_in_comfyui(clone, tmp_path):
    """pip plans to install this pack alone."""
    _, python = host_python()
    plan = tmp_path / "plan.json"
    command = [
        python,
        "-m",
        "pip",
        "install",
        "--dry-run",
        "--quiet",
        "--report",
        str(plan),
        ".",
    ]
    done = subprocess.run(command, cwd=clone, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [item["metadata"]["name"] for item in json.loads(plan.read_text())["install"]] == ["animate-x"]


def imported(pack, base):
    comfy, python = host_python()
    command = [python, str(INSIDE / "importing.py"), comfy, str(base), str(pack)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_importing_takes_under_two_seconds_and_touches_nothing(shipped, tmp_path, record_property):
    told = [imported(shipped, tmp_path) for _ in range(2)]
    record_property("figures", told)
    quickest = min(told, key=lambda each: each["seconds"])
    assert quickest["nodes"] == 19
    assert quickest["seconds"] < 2
    assert quickest | {"seconds": 0, "nodes": 0} == {
        "seconds": 0, "nodes": 0, "events": [], "patched": [], "state kept": True,
    }  # fmt: skip


def test_what_importing_must_not_do_is_noticed(tmp_path):
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack/__init__.py").write_text(FAULTS)
    told = imported(tmp_path / "pack", tmp_path)
    assert told["seconds"] > 2 and told["patched"] == ["comfy.samplers.KSampler.sample"] and not told["state kept"]
    assert {"socket.connect", "subprocess.Popen", "write"} <= set(told["events"])


def test_the_root_is_importable_without_comfyui(shipped):
    code = "import importlib.util as u, sys; s = u.spec_from_file_location('pack', '__init__.py'); " \
        "m = u.module_from_spec(s); s.loader.exec_module(m); assert not hasattr(m, 'comfy_entrypoint')"  # fmt: skip
    subprocess.run([sys.executable, "-c", code], cwd=shipped, check=True)


def test_a_server_has_every_node_from_what_is_shipped(shipped, tmp_path):
    with RealHost(tmp_path / "base", pack=shipped) as host:
        assert sum(name.startswith("AnimateX_") for name in host.get("/object_info")) == 19
        assert "IMPORT FAILED" not in host.tail()
