"""Checks that need ComfyUI's own modules, without its server and without pytest (its environment has none).

    PYTHON tests/comfy/inside COMFYUI_PATH BASE_DIRECTORY RESULT.json [NAME ...]

A check is a function whose name starts with `check_`; it takes the kit, asserts, and returns figures. Each result is
written as it comes: {"name": {"ok": true, "figures": ...}} or {"ok": false, "error": traceback}.
"""

from __future__ import annotations

import importlib
import json
import logging
import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import host

MODULES = ("conds", "windows", "samplers", "patches", "inputs", "loading", "variants", "training")


def main(comfy: str, base: str, result: str, *names: str) -> None:
    """Run the checks, all or those named."""
    host.start(comfy, base)
    logging.getLogger().setLevel(logging.WARNING)
    kit = importlib.import_module("kit").Kit(Path(base))
    found = {
        name: check
        for module in MODULES
        for name, check in vars(importlib.import_module(f"checks_{module}")).items()
        if name.startswith("check_") and (not names or name in names)
    }
    results = {}
    for name, check in found.items():
        start = time.perf_counter()
        try:
            results[name] = {"ok": True, "figures": check(kit)}
        except Exception:
            results[name] = {"ok": False, "error": traceback.format_exc()}
        results[name]["seconds"] = round(time.perf_counter() - start, 1)
        Path(result).write_text(json.dumps(results, indent=1))
        sys.stderr.write(f"{'ok    ' if results[name]['ok'] else 'FAILED'} {name} {results[name].get('figures', '')}\n")


main(*sys.argv[1:])
