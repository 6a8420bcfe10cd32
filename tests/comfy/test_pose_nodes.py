"""The pose nodes in a real ComfyUI: what they give is what the core gives, and no pose stops a run."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from animatex_core.pose import epi
from animatex_core.pose.clean import CleanOptions, clean
from animatex_core.pose.draw import draw_poses
from animatex_core.pose.dwpose import DWPose
from animatex_core.pose.io import load_openpose, save_openpose
from animatex_core.pose.manual import move_detected, parse_joints, place_figure
from tests.parity.networks import Detector, Pose, write_detector, write_torchscript

DANCE = Path(__file__).parents[1] / "data/poses/dance_60.json"
POSE_FILE = "dw-ll_ucoco_384_bs5.torchscript.pt"
NODES = (
    "LoadDWPose", "ExtractPose", "CleanPose", "AlignPose", "RescalePose", "ManualPose", "DrawPose", "SavePose",
    "LoadPose", "PoseReport",
)  # fmt: skip
LOAD = {"units": "find out", "skip_first_frames": 0, "frame_load_cap": 0}
ALIGN = {
    "mode": "character", "strength": 1.0, "drop_absent_parts": False, "hands": True, "drop_part": "none",
    "correct_foreshortening": True,
}  # fmt: skip
CLEAN = {
    "person": "main", "min_score": 0.3, "fix_swaps": True, "remove_outliers": True, "max_gap": 8, "no_person": "hold",
    "smoothing": "one-euro", "smoothing_strength": 1.0, "fps": 24.0,
}  # fmt: skip
OFF = {"fix_swaps": False, "remove_outliers": False, "max_gap": 0, "no_person": "blank", "smoothing": "none"}
SHAPE = dict.fromkeys((*epi.OPERATIONS, "size"), 1.0)
RESCALE = {"shape": "custom", "strength": 1.0, **SHAPE, "drop_part": "none", "add_part": "none"}
DRAW = {
    "palette": "trained", "hands": True, "face": False, "stick": "trained", "width": 0, "height": 0, "opacity": 1.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def dance(host):
    poses = load_openpose(DANCE)
    save_openpose(host.base / "input/dance.json", poses)
    save_openpose(host.base / "input/chibi.json", epi.rescale(poses.frames(slice(0, 1)), epi.PRESETS["chibi"]).poses)
    return poses


def load(name, **changed):
    return ("AnimateX_LoadPose", {"file": name, **LOAD, **changed})


def saved(host, **nodes):
    """Run with the node `last` saved; the poses that were written, and what was shown."""
    shown = host.run(**nodes, save=("AnimateX_SavePose", {"poses": ("last", 0), "filename_prefix": "t/x", "fps": 24.0}))
    files = sorted((host.base / "output/t").glob("x_*.json"))
    return load_openpose(files[-1]), shown


def same(ours, theirs, away=0.01):
    assert (ours.width, ours.height, len(ours)) == (theirs.width, theirs.height, len(theirs))
    assert (ours.present == theirs.present).all()
    assert np.abs(ours.points - np.where(theirs.present[..., None], theirs.points, 0)).max() <= away


def test_every_node_is_there_with_a_tooltip_on_every_input_and_output(host):
    known = host.get("/object_info")
    for name in NODES:
        node = known[f"AnimateX_{name}"]
        given = {**node["input"]["required"], **node["input"].get("optional", {})}
        assert all(len(spec[1].get("tooltip", "")) > 8 for spec in given.values()), name
        assert all(node["output_tooltips"]) and node["description"] and node["search_aliases"], name
        assert node["category"].startswith("AnimateX")


def test_poses_pass_through_files_unchanged(host, dance):
    poses, shown = saved(host, last=load("dance.json"))
    same(poses, dance, 0)
    assert poses.fps == 24.0
    assert shown["last"]["images"] and shown["save"]["images"]
    cut, _ = saved(host, last=load("dance.json", skip_first_frames=5, frame_load_cap=7))
    same(cut, dance.frames(slice(5, 12)), 0)


@pytest.mark.parametrize("mode", ["character", "full", "similarity", "off"])
def test_align_gives_what_the_core_gives(host, dance, mode):
    poses, shown = saved(
        host,
        driver=load("dance.json"),
        anchor=load("chibi.json"),
        last=("AnimateX_AlignPose", {
            "driving_poses": ("driver", 0), "reference_pose": ("anchor", 0), **ALIGN, "mode": mode,
            "drop_absent_parts": True, "hands": False,
        }),
        report=("PreviewAny", {"source": ("last", 1)}),
    )  # fmt: skip
    anchor = load_openpose(host.base / "input/chibi.json")
    wanted = epi.realign(dance, anchor, mode=mode, drop=("hands",), drop_absent=True)
    same(poses, wanted.poses)
    assert wanted.summary() in shown["report"]["text"][0]
    assert not poses.present[..., 20:62].any()
    before_after = host.picture(shown["last"]["images"][0])
    assert before_after.shape[0] > 480 and len(np.unique(before_after.reshape(-1, 3), axis=0)) > 20


def test_align_at_half_strength_lies_between(host, dance):
    def at(strength):
        given = {"driving_poses": ("driver", 0), "reference_pose": ("anchor", 0), **ALIGN, "strength": strength}
        align = ("AnimateX_AlignPose", given)
        return saved(host, driver=load("dance.json"), anchor=load("chibi.json"), last=align)[0]

    none, half, full = at(0.0), at(0.5), at(1.0)
    same(none, dance, 0.01)
    assert np.abs(half.points - (none.points + full.points) / 2).max() < 0.01
    assert np.abs(full.points - none.points).max() > 20


def test_rescale_gives_what_the_core_gives(host, dance):
    given = {**RESCALE, "poses": ("driver", 0), "shape": "big head", "legs": 0.5, "drop_part": "left arm"}
    poses, _ = saved(host, driver=load("dance.json"), last=("AnimateX_RescalePose", given))
    shape = epi.Rescale(neck=1.5, face=2.2, legs=0.5, drop=("left arm",))
    same(poses, epi.rescale(dance, shape).poses)
    still, _ = saved(
        host, driver=load("dance.json"), last=("AnimateX_RescalePose", {**RESCALE, "poses": ("driver", 0)})
    )
    same(still, dance)


def test_clean_gives_what_the_core_gives(host, dance):
    cleaned = ("AnimateX_CleanPose", {"poses": ("driver", 0), **CLEAN})
    poses, shown = saved(host, driver=load("dance.json"), last=cleaned, report=("PreviewAny", {"source": ("last", 1)}))
    wanted = clean(dance, CleanOptions())
    same(poses, wanted.poses)
    assert wanted.summary() in shown["report"]["text"][0] and shown["last"]["images"]


def test_pictures_are_the_cores_pictures_over_black_and_over_a_background(host, dance):
    Image.new("RGB", (64, 96), (10, 200, 30)).save(host.base / "input/green.png")
    shown = host.run(
        driver=load("dance.json", frame_load_cap=2),
        behind=("LoadImage", {"image": "green.png"}),
        black=("AnimateX_DrawPose", {"poses": ("driver", 0), **DRAW}),
        over=("AnimateX_DrawPose", {"poses": ("driver", 0), "background": ("behind", 0), **DRAW, "opacity": 0.5}),
        keep=("SaveImage", {"images": ("black", 0), "filename_prefix": "black"}),
        keep2=("SaveImage", {"images": ("over", 0), "filename_prefix": "over"}),
    )
    two = dance.frames(slice(0, 2))
    for picture, wanted in zip(shown["keep"]["images"], draw_poses(two), strict=True):
        assert np.abs(host.picture(picture).astype(int) - wanted).max() <= 1
    green = np.full((96, 64, 3), (10, 200, 30), np.uint8)
    wanted = draw_poses(two, background=green, opacity=0.5)
    for picture, one in zip(shown["keep2"]["images"], wanted, strict=True):
        assert np.abs(host.picture(picture).astype(int) - one).max() <= 1


def test_joints_by_hand_become_the_pose(host):
    Image.new("RGB", (200, 400)).save(host.base / "input/black.png")
    joints = json.dumps({"joints": {"nose": [0.5, 0.3], "neck": [0.5, 0.5]}, "absent": ["left arm"]})
    poses, shown = saved(
        host,
        image=("LoadImage", {"image": "black.png"}),
        last=("AnimateX_ManualPose", {"image": ("image", 0), "joints": joints, "complete": True}),
    )
    same(poses, place_figure(parse_joints(joints), 200, 400).poses)
    assert host.picture(shown["last"]["animatex_picture"][0]).shape == (400, 200, 3)
    wrong = {"image": ("image", 0), "joints": '{"joints": {"tail": [0, 0]}}', "complete": True}
    with pytest.raises(RuntimeError, match="unknown joint 'tail'"):
        saved(host, image=("LoadImage", {"image": "black.png"}), last=("AnimateX_ManualPose", wrong))


@pytest.mark.parametrize("transparent", ["background", "character"])
def test_the_figure_stands_in_the_mask(host, transparent):
    shape = np.zeros((400, 200, 4), np.uint8)
    shape[100:300, 60:100] = 255
    # LoadImage's mask is where the picture is transparent
    Image.fromarray(shape if transparent == "background" else 255 - shape).save(host.base / f"input/{transparent}.png")
    poses, shown = saved(
        host,
        image=("LoadImage", {"image": f"{transparent}.png"}),
        last=("AnimateX_ManualPose", {"image": ("image", 0), "mask": ("image", 1), "joints": "", "complete": True}),
    )
    points = poses.points[0, 0, :20]
    assert (points >= [58, 98]).all() and (points <= [102, 302]).all()
    assert ("turned round" in shown["last"]["text"][0]) == (transparent == "background")
    base = np.array(json.loads(shown["last"]["animatex_base"][0]))
    assert base * [200, 400] == pytest.approx(points, abs=0.1)


def test_a_detected_pose_is_corrected_by_hand(host, dance):
    Image.new("RGB", (dance.width, dance.height)).save(host.base / "input/stage.png")
    joints = json.dumps({"joints": {"nose": [0.5, 0.1]}, "absent": ["legs"]})
    given = {"image": ("image", 0), "detected_pose": ("found", 0), "joints": joints, "complete": True}
    poses, _ = saved(
        host,
        image=("LoadImage", {"image": "stage.png"}),
        found=load("dance.json", frame_load_cap=1),
        last=("AnimateX_ManualPose", given),
    )
    same(poses, move_detected(dance.frames(slice(0, 1)), parse_joints(joints)).poses)
    assert poses.points[0, 0, 0] == pytest.approx([0.5 * dance.width, 0.1 * dance.height], abs=0.01)


SDPOSE = """
import json, sys
sys.path.insert(0, {comfy!r})
sys.argv = ["main.py", "--cpu"]
import comfy.options
comfy.options.enable_args_parsing()
import numpy as np
from comfy_extras.nodes_sdpose import _to_openpose_frames as frames
rng = np.random.default_rng(3)
points = [[rng.uniform(0, 400, (133, 2))] for _ in range(3)]
scores = [[np.where(np.arange(133) % 4 == 0, 0.01, 0.9)] for _ in range(3)]
json.dump([frames(points, scores, 480, 400), np.array(points)[:, 0].tolist()], sys.stdout)
"""


def test_poses_of_cores_own_extractor_are_read(host):
    """Its frames as its own code writes them: real scores, feet of three points, 70 points of the face."""
    code = SDPOSE.format(comfy=os.environ["COMFYUI_PATH"])
    ran = subprocess.run([os.environ["COMFYUI_PYTHON"], "-c", code], capture_output=True, text=True)
    if "ImportError" in ran.stderr:
        pytest.skip("this ComfyUI has no SDPose extractor, or another one")
    frames, points = json.loads(ran.stdout[ran.stdout.index("[[") :])
    (host.base / "input/sdpose.json").write_text(json.dumps(frames))
    poses, _ = saved(host, last=load("sdpose.json"))
    assert (poses.width, poses.height, len(poses)) == (400, 480, 3)
    wrist, nose = np.array(points)[:, 9], np.array(points)[:, 0]  # COCO's left wrist and nose
    assert poses.points[:, 0, 7] == pytest.approx(wrist, abs=0.01)
    assert poses.points[:, 0, 0] == pytest.approx(nose, abs=0.01)
    assert poses.present[:, 0, :18].all()  # any score above 0 counts ...
    cleaned = ("AnimateX_CleanPose", {"poses": ("all", 0), **CLEAN, **OFF})
    sure, _ = saved(host, all=load("sdpose.json"), last=cleaned)
    assert not sure.present[:, 0, 0].any() and sure.present[:, 0, 7].all()  # ... until Clean Poses is told otherwise


def odd_poses():
    person = {"pose_keypoints_2d": [0.5, 0.25, 1.0] * 18}
    frame = {"canvas_width": 64, "canvas_height": 96}
    none = dict.fromkeys(("face_keypoints_2d", "hand_left_keypoints_2d", "hand_right_keypoints_2d"))
    nose = [0.4, 0.4, 0.01] + [0.0] * 51
    return {
        "nobody": [{"people": [], **frame}] * 3,
        "normalised": [{"people": [{**person, **none}], **frame}] * 2,
        "one low joint": [{"people": [{"pose_keypoints_2d": nose}], **frame}],
        "all zero": [{"people": [{"pose_keypoints_2d": [0.0] * 54, **none}], **frame}],
        "two people and none": [{"people": [person, person], **frame}, {"people": [], **frame}],
        "far away": [{"people": [{"pose_keypoints_2d": [1e30, -1e30, 1.0] * 18}], **frame}] * 4,
    }


@pytest.mark.parametrize("name", odd_poses())
def test_no_pose_stops_a_run(host, dance, name):
    (host.base / "input/odd.json").write_text(json.dumps(odd_poses()[name]))
    odd, dancer = ("odd", 0), ("dancer", 0)
    shown = host.run(
        odd=load("odd.json"),
        dancer=load("dance.json", frame_load_cap=8),
        clean=("AnimateX_CleanPose", {"poses": odd, **CLEAN}),
        forth=("AnimateX_AlignPose", {"driving_poses": odd, "reference_pose": dancer, **ALIGN}),
        back=("AnimateX_AlignPose", {"driving_poses": dancer, "reference_pose": odd, **ALIGN, "strength": 0.7}),
        shape=("AnimateX_RescalePose", {"poses": odd, **RESCALE, "shape": "plush", "add_part": "legs"}),
        draw=("AnimateX_DrawPose", {"poses": odd, **DRAW}),
        check=("AnimateX_PoseReport", {"poses": odd, "reference_pose": dancer, "fps": 0.0}),
        **{
            f"save_{of}": ("AnimateX_SavePose", {"poses": (of, 0), "filename_prefix": f"odd/{of}", "fps": 0.0})
            for of in ("clean", "forth", "back", "shape")
        },
        keep=("PreviewImage", {"images": ("draw", 0)}),
    )
    assert set(shown) >= {"clean", "forth", "back", "shape", "draw", "check", "keep"}
    assert "!" in shown["check"]["text"][0]
    for of in ("clean", "forth", "back", "shape"):
        written = load_openpose(sorted((host.base / "output/odd").glob(f"{of}_*.json"))[-1])
        assert np.isfinite(written.points).all() and np.abs(written.points).max() < 1e5


def test_a_character_without_a_pose_is_said_in_the_console(host, dance):
    """The run goes on with the driver's own figure; the preview and the console say that nothing was fitted."""
    (host.base / "input/odd.json").write_text(json.dumps(odd_poses()["nobody"]))
    align = {"driving_poses": ("dancer", 0), "reference_pose": ("odd", 0), **ALIGN}
    told = ("PreviewAny", {"source": ("fit", 1)})
    host.run(odd=load("odd.json"), dancer=load("dance.json"), fit=("AnimateX_AlignPose", align), told=told)
    assert "the motion is not fitted as asked" in host.tail()


def test_animal_poses_are_refused_with_the_way_out(host):
    (host.base / "input/dog.json").write_text(json.dumps([{"version": "ap10k", "animals": []}]))
    with pytest.raises(RuntimeError, match="AP10K animal poses"):
        host.run(dog=load("dog.json"), check=("AnimateX_PoseReport", {"poses": ("dog", 0), "fps": 0.0}))


@pytest.mark.parametrize("name", ["../user/default/comfy.settings.json", "/etc/hosts.json", "../x.json [output]"])
def test_files_outside_of_the_folders_are_not_read(host, name):
    with pytest.raises(RuntimeError, match=r"not in ComfyUI's input or output folder|Invalid file path"):
        host.run(it=load(name), check=("AnimateX_PoseReport", {"poses": ("it", 0), "fps": 0.0}))


def test_links_that_lead_outside_are_not_followed(host, tmp_path):
    save_openpose(tmp_path / "secret.json", load_openpose(DANCE).frames(slice(0, 1)))
    (host.base / "input/link.json").symlink_to(tmp_path / "secret.json")
    with pytest.raises(RuntimeError, match=r"not in ComfyUI's input or output folder|Invalid file path"):
        host.run(it=load("link.json"), check=("AnimateX_PoseReport", {"poses": ("it", 0), "fps": 0.0}))


def test_files_outside_of_the_output_folder_are_not_written(host, dance):
    save = ("AnimateX_SavePose", {"poses": ("driver", 0), "filename_prefix": "../../escaped", "fps": 0.0})
    with pytest.raises(RuntimeError, match="outside"):
        host.run(driver=load("dance.json"), save=save)
    assert not list(host.base.parent.glob("**/escaped*"))


def test_a_missing_detector_says_what_to_put_where(host):
    dwpose = ("AnimateX_LoadDWPose", {"detector": "no file found", "pose": "no file found", "device": "auto"})
    Image.new("RGB", (20, 20)).save(host.base / "input/tiny.png")
    extract = {"dwpose": ("dwpose", 0), "images": ("image", 0), "person": "best", "skip_detector": False}
    with pytest.raises(RuntimeError, match=r"yolox_l.onnx and dw-ll_ucoco_384.onnx .* into .*models/dwpose"):
        host.run(
            dwpose=dwpose,
            image=("LoadImage", {"image": "tiny.png"}),
            extract=("AnimateX_ExtractPose", extract),
            check=("AnimateX_PoseReport", {"poses": ("extract", 0), "fps": 0.0}),
        )


WIDTH, HEIGHT = 96, 128


@pytest.fixture(scope="module")
def networks(host):
    """Small real networks where people keep them: ComfyUI's models, and the folder of comfyui_controlnet_aux."""
    kept, aux = host.base / "models/dwpose", host.base / "custom_nodes/comfyui_controlnet_aux.disabled/ckpts/hr16"
    kept.mkdir(parents=True)
    aux.mkdir(parents=True)
    boxes = [(20, 10, 70, 120, 0.9, 0, 2)]
    write_detector(kept / "yolox_l.onnx", boxes, WIDTH, HEIGHT)
    write_torchscript(kept / "yolox_l.torchscript.pt", Detector(boxes, WIDTH, HEIGHT), (1, 640, 640))
    write_torchscript(aux / "dw-ll_ucoco_384_bs5.torchscript.pt", Pose(5), (5, 384, 288))
    return kept, aux


def listed(host, name):
    given = host.get("/object_info/AnimateX_LoadDWPose")["AnimateX_LoadDWPose"]["input"]["required"][name]
    return given[1]["options"] if given[0] == "COMBO" else given[0]


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
@pytest.mark.parametrize("skip_detector", [False, True])
def test_poses_are_found_on_torch_alone(host, networks, skip_detector):
    kept, aux = networks
    detector, pose = "dwpose/yolox_l.torchscript.pt", "comfyui_controlnet_aux.disabled/ckpts/hr16/" + POSE_FILE
    assert set(listed(host, "detector")) == {"dwpose/yolox_l.onnx", detector} and listed(host, "pose") == [pose]
    Image.new("RGB", (WIDTH, HEIGHT), (160, 160, 160)).save(host.base / "input/grey.png")
    given = {"dwpose": ("dwpose", 0), "images": ("two", 0), "person": "best", "skip_detector": skip_detector}
    poses, shown = saved(
        host,
        dwpose=("AnimateX_LoadDWPose", {"detector": detector, "pose": pose, "device": "cpu"}),
        image=("LoadImage", {"image": "grey.png"}),
        two=("RepeatImageBatch", {"image": ("image", 0), "amount": 2}),
        last=("AnimateX_ExtractPose", given),
        report=("PreviewAny", {"source": ("last", 1)}),
    )
    frames = [np.full((HEIGHT, WIDTH, 3), 160, np.uint8)] * 2
    wanted, _ = DWPose.load(kept / "yolox_l.torchscript.pt", aux / POSE_FILE, device="cpu").extract(
        frames, skip_detector=skip_detector
    )
    assert poses.present[:, 0, :18].all()
    same(poses, wanted, 0.6)  # a step of the network's answer, where another version of torch rounds otherwise
    assert "2 frames in" in shown["report"]["text"][0] and "torch on cpu" in shown["report"]["text"][0]
    assert shown["last"]["images"]


def test_missing_onnxruntime_is_explained_with_the_command(host, networks):
    python = os.environ["COMFYUI_PYTHON"]
    if subprocess.run([python, "-c", "import onnxruntime"], capture_output=True).returncode == 0:
        pytest.skip("this ComfyUI has onnxruntime")
    assert listed(host, "detector")[-1] == "dwpose/yolox_l.onnx"  # what cannot run comes last
    given = {"detector": "dwpose/yolox_l.onnx", "pose": listed(host, "pose")[0], "device": "auto"}
    extract = {"dwpose": ("dwpose", 0), "images": ("image", 0), "person": "best", "skip_detector": False}
    Image.new("RGB", (20, 20)).save(host.base / "input/tiny.png")
    with pytest.raises(RuntimeError, match="-m pip install onnxruntime"):
        host.run(
            dwpose=("AnimateX_LoadDWPose", given),
            image=("LoadImage", {"image": "tiny.png"}),
            extract=("AnimateX_ExtractPose", extract),
            check=("AnimateX_PoseReport", {"poses": ("extract", 0), "fps": 0.0}),
        )


def test_core_nodes_draw_our_poses(host, dance):
    """The other side of the socket: what ComfyUI's own pose node makes of the poses that we give."""
    shown = host.run(
        driver=load("dance.json", frame_load_cap=3),
        draw=("SDPoseDrawKeypoints", {
            "keypoints": ("driver", 0), "draw_body": True, "draw_hands": True, "draw_face": True, "draw_feet": True,
            "stick_width": 4, "face_point_size": 3, "score_threshold": 0.3, "draw_head": True,
        }),
        keep=("PreviewImage", {"images": ("draw", 0)}),
    )  # fmt: skip
    assert len(shown["keep"]["images"]) == 3
    picture = host.picture(shown["keep"]["images"][0])
    assert picture.shape == (dance.height, dance.width, 3)
    for joint in dance.points[0, 0, :18][dance.present[0, 0, :18]].astype(int):
        assert picture[joint[1] - 2 : joint[1] + 3, joint[0] - 2 : joint[0] + 3].any()
