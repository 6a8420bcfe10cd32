"""The templates in a real ComfyUI: every node and value is known to it, and they run with small networks."""

from __future__ import annotations

import copy
import json
from fractions import Fraction
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import av
import pytest
from PIL import Image
from safetensors.torch import load_file

from tests.comfy.template_files import NAMES, template_host, twin  # noqa: F401  (template_host is a fixture)

pytestmark = pytest.mark.slow
NUMBERS = {"INT": int, "FLOAT": (int, float)}
MISSING = "What is missing?"  # the title of a check that is wired to nothing
# Width, height, steps and frames that a CPU does in seconds; everything else stays as the template has it.
SMALL = {"width": 64, "height": 96, "steps": 2}


def options(kind, more):
    """What a combo box offers; None for other widgets."""
    if isinstance(kind, list):
        return kind
    if kind == "COMBO":
        return more.get("options", [])
    return [option["key"] for option in more["options"]] if kind == "COMFY_DYNAMICCOMBO_V3" else None


def faults(api, known):
    """What ComfyUI would not take: unknown nodes, missing inputs, wrong links, values out of range."""
    found = []
    for key, node in api.items():
        if node["class_type"] not in known:
            found.append(f"{key}: no node {node['class_type']}")
            continue
        wanted = known[node["class_type"]]["input"]
        for name in set(wanted.get("required", {})) - set(node["inputs"]):
            found.append(f"{key}: {node['class_type']} needs {name}")
        for name, given in node["inputs"].items():
            spec = (wanted.get("required", {}) | wanted.get("optional", {})).get(name.split(".")[0])
            told = "no such input" if spec is None else _wrong(given, spec[0], dict(*spec[1:]), api, known)
            if told and "." not in name:
                found.append(f"{key}: {node['class_type']}.{name}: {told}")
    return found


def _wrong(given, kind, more, api, known):
    """Why a value or a link does not fit an input, or None."""
    if isinstance(given, list):
        origin = api.get(given[0], {}).get("class_type")
        if origin not in known or given[1] >= len(known[origin]["output"]):
            return f"nothing comes out of {origin} at {given[1]}"
        made = known[origin]["output"][given[1]]
        made = "COMBO" if isinstance(made, list) else made
        fits = "*" in (made, kind) or made in str(kind).split(",")
        return None if fits else f"{made} on {kind}"
    offered = options(kind, more)
    if offered is not None:
        return None if given in offered else f"{given!r} is not offered: {offered[:6]}"
    if kind in NUMBERS:
        if not isinstance(given, NUMBERS[kind]) or isinstance(given, bool):
            return f"{given!r} is no {kind}"
        if not more.get("min", given) <= given <= more.get("max", given):
            return f"{given} is not within {more.get('min')} and {more.get('max')}"
        return None
    expected = {"BOOLEAN": bool, "STRING": str}.get(kind)
    return None if expected is not None and isinstance(given, expected) else f"{given!r} on a socket {kind}"


@pytest.fixture(scope="module")
def known(template_host):  # noqa: F811
    return template_host.get("/object_info")


@pytest.mark.parametrize("name", NAMES)
def test_every_node_value_and_link_is_known_to_the_host(name, known):
    assert faults(twin(name), known) == []


def test_wrong_nodes_values_and_links_are_noticed(known):
    api = twin("1_first_animation")
    place = {node["class_type"]: key for key, node in api.items()}
    sampler, model, pick = place["AnimateX_Sampler"], place["AnimateX_LoadModel"], place["AnimateX_PickFrames"]
    for key, name, value in (
        (sampler, "steps", 0), (sampler, "steps", "30"), (sampler, "nothing", 1), (sampler, "model", [pick, 0]),
        (model, "model_name", "other.safetensors"), (sampler, "closed_loop", 1),
    ):  # fmt: skip
        broken = copy.deepcopy(api)
        broken[key]["inputs"][name] = value
        assert len(faults(broken, known)) == 1, (name, value)
    broken = copy.deepcopy(api)
    broken[sampler]["class_type"] = "AnimateX_Nothing"
    assert any("no node" in fault for fault in faults(broken, known))
    del api[sampler]["inputs"]["positive"]
    assert faults(api, known) == [f"{sampler}: AnimateX_Sampler needs positive"]


def post(host, path, data):
    request = Request(f"{host.url}{path}", json.dumps(data).encode(), {"Content-Type": "application/json"})
    try:
        with urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or "null")
    except HTTPError as error:
        raise RuntimeError(error.read().decode()) from None


def small(api, **changed):
    """The same graph for a CPU: changed and SMALL replace values of this name wherever they are no links."""
    api = copy.deepcopy(api)
    for node in api.values():
        if node["class_type"] == "AnimateX_DrawPose":
            continue
        for name, value in (SMALL | changed).items():
            if name in node["inputs"] and not isinstance(node["inputs"][name], list):
                node["inputs"][name] = value
    return api


def without(api, *kinds):
    """The graph without nodes that need another model's weights; who read from them reads from their first image."""
    api = copy.deepcopy(api)
    for key in [key for key, node in api.items() if node["class_type"] in kinds]:
        source = api[key]["inputs"].get("images")
        del api[key]
        for node in api.values():
            for name, value in list(node["inputs"].items()):
                if isinstance(value, list) and value[0] == key:
                    node["inputs"][name] = source
    return api


def run(host, api):
    """Queue a graph; what its nodes showed, by class. Raises RuntimeError with the host's message."""
    outputs = host.result(post(host, "/prompt", {"prompt": api})["prompt_id"])
    return {api[key]["class_type"]: shown for key, shown in outputs.items()}


def film(host, shown):
    """Frames, size, rate and whether there is sound, of a video that a node saved."""
    (saved,) = shown["images"]
    with av.open(f"{host.url}/view?{urlencode(saved)}") as video:
        stream = video.streams.video[0]
        frames = sum(1 for _ in video.decode(video=0))
        return frames, (stream.width, stream.height), stream.average_rate, bool(video.streams.audio)


@pytest.mark.parametrize(("name", "frames"), [("1_first_animation", 32), ("3_ksampler_lora_cache", 64)])
def test_a_template_gives_a_video(template_host, name, frames):  # noqa: F811
    shown = run(template_host, small(twin(name)))
    assert film(template_host, shown["SaveVideo"]) == (frames, (64, 96), Fraction(8), False)
    assert {"AnimateX_ExtractPose", "AnimateX_AlignPose"} <= set(shown)


def test_the_lora_is_applied_and_all_of_it(template_host):  # noqa: F811
    """Latents with it at full strength differ from those without, and no weight of it is left over."""
    latents = []
    for strength in (0.0, 1.0):
        api = small(twin("3_ksampler_lora_cache"), frame_load_cap=8, strength_model=strength)
        decode = next(node for node in api.values() if node["class_type"] == "VAEDecode")
        given = {"samples": decode["inputs"]["samples"], "filename_prefix": "t/l"}
        run(template_host, api | {"save": {"class_type": "SaveLatent", "inputs": given}})
        latents.append(load_file(sorted((template_host.base / "output/t").glob("l_*.latent"))[-1])["latent_tensor"])
    assert (latents[0] - latents[1]).norm() > 1e-3 * latents[0].norm()
    assert "lora key not loaded" not in (template_host.base / "server.log").read_text(errors="replace")


def test_the_loop_is_an_animated_picture_that_repeats(template_host):  # noqa: F811
    (saved,) = run(template_host, small(twin("5_endless_loop")))["SaveAnimatedWEBP"]["images"]
    with Image.open(template_host.base / "output" / saved["filename"]) as picture:
        assert (picture.n_frames, picture.size, picture.info["loop"]) == (32, (64, 96), 0)
        picture.load()
        assert picture.info["duration"] == 125


def test_the_cartoon_runs_up_to_frame_interpolation(template_host):  # noqa: F811
    api = without(small(twin("2_cartoon_10s_576x1024")), "FrameInterpolate", "FrameInterpolationModelLoader")
    shown = run(template_host, {key: node for key, node in api.items() if node["_meta"]["title"] != MISSING})
    assert film(template_host, shown["SaveVideo"])[:2] == (80, (64, 96))
    assert film(template_host, shown["SaveVideo"])[3], "the driver's sound is gone"
    assert "No problems." in shown["AnimateX_Preflight"]["text"][0]
    assert len(shown["PreviewImage"]["images"]) == 80


@pytest.mark.parametrize("name", ["1_first_animation", "2_cartoon_10s_576x1024"])
def test_what_is_missing_is_said_where_the_model_and_the_video_are_missing(template_host, name):  # noqa: F811
    """ComfyUI refuses everything that needs the files, and runs the check that needs nothing."""
    api = twin(name)
    (check,) = (key for key, node in api.items() if node["_meta"]["title"] == MISSING)
    assert not [value for value in api[check]["inputs"].values() if isinstance(value, list)]
    for node in api.values():
        if node["class_type"] in ("AnimateX_LoadModel", "LoadVideo"):
            node["inputs"] |= {key: "gone.mp4" for key in ("model_name", "file") if key in node["inputs"]}
    asked = post(template_host, "/prompt", {"prompt": api})
    assert asked["node_errors"]
    outputs = template_host.result(asked["prompt_id"])
    assert list(outputs) == [check] and outputs[check]["text"] == ["No problems."]


def test_the_pack_brings_a_dance_and_opens_nothing_else_of_its_own(template_host, known):  # noqa: F811
    offered = options(*known["AnimateX_LoadPose"]["input"]["required"]["file"])
    assert {"dance.json [animate-x]", "walk.json"} <= set(offered)

    def loaded(file):
        poses = {"file": file, "units": "find out", "skip_first_frames": 0, "frame_load_cap": 0}
        save = {"poses": ["1", 0], "filename_prefix": "t/brought", "fps": 0.0}
        kinds = {"1": ("AnimateX_LoadPose", poses), "2": ("AnimateX_SavePose", save)}
        return {key: {"class_type": kind, "inputs": inputs} for key, (kind, inputs) in kinds.items()}

    run(template_host, loaded("dance.json [animate-x]"))
    (saved,) = (template_host.base / "output/t").glob("brought_*.json")
    assert len(json.loads(saved.read_text())["frames"]) == 32
    for file, told in (("../../tests/data/poses/dance.json [animate-x]", "is not in"), ("gone.json [animate-x]", "no")):
        with pytest.raises(RuntimeError, match=told):
            run(template_host, loaded(file))


def test_poses_of_another_node_drive_the_character(template_host):  # noqa: F811
    """Template 4 with the poses of a file in the place of SDPose, whose weights are not here."""
    api = small(twin("4_poses_from_other_nodes"))
    for node in api.values():
        if node["class_type"] == "SDPoseKeypointExtractor":
            loaded = {"file": "walk.json", "units": "find out", "skip_first_frames": 0, "frame_load_cap": 32}
            node |= {"class_type": "AnimateX_LoadPose", "inputs": loaded}
    shown = run(template_host, without(api, "CheckpointLoaderSimple"))
    assert film(template_host, shown["SaveVideo"])[0] == 32
    assert shown["AnimateX_PoseReport"]["text"]
    assert list((template_host.base / "output/poses").glob("*.json"))


def test_templates_thumbnails_blueprint_and_help_pages_are_served(template_host):  # noqa: F811
    (pack,) = template_host.get("/workflow_templates")
    assert sorted(template_host.get("/workflow_templates")[pack]) == NAMES
    for name in NAMES:
        with urlopen(f"{template_host.url}/api/workflow_templates/{pack}/{name}.jpg", timeout=30) as answer:
            assert answer.headers["Content-Type"] == "image/jpeg"
    ours = [of["name"] for of in template_host.get("/global_subgraphs").values() if pack in of["info"]["node_pack"]]
    assert ours == ["Animate a character"]
    for kind in (kind for kind in template_host.get("/object_info") if kind.startswith("AnimateX_")):
        with urlopen(f"{template_host.url}/extensions/{pack}/docs/{kind}.md", timeout=30) as answer:
            assert answer.read().startswith(b"# ")
