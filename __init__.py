"""Animate-X for ComfyUI. ComfyUI finds `comfy_entrypoint`; elsewhere importing this registers nothing."""

from __future__ import annotations

from importlib.util import find_spec

WEB_DIRECTORY = "./web"

if find_spec("comfy_api") is not None:
    from comfy_api.latest import ComfyExtension, io

    class AnimateXExtension(ComfyExtension):
        """What ComfyUI asks for the nodes."""

        async def get_node_list(self) -> list[type[io.ComfyNode]]:
            """Every node of the pack."""
            from .nodes import NODES

            return NODES

    async def comfy_entrypoint() -> AnimateXExtension:
        """ComfyUI calls this once, when it loads the pack."""
        return AnimateXExtension()
