"""The checks inside ComfyUI (tests/comfy/inside), each as a test of its own; they run in its environment, in one go."""

from __future__ import annotations

import ast
import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.comfy.real_host import ROOT, skip_loudly
from tests.comfy.small_models import write_model
from tests.comfy.trained_files import write_trained

INSIDE = Path(__file__).parent / "inside"
SECONDS = 3600


def check_names():
    """Names of all checks, without importing them: they need ComfyUI."""
    return [
        node.name
        for path in sorted(INSIDE.glob("checks_*.py"))
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("check_")
    ]


@pytest.fixture(scope="module")
def results(tmp_path_factory, request):
    comfy, python = os.environ.get("COMFYUI_PATH"), os.environ.get("COMFYUI_PYTHON")
    if not comfy or not python:
        skip_loudly("set COMFYUI_PATH and COMFYUI_PYTHON to test the nodes inside ComfyUI")
    base = tmp_path_factory.mktemp("inside")
    (base / "models/diffusion_models").mkdir(parents=True)
    write_trained(base, write_model(base / "models/diffusion_models/animatex_tiny.safetensors"))
    wanted = {item.callspec.params["name"] for item in request.session.items if item.path == Path(__file__)}
    command = [python, str(INSIDE), comfy, str(base), str(base / "result.json"), *sorted(wanted)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads((base / "result.json").read_text())


@pytest.mark.parametrize("name", check_names())
def test_inside(results, name, record_property):
    result = results[name]
    record_property("figures", result.get("figures"))
    assert result["ok"], result["error"]
