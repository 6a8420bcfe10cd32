"""DWPose end to end on small real networks: ONNX Runtime and TorchScript, any batch, bad files and bad frames."""

import logging
import sys
import threading

import numpy as np
import pytest

from animatex_core.pose import runtime
from animatex_core.pose.dwpose import DWPose, find_pose_files
from animatex_core.pose.keypoints import BODY
from animatex_core.pose.wholebody import MEAN, STD
from tests.parity.dwpose import Planted
from tests.parity.networks import (
    DRIFT,
    Detector,
    Pose,
    planted_answer,
    point_grid,
    write_detector,
    write_pose,
    write_torchscript,
)

# torch says that it would rather have exported programs; TorchScript files are what people have
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")

WIDTH, HEIGHT = 240, 320
BEST, OTHER = (60, 40, 180, 280), (0, 100, 40, 300)
BOXES = [(*BEST, 0.9, 0, 2), (*OTHER, 0.6, 0, 1)]
GREYS = (20, 90, 100, 130, 160, 190, 220, 250, 0, 110, 140)  # the first and the ninth are too dark for the detector


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("networks")
    for batch in ("N", 1, 4):
        write_detector(place / f"det_{batch}.onnx", BOXES, WIDTH, HEIGHT, batch)
        write_pose(place / f"pose_{batch}.onnx", batch)
    write_torchscript(place / "det.pt", Detector(BOXES, WIDTH, HEIGHT), (1, 640, 640))
    write_torchscript(place / "pose.pt", Pose(), (1, 384, 288))
    write_torchscript(place / "pose_bs5.torchscript.pt", Pose(5), (5, 384, 288))
    return place


def frames(greys=GREYS):
    return [np.full((HEIGHT, WIDTH, 3), grey, np.uint8) for grey in greys]


def expected_points(grey, box, inside=True):
    """The planted network's answer by its own formula, for a picture of one grey."""
    x1, y1, x2, y2 = box
    width, height = 1.25 * (x2 - x1), 1.25 * (y2 - y1)
    width, height = max(width, height * 0.75), max(height, width / 0.75)
    share = 1.0 if inside else (x2 - x1) * (y2 - y1) / (width * height)  # of the input that is not black
    mean = ((share * grey - MEAN) / STD).mean()
    places = np.concatenate([np.rint(axis + DRIFT * mean) for axis in point_grid()], 1)
    return places / 2 / [288, 384] * [width, height] + [(x1 + x2 - width) / 2, (y1 + y2 - height) / 2]


def test_frames_keep_their_order_and_places(folder):
    poses, report = DWPose.load(folder / "det_N.onnx", folder / "pose_N.onnx").extract(iter(frames()), fps=25)
    assert (len(poses), poses.people, poses.width, poses.height, poses.fps) == (len(GREYS), 1, WIDTH, HEIGHT, 25)
    for i, grey in enumerate(GREYS):
        dark = grey < 60
        places = expected_points(grey, (0, 0, WIDTH, HEIGHT) if dark else BEST, inside=not dark)
        np.testing.assert_allclose(poses.points[i, 0, 0], places[0], atol=2.0 if dark else 1.0)  # nose
        np.testing.assert_allclose(poses.points[i, 0, 1], places[[5, 6]].mean(0), atol=2.0 if dark else 1.0)  # neck
    assert poses.present.all()
    assert report.without_box == (0, 8) and report.without_pose == () and report.several == (1, 2, 3, 4, 5, 6, 7, 9, 10)
    assert "CPUExecutionProvider" in report.backend
    assert "2 frames without a detected person (the whole picture was searched): 0, 8" in str(report)
    assert "9 frames with several people: 1-7, 9-10" in str(report)


@pytest.mark.parametrize(
    ("detector", "pose"),
    [
        ("det_1.onnx", "pose_1.onnx"),
        ("det_4.onnx", "pose_4.onnx"),
        ("det_N.onnx", "pose_4.onnx"),
        ("det.pt", "pose.pt"),
        ("det.pt", "pose_bs5.torchscript.pt"),
        ("det_4.onnx", "pose_bs5.torchscript.pt"),
    ],
)
@pytest.mark.parametrize("person", ["best", "all"])
def test_every_file_and_batch_gives_the_same(folder, detector, pose, person):
    expected, _ = DWPose.load(folder / "det_N.onnx", folder / "pose_N.onnx").extract(frames(), person=person)
    poses, report = DWPose.load(folder / detector, folder / pose).extract(frames(), person=person)
    np.testing.assert_allclose(poses.points, expected.points, atol=1.0)  # half a step of the planted distributions
    np.testing.assert_allclose(poses.scores, expected.scores, atol=1e-3)
    assert report.without_box == (0, 8)


def test_one_by_one_equals_a_clip(folder):
    dwpose = DWPose.load(folder / "det_N.onnx", folder / "pose_N.onnx")
    clip, _ = dwpose.extract(frames())
    for i, frame in enumerate(frames()):
        np.testing.assert_array_equal(dwpose.extract([frame])[0].points[0], clip.points[i])


def test_half_precision_files(folder):
    write_detector(folder / "half_det.onnx", BOXES, WIDTH, HEIGHT, half=True)
    write_pose(folder / "half_pose.onnx", half=True)
    expected, _ = DWPose.load(folder / "det_N.onnx", folder / "pose_N.onnx").extract(frames())
    poses, _ = DWPose.load(folder / "half_det.onnx", folder / "half_pose.onnx").extract(frames())
    np.testing.assert_allclose(poses.points, expected.points, atol=1.0)


def test_everybody_or_one(folder):
    dwpose = DWPose.load(folder / "det_N.onnx", folder / "pose_N.onnx")
    bright = frames(GREYS[1:8])
    everybody, _ = dwpose.extract(bright, person="all")
    assert everybody.people == 2 and everybody.present[:, :, BODY].all()
    best, _ = dwpose.extract(bright)
    middle = everybody.points[..., BODY, :].mean((0, 2))
    assert np.abs(middle - best.points[..., BODY, :].mean((0, 2))).max(-1).min() < 1e-3
    largest, _ = dwpose.extract(bright, person="largest")
    np.testing.assert_array_equal(largest.points, best.points)
    left, _ = dwpose.extract(bright, person="left")
    assert left.people == 1 and left.points[..., BODY, 0].mean() < best.points[..., BODY, 0].mean()
    assert dwpose.extract(bright, person="all", max_people=1)[0].people == 1


class Forbidden(Planted):
    def run(self, pictures):
        raise AssertionError("this network was not to be run")


def test_without_the_detector_the_whole_picture_is_the_box(folder):
    pose = runtime.open_network(folder / "pose_N.onnx", "cpu")
    poses, report = DWPose(Forbidden("detector"), pose).extract(frames(), skip_detector=True)
    dark, _ = DWPose.load(folder / "det_N.onnx", folder / "pose_N.onnx").extract(frames([0]))
    np.testing.assert_array_equal(poses.points[8], dark.points[0])
    assert report.without_box == () and report.backend == pose.backend


def test_nobody_anywhere_is_no_error(folder):
    write_pose(folder / "blind.onnx", score=0.2)
    dwpose = DWPose.load(folder / "det_N.onnx", folder / "blind.onnx")
    for person in ("best", "all", "main"):
        poses, report = dwpose.extract(frames(), person=person)
        assert not poses.present.any() and poses.people >= 1 and not poses.points.any()
        assert report.without_pose == tuple(range(len(GREYS)))
    assert "without any certain point: 0-10" in str(report)


@pytest.mark.parametrize("rubbish", [np.nan, np.inf, -np.inf, 0.0, -7.0, 1e30])
def test_networks_that_answer_rubbish(rubbish):
    detector = np.full((1, 8400, 85), rubbish, np.float32)
    simcc = np.full((1, 133, 576), rubbish, np.float32), np.full((1, 133, 768), rubbish, np.float32)
    poses, _ = DWPose(Planted("d", detector), Planted("p", *simcc)).extract(frames(), person="all")
    assert (
        len(poses) == len(GREYS)
        and np.isfinite(poses.points).all()
        and ((0 <= poses.scores) & (poses.scores <= 1)).all()
    )


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (700, 1), (3, 5), (2000, 30)])
def test_frames_of_any_size(size):
    answer = planted_answer([(0, 0, size[1], size[0], 0.9, 0, 0)], size[1], size[0])
    simcc = [np.random.default_rng(0).random((1, 133, steps), np.float32) for steps in (576, 768)]
    dwpose = DWPose(Planted("d", answer), Planted("p", *simcc))
    poses, report = dwpose.extract([np.full((*size, 3), 200, np.uint8)] * 2)
    assert poses.present.any() and report.without_box == () and (poses.height, poses.width) == size


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([], "at least one frame"),
        ([np.zeros((8, 8, 3))], r"frame 0: expected \[H, W, 3\] uint8 RGB, found \(8, 8, 3\) float64"),
        ([np.zeros((8, 8, 4), np.uint8)], "frame 0: expected"),
        ([None], "frame 0: expected .* found NoneType"),
        ([np.zeros((0, 8, 3), np.uint8)], "frame 0: expected a picture, found 8x0"),
        ([np.zeros((8, 6, 3), np.uint8), np.zeros((6, 8, 3), np.uint8)], "frame 1: expected 6x8 pixels .* found 8x6"),
    ],
)
def test_bad_frames_are_named(folder, bad, message):
    with pytest.raises(ValueError, match=message):
        DWPose.load(folder / "det_N.onnx", folder / "pose_N.onnx").extract(bad)


def test_unknown_person(folder):
    with pytest.raises(ValueError, match="person must be"):
        DWPose.load(folder / "det_N.onnx", folder / "pose_N.onnx").extract(frames(), person="tallest")


def test_progress_counts_and_can_stop_the_run(folder):
    dwpose, counted = DWPose.load(folder / "det_N.onnx", folder / "pose_N.onnx"), []
    dwpose.extract(frames(), progress=counted.append)
    assert counted[-1] == len(GREYS) and counted == sorted(counted)
    taken = []

    def endless():
        while True:
            taken.append(1)
            yield frames([100])[0]

    def stop(done):
        if done >= 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dwpose.extract(endless(), progress=stop)
    assert len(taken) < 40  # few frames are held at a time
    assert not [t for t in threading.enumerate() if t.name.startswith("dwpose")]


def test_a_reader_s_error_comes_through(folder):
    def broken():
        yield frames([100])[0]
        raise OSError("the video ends in the middle")

    with pytest.raises(OSError, match="ends in the middle"):
        DWPose.load(folder / "det_N.onnx", folder / "pose_N.onnx").extract(broken())


def test_exchanged_and_foreign_networks_are_named(folder):
    with pytest.raises(ValueError, match=r"pose_N\.onnx: expected a YOLOX person detector"):
        DWPose.load(folder / "pose_N.onnx", folder / "det_N.onnx").extract(frames())
    with pytest.raises(ValueError, match=r"det_N\.onnx: expected a DWPose whole-body network"):
        DWPose.load(folder / "det_N.onnx", folder / "det_N.onnx").extract(frames())
    with pytest.raises(ValueError, match=r"pose_bs5\.torchscript\.pt: torch cannot run"):
        DWPose.load(folder / "pose_bs5.torchscript.pt", folder / "pose.pt").extract(frames())


def test_files_that_are_no_networks(tmp_path):
    for name, content in (
        ("broken.onnx", b"\x08not onnx"),
        ("empty.onnx", b""),
        ("text.pt", b"hello"),
        ("empty.pth", b""),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"{name}: ") as error:
            runtime.open_network(path, "cpu")
        assert "\n" not in str(error.value)
    with pytest.raises(FileNotFoundError, match=r"gone\.onnx"):
        runtime.open_network(tmp_path / "gone.onnx")
    (tmp_path / "a.bin").write_bytes(b"")
    with pytest.raises(ValueError, match=r"a\.bin: expected a file in \.onnx or"):
        runtime.open_network(tmp_path / "a.bin")


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "", "cuda:-1"])
def test_unknown_device(folder, device):
    with pytest.raises(ValueError, match="device must be"):
        runtime.open_network(folder / "pose_N.onnx", device)


@pytest.mark.parametrize("device", ["cuda", "tensorrt", "directml", "cuda:1"])
def test_falling_to_the_cpu_is_said_aloud(folder, device, caplog, monkeypatch):
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with caplog.at_level(logging.WARNING):
        network = runtime.open_network(folder / "pose_N.onnx", device)
    assert network.backend == "onnxruntime CPUExecutionProvider"
    assert "runs on the CPU" in caplog.text and device.split(":")[0] in caplog.text


def test_a_gpu_left_alone_is_said_aloud(folder, caplog, monkeypatch):
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    monkeypatch.setattr(runtime.torch.cuda, "is_available", lambda: True)
    runtime.open_network(folder / "pose_N.onnx")
    assert "although there is a GPU" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.INFO):
        runtime.open_network(folder / "pose_N.onnx", "cpu")
    assert [record.levelname for record in caplog.records] == ["INFO"]


def test_onnx_runtime_missing_or_broken(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r'pip install "animate-x\[pose\]"'):
        runtime.open_network(folder / "pose_N.onnx")
    poses, _ = DWPose.load(folder / "det.pt", folder / "pose.pt").extract(frames([100]))  # torch alone
    assert poses.present.all()
    monkeypatch.setitem(sys.modules, "onnxruntime", type(sys)("onnxruntime"))
    with pytest.raises(ImportError, match="installation is broken"):
        runtime.open_network(folder / "pose_N.onnx")


def test_find_pose_files(tmp_path):
    wanted = [
        "dwpose/yolox_l.onnx",
        "ckpts/hr16/yolox-onnx/yolox_l.torchscript.pt",
        "ckpts/yzd-v/DWPose/dw-ll_ucoco_384.onnx",
        "ckpts/hr16/DWPose-TorchScript-BatchSize5/dw-ll_ucoco_384_bs5.torchscript.pt",
    ]
    for name in [*wanted, "dwpose/other.onnx", "1/2/3/4/5/6/7/yolox_l.onnx"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found = find_pose_files([tmp_path / "nowhere", tmp_path])
    assert found.detectors == tuple(tmp_path / name for name in wanted[:2])
    assert found.poses == tuple(tmp_path / name for name in wanted[2:])
    assert find_pose_files([tmp_path / "1"]).poses == () and find_pose_files([]).detectors == ()
