"""The templates and the blueprint in a real browser: nothing missing, nothing red, and what is sent is the twin.

Needs what test_manual_pose_browser needs. With ANIMATEX_SCREENSHOTS pictures of the templates go into that folder.
"""

from __future__ import annotations

import io
import json
import os
import time
from pathlib import Path

import pytest
from PIL import Image

from tests.comfy.template_files import NAMES, ROOT, template_host, twin  # noqa: F401  (template_host is a fixture)
from tests.comfy.test_manual_pose_browser import RENDERERS, browser  # noqa: F401  (browser is a fixture)
from tests.comfy.test_templates_host import film, post, run, small

pytestmark = pytest.mark.slow
LOAD = """async ([pack, name]) => {
    const answer = await fetch(`/api/workflow_templates/${pack}/${name}.json`);
    await app.loadGraphData(await answer.json(), true, true, name);
}"""
# Missing nodes are drawn as placeholders without a registered type; what cannot run gets a red frame.
MISSING = "app.graph.nodes.filter(n => !LiteGraph.registered_node_types[n.type]).map(n => n.type)"
RED = "app.graph.nodes.filter(n => n.has_errors || n.inputs?.some(i => i.hasErrors)).map(n => n.type)"
FIT = """() => {
    const left = Math.min(...app.graph.nodes.map(n => n.pos[0])), top = Math.min(...app.graph.nodes.map(n => n.pos[1]));
    const right = Math.max(...app.graph.nodes.map(n => n.pos[0] + n.size[0]));
    const bottom = Math.max(...app.graph.nodes.map(n => n.pos[1] + n.size[1]));
    const view = app.canvas.ds, width = app.canvas.canvas.clientWidth, height = app.canvas.canvas.clientHeight;
    view.scale = Math.min((width - 110) / (right - left), (height - 150) / (bottom - top + 90), 1);
    view.offset = [-left + 80 / view.scale, -top + 90 + 120 / view.scale];
    app.canvas.setDirty(true, true);
    const at = app.canvas.canvas.getBoundingClientRect(), [x, y] = view.offset.map(value => value * view.scale);
    const seen = [[left, top - 90], [right, bottom]].map(([a, b]) => [a * view.scale + x, b * view.scale + y]);
    return [at.left + seen[0][0], at.top + seen[0][1], at.left + seen[1][0], at.top + seen[1][1]];
}"""
# Blueprints are kept in a store of the frontend, from which its node library is filled.
OFFERED = """name => {
    const { $pinia } = document.querySelector('#vue-app').__vue_app__.config.globalProperties;
    return $pinia._s.get('subgraph').subgraphBlueprints.some(blueprint => blueprint.display_name === name);
}"""
# What is under the upper left corner of the note and of the first group: the canvas, unless a bar lies over it.
COVERED = """() => {
    const view = app.canvas.ds, corner = ([x, y]) => [0, 1].map(i => ([x, y][i] + view.offset[i]) * view.scale + 2);
    const places = [app.graph.nodes.find(n => n.type == 'MarkdownNote').boundingRect, app.graph._groups[0]._bounding];
    return places.map(of => document.elementFromPoint(...corner(of))?.id).filter(id => id != 'graph-canvas');
}"""
SIZE = {"width": 2600, "height": 1000}
USUAL = {"width": 1680, "height": 950}
SMALLEST_TEXT = "LiteGraph.Canvas.MinFontSizeForLOD"
SET = "([name, value]) => app.extensionManager.setting.set(name, value)"


@pytest.fixture(scope="module", params=RENDERERS)
def page(request, template_host, browser):  # noqa: F811
    """ComfyUI in the browser, with each of its two ways to show nodes."""
    page = browser.new_page(viewport=SIZE)
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(template_host.url)
    ready = "!!(window.app?.extensionManager && window.LiteGraph?.registered_node_types?.AnimateX_Sampler)"
    page.wait_for_function(ready, timeout=120_000)
    for name, value in {"Comfy.Minimap.Visible": False, "Comfy.VueNodes.Enabled": RENDERERS[request.param]}.items():
        page.evaluate(SET, [name, value])
    page.renderer = request.param
    yield page
    assert not errors
    page.close()


@pytest.fixture
def pack(template_host):  # noqa: F811
    (name,) = template_host.get("/workflow_templates")
    return name


def sent(page):
    """What the frontend would send for the graph, without what belongs to the frontend alone."""
    api = json.loads(page.evaluate("async () => JSON.stringify((await app.graphToPrompt()).output)"))
    for node in api.values():
        node["inputs"].pop("video-preview", None)
    return api


def stop(host):
    """Nothing queued, nothing running."""
    post(host, "/queue", {"clear": True})
    until = time.monotonic() + 90
    while host.get("/queue")["queue_running"]:
        assert time.monotonic() < until
        post(host, "/interrupt", {})
        time.sleep(0.5)


@pytest.mark.parametrize("name", NAMES)
def test_a_template_opens_readable_on_a_usual_screen(page, pack, name):
    """With the frontend's own settings: texts and titles are drawn, and no bar lies over the beginning."""
    page.set_viewport_size(USUAL)
    page.evaluate(LOAD, [pack, name])
    page.wait_for_timeout(2000)
    assert page.evaluate("app.canvas.low_quality") is False
    if page.renderer == "litegraph":
        assert page.evaluate(COVERED) == []
    folder = os.environ.get("ANIMATEX_SCREENSHOTS_AS_OPENED")
    if folder:
        page.screenshot(path=Path(folder) / f"opened_{name}_{page.renderer}.png")
    page.set_viewport_size(SIZE)


@pytest.mark.parametrize("name", NAMES)
def test_a_template_opens_with_nothing_missing_and_nothing_red(page, pack, name, template_host):  # noqa: F811
    page.evaluate(LOAD, [pack, name])
    page.wait_for_timeout(2500)
    assert page.evaluate("app.graph.nodes.length") == 1 + len(twin(name))
    assert page.evaluate(MISSING) == [] and page.evaluate(RED) == []
    assert page.get_by_text("errors found").count() == 0
    assert sent(page) == twin(name)
    folder = os.environ.get("ANIMATEX_SCREENSHOTS")
    if folder and page.renderer == "litegraph":
        usual = page.evaluate("name => app.extensionManager.setting.get(name)", SMALLEST_TEXT)
        page.evaluate(SET, [SMALLEST_TEXT, 0])
        left, top, right, bottom = page.evaluate(FIT)
        page.wait_for_timeout(7000)  # messages about earlier jobs go away by themselves
        with Image.open(io.BytesIO(page.screenshot())) as picture:
            shown = picture.convert("RGB").crop((left - 15, top - 20, right + 50, bottom + 40))
        shown.quantize(128, Image.Quantize.MEDIANCUT).save(Path(folder) / f"template_{name}.png", optimize=True)
        page.evaluate(SET, [SMALLEST_TEXT, usual])
    model = template_host.base / "models/diffusion_models/animate-x.safetensors"
    kept = model.read_bytes()
    with page.expect_response(lambda answer: answer.url.endswith("/prompt"), timeout=60_000) as answer:
        page.evaluate("() => { app.queuePrompt(0); }")
    assert answer.value.status == 200 and answer.value.json()["node_errors"] == {}
    assert page.evaluate(RED) == []
    stop(template_host)
    model.write_bytes(kept)  # small weights may be converted before the template that does it is stopped


def test_missing_nodes_files_and_inputs_are_noticed(page, pack, template_host):  # noqa: F811
    def opened(change):
        page.evaluate(
            """async ([pack, name, change]) => {
                const graph = await (await fetch(`/api/workflow_templates/${pack}/${name}.json`)).json();
                new Function('graph', change)(graph);
                await app.loadGraphData(graph, true, true, name);
            }""",
            [pack, "1_first_animation", change],
        )
        page.wait_for_timeout(2500)
        return page.evaluate(MISSING), page.evaluate(RED)

    of = "graph.nodes.find(n => n.type == 'AnimateX_LoadModel')"
    assert opened(f"{of}.type = 'AnimateX_Gone'")[0] == ["AnimateX_Gone"]
    assert opened(f"{of}.widgets_values[0] = 'gone.safetensors'; delete {of}.widgets_values_named")[1]
    page.keyboard.press("Escape")


def test_a_report_is_shown_on_its_node_and_is_no_part_of_the_workflow(page):
    page.evaluate("""() => {
        app.graph.clear();
        const [poses, report] = ['AnimateX_LoadPose', 'AnimateX_PoseReport'].map(name => LiteGraph.createNode(name));
        app.graph.add(poses);
        report.pos = [400, 0];
        app.graph.add(report);
        window.reportFits = report.size[1] >= report.computeSize()[1];
        poses.widgets.find(widget => widget.name == 'file').value = 'walk.json';
        poses.connect(0, report, report.inputs.findIndex(input => input.name == 'poses'));
    }""")
    assert page.evaluate("window.reportFits")
    page.evaluate("() => { app.queuePrompt(0); }")
    shown = "document.querySelector('.animatex-report')?.textContent.includes('60 frames, one person')"
    page.wait_for_function(shown, timeout=60_000)
    (report,) = (node for node in sent(page).values() if node["class_type"] == "AnimateX_PoseReport")
    assert set(report["inputs"]) == {"poses", "fps"}
    assert "60 frames" not in page.evaluate("JSON.stringify(app.graph.serialize())")


def test_the_blueprint_is_offered_and_animates_a_character(page, template_host):  # noqa: F811
    name = "Animate a character"
    page.wait_for_function(OFFERED, arg=name, timeout=30_000)
    graph = json.loads((ROOT / f"subgraphs/{name}.json").read_text(encoding="utf-8"))
    page.evaluate("graph => app.loadGraphData(graph, true, true, 'blueprint')", graph)
    page.wait_for_timeout(1500)
    page.evaluate("""() => {
        const make = (type, values) => {
            const node = LiteGraph.createNode(type);
            app.graph.add(node);
            for (const [name, value] of Object.entries(values)) node.widgets.find(w => w.name == name).value = value;
            return node;
        };
        const ours = app.graph.nodes[0], slot = name => ours.inputs.findIndex(i => i.name == name);
        const picture = make('LoadImage', {image: 'example.png'}), film = make('LoadVideo', {file: 'dance.mp4'});
        const parts = make('GetVideoComponents', {}), made = make('CreateVideo', {});
        const saved = make('SaveVideo', {filename_prefix: 'blueprint'});
        film.connect(0, parts, 0);
        picture.connect(0, ours, slot('reference'));
        parts.connect(0, ours, slot('driving_images'));
        parts.connect(2, ours, slot('source_fps'));
        ours.connect(0, made, made.inputs.findIndex(i => i.name == 'images'));
        ours.connect(1, made, made.inputs.findIndex(i => i.name == 'fps'));
        made.connect(0, saved, 0);
    }""")
    assert page.evaluate(RED) == []
    api = sent(page)
    assert sum(node["class_type"].startswith("AnimateX_") for node in api.values()) == 9
    shown = run(template_host, small(api, frame_load_cap=8))
    assert film(template_host, shown["SaveVideo"])[:2] == (8, (64, 96))
