"""What a browser hears from ComfyUI while a prompt runs: progress, previews, pictures, and how it ended."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass, field

import websocket

JPEG, PNG = 1, 2
TIMEOUT = 1800


@dataclass
class Heard:
    """Of one prompt. Times are those of time.perf_counter, in seconds.

    progress: (node, value, most, time). cached: nodes that did not run again. previews: JPEGs. pictures: PNGs, as
    SaveImageWebsocket sends them.
    """

    end: str = ""
    data: dict = field(default_factory=dict)
    time: float = 0.0
    progress: list = field(default_factory=list)
    cached: list = field(default_factory=list)
    previews: list = field(default_factory=list)
    pictures: list = field(default_factory=list)

    def steps(self, node):
        """(value, most, time) of a node's progress."""
        return [entry[1:] for entry in self.progress if entry[0] == node]


class Listener:
    """A client of a host, on its WebSocket."""

    def __init__(self, host):
        self.host, self.id = host, uuid.uuid4().hex
        address = f"{host.url.replace('http', 'ws')}/ws?clientId={self.id}"
        self.socket = websocket.create_connection(address, timeout=TIMEOUT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def post(self, prompt):
        """Queue a prompt; its number."""
        return self.host.post("/prompt", {"prompt": prompt, "client_id": self.id})["prompt_id"]

    def listen(self, number, on_progress=None):
        """Everything up to the end of the prompt; `on_progress(node, value)` is called as it comes."""
        heard, until = Heard(), time.monotonic() + TIMEOUT
        while time.monotonic() < until:
            message = self.socket.recv()
            if isinstance(message, bytes):
                self._binary(message, heard)
                continue
            event = json.loads(message)
            kind, data = event["type"], event["data"]
            if data.get("prompt_id") != number:
                continue
            if kind == "progress":
                heard.progress.append((data["node"], data["value"], data["max"], time.perf_counter()))
                if on_progress is not None:
                    on_progress(data["node"], data["value"])
            if kind == "execution_cached":
                heard.cached += data["nodes"]
            if kind in ("execution_success", "execution_error", "execution_interrupted"):
                heard.end, heard.data, heard.time = kind, data, time.perf_counter()
                return heard
        raise TimeoutError(f"prompt {number} did not end in {TIMEOUT} s:\n{self.host.tail()}")

    def run(self, prompt, on_progress=None):
        """Queue a prompt and hear it out."""
        return self.listen(self.post(prompt), on_progress)

    @staticmethod
    def _binary(message, heard):
        if int.from_bytes(message[:4], "big") != 1:
            return
        kind = int.from_bytes(message[4:8], "big")
        (heard.pictures if kind == PNG else heard.previews).append(message[8:])
