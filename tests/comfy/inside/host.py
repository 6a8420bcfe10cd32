"""ComfyUI in this process, without its server, and the pack loaded as ComfyUI loads it."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import torch

ROOT = Path(__file__).resolve().parents[3]
PACK = "animate_x_pack"


def start(comfy: str, base: str) -> None:
    """Make `comfy` importable on the CPU, CLIP in fp32 too, with its folders under `base`."""
    sys.path.insert(0, comfy)
    sys.argv = ["main.py", "--cpu", "--fp32-text-enc", "--base-directory", base, "--preview-method", "latent2rgb"]
    import comfy.options

    comfy.options.enable_args_parsing()
    torch.set_num_threads(1)


def load_pack(root: Path = ROOT) -> SimpleNamespace:
    """A pack's nodes by their ids, and its module."""
    spec = importlib.util.spec_from_file_location(PACK, root / "__init__.py", submodule_search_locations=[str(root)])
    module = importlib.util.module_from_spec(spec)
    sys.modules[PACK] = module
    spec.loader.exec_module(module)

    async def listed():
        return await (await module.comfy_entrypoint()).get_node_list()

    nodes = {node.GET_SCHEMA().node_id: node for node in asyncio.run(listed())}
    return SimpleNamespace(module=module, nodes=nodes)


def pack_module(name: str):
    """A module of the pack, e.g. "nodes.comfy_model"."""
    return importlib.import_module(f"{PACK}.{name}")
