"""Help pages and translations of every node against a real ComfyUI: nothing missing, nothing stale."""

from __future__ import annotations

import json
import re
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from tests.comfy.real_host import ROOT
from tests.comfy.test_server import NODES as NAMES

NODES = (*NAMES, "PoseReport")
CHINESE = re.compile(r"[\u4e00-\u9fff]")
# What is bold or code on the pages without being an input or an output of the node.
EMPHASIS = {"and", "before", "body", "input", "motion", "output", "pictures", "yolox_l"}
EMPHASIS_ZH = {"R", "POSE_KEYPOINT", "yolox_l", "dw-ll_ucoco_384"}


def page(host, name, language):
    """The text that ComfyUI's frontend shows: the page in the language, else the one in none."""
    pages = f"{host.url}/extensions/animate-x/docs/AnimateX_{name}"
    try:
        with urlopen(f"{pages}/{language}.md", timeout=30) as answer:
            return answer.read().decode()
    except HTTPError:
        with urlopen(f"{pages}.md", timeout=30) as answer:
            return answer.read().decode()


def schema(host, name):
    """The node as the host knows it, and its inputs."""
    node = host.get(f"/object_info/AnimateX_{name}")[f"AnimateX_{name}"]
    return node, {**node["input"].get("required", {}), **node["input"].get("optional", {})}


def translated(name, language):
    """The node's names and tooltips in a language."""
    return json.loads((ROOT / f"locales/{language}/nodeDefs.json").read_text(encoding="utf-8"))[f"AnimateX_{name}"]


@pytest.mark.parametrize("language", ["en", "fr"])
@pytest.mark.parametrize("name", NODES)
def test_the_help_page_is_served_and_names_only_inputs_that_exist(host, name, language):
    text, (node, given) = page(host, name, language), schema(host, name)
    assert text.startswith(f"# {node['display_name']}\n")
    named = set(re.findall(r"\*\*([a-z][a-z_]+)\*\*", text))
    assert named - EMPHASIS <= {*given, *node["output_name"]}


@pytest.mark.parametrize("name", NODES)
def test_the_chinese_page_uses_the_names_on_the_node_and_the_values_of_the_english_one(host, name):
    text, shown = page(host, name, "zh"), translated(name, "zh")
    assert text.startswith(f"# {shown['display_name']}\n") and len(CHINESE.findall(text)) > 80
    known = {of["name"] for part in ("inputs", "outputs") for of in shown[part].values()}
    assert set(re.findall(r"\*\*([^*]+)\*\*", text)) - EMPHASIS_ZH <= known
    code, english = (set(re.findall(r"`([^`]+)`", written)) for written in (text, page(host, name, "en")))
    assert english - set(shown["inputs"]) <= code <= english


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("name", NODES)
def test_names_and_tooltips_are_there_in_every_language(host, name, language):
    told, (node, given) = translated(name, language), schema(host, name)
    assert set(told["inputs"]) == set(given)
    assert [int(number) for number in told["outputs"]] == list(range(len(node["output"])))
    texts = [told["display_name"], told["description"], *(t["tooltip"] for t in told["inputs"].values())]
    assert all(texts) and all(of["name"] and of["tooltip"] for of in told["outputs"].values())
    if language == "en":
        assert told["display_name"] == node["display_name"] and told["description"] == node["description"]
        assert {key: of["tooltip"] for key, of in told["inputs"].items()} == {
            k: s[1]["tooltip"] for k, s in given.items()
        }
        assert [of["tooltip"] for of in told["outputs"].values()] == node["output_tooltips"]
    else:
        assert all(CHINESE.search(text) for text in texts)


def test_every_language_has_every_node_and_no_other(host):
    nodes = {name for name in host.get("/object_info") if name.startswith("AnimateX_")}
    assert nodes == {f"AnimateX_{name}" for name in NODES}
    for path in sorted((ROOT / "locales").glob("*/nodeDefs.json")):
        assert set(json.loads(path.read_text(encoding="utf-8"))) == nodes, path
