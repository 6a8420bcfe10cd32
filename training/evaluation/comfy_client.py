"""A running ComfyUI asked over its HTTP API: files up, a prompt through, what its nodes saved down.

The only place of the project that opens a connection, to the address that the user names. It is part of training and
evaluation, which are not in ComfyUI's node pack.
"""

from __future__ import annotations

import hashlib
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

HTTP_SECONDS = 120  # for one answer
RUN_SECONDS = 3600.0  # for one prompt
_FIRST_WAIT, _LONGEST_WAIT = 0.1, 2.0
FOLDER = "a2bench"  # of ComfyUI's input folder, where files go


class ComfyError(ValueError):
    """ComfyUI cannot be reached, or refused or failed a prompt: the message has the address and what it said."""


class ComfyUI:
    """One server. url: as in http://127.0.0.1:8188. Raises ValueError for anything but http and https."""

    def __init__(self, url: str, *, run_seconds: float = RUN_SECONDS) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ValueError(f"url: expected something like http://127.0.0.1:8188, got {url!r}")
        self.url, self.run_seconds = url.rstrip("/"), run_seconds

    def system(self) -> dict[str, str]:
        """Versions of the server, for the record."""
        told = self._json("/system_stats").get("system", {})
        return {key: str(told[key]) for key in ("comfyui_version", "python_version", "pytorch_version") if key in told}

    def upload(self, content: bytes, ending: str) -> str:
        """Put a file into the input folder, named by its content; returns the name that loading nodes take."""
        name = hashlib.sha256(content).hexdigest()[:24] + ending
        fields = {"subfolder": FOLDER, "type": "input", "overwrite": "true"}
        body, kind = _multipart(fields, name, content)
        answer = self._parsed(self._ask("/upload/image", body, kind))
        return "/".join(part for part in (answer.get("subfolder"), answer["name"]) if part)

    def run(self, prompt: Mapping[str, Any]) -> dict[str, Any]:
        """Queue a prompt (API format) and wait; returns what each node showed, by id.

        Raises ComfyError with what ComfyUI said when it refuses the prompt, a node fails, or time is up.
        """
        answer = self._parsed(self._ask("/prompt", json.dumps({"prompt": prompt}).encode(), "application/json"))
        number = answer["prompt_id"]
        until, wait = time.monotonic() + self.run_seconds, _FIRST_WAIT
        while time.monotonic() < until:
            done = self._json(f"/history/{number}").get(number)
            if done:
                return self._shown(done)
            time.sleep(wait)
            wait = min(_LONGEST_WAIT, wait * 1.3)
        raise ComfyError(f"{self.url}: the prompt did not end in {self.run_seconds:g} seconds")

    def fetch(self, item: Mapping[str, Any]) -> bytes:
        """The content of a file that a node showed: filename, subfolder and type."""
        fields = {name: item.get(name, "") for name in ("filename", "subfolder", "type")}
        return self._ask(f"/view?{urllib.parse.urlencode(fields)}")

    def _shown(self, done: Mapping[str, Any]) -> dict[str, Any]:
        status = done.get("status") or {}
        if status.get("status_str") == "error" or not status.get("completed", True):
            told = [fields for kind, fields in status.get("messages", ()) if kind == "execution_error"]
            causes = [f"{f.get('node_type')} (node {f.get('node_id')}): {f.get('exception_message')}" for f in told]
            raise ComfyError(f"{self.url}: the prompt failed: {'; '.join(causes).strip() or 'it was interrupted'}")
        return done.get("outputs") or {}

    def _json(self, path: str) -> dict[str, Any]:
        return self._parsed(self._ask(path))

    def _parsed(self, answer: bytes) -> dict[str, Any]:
        try:
            found = json.loads(answer)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ComfyError(f"{self.url}: what answers there is no ComfyUI: {answer[:60]!r}")
        return found

    def _ask(self, path: str, data: bytes | None = None, kind: str = "") -> bytes:
        request = urllib.request.Request(self.url + path, data, {"Content-Type": kind} if kind else {})
        try:
            with urllib.request.urlopen(request, timeout=HTTP_SECONDS) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            raise ComfyError(f"{self.url}{path.partition('?')[0]}: {_refusal(error)}") from None
        except (OSError, ValueError) as error:
            cause = getattr(error, "reason", None) or error
            raise ComfyError(f"{self.url}: ComfyUI does not answer ({cause}); is it running there?") from None


def _refusal(error: urllib.error.HTTPError) -> str:
    """What the server said against a request, node by node where it did."""
    text = error.read().decode("utf-8", "replace")
    try:
        told = json.loads(text)
        nodes = told.get("node_errors") or {}
        causes = [
            f"node {number} ({fields.get('class_type')}): {e.get('message')}: {e.get('details')}"
            for number, fields in nodes.items()
            for e in fields.get("errors", ())
        ]
        return "; ".join(causes) or str(told["error"].get("message", told["error"]))
    except (ValueError, KeyError, AttributeError, TypeError):
        return f"{error.code} {error.reason}: {text[:300]}"


def _multipart(fields: Mapping[str, str], name: str, content: bytes) -> tuple[bytes, str]:
    """A form with one file, and its content type."""
    boundary = hashlib.sha256(content).hexdigest()
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
        for key, value in fields.items()
    ]
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n'
    parts += [head.encode(), b"Content-Type: application/octet-stream\r\n\r\n", content, b"\r\n"]
    return b"".join(parts) + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"
