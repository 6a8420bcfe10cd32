"""Help pages and translations of the pose nodes against the nodes of a real ComfyUI: nothing missing, nothing stale."""

from __future__ import annotations

import json
import re
import urllib.request

import pytest

from tests.comfy.real_host import ROOT
from tests.comfy.test_pose_nodes import NODES


@pytest.mark.parametrize("name", NODES)
def test_the_help_page_is_served_and_names_only_inputs_that_exist(host, name):
    node = host.get(f"/object_info/AnimateX_{name}")[f"AnimateX_{name}"]
    with urllib.request.urlopen(f"{host.url}/extensions/animate-x/docs/AnimateX_{name}/en.md", timeout=30) as answer:
        text = answer.read().decode()
    assert text.startswith(f"# {node['display_name']}\n")
    known = {*node["input"]["required"], *node["input"].get("optional", {}), *node["output_name"]}
    named = set(re.findall(r"\*\*([a-z][a-z_]+)\*\*", text))
    assert named - {"input", "output", "motion", "body", "yolox_l", "fps"} <= known


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("name", NODES)
def test_names_and_tooltips_are_there_in_every_language(host, name, language):
    node = host.get(f"/object_info/AnimateX_{name}")[f"AnimateX_{name}"]
    told = json.loads((ROOT / f"locales/{language}/nodeDefs.json").read_text(encoding="utf-8"))[f"AnimateX_{name}"]
    given = {**node["input"]["required"], **node["input"].get("optional", {})}
    assert set(told["inputs"]) == set(given)
    assert [int(number) for number in told["outputs"]] == list(range(len(node["output"])))
    texts = [told["display_name"], told["description"], *(t["tooltip"] for t in told["inputs"].values())]
    assert all(texts)
    if language == "en":
        assert told["display_name"] == node["display_name"] and told["description"] == node["description"]
        assert {key: one["tooltip"] for key, one in told["inputs"].items()} == {
            k: s[1]["tooltip"] for k, s in given.items()
        }
    else:
        assert all(re.search(r"[\u4e00-\u9fff]", text) for text in texts)
