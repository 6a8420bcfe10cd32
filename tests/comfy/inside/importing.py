"""How a pack is imported by ComfyUI: seconds, and what it touches. Prints JSON.

PYTHON tests/comfy/inside/importing.py COMFYUI_PATH BASE_DIRECTORY PACK_DIRECTORY
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import host

TOUCHED = (
    "socket.connect",
    "socket.bind",
    "socket.getaddrinfo",
    "socket.send",
    "subprocess.",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "urllib.",
)
CHANGED = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.putenv", "shutil.")
WATCHED = ("comfy", "comfy_extras", "comfy_api", "comfy_execution", "nodes", "execution", "folder_paths", "torch")


def functions():
    """Functions and classes of the host and of torch by their dotted names, members of classes too."""
    found = {}
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] not in WATCHED:
            continue
        for key, value in list(vars(module).items()):
            if callable(value):
                found[f"{name}.{key}"] = id(value)
            if isinstance(value, type) and value.__module__ == name:
                members = {inner: id(member) for inner, member in vars(value).items() if callable(member)}
                found |= {f"{name}.{key}.{inner}": member for inner, member in members.items()}
    return found


def state():
    """Seeds, threads and settings that belong to the whole process."""
    import numpy as np
    import torch

    return (
        torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist(), threading.active_count(),
        torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled(), list(sys.path),
    )  # fmt: skip


def main(comfy: str, base: str, pack: str) -> None:
    """Import it and tell."""
    host.start(comfy, base)
    import comfy.clip_vision
    import comfy.context_windows
    import comfy.sd
    import latent_preview  # noqa: F401
    import transformers  # noqa: F401

    import nodes  # noqa: F401

    events, watching = [], True

    def audit(event, arguments):
        if not watching:
            return
        if event.startswith((*TOUCHED, *CHANGED)):
            events.append(event)
        if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
            events.append("write")

    before, held = functions(), state()
    sys.dont_write_bytecode = True
    sys.addaudithook(audit)
    start = time.perf_counter()
    found = host.load_pack(Path(pack))
    seconds, watching = time.perf_counter() - start, False
    after = functions()
    told = {
        "seconds": round(seconds, 2),
        "nodes": len(found.nodes),
        "events": sorted(set(events)),
        "patched": sorted(name for name, value in before.items() if after.get(name) != value),
        "state kept": state() == held,
    }
    sys.stdout.write(json.dumps(told) + "\n")


main(*sys.argv[1:])
