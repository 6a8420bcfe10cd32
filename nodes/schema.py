"""What all nodes' schemas share: the menu entry, the sockets of this pack, and fields that older hosts lack."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from comfy_api.latest import io

CATEGORY = "AnimateX"
PoseKeypoint = io.Custom("POSE_KEYPOINT")
Motion = io.Custom("ANIMATEX_MOTION")

_KNOWN = {field.name for field in fields(io.Schema)}


def schema(**given: Any) -> io.Schema:
    """A node's schema in the pack's category; fields that this ComfyUI does not know yet (search aliases) are left out.

    The fields are those of `io.Schema`; `category` may be left out.
    """
    return io.Schema(**{name: value for name, value in ({"category": CATEGORY} | given).items() if name in _KNOWN})
