"""animate-x pose: both backends end to end, and every way in which the MediaPipe worker can fail.

The worker's interpreter is played by small scripts that speak its protocol, or do not. The files
tests/data/poses/mediapipe_*.json are what the real one said of the dance videos of the released program (every third,
fourth and first frame), rounded to 0.1 pixel; with MEDIAPIPE_PYTHON set it is asked again.
"""

import json
import os
import sys
import time
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from animatex_core import cli, cli_animate
from animatex_core.pose import mediapipe_backend
from animatex_core.pose.draw import draw_poses
from animatex_core.pose.io import from_pose_keypoint, load_openpose
from animatex_core.pose.keypoints import BODY, LEFT_HAND, RIGHT_HAND, TOES
from animatex_core.pose.mediapipe_worker import to_openpose
from animatex_core.video import read_frames, write_video

GREYS = (20, 200, 90, 240, 150, 60, 180)
WIDTH, HEIGHT = 64, 96
POSES = Path(__file__).parents[1] / "data" / "poses"
REAL = {"mediapipe_dance_1": (512, 758), "mediapipe_ubc": (720, 940), "mediapipe_dance1_right": (768, 1216)}
needs_shebang = pytest.mark.skipif(os.name == "nt", reason="a script plays the interpreter")

FAKE = """#!{python}
import json, os, struct, sys, time
frames = sys.stdin.buffer
def say(document):
    sys.stdout.write(document if isinstance(document, str) else json.dumps(document) + "\\n")
    sys.stdout.flush()
def sizes():
    global width, height
    width, height = struct.unpack("<II", frames.read(8))
def greys():
    while data := frames.read(width * height * 3):
        yield data[0]
def answer(grey):
    person = {{"pose_keypoints_2d": [grey / 10, grey / 5, 0.9, 30, 20, 0.2] + [0] * 48}}
    return {{"people": [person] if grey > 100 else [], "canvas_width": width, "canvas_height": height}}
{body}
"""
HONEST = """
say({"mediapipe": "0.fake"})
sizes()
for grey in greys():
    say(answer(grey))
"""
START = 'say({"mediapipe": "0.fake"})\nsizes()\n'
FAILURES = {
    "dies": (
        START + "say(answer(next(greys())))\nsys.stderr.write('noise\\nout of luck\\n')\nsys.exit(7)",
        "ended with exit code 7 after 1 frames: out of luck",
    ),
    "killed": (START + "next(greys())\nos.kill(os.getpid(), 9)", "killed by signal 9 after 0 frames: it said nothing"),
    "no Python": ("", "exit code 0 before the first frame: it may be no Python interpreter"),
    "babbles first": ("say('Welcome!\\n')", "answered what is no answer of the MediaPipe worker: b'Welcome!"),
    "babbles later": (START + "say('{\\n')\ntime.sleep(60)", "is no answer of the MediaPipe worker"),
    "babbles without end": ("while True: say('x' * 9999)", "is no answer of the MediaPipe worker"),
    "a list": (START + "say([1])", "is no answer of the MediaPipe worker"),
    "NaN": (START + "a = answer(200)\na['canvas_width'] = float('nan')\nsay(a)", "is no answer"),
    "another canvas": (START + "width += 1\nsay(answer(200))\ntime.sleep(60)", "is no answer"),
    "bad poses": (
        START + "a = answer(200)\na['people'] = [{'pose_keypoints_2d': 5}]\nsay(a)\ntime.sleep(60)",
        "answered frame 0 with bad poses: frames[0].people[0].pose_keypoints_2d",
    ),
    "too few": (START + "say(answer(next(greys())))\nlist(greys())", "answered 1 of 7 frames"),
    "too many": (HONEST + "say(answer(200))", "is no answer of the MediaPipe worker"),
    "no display": ("raise RuntimeError('no GL here')", "exit code 1 before the first frame: RuntimeError: no GL here"),
    "no mediapipe": ("say({'error': 'No module named mediapipe'})\nsys.exit(3)", "pip install mediapipe==0.10.21"),
}


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("video") / "in.mp4"
    write_video(path, (np.full((HEIGHT, WIDTH, 3), grey, np.uint8) for grey in GREYS), Fraction(8))
    return path


@pytest.fixture
def command(video, tmp_path):
    def make(*more):
        return ["pose", "--video", str(video), "--out", str(tmp_path / "out.json"), *map(str, more)]

    return make


@pytest.fixture
def interpreter(tmp_path_factory):
    def make(body):
        path = tmp_path_factory.mktemp("env") / "python"
        path.write_text(FAKE.format(python=sys.executable, body=body))
        path.chmod(0o755)
        return path

    return make


@needs_shebang
def test_every_frame_is_handed_over_and_answered(command, interpreter, video, tmp_path, capsys):
    python = interpreter(HONEST)
    assert cli.main(command("--backend", "mediapipe", "--python", python, "--preview", tmp_path / "sheet.png")) == 0
    poses = load_openpose(tmp_path / "out.json")
    greys = np.array([frame[0, 0, 0] for frame in read_frames(video)], float)
    assert (len(poses), poses.width, poses.height, poses.fps) == (len(GREYS), WIDTH, HEIGHT, 8)
    seen = greys > 100
    assert 0 < seen.sum() < len(GREYS)
    np.testing.assert_allclose(poses.points[:, 0, 0], np.stack([greys / 10, greys / 5], 1) * seen[:, None], rtol=1e-6)
    assert poses.present[:, 0].sum() == seen.sum()  # the neck has a visibility of 0.2
    said = capsys.readouterr().out
    assert (
        "7 frames in" in said and "MediaPipe 0.fake" in said and "3 frames without any certain point: 0, 2, 5" in said
    )
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 7 * 180 and sheet.height > 2 * 270
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.json", "sheet.png"]


@needs_shebang
def test_the_tracker_sees_the_frames_between_those_that_are_kept(command, interpreter, video, tmp_path):
    told = tmp_path / "told"
    count = f"seen = []\nfor grey in greys():\n    seen.append(grey)\n    say(answer(grey))\nopen({str(told)!r}, 'w')"
    python = interpreter(START + count + ".write(str(len(seen)))")
    chosen = ["--start", 1, "--stride", 2, "--frames", 3]
    assert cli.main(command("--backend", "mediapipe", "--python", python, *chosen)) == 0
    poses = load_openpose(tmp_path / "out.json")
    greys = [frame[0, 0, 0] for frame in read_frames(video, start=1, stride=2, count=3)]
    np.testing.assert_allclose(poses.points[:, 0, 0, 0], [g / 10 if g > 100 else 0 for g in greys], rtol=1e-6)
    assert poses.fps == 4
    assert told.read_text() == "5"  # and it ended by itself


@needs_shebang
def test_a_picture_has_one_pose_and_no_rate(interpreter, tmp_path, capsys):
    for grey in (200, 20):
        Image.new("RGB", (WIDTH, HEIGHT), (grey,) * 3).save(tmp_path / f"{grey}.png")
        paths = ["--image", str(tmp_path / f"{grey}.png"), "--out", str(tmp_path / f"{grey}.json")]
        python = ["--backend", "mediapipe", "--python", str(interpreter(HONEST))]
        assert cli.main(["pose", *paths, *python, "--preview", str(tmp_path / f"{grey}-sheet.png")]) == 0
    poses = load_openpose(tmp_path / "200.json")
    assert (len(poses), poses.width, poses.height, poses.fps) == (1, WIDTH, HEIGHT, None)
    np.testing.assert_allclose(poses.points[0, 0, 0], (20, 40), rtol=1e-6)
    assert not load_openpose(tmp_path / "20.json").present.any()
    said = capsys.readouterr().out
    assert "200.json: the pose of the picture" in said and "20.json: nobody was found" in said


@needs_shebang
@pytest.mark.parametrize("kind", FAILURES)
def test_a_worker_that_fails_is_one_message_and_no_file(kind, command, interpreter, tmp_path, capsys):
    body, said = FAILURES[kind]
    python = interpreter(body)
    started = time.monotonic()
    assert cli.main(command("--backend", "mediapipe", "--python", python)) == 1
    assert time.monotonic() - started < 30
    error = capsys.readouterr().err
    assert said in error and str(python) in error and "Traceback" not in error
    assert not list(tmp_path.iterdir())


@needs_shebang
def test_a_silent_worker_is_ended_with_all_that_it_started(interpreter, tmp_path):
    pids = tmp_path / "pids"
    body = f"""
import subprocess
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open({str(pids)!r}, "w").write(f"{{os.getpid()}} {{child.pid}}")
{START}time.sleep(600)
"""
    frames = [np.zeros((HEIGHT, WIDTH, 3), np.uint8)] * 500  # more than a pipe holds
    with pytest.raises(mediapipe_backend.WorkerError, match="silent for 5 s, after 0 frames"):
        mediapipe_backend.extract(frames, interpreter(body), silence=5)
    deadline = time.monotonic() + 10
    while any(map(_alive, map(int, pids.read_text().split()))) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(_alive, map(int, pids.read_text().split())))


def _alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@needs_shebang
def test_what_stops_the_frames_or_the_progress_stops_the_run(interpreter):
    python = interpreter(HONEST)

    def broken():
        yield np.zeros((4, 6, 3), np.uint8)
        raise LookupError("the disk is on holiday")

    with pytest.raises(LookupError, match="on holiday"):
        mediapipe_backend.extract(broken(), python)
    sizes = [np.zeros((4, 6, 3), np.uint8), np.zeros((6, 4, 3), np.uint8)]
    with pytest.raises(ValueError, match="frame 1: expected 6x4 pixels as in the first, found 4x6"):
        mediapipe_backend.extract(sizes, python)
    with pytest.raises(ValueError, match="at least one frame"):
        mediapipe_backend.extract([], python)
    with pytest.raises(ValueError, match=r"\[H, W, 3\] uint8 RGB"):
        mediapipe_backend.extract([np.zeros((4, 6, 3))], python)

    def interrupted(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mediapipe_backend.extract(sizes[:1] * 50, python, progress=interrupted)


@pytest.mark.parametrize("python", [None, "nowhere/python", "empty", "text"])
def test_without_an_interpreter_the_commands_are_told(python, command, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").write_text("I cannot run")
    flags = [] if python is None else ["--python", tmp_path / python]
    assert cli.main(command("--backend", "mediapipe", *flags)) == 1
    error = capsys.readouterr().err
    said = "cannot be started" if python == "text" else "-m venv mediapipe-env"
    assert said in error and (python is None or python in error) and not (tmp_path / "out.json").exists()


@pytest.mark.skipif(os.name == "nt", reason="links")
def test_the_interpreter_of_a_folder_is_not_the_one_it_links_to(tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    assert mediapipe_backend.find_interpreter(tmp_path) == tmp_path / "bin" / "python"


def test_the_real_worker_says_when_its_interpreter_has_no_mediapipe(command, capsys):
    try:
        import mediapipe  # noqa: F401
    except ImportError:
        assert cli.main(command("--backend", "mediapipe", "--python", sys.executable)) == 1
        error = capsys.readouterr().err
        assert "has no MediaPipe that can be used (ModuleNotFoundError" in error and "pip install" in error
    else:
        pytest.skip("this environment has MediaPipe")


def test_a_node_pack_without_the_backend_says_so(command, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "animatex_core.pose.mediapipe_backend", None)
    monkeypatch.delattr("animatex_core.pose.mediapipe_backend")
    assert cli.main(command("--backend", "mediapipe", "--python", sys.executable)) == 1
    assert "--backend dwpose" in capsys.readouterr().err


@pytest.mark.parametrize("flags", [["--start", "1"], ["--stride", "2"], ["--frames", "1"], ["--clean"]])
def test_flags_of_a_video_are_none_of_a_picture(flags, tmp_path, capsys):
    given = ["--image", str(tmp_path / "bear.png"), "--out", str(tmp_path / "out.json"), *flags]
    assert cli.main(["pose", *given]) == 1
    assert "flags of --video; a picture is one frame as it is" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--out", "x.txt"], "x.txt: this output is written as .json"),
        (["--preview", "x.jpg"], "x.jpg: this output is written as .png"),
        (["--python", "p"], "--python: not a flag of --backend dwpose"),
        (["--backend", "mediapipe", "--models", "m"], "--models: not a flag of --backend mediapipe"),
        (["--stride", "0"], "--stride must be at least 1, got 0"),
        (["--frames", "0"], "--frames must be at least 1, got 0"),
        (["--video", "nowhere.mp4"], "nowhere.mp4"),
        (["--models", "nowhere"], "nowhere: no such folder"),
        ([], "no DWPose file found in models: give --detector yolox_l.onnx"),
        (["--detector", "d.onnx"], "no DWPose file found in models: give --pose-model dw-ll_ucoco_384.onnx"),
    ],
)
def test_bad_flags_end_with_one_message(flags, said, command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(command(*flags)) == 1
    assert said in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_outputs_that_are_there_are_kept(command, tmp_path, capsys):
    (tmp_path / "out.json").write_text("precious")
    assert cli.main(command()) == 1
    assert "exists already" in capsys.readouterr().err and (tmp_path / "out.json").read_text() == "precious"


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_dwpose_with_networks_found_in_comfyuis_folders(command, tmp_path, capsys):
    pytest.importorskip("onnx", reason='pip install "animate-x[dev]"')
    from tests.parity.networks import Detector, Pose, write_torchscript

    comfyui = tmp_path / "ComfyUI"
    networks = comfyui / "custom_nodes" / "comfyui_controlnet_aux" / "ckpts" / "DWPose"
    networks.mkdir(parents=True)
    (comfyui / "models").mkdir()
    write_torchscript(networks / "yolox_l.torchscript.pt", Detector([], WIDTH, HEIGHT), (1, 640, 640))
    write_torchscript(networks / "dw-ll_ucoco_384.torchscript.pt", Pose(), (1, 384, 288))
    (tmp_path / "out.json").write_text("old")
    chosen = ["--models", comfyui, "--start", 1, "--stride", 2, "--clean", "--overwrite", "--device", "cpu"]
    assert cli.main(command(*chosen)) == 0
    poses = load_openpose(tmp_path / "out.json")
    assert (len(poses), poses.fps, poses.width) == (3, 4, WIDTH) and poses.present.all()
    said = capsys.readouterr().out
    assert "3 frames in" in said and "without a detected person" in said and "smooth" in said
    chosen[1] = comfyui / "models"  # its models folder alone does as well
    assert cli.main(command(*chosen)) == 0
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "bear.png")
    picture = ["pose", "--image", tmp_path / "bear.png", "--out", tmp_path / "bear.json", "--models", comfyui]
    assert cli.main([*map(str, picture), "--device", "cpu"]) == 0
    poses, said = load_openpose(tmp_path / "bear.json"), capsys.readouterr().out
    assert (len(poses), poses.width, poses.fps) == (1, WIDTH, None) and poses.present.all()
    assert "bear.json: the pose of the picture" in said and "bear.png: no person was detected, so the whole" in said


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_animate_reads_the_pose_of_its_picture_and_says_where_nobody_is_detected(tmp_path, caplog):
    pytest.importorskip("onnx", reason='pip install "animate-x[dev]"')
    from tests.parity.networks import Detector, Pose, write_torchscript

    files = SimpleNamespace(
        detector=tmp_path / "yolox_l.torchscript.pt", pose_model=tmp_path / "dw.torchscript.pt", quiet=True,
        image=Path("bear.png"),
    )  # fmt: skip
    write_torchscript(files.detector, Detector([], WIDTH, HEIGHT), (1, 640, 640))
    write_torchscript(files.pose_model, Pose(), (1, 384, 288))
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    extract = cli_animate._extractor(files, "cpu")
    assert len(extract([picture, picture], 8.0)) == 2 and "no person was detected" not in caplog.text
    pose = extract([picture], None)
    assert (len(pose), pose.fps) == (1, None)
    assert "bear.png: no person was detected, so the whole picture was read as one" in caplog.text


def test_a_picture_that_cannot_be_read_is_said_before_networks_are_looked_for(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("text.png").write_text("no picture")
    for name in ("nowhere.png", "text.png"):
        assert cli.main(["pose", "--image", name, "--out", "out.json"]) == 1
        assert name in capsys.readouterr().err and not Path("out.json").exists()


def landmarks(count, seed, **changes):
    rng = np.random.default_rng(seed)
    return [SimpleNamespace(x=x, y=y, visibility=v, **changes) for x, y, v in rng.uniform(0.4, 1, (count, 3))]


def test_landmarks_become_our_points():
    body, left, right = landmarks(33, 1), landmarks(21, 2), landmarks(21, 3)
    results = SimpleNamespace(
        pose_landmarks=SimpleNamespace(landmark=body),
        left_hand_landmarks=SimpleNamespace(landmark=left),
        right_hand_landmarks=SimpleNamespace(landmark=right),
    )
    poses = from_pose_keypoint(to_openpose(results, 200, 300))

    def place(landmark):
        return [landmark.x * 200, landmark.y * 300]

    # MediaPipe's documented names: 11 left shoulder, 12 right shoulder, 16 right wrist, 24 right hip, 27 left ankle ...
    for ours, theirs in ((0, 0), (2, 12), (4, 16), (5, 11), (8, 24), (13, 27), (14, 5), (15, 2), (16, 8), (17, 7)):
        np.testing.assert_allclose(poses.points[0, 0, BODY][ours], place(body[theirs]), atol=0.006)
        assert poses.scores[0, 0, BODY][ours] == pytest.approx(body[theirs].visibility, abs=6e-4)
    neck = np.mean([place(body[11]), place(body[12])], 0)
    np.testing.assert_allclose(poses.points[0, 0, 1], neck, atol=0.006)
    assert poses.scores[0, 0, 1] == pytest.approx(min(body[11].visibility, body[12].visibility), abs=6e-4)
    np.testing.assert_allclose(poses.points[0, 0, TOES], [place(body[31]), place(body[32])], atol=0.006)
    for part, hand in ((LEFT_HAND, left), (RIGHT_HAND, right)):
        np.testing.assert_allclose(poses.points[0, 0, part], [place(point) for point in hand], atol=0.006)
        assert (poses.scores[0, 0, part] == 1).all()


def test_landmarks_that_are_missing_or_no_numbers_are_absent():
    nobody = SimpleNamespace(pose_landmarks=None, left_hand_landmarks=None, right_hand_landmarks=None)
    assert to_openpose(nobody, 20, 30) == {"people": [], "canvas_width": 20, "canvas_height": 30}
    body = landmarks(33, 1)
    body[11].x, body[16].visibility = float("nan"), float("inf")
    nobody.pose_landmarks = SimpleNamespace(landmark=body)
    poses = from_pose_keypoint(json.loads(json.dumps(to_openpose(nobody, 20, 30), allow_nan=False)))
    assert set(np.flatnonzero(~poses.present[0, 0, BODY])) == {1, 4, 5} and not poses.present[0, 0, LEFT_HAND].any()


@pytest.mark.parametrize("name", REAL)
def test_real_poses_have_their_sides_and_can_be_drawn(name):
    poses = load_openpose(POSES / f"{name}.json")
    assert len(poses) == 32 and (poses.width, poses.height) == REAL[name]
    points, present = poses.points[:, 0], poses.present[:, 0]
    assert present[:, [1, 2, 5, 8, 11]].all()
    # facing the camera for most of the clip, the person's right is on the left of the picture
    facing = points[:, 2, 0] < points[:, 5, 0]
    assert facing.mean() > 0.6
    assert (points[facing][:, 8, 0] < points[facing][:, 11, 0]).mean() > 0.9
    np.testing.assert_allclose(points[:, 1], (points[:, 2] + points[:, 5]) / 2, atol=0.11)
    for hand, wrist in ((LEFT_HAND, 7), (RIGHT_HAND, 4)):
        both = present[:, hand].all(1) & present[:, wrist]
        torso = np.linalg.norm(points[:, 1] - (points[:, 8] + points[:, 11]) / 2, axis=1)
        assert both.sum() > 5
        apart = np.linalg.norm(points[:, hand][:, 0] - points[:, wrist], axis=1) / torso
        assert np.median(apart[both]) < 0.1  # seen from the side, the hidden hand lies a fifth of the torso off
    assert draw_poses(poses).any((1, 2, 3)).all()


@pytest.mark.slow
@pytest.mark.skipif("MEDIAPIPE_PYTHON" not in os.environ, reason="set MEDIAPIPE_PYTHON to an interpreter with it")
def test_the_real_mediapipe(command, tmp_path, capsys):
    """A video without anybody; and, where MEDIAPIPE_VIDEO names dance_1.mp4, what it said before."""
    python = os.environ["MEDIAPIPE_PYTHON"]
    assert cli.main(command("--backend", "mediapipe", "--python", python)) == 0
    assert not load_openpose(tmp_path / "out.json").present.any()
    assert "7 frames without any certain point" in capsys.readouterr().out
    if "MEDIAPIPE_VIDEO" not in os.environ:
        return
    out, kept = tmp_path / "real.json", load_openpose(POSES / "mediapipe_dance_1.json")
    flags = ["--video", os.environ["MEDIAPIPE_VIDEO"], "--out", str(out), "--stride", "3", "--frames", "32"]
    assert cli.main(["pose", *flags, "--backend", "mediapipe", "--python", python]) == 0
    poses = load_openpose(out)
    both = poses.present & kept.present
    assert np.median(np.linalg.norm(poses.points - kept.points, axis=-1)[both]) < 0.5
    assert (poses.present == kept.present).mean() > 0.98
