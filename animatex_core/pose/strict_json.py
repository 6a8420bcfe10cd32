"""JSON files read with suspicion and written whole.

Python's reader lets NaN, duplicate keys and files of any size through; here they are refused, by the path of the field.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..atomic_file import naming_errors, replacing

MAX_FILE_BYTES = 64 * 2**20
MAX_CONTAINERS = 4_000_000  # objects and lists in one file, counted before they are built


def read_json(path: Path) -> Any:
    """The document in a file: every number a float, every string at most as long as the file.

    Raises ValueError for a file above the caps, that is not UTF-8 JSON, or that holds a NaN or a key twice (the message
    has the path of the field, not the file's name); OSError when the file cannot be read.
    """
    return parse_json(_read_capped(path))


def parse_json(text: str) -> Any:
    """The document in a text, under the rules of `read_json`."""
    flaws: list[_Flaw] = []

    def flawed(message: str) -> _Flaw:
        flaws.append(_Flaw(message))
        return flaws[-1]

    def build(pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Flaw:
        fields = dict(pairs)
        if len(fields) == len(pairs):
            return fields
        names = [name for name, _ in pairs]
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        return flawed(f'the key "{twice[:40]}" appears twice')

    try:
        # parse_int=float: a whole number of a million digits is then as harmless as any other
        document = json.loads(
            text,
            parse_int=float,
            parse_constant=lambda literal: flawed(f"expected a number, found {literal}"),
            object_pairs_hook=build,
        )
    except RecursionError:
        raise ValueError("the file: lists and objects nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from None
    if flaws:
        raise ValueError(_find_flaw(document))
    return document


def write_json(path: Path, document: Any) -> None:
    """Write a document; a reader sees the old file or the whole new one, never a part.

    Raises ValueError for a NaN in it, OutputError (a ValueError) when the file cannot be written.
    """
    text = json.dumps(document, allow_nan=False, separators=(",", ":"))
    with replacing(path, overwrite=True) as temporary, naming_errors(path):
        temporary.write_text(text, encoding="utf-8")


class _Flaw:
    """Stands where JSON allowed something that we do not."""

    def __init__(self, message: str) -> None:
        self.message = message


def _find_flaw(document: Any) -> str:
    """Path and message of the first flaw in a document that has one."""
    todo = [("", document)]
    while todo:
        where, value = todo.pop()
        if isinstance(value, _Flaw):
            return f"{where.lstrip('.') or 'the file'}: {value.message}"
        if isinstance(value, dict):
            todo.extend((f"{where}.{name}", value[name]) for name in reversed(value))
        elif isinstance(value, list):
            todo.extend((f"{where}[{i}]", value[i]) for i in reversed(range(len(value))))
    raise AssertionError("a flaw was recorded, so the document holds one")


def _read_capped(path: Path) -> str:
    with path.open("rb") as file:
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise ValueError(f"the file is larger than the {MAX_FILE_BYTES >> 20} MiB that are read at most")
    if data.count(b"{") + data.count(b"[") > MAX_CONTAINERS:
        raise ValueError(f"the file holds more than the {MAX_CONTAINERS} lists and objects that are read at most")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 text: byte {error.start} is wrong") from None
