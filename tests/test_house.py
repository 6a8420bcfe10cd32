"""The rules of the house that a machine can check."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

try:
    import tomllib
except ImportError:  # Python 3.10
    tomllib = None

ROOT = Path(__file__).parents[1]
FOLDERS = ("animatex_core", "training", "nodes", "tests", "benchmarks")
SOURCES = [ROOT / "__init__.py", *(p for folder in FOLDERS for p in sorted((ROOT / folder).rglob("*.py")))]
SHIPPED = [p for p in SOURCES if p.relative_to(ROOT).parts[0] not in ("tests", "benchmarks")]
FORBIDDEN_CALLS = {"eval", "exec", "print", "os.system", "pickle.load", "pickle.loads", "__import__"}
FORBIDDEN_IMPORTS = {"pickle", "subprocess", "requests", "urllib", "socket", "http"}
# MediaPipe cannot live in our environment (it asks for numpy below 2), so this backend of the command line runs the
# interpreter that the user names. It and its worker are left out of ComfyUI's node pack.
RUNS_AN_INTERPRETER = "animatex_core/pose/mediapipe_backend.py"
# Evaluation asks a ComfyUI that the user names to make clips. Training and evaluation are not in the node pack at all.
ASKS_A_SERVER = "training/evaluation/comfy_client.py"
NOT_IN_THE_NODE_PACK = (RUNS_AN_INTERPRETER, "animatex_core/pose/mediapipe_worker.py")


def name(path):
    return str(path.relative_to(ROOT))


def dotted(node):
    """`a.b.c` of a call's function, or an empty string."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def calls(tree):
    return [(dotted(node.func), node) for node in ast.walk(tree) if isinstance(node, ast.Call)]


def imports(tree):
    """Absolute imports, as dotted names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module


def test_there_is_something_to_check():
    assert len(SHIPPED) > 40 and len(SOURCES) > 80


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_files_and_functions_stay_small_and_ascii(path):
    text = path.read_text(encoding="ascii")
    assert len(text.splitlines()) <= 450
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno - node.lineno < 80, f"{node.name} is {node.end_lineno - node.lineno + 1} lines long"


@pytest.mark.parametrize("path", SHIPPED, ids=name)
def test_shipped_code_runs_nothing_and_opens_nothing(path):
    tree = ast.parse(path.read_text())
    assert not FORBIDDEN_CALLS & {function for function, _ in calls(tree)}
    allowed = {RUNS_AN_INTERPRETER: {"subprocess"}, ASKS_A_SERVER: {"urllib"}}.get(name(path), set())
    assert FORBIDDEN_IMPORTS & {module.split(".")[0] for module in imports(tree)} == allowed
    for handler in (node for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler)):
        assert handler.type is not None, "bare except"


def test_what_starts_a_process_uses_no_shell_and_stays_out_of_the_node_pack():
    started = [
        node for function, node in calls(ast.parse((ROOT / RUNS_AN_INTERPRETER).read_text())) if "Popen" in function
    ]
    assert len(started) == 1 and not {"shell", "executable"} & {keyword.arg for keyword in started[0].keywords}
    ignored = (ROOT / ".comfyignore").read_text().splitlines()
    assert {*NOT_IN_THE_NODE_PACK, "/training/"} <= set(ignored)
    modules = {Path(path).stem for path in NOT_IN_THE_NODE_PACK}
    packed = (p for p in SHIPPED if not name(p).startswith("training/"))
    for path in (p for p in packed if name(p) not in (*NOT_IN_THE_NODE_PACK, "animatex_core/cli_pose.py")):
        assert not modules & set(path.read_text().replace(".", " ").split()), f"{name(path)} would miss its import"


def test_pickles_are_opened_in_one_place_and_never_run():
    found = {}
    for path in SHIPPED:
        loads = [node for function, node in calls(ast.parse(path.read_text())) if function.endswith("torch.load")]
        if loads:
            found[name(path)] = loads
    assert list(found) == ["animatex_core/pickle_files.py"]
    for node in found["animatex_core/pickle_files.py"]:
        safe = {k.arg: ast.literal_eval(k.value) for k in node.keywords if k.arg == "weights_only"}
        assert safe == {"weights_only": True}


def test_the_core_knows_neither_comfy_nor_nodes_nor_training():
    for path in (ROOT / "animatex_core").rglob("*.py"):
        roots = {module.split(".")[0] for module in imports(ast.parse(path.read_text()))}
        assert not roots & {"comfy", "comfy_api", "comfy_extras", "folder_paths", "nodes", "animatex_training"}, path


def test_the_core_imports_where_comfy_and_every_extra_are_missing():
    modules = [".".join(p.relative_to(ROOT).with_suffix("").parts) for p in (ROOT / "animatex_core").rglob("*.py")]
    code = f"""
import sys
for name in ("comfy", "comfy_api", "folder_paths", "diffusers", "onnxruntime", "cv2", "scipy", "open_clip"):
    sys.modules[name] = None
import importlib
for name in {[m for m in modules if not m.endswith(("__init__", "__main__"))]!r}:
    importlib.import_module(name)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_installing_asks_for_nothing_that_comfyui_lacks():
    if tomllib is None:
        pytest.skip("tomllib comes with Python 3.11")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    allowed = {"torch", "numpy", "einops", "safetensors", "av", "pillow", "transformers", "tqdm"}
    assert set(project["project"]["dependencies"]) == allowed
    packages = project["tool"]["setuptools"]["packages"]
    assert "nodes" not in packages and {"animatex_core", "animatex_training"} <= set(packages)
    folders = {".".join(p.parent.relative_to(ROOT).parts) for p in (ROOT / "animatex_core").rglob("__init__.py")}
    assert folders <= set(packages)
