"""What a generated file says of itself: every setting as JSON in its comment, and that it is generated."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from .pictures import MAX_PIXELS
from .video_file import open_media

GENERATED: dict[str, Any] = {
    "generated": True,
    "generator": "animate-x",
    # the term of the International Press Telecommunications Council for pictures made by a trained model
    "digital_source_type": "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia",
}


def comment(metadata: Mapping[str, Any] | None) -> str:
    """The text to keep in a file: `metadata` and `GENERATED`, which it cannot take back, as one ASCII JSON object.

    Raises ValueError naming what JSON cannot hold (NaN, objects).
    """
    try:
        return json.dumps({**(metadata or {}), **GENERATED}, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"metadata cannot be written as JSON: {error}") from None


def read_metadata(path: str | Path) -> dict[str, Any]:
    """What `comment` put into a video, GIF, PNG or folder of PNGs; an empty dict when the file says nothing.

    Raises ValueError (VideoError for videos) when the file cannot be read at all.
    """
    path = Path(path)
    if path.is_dir():
        first = min(path.glob("*.png"), default=None)
        if first is None:
            raise ValueError(f"{path}: the folder holds no PNG pictures")
        path = first
    text = _picture_comment(path) if path.suffix.lower() in (".png", ".gif") else _media_comment(path)
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _media_comment(path: Path) -> str | None:
    with open_media(path) as container:
        entries = {key.lower(): value for key, value in container.metadata.items()}
    return entries.get("comment")


def _picture_comment(path: Path) -> str | None:
    try:
        with Image.open(path, formats=["PNG", "GIF"]) as image:
            if image.width * image.height <= MAX_PIXELS:
                image.load()  # PNG may keep text behind the pixels
            found = image.info.get("comment")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path}: the picture cannot be read: {error}") from None
    return found.decode("utf-8", "replace") if isinstance(found, bytes) else found
