"""The templates and help pages as files: whole, consistent, and nothing in them that ComfyUI's frontend refuses."""

import ast
import json
from urllib.parse import urlsplit

import pytest
from PIL import Image

from tests.comfy.template_files import NAMES, ROOT, WORKFLOWS, twin

BLUEPRINTS = sorted((ROOT / "subgraphs").glob("*.json"))
# What the frontend (1.49) offers to download: these hosts and these endings.
HOSTS, ENDINGS = {"huggingface.co", "civitai.com"}, (".safetensors", ".sft", ".ckpt", ".pth", ".pt")
NOTE = "MarkdownNote"


def template(name):
    return json.loads((WORKFLOWS / f"{name}.json").read_text(encoding="utf-8"))


def node_ids():
    """Every node id in nodes/*.py, without importing ComfyUI."""
    found = set()
    for path in (ROOT / "nodes").glob("*.py"):
        for call in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)):
            found |= {k.value.value for k in call.keywords if k.arg == "node_id" and isinstance(k.value, ast.Constant)}
    return found


def faults(nodes, links):
    """What is inconsistent in a graph's links; links: (id, origin, slot, target, slot, type)."""
    known, found = {node["id"]: node for node in nodes}, []
    for number, origin, output, target, place, kind in links:
        for side, node, slot in (("outputs", origin, output), ("inputs", target, place)):
            if node < 0:  # the border of a subgraph
                continue
            sockets = known[node].get(side, []) if node in known else []
            if slot >= len(sockets):
                found.append(f"link {number}: {node} has no {side} {slot}")
                continue
            linked = sockets[slot].get("links") if side == "outputs" else [sockets[slot].get("link")]
            if number not in (linked or []):
                found.append(f"link {number}: {side} {slot} of {node} does not know it")
            kinds, held = set(kind.split(",")), set(sockets[slot]["type"].split(","))
            if not kinds & held and "*" not in kinds | held:
                found.append(f"link {number}: {kind} on a socket {sockets[slot]['type']}")
    made = {link[0] for link in links}
    for node in nodes:
        loose = {socket["link"] for socket in node.get("inputs", []) if socket.get("link") is not None} - made
        found += [f"node {node['id']}: link {number} does not exist" for number in loose]
    return found


def test_there_are_templates():
    assert [name.partition("_")[0] for name in NAMES] == ["00", *"0123456"]
    assert len(BLUEPRINTS) == 1


@pytest.mark.parametrize("name", NAMES)
def test_links_hold_together(name):
    graph = template(name)
    assert faults(graph["nodes"], graph["links"]) == []
    assert len({node["id"] for node in graph["nodes"]}) == len(graph["nodes"])


def test_a_broken_link_is_noticed():
    graph = template("1_first_animation")
    broken = json.loads(json.dumps(graph))
    broken["links"][0][4] += 50
    assert faults(broken["nodes"], broken["links"])
    other = json.loads(json.dumps(graph))
    other["links"].pop()
    assert faults(other["nodes"], other["links"])
    kind = json.loads(json.dumps(graph))
    kind["links"][0][5] = "AUDIO" if kind["links"][0][5] != "AUDIO" else "MODEL"
    assert faults(kind["nodes"], kind["links"])


@pytest.mark.parametrize("name", NAMES)
def test_a_small_thumbnail_and_a_note_with_files_come_with_it(name):
    path = WORKFLOWS / f"{name}.jpg"
    with Image.open(path) as picture:
        assert picture.format == "JPEG" and max(picture.size) <= 640
    assert path.stat().st_size < 60_000
    (note,) = [node["widgets_values"][0] for node in template(name)["nodes"] if node["type"] == NOTE]
    assert "| file | folder | size | licence |" in note
    assert "animate-x" in note


@pytest.mark.parametrize("name", NAMES)
def test_models_are_offered_as_the_frontend_allows(name):
    graph = template(name)
    (note,) = [node["widgets_values"][0] for node in graph["nodes"] if node["type"] == NOTE]
    for model in (model for node in graph["nodes"] for model in node.get("properties", {}).get("models", [])):
        address = urlsplit(model["url"])
        assert address.scheme == "https" and address.netloc in HOSTS
        assert model["name"].endswith(ENDINGS) and address.path.endswith(model["name"])
        assert model["name"] in note and f"models/{model['directory']}" in note


@pytest.mark.parametrize("name", NAMES)
def test_its_twin_for_the_server_has_the_same_nodes_and_links(name):
    graph, api = template(name), twin(name)
    shown = {str(node["id"]): node for node in graph["nodes"] if node["type"] != NOTE}
    assert {key: node["type"] for key, node in shown.items()} == {key: of["class_type"] for key, of in api.items()}
    drawn = {
        (str(target), shown[str(target)]["inputs"][place]["name"]): [str(origin), output]
        for _, origin, output, target, place, _ in graph["links"]
    }
    sent = {(key, field): of for key, node in api.items() for field, of in node["inputs"].items() if type(of) is list}
    assert drawn == sent


def test_only_core_nodes_and_ours():
    ours = node_ids()
    used = {node["class_type"] for name in NAMES for node in twin(name).values()}
    assert {kind for kind in used if kind.startswith("AnimateX_")} <= ours
    assert not {kind for kind in used if "AnimateX" not in kind and ("_" in kind or "|" in kind)}


@pytest.mark.parametrize("path", BLUEPRINTS, ids=lambda path: path.stem)
def test_the_blueprint_is_one_node_with_what_is_in_it(path):
    graph = json.loads(path.read_text(encoding="utf-8"))
    (node,), (inside,) = graph["nodes"], graph["definitions"]["subgraphs"]
    assert node["type"] == inside["id"] and inside["name"] == path.stem
    keys = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
    assert faults(inside["nodes"], [tuple(link[key] for key in keys) for link in inside["links"]]) == []
    for side, end, border in (("inputs", "origin", -10), ("outputs", "target", -20)):
        for place, socket in enumerate(inside[side]):
            linked = {x["id"] for x in inside["links"] if (x[f"{end}_id"], x[f"{end}_slot"]) == (border, place)}
            assert linked == set(socket["linkIds"]) and linked
        assert [s["name"] for s in node[side]] == [s["name"] for s in inside[side]]


@pytest.mark.parametrize("name", sorted(node_ids()))
def test_every_node_has_a_help_page(name):
    text = (ROOT / f"web/docs/{name}.md").read_text(encoding="utf-8")
    assert text.startswith("# ") and len(text) > 300


def test_node_ids_are_found():
    assert {"AnimateX_LoadModel", "AnimateX_Sampler", "AnimateX_ManualPose"} <= node_ids() and len(node_ids()) >= 17
