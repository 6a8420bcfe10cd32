"""The canvas of the hand-placed pose in a real browser and a real ComfyUI: drag, mark, undo, queue; the result follows.

Needs COMFYUI_PATH and COMFYUI_PYTHON (see real_host), the Python package playwright, and a Chromium: CHROMIUM names
it, else the usual names are looked for. With ANIMATEX_SCREENSHOT the picture of the node is written to that file.
"""

from __future__ import annotations

import json
import os
import shutil
import time

import numpy as np
import pytest
from PIL import Image, ImageDraw

from animatex_core.pose.io import load_openpose
from animatex_core.pose.manual import JOINTS, parse_joints, place_figure
from tests.comfy.real_host import skip_loudly

pytestmark = pytest.mark.slow
WIDTH, HEIGHT = 480, 640
RENDERERS = {"litegraph": False, "vue": True}


def cat():
    """A cartoon that no detector takes for a person; its left arm is hidden."""
    picture = Image.new("RGB", (WIDTH, HEIGHT), (236, 214, 180))
    draw, fur = ImageDraw.Draw(picture), (240, 150, 60)
    draw.ellipse((90, 60, 390, 330), fill=fur)
    for side in (-1, 1):
        draw.polygon([(240 + 130 * side, 140), (240 + 140 * side, 30), (240 + 50 * side, 80)], fill=fur)
        draw.ellipse((225 + 55 * side, 170, 255 + 55 * side, 210), fill=(30, 30, 30))
        draw.rectangle((217.5 + 37.5 * side, 490, 262.5 + 37.5 * side, 600), fill=fur)
    draw.ellipse((228, 220, 252, 240), fill=(120, 40, 40))
    draw.ellipse((165, 310, 315, 520), fill=fur)
    draw.line([(190, 360), (100, 440)], fill=fur, width=36)
    return picture


def workflow():
    """Load Image > Place Joints by Hand > Save Poses, and > Draw Poses over the picture."""
    link = {"image": 1, "pose": 2, "behind": 3, "images": 4, "pose2": 5}
    sizes = {1: (270, 320), 2: (480, 760), 3: (300, 320), 4: (300, 200), 5: (300, 320)}
    pos = {1: (20, 40), 2: (320, 40), 3: (830, 40), 4: (830, 600), 5: (1150, 40)}
    kinds = {
        1: ("LoadImage", [], [("IMAGE", [link["image"], link["behind"]])], ["cat.png", "image"]),
        2: ("AnimateX_ManualPose", [("image", "IMAGE", link["image"])],
            [("POSE_KEYPOINT", [link["pose"], link["pose2"]]), ("STRING", [])], ["", True]),
        3: ("AnimateX_DrawPose", [("poses", "POSE_KEYPOINT", link["pose"]), ("background", "IMAGE", link["behind"])],
            [("IMAGE", [link["images"]])], ["openpose", True, False, "trained", 0, 0, 1.0]),
        4: ("AnimateX_SavePose", [("poses", "POSE_KEYPOINT", link["pose2"])], [("POSE_KEYPOINT", []), ("STRING", [])],
            ["hand/pose", 0.0]),
        5: ("PreviewImage", [("images", "IMAGE", link["images"])], [], []),
    }  # fmt: skip
    nodes = [
        {
            "id": number, "type": kind, "pos": pos[number], "size": sizes[number], "flags": {}, "order": number,
            "mode": 0, "properties": {}, "widgets_values": values,
            "inputs": [{"name": name, "type": of, "link": of_link} for name, of, of_link in inputs],
            "outputs": [{"name": of, "type": of, "links": links} for of, links in outputs],
        }
        for number, (kind, inputs, outputs, values) in kinds.items()
    ]  # fmt: skip
    links = [
        [1, 1, 0, 2, 0, "IMAGE"], [2, 2, 0, 3, 0, "POSE_KEYPOINT"], [3, 1, 0, 3, 1, "IMAGE"], [4, 3, 0, 5, 0, "IMAGE"],
        [5, 2, 0, 4, 0, "POSE_KEYPOINT"],
    ]  # fmt: skip
    return {"last_node_id": 5, "last_link_id": 5, "version": 0.4, "nodes": nodes, "links": links}


@pytest.fixture(scope="module")
def browser():
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        skip_loudly("the hand-placed pose in a browser: pip install playwright")
    names = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    found = next((path for path in map(shutil.which, filter(None, names)) if path), None)
    if not found:
        skip_loudly("the hand-placed pose in a browser: no Chromium; install one or set CHROMIUM")
    with sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield running
        running.close()


class Canvas:
    """The node's canvas, used with the mouse as a person does."""

    def __init__(self, page):
        self.page = page
        self.box = page.locator(".animatex-joints canvas").bounding_box()

    def evaluate(self, what):
        """What the widget's view says; `view` is the canvas."""
        return self.page.evaluate(f"(() => {{ const view = {NODE}.widgets[0].animatexCanvas; return {what}; }})()")

    @property
    def value(self):
        return self.page.evaluate(f"{NODE}.widgets[0].value")

    @property
    def figure(self):
        """The joints that are shown: [20, 2] fractions, and their kinds."""
        shown = self.evaluate("view.joints.figure(...view.size)")
        return np.array([[joint["x"], joint["y"]] for joint in shown]), [joint["kind"] for joint in shown]

    def screen(self, place):
        """Pixels of the screen of a place in fractions of the picture."""
        frame = self.evaluate("({...view.frame(), wide: view.canvas.clientWidth})")
        zoom = self.box["width"] / frame["wide"]
        x, y = frame["x"] + place[0] * frame["width"], frame["y"] + place[1] * frame["height"]
        return self.box["x"] + x * zoom, self.box["y"] + y * zoom

    def drag(self, start, end, key=None):
        mouse, keyboard = self.page.mouse, self.page.keyboard
        mouse.move(*self.screen(start))
        if key:
            keyboard.down(key)
        mouse.down()
        mouse.move(*self.screen(np.mean([start, end], 0)), steps=3)
        mouse.move(*self.screen(end), steps=3)
        mouse.up()
        if key:
            keyboard.up(key)

    def drag_joint(self, name, end, key=None):
        shown = self.evaluate("view.shown()")[JOINTS.index(name)]
        self.drag((shown["x"], shown["y"]), end, key)

    def press(self, label):
        self.page.locator(".animatex-joints button", has_text=label).first.click()


NODE = "window.app.graph.getNodeById(2)"


@pytest.fixture(scope="module", params=RENDERERS)
def page(request, host, browser):
    """ComfyUI in the browser, with each of its two ways to show nodes."""
    cat().save(host.base / "input/cat.png")
    page = browser.new_page(viewport={"width": 1560, "height": 960})
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(host.url)
    ready = "!!(window.app?.extensionManager && window.LiteGraph?.registered_node_types?.AnimateX_ManualPose)"
    page.wait_for_function(ready, timeout=120_000)
    page.evaluate("on => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', on)", RENDERERS[request.param])
    yield page
    assert not errors
    page.close()


@pytest.fixture
def canvas(page):
    """The node's canvas in a fresh workflow, the picture loaded."""
    page.evaluate("workflow => app.loadGraphData(workflow)", workflow())
    page.evaluate(
        "() => { app.canvas.ds.scale = 1; app.canvas.ds.offset = [60, 60]; app.canvas.setDirty(true, true); }"
    )
    page.wait_for_function(f"!!{NODE}?.widgets?.[0]?.animatexCanvas?.picture", timeout=30_000)
    page.wait_for_timeout(800)
    return Canvas(page)


def queue(canvas, host):
    """Press Run and wait; the pose that was written."""
    written = set((host.base / "output/hand").glob("*.json"))
    canvas.page.evaluate("app.queuePrompt(0)")
    until = time.monotonic() + 60
    while time.monotonic() < until:
        new = sorted(set((host.base / "output/hand").glob("*.json")) - written)
        if new and not host.get("/queue")["queue_running"]:
            canvas.page.wait_for_timeout(500)
            return load_openpose(new[-1])
        time.sleep(0.2)
    raise TimeoutError(host.tail())


def test_the_picture_is_there_before_the_first_run(canvas):
    assert canvas.evaluate("view.size") == [WIDTH, HEIGHT]
    assert "filename=cat.png" in canvas.evaluate("view.picture.src")
    assert canvas.value == ""
    shown, kinds = canvas.figure
    wanted = place_figure(parse_joints(""), WIDTH, HEIGHT).poses.points[0, 0, :20] / [WIDTH, HEIGHT]
    assert set(kinds) == {"guessed"}
    assert shown == pytest.approx(wanted, abs=1e-4)


def test_dragged_joints_and_an_absent_arm_reach_the_result(canvas, host):
    canvas.drag_joint("nose", (0.5, 0.36))
    canvas.drag_joint("neck", (0.5, 0.5))
    canvas.drag_joint("right wrist", (0.22, 0.68))
    canvas.drag_joint("right hip", (0.42, 0.72))
    canvas.drag_joint("right ankle", (0.42, 0.92))
    canvas.drag_joint("left ankle", (0.58, 0.92))
    canvas.press("left arm")
    given = json.loads(canvas.value)
    assert set(given["joints"]) == {"nose", "neck", "right wrist", "right hip", "right ankle", "left ankle"}
    assert given["absent"] == ["left arm"]
    assert given["joints"]["nose"] == pytest.approx([0.5, 0.36], abs=0.005)

    shown, kinds = canvas.figure
    pose = queue(canvas, host)
    points, present = pose.points[0, 0, :20], pose.present[0, 0, :20]
    assert (pose.width, pose.height) == (WIDTH, HEIGHT)
    assert np.flatnonzero(~present).tolist() == [JOINTS.index("left elbow"), JOINTS.index("left wrist")]
    assert points[JOINTS.index("right wrist")] == pytest.approx([0.22 * WIDTH, 0.68 * HEIGHT], abs=3)
    # hollow joints on the canvas are where the run puts them
    assert (shown * [WIDTH, HEIGHT])[present] == pytest.approx(points[present], abs=0.2)
    assert [kind == "absent" for kind in kinds] == (~present).tolist()
    assert "type=temp" in canvas.evaluate("view.picture?.src ?? view.wanted")
    if target := os.environ.get("ANIMATEX_SCREENSHOT"):
        canvas.page.screenshot(path=target)


def test_undo_takes_back_one_step_at_a_time(canvas):
    steps = [canvas.value]
    canvas.drag_joint("nose", (0.6, 0.3))
    steps.append(canvas.value)
    canvas.press("right leg")
    steps.append(canvas.value)
    canvas.drag_joint("neck", (0.5, 0.45))
    steps.append(canvas.value)
    assert len(set(steps)) == 4
    canvas.page.keyboard.press("Control+z")
    assert canvas.value == steps[2]
    canvas.press("Undo")
    assert canvas.value == steps[1]
    canvas.press("Redo")
    assert canvas.value == steps[2]
    canvas.press("Undo")
    canvas.press("Undo")
    assert canvas.value == ""
    assert canvas.page.evaluate("app.graph.nodes.length") == 5  # the graph's own undo was left alone


def test_the_whole_figure_moves_and_grows_and_single_joints_go(canvas):
    before, _ = canvas.figure
    canvas.drag((0.3, 0.3), (0.35, 0.4), key="Shift")
    moved, kinds = canvas.figure
    assert set(kinds) == {"placed"}
    assert moved - before == pytest.approx(np.broadcast_to([0.05, 0.1], (20, 2)), abs=0.006)
    canvas.page.mouse.move(*canvas.screen((0.5, 0.5)))
    canvas.page.keyboard.down("Shift")
    canvas.page.mouse.wheel(0, 300)
    canvas.page.keyboard.up("Shift")
    canvas.page.wait_for_timeout(200)
    smaller, _ = canvas.figure
    assert np.ptp(smaller[:, 1]) < 0.9 * np.ptp(moved[:, 1])
    canvas.page.mouse.click(*canvas.screen(smaller[JOINTS.index("left knee")]), button="right")
    assert json.loads(canvas.value)["absent"] == ["left knee"]
    canvas.page.mouse.click(*canvas.screen(smaller[JOINTS.index("left knee")]), button="right")
    assert json.loads(canvas.value)["absent"] == []


def test_joints_are_kept_in_the_workflow(canvas):
    canvas.drag_joint("nose", (0.55, 0.33))
    canvas.press("toes")
    value = canvas.value
    kept = canvas.page.evaluate("app.graph.serialize()")
    node = next(node for node in kept["nodes"] if node["id"] == 2)
    assert node["widgets_values"][0] == value and node["widgets_values"][1] is True
    canvas.page.evaluate("workflow => app.loadGraphData(workflow)", kept)
    canvas.page.wait_for_timeout(1000)
    assert canvas.value == value
    assert canvas.figure[1].count("absent") == 2 and canvas.figure[1][0] == "placed"


def test_joints_written_by_hand_are_shown_or_kept_for_the_node_to_refuse(canvas):
    def given(text):
        canvas.page.evaluate(f"text => {NODE}.widgets[0].value = text", text)

    given('{"joints": {"nose": [0.5, 0.3]}, "absent": ["arms", "hands"]}')
    assert canvas.figure[1].count("absent") == 4 and json.loads(canvas.value)["absent"] == ["arms", "hands"]
    for text in ("not JSON", '{"joints": {"wing": [0.5, 0.3]}}', '{"joints": {"nose": [0.5, "x"]}}', '{"absent": [7]}'):
        given(text)
        assert canvas.value == text and set(canvas.figure[1]) == {"guessed"}
        with pytest.raises(ValueError, match="joints"):
            parse_joints(canvas.value)
    canvas.drag_joint("nose", (0.5, 0.36))
    assert list(json.loads(canvas.value)["joints"]) == ["nose"]


def test_after_a_run_the_hollow_figure_stands_in_the_mask(canvas, host):
    outline = np.asarray(cat()).astype(int)
    character = np.abs(outline - outline[0, 0]).sum(-1) > 30
    picture = cat().convert("RGBA")
    picture.putalpha(Image.fromarray((character * 255).astype(np.uint8)))
    picture.save(host.base / "input/cut_out.png")
    slot = f"{NODE}.inputs.findIndex(slot => slot.name === 'mask')"
    canvas.page.evaluate("app.graph.getNodeById(1).widgets[0].value = 'cut_out.png'")
    canvas.page.evaluate(f"app.graph.getNodeById(1).connect(1, {NODE}, {slot})")
    canvas.page.wait_for_function(f"{NODE}.widgets[0].animatexCanvas.picture?.src.includes('cut_out.png')")
    pose = queue(canvas, host)
    shown, kinds = canvas.figure
    assert set(kinds) == {"guessed"} and canvas.value == ""
    points = pose.points[0, 0, :20]
    assert shown * [WIDTH, HEIGHT] == pytest.approx(points, abs=0.2)
    on_the_cat = [character[int(y) - 4 : int(y) + 5, int(x) - 4 : int(x) + 5].any() for x, y in points]
    assert all(on_the_cat)
