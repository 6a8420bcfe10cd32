"""Whether a run folder is of the same configuration, and which software computes it."""

from __future__ import annotations

import json
import logging
import platform
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

from animatex_core.pose.strict_json import parse_json

from .records import Bench, RunFolder

LOG = logging.getLogger(__name__)
PACKAGES = (
    "animate-x", "torch", "torchvision", "numpy", "scipy", "scikit-image", "lpips", "pillow", "av", "safetensors"
)  # fmt: skip


def versions() -> dict[str, str]:
    """Of Python and of the packages that numbers depend on, as far as they are there."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def agree(folder: RunFolder, wanted: Bench, check: Callable[[], None]) -> None:
    """Write the record of a run, or see that it is the one that is there.

    check: called once the folder is known to be of this run, before anything is written; may raise.

    Methods may be added, and one of which no clip is there yet (its workflow failed, say) may become another. Cases
    may have changed when all methods are asked for again.

    Raises ValueError naming the first difference: numbers of two configurations never lie in one folder.
    """
    path = folder.root / "bench.json"
    files = folder.root.iterdir() if folder.root.exists() else ()
    strange = [found for found in files if not found.name.startswith(".")]
    if not path.is_file():  # asked after the folder was looked at: another shard may have begun meanwhile
        if strange:
            raise ValueError(f"{folder.root}: there is a folder of this name that is no run of the benchmark")
        check()
        folder.write(wanted)
        return
    there = folder.bench()
    new, old = _plain(wanted), _plain(there)
    mine, theirs = new["options"].pop("methods"), old["options"].pop("methods", {})
    digests, known = new["options"].pop("digests"), old["options"].pop("digests", {})
    for name in mine.keys() & theirs.keys():
        if any((folder.root / "frames" / name).glob("*.json")):
            _same(f"method {name}", mine[name], theirs[name], path)
    if not there.methods or not wanted.methods:  # inputs alone: nothing was measured
        for facts in (new, old):
            facts["options"] |= {"metrics": None, "absent": None}
    for part in ("setting", "cases", "options", "versions"):
        _same(part, new[part], old[part], path)
    changed = [case for case in digests if digests[case] != known.get(case)]
    _check_others(path, there.methods, wanted.methods, changed)
    check()
    added = [name for name in wanted.methods if name not in there.methods]
    if added or digests != known or any(mine[name] != theirs.get(name) for name in mine):
        LOG.info("%s: methods %s", path, ", ".join((*there.methods, *added)))
        options = {**wanted.options, "methods": {**there.options["methods"], **wanted.options["methods"]}}
        if digests != known:
            _forget(folder, there.methods, changed)
        folder.write(replace(wanted, methods=(*there.methods, *added), options=options))


def _check_others(path: Path, there: Sequence[str], wanted: Sequence[str], changed: Sequence[str]) -> None:
    """Cases may change when all methods are measured again, else the others would stand beside another truth."""
    others = [name for name in there if name not in wanted]
    if changed and others:
        raise ValueError(
            f"{path}: the set was changed since (cases {', '.join(changed)}), and {', '.join(others)} would be left "
            "as measured before: give these methods as well, or choose another folder"
        )


def _forget(folder: RunFolder, methods: Sequence[str], changed: Sequence[str]) -> None:
    """Take away means over the former cases, and scores against the former truth."""
    for name in methods:
        folder.method_file(name).unlink(missing_ok=True)
        for case in changed:
            folder.score_file(name, case).unlink(missing_ok=True)


def _same(name: str, new: Any, old: Any, path: Path) -> None:
    if isinstance(new, dict) and isinstance(old, dict):
        for key in sorted(new.keys() | old.keys()):
            _same(f"{name}: {key}", new.get(key), old.get(key), path)
    elif new != old:
        raise ValueError(
            f"{path}: {name}: this run has {old!r}, {new!r} is asked for; numbers of two configurations do not mix: "
            "choose another folder"
        )


def _plain(bench: Bench) -> dict[str, Any]:
    """As JSON has it: lists, and numbers that are all floats."""
    fields = {
        "setting": bench.setting, "cases": list(bench.cases), "options": dict(bench.options),
        "versions": dict(bench.versions),
    }  # fmt: skip
    return parse_json(json.dumps(fields))
