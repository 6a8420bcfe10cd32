"""A real ComfyUI as a separate process, with this pack in it: started, asked over HTTP, and stopped.

COMFYUI_PATH names the folder of ComfyUI, COMFYUI_PYTHON the interpreter of its environment.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS, RUN_SECONDS, HTTP_SECONDS = 600, 600, 120


def skip_loudly(reason):
    """Skip, and have it stand in pytest's summary of warnings as well."""
    warnings.warn(f"NOT TESTED: {reason}", stacklevel=2)
    pytest.skip(reason)


class RealHost:
    """One ComfyUI on the CPU with folders of its own. arguments: further ones of its command line. pack: its folder."""

    def __init__(self, base, *arguments, pack=ROOT):
        self.base, self.arguments = Path(base), arguments
        for name in ("input", "output", "temp", "models", "user/default", "custom_nodes"):
            (self.base / name).mkdir(parents=True, exist_ok=True)
        (self.base / "custom_nodes/animate-x").symlink_to(pack, target_is_directory=True)
        settings = {"Comfy.TutorialCompleted": True, "Comfy.Workflow.ShowMissingModelsWarning": False}
        (self.base / "user/default/comfy.settings.json").write_text(json.dumps(settings))
        self.log = (self.base / "server.log").open("w+")

    def __enter__(self):
        comfy, python = os.environ.get("COMFYUI_PATH"), os.environ.get("COMFYUI_PYTHON")
        if not comfy or not python:
            skip_loudly("set COMFYUI_PATH and COMFYUI_PYTHON to test the nodes in a real ComfyUI")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{free.getsockname()[1]}"
        port = self.url.rsplit(":", 1)[1]
        command = [python, "main.py", "--cpu", "--port", port, "--base-directory", str(self.base), *self.arguments]
        self.process = subprocess.Popen(command, cwd=comfy, stdout=self.log, stderr=subprocess.STDOUT)
        try:
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(20)
        self.log.close()

    def add_test_nodes(self):
        """The tests' own nodes, and the one of core's examples that sends pictures over the WebSocket."""
        example = Path(os.environ.get("COMFYUI_PATH", "")) / "custom_nodes/websocket_image_save.py"
        for path in (example, Path(__file__).with_name("stand_ins.py")):
            if path.is_file():
                shutil.copy(path, self.base / "custom_nodes")

    def _wait(self):
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and self.process.poll() is None:
            try:
                self.get("/system_stats")
            except OSError:
                time.sleep(0.5)
            else:
                return
        raise RuntimeError(f"ComfyUI did not start:\n{self.tail()}")

    def tail(self):
        """The end of what the server said."""
        return (self.base / "server.log").read_text(errors="replace")[-4000:]

    def get(self, path, **query):
        """The JSON of an address."""
        with urllib.request.urlopen(
            f"{self.url}{path}?{urllib.parse.urlencode(query)}", timeout=HTTP_SECONDS
        ) as answer:
            return json.load(answer)

    def post(self, path, body):
        """Send JSON; the JSON of the answer, if it has one. Raises RuntimeError with what the host said against it."""
        data = json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=HTTP_SECONDS) as answer:
                told = answer.read()
        except urllib.error.HTTPError as error:
            raise RuntimeError(error.read().decode()) from None
        return json.loads(told) if told else None

    def run(self, **nodes):
        """Queue a prompt; nodes: name=(class, inputs), an input that is a (name, slot) tuple is a link.

        Returns what each node showed, by name. Raises RuntimeError with ComfyUI's message when something failed.
        """
        prompt = {
            name: {"class_type": kind, "inputs": {key: list(v) if isinstance(v, tuple) else v for key, v in of.items()}}
            for name, (kind, of) in nodes.items()
        }
        number = self.post("/prompt", {"prompt": prompt})["prompt_id"]
        return self.result(number)

    def result(self, number):
        """What the nodes of a queued prompt showed, once it is done."""
        until = time.monotonic() + RUN_SECONDS
        while time.monotonic() < until:
            done = self.get(f"/history/{number}").get(number)
            if done and done["status"]["status_str"] == "error":
                failed = [told for kind, told in done["status"]["messages"] if kind == "execution_error"]
                raise RuntimeError("; ".join(f"{f['node_type']}: {f['exception_message']}" for f in failed))
            if done and done["status"]["completed"]:
                return done["outputs"]
            time.sleep(0.1)
        raise TimeoutError(f"the prompt did not end in {RUN_SECONDS} s:\n{self.tail()}")

    def picture(self, shown):
        """A picture that a node showed, uint8 RGB [H, W, 3]."""
        with urllib.request.urlopen(f"{self.url}/view?{urllib.parse.urlencode(shown)}", timeout=HTTP_SECONDS) as answer:
            return np.array(Image.open(io.BytesIO(answer.read())).convert("RGB"))
