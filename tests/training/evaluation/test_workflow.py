"""Slots of workflows are found and refused by name, and every answer of a server that is not one is an error."""

import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import av
import numpy as np
import pytest
from animatex_training.evaluation import workflow
from animatex_training.evaluation.comfy_client import ComfyError, ComfyUI
from animatex_training.evaluation.methods import MethodError, open_method, parse_method
from animatex_training.evaluation.workflow import WorkflowError, load_workflow, upload_clip
from PIL import Image, ImageSequence

from tests.training.evaluation import workflows


def test_slots_are_found_by_title_and_by_name(tmp_path):
    path = workflows.clip_of_noise(tmp_path / "graph.json")
    assert load_workflow(path, {}).slots == {
        "reference": ("1", "image"), "seed": ("3", "seed"), "output": ("4", "")
    }  # fmt: skip
    named = load_workflow(path, {"frames": "2.amount", "output": "4"})
    assert named.slots["frames"] == ("2", "amount")
    filled = named.filled({"frames": 9, "seed": 3})
    assert filled["2"]["inputs"]["amount"] == 9 and named.prompt["2"]["inputs"]["amount"] == 5


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"frames": "9.amount"}, "no node with the id or title '9.amount'"),
        ({"frames": "2.count"}, "has no input 'count'; it has image, amount"),
        ({"frames": "2"}, r"which input of node 2 \(RepeatImageBatch\).*one of amount"),
    ],
)
def test_slots_that_are_not_there(tmp_path, given, message):
    with pytest.raises(WorkflowError, match=message):
        load_workflow(workflows.clip_of_noise(tmp_path / "graph.json"), given)


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "Expecting"), ('{"nodes": [], "links": []}', "Export"), ("{}", "API format"), ('{"1": {}}', "API format")],
)
def test_files_that_are_no_workflow(tmp_path, text, message):
    (tmp_path / "graph.json").write_text(text)
    with pytest.raises(WorkflowError, match=message):
        load_workflow(tmp_path / "graph.json", {})


def test_titles_must_be_clear(tmp_path):
    graph = json.loads(workflows.clip_of_noise(tmp_path / "graph.json").read_text())
    graph["5"] = graph["1"]
    (tmp_path / "graph.json").write_text(json.dumps(graph))
    with pytest.raises(WorkflowError, match="2 nodes are titled 'reference'"):
        load_workflow(tmp_path / "graph.json", {})


@pytest.fixture
def server():
    """A server whose answers are set by path: (status, text)."""
    answers = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status, text = answers.get(self.path.partition("?")[0], (404, "nothing here"))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def log_message(self, *_):
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}", answers
    running.shutdown()
    running.server_close()


def test_refusals_and_failures_are_told(server):
    url, answers = server
    comfy = ComfyUI(url, run_seconds=0.3)
    errors = {"2": {"class_type": "Crop", "errors": [{"message": "bad value", "details": "width: wide"}]}}
    answers["/prompt"] = 400, json.dumps({"error": {"message": "invalid"}, "node_errors": errors})
    with pytest.raises(ComfyError, match=r"node 2 \(Crop\): bad value: width: wide"):
        comfy.run({})
    answers["/prompt"] = 200, json.dumps({"prompt_id": "n"})
    answers["/history/n"] = 200, "{}"
    with pytest.raises(ComfyError, match=r"did not end in 0\.3 seconds"):
        comfy.run({})
    told = ["execution_error", {"node_type": "KSampler", "node_id": "5", "exception_message": "out of memory"}]
    answers["/history/n"] = 200, json.dumps({"n": {"status": {"status_str": "error", "messages": [told]}}})
    with pytest.raises(ComfyError, match=r"KSampler \(node 5\): out of memory"):
        comfy.run({})
    answers["/history/n"] = 200, json.dumps({"n": {"status": {"status_str": "error", "messages": []}}})
    with pytest.raises(ComfyError, match="interrupted"):
        comfy.run({})
    with pytest.raises(ComfyError, match="404"):
        comfy.fetch({"filename": "gone.png"})
    answers["/system_stats"] = 200, "<html>"
    with pytest.raises(ComfyError, match="no ComfyUI"):
        comfy.system()


def test_methods_need_a_server_and_a_slot(server, tmp_path):
    url, answers = server
    graph = workflows.picture_of_noise(tmp_path / "graph.json")
    for options, message in (
        ("", "url: where ComfyUI runs"), (f",url={url}", "no slot takes the case"),
        (f",url={url},colour=1", "unknown option 'colour'"),
    ):  # fmt: skip
        with pytest.raises(MethodError, match=message):
            open_method(parse_method(f"g={graph}{options}"))
    graph = workflows.inverted(tmp_path / "graph.json")
    with pytest.raises(MethodError, match="expected something like http"):
        open_method(parse_method(f"g={graph},url=8188"))
    with pytest.raises(MethodError, match="is it running there"):
        open_method(parse_method(f"g={graph},url=http://127.0.0.1:9"))
    answers["/system_stats"] = 200, json.dumps({"system": {"comfyui_version": "0.33", "os": "any"}})
    assert open_method(parse_method(f"g={graph},url={url},seed_value=4")).facts["server"] == {"comfyui_version": "0.33"}


class Uploads:
    """In place of a server: keeps what it is given."""

    url = "http://here"

    def upload(self, content, ending):
        self.content, self.ending = content, ending
        return f"clip{ending}"


@pytest.mark.parametrize("order", ["aaabb", "ab", "a", "abba", "aaaaaa"])
def test_no_frame_of_a_clip_is_lost_on_its_way(order):
    noise = np.random.default_rng(0).integers(0, 255, (24, 16, 3), np.uint8)
    other = noise.copy()
    other[5:9, 3:7] = 0
    frames = [{"a": noise, "b": other}[letter] for letter in order]
    server = Uploads()
    assert upload_clip(server, frames, 8.0, pictures=True) == "clip.png"
    with Image.open(io.BytesIO(server.content)) as image:
        by_pillow = [np.array(frame.convert("RGB")) for frame in ImageSequence.Iterator(image)]
        assert image.info.get("duration", 125) == 125
    with av.open(io.BytesIO(server.content)) as container:  # as ComfyUI's LoadImage reads it
        by_ffmpeg = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    for found in (by_pillow, by_ffmpeg):
        assert np.array_equal(found, frames)


def test_an_animated_png_that_lacks_frames_is_not_sent(monkeypatch):
    frames = [np.zeros((24, 16, 3), np.uint8)] * 3
    whole = workflow._animated
    monkeypatch.setattr(workflow, "_animated", lambda frames, fps: whole(frames[:2], fps))
    server = Uploads()
    with pytest.raises(ComfyError, match="http://here: the animated PNG to upload: expected 3 frames, found 2"):
        upload_clip(server, frames, 8.0, pictures=True)
    assert not hasattr(server, "content")
