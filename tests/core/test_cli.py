"""The command line end to end on small files: results, messages, exit codes, and nothing left behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tqdm import tqdm

from animatex_core import cli, pipeline
from animatex_core.cli_animate import choose_device, choose_dtype
from animatex_core.cli_output import progress_bar
from animatex_core.config import TINY
from animatex_core.keymap import key_map, to_released
from animatex_core.provenance import read_metadata
from animatex_core.video import open_video

QUICK = ["--width", "64", "--height", "96", "--frames", "4", "--steps", "2"]


@pytest.fixture
def arguments(small_files, tmp_path):
    job = small_files
    files = {"model": job.model, "clip": job.clip, "vae": job.vae, "image": job.reference, "poses": job.poses}

    def make(**changes):
        chosen = {**files, "out": tmp_path / "out.mp4", **changes}
        pairs = [(f"--{name.replace('_', '-')}", str(v)) for name, v in chosen.items() if v is not None]
        return ["animate", *QUICK, *(part for pair in pairs for part in pair)]

    return make


def test_animate_writes_a_video_that_says_what_it_is(arguments, tmp_path, capsys):
    assert cli.main(arguments()) == 0
    info = open_video(tmp_path / "out.mp4")
    assert (info.width, info.height, round(info.fps, 3)) == (64, 96, 8.0)
    facts = read_metadata(tmp_path / "out.mp4")
    assert facts["generated"] is True and facts["settings"]["steps"] == 2
    assert "4 frames, 8 fps" in capsys.readouterr().out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.mp4"]


def test_the_same_seed_makes_the_same_frames(arguments, tmp_path):
    for name, seed in (("a", "5"), ("b", "5"), ("c", "6")):
        assert cli.main([*arguments(out=tmp_path / name), "--seed", seed]) == 0
    pixels = {n: [Image.open(p).tobytes() for p in sorted((tmp_path / n).glob("*.png"))] for n in "abc"}
    assert len(pixels["a"]) == 4 and pixels["a"] == pixels["b"] != pixels["c"]


def test_the_drivers_sound_is_kept(arguments, tmp_path):
    loud = tmp_path / "loud.mkv"
    with av.open(str(loud), "w") as out:
        video, sound = out.add_stream("libx264", 8), out.add_stream("aac", 16000, layout="mono")
        video.width = video.height = 32
        video.pix_fmt = "yuv420p"
        for _ in range(16):
            out.mux(video.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")))
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 32000), np.float32), format="fltp", layout="mono")
        samples.sample_rate = 16000
        out.mux(sound.encode(samples))
        out.mux(video.encode())
        out.mux(sound.encode())
    assert cli.main(arguments(video=loud)) == 0
    assert open_video(tmp_path / "out.mp4").has_audio


def test_steps_by_name_or_number(capsys):
    parser = cli._parser()
    common = ["animate", "--model", "m", "--image", "i", "--out", "o"]
    assert parser.parse_args([*common, "--steps", "paper"]).steps == 50
    assert parser.parse_args([*common, "--steps", "released"]).steps == 30
    with pytest.raises(SystemExit):
        parser.parse_args([*common, "--steps", "many"])
    assert "--steps: expected a whole number, released or paper, got 'many'" in capsys.readouterr().err


class Payload:
    """Unpickling this runs a command."""

    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return os.system, (f"touch {self.canary}",)


def broken_model(kind, folder, model):
    path = folder / f"{kind}.safetensors"
    if kind == "cut":
        path.write_bytes(model.read_bytes()[:5000])
    elif kind == "empty":
        path.touch()
    elif kind == "pickle":
        torch.save({"state_dict": Payload(folder / "canary")}, path)
    elif kind == "nan":
        state = load_file(model)
        state["unet.out.bias"][1] = float("nan")
        save_file(state, path, {"format": "animate-x", "config": TINY.to_json()})
    elif kind == "shape":
        state = load_file(model)
        state["unet.out.bias"] = torch.zeros(7)
        save_file(state, path, {"format": "animate-x", "config": TINY.to_json()})
    elif kind == "other":
        save_file({"decoder.conv_in.weight": torch.zeros(8, 4, 3, 3)}, path)
    return path


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("cut", "cut.safetensors"),
        ("empty", "empty.safetensors"),
        ("pickle", "convert it first"),
        ("nan", "unet.out.bias"),
        ("shape", "unet.out.bias"),
        ("other", "other.safetensors"),
        ("missing", "no such file"),
    ],
)
def test_bad_models_end_with_one_message(kind, said, arguments, small_files, tmp_path, capsys):
    model = broken_model(kind, tmp_path, small_files.model)
    before = sorted(p.name for p in tmp_path.iterdir())
    assert cli.main(arguments(model=model)) == 1
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error
    assert sorted(p.name for p in tmp_path.iterdir()) == before  # no output, no canary, nothing half-written


@pytest.mark.parametrize("kind", ["text.mp4", "cut.png", "no-folder", "size", "exists", "no-clip", "poses"])
def test_other_bad_input_ends_with_one_message(kind, arguments, tmp_path, capsys):
    changes, extra, said = {}, [], kind
    if kind == "text.mp4":
        (tmp_path / kind).write_text("I am no video")
        changes = {"video": tmp_path / kind}
    elif kind == "cut.png":
        Image.effect_noise((64, 64), 50).save(tmp_path / kind)
        (tmp_path / kind).write_bytes((tmp_path / kind).read_bytes()[:200])
        changes = {"image": tmp_path / kind}
    elif kind == "no-folder":
        changes, said = {"out": tmp_path / "nowhere" / "out.mp4"}, "nowhere"
    elif kind == "size":
        extra, said = ["--width", "100"], "width must be a multiple of 8"
    elif kind == "exists":
        (tmp_path / "out.mp4").write_text("precious")
        said = "out.mp4"
    elif kind == "no-clip":
        changes, said = {"clip": None}, "--clip"
    elif kind == "poses":
        (tmp_path / "poses.json").write_text('{"frames": [{"people": 3}]}')
        changes, said = {"poses": tmp_path / "poses.json"}, "people"
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    assert cli.main([*arguments(**changes), *extra]) == 1
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


@pytest.mark.parametrize("mode", ["RGBA", "CMYK", "I;16", "P", "rotated"])
def test_pictures_of_every_kind_are_taken(mode, arguments, tmp_path):
    path = tmp_path / ("picture.jpg" if mode in ("CMYK", "rotated") else "picture.png")
    picture = Image.new("RGB" if mode in ("P", "rotated") else mode, (40, 60))
    if mode == "P":
        picture = picture.convert("P")
    exif = Image.Exif()
    if mode == "rotated":
        exif[0x0112] = 6
    picture.save(path, exif=exif) if mode == "rotated" else picture.save(path)
    assert cli.main(arguments(image=path)) == 0


def test_an_interrupt_leaves_nothing(arguments, tmp_path, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "denoise", interrupted)
    assert cli.main(arguments()) == 130
    assert "interrupted" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_convert_inspect_export_round_trip(arguments, small_files, tmp_path, capsys):
    state = load_file(small_files.model)
    released = {r: to_released(n, state[n]) for n, r in key_map(list(state), TINY).items()}
    torch.save({"state_dict": released, "step": 3}, tmp_path / "model.pth")
    out, back = tmp_path / "ours.safetensors", tmp_path / "back.safetensors"
    text = str(small_files.model)  # a converted file keeps the empty prompt of its text tower
    convert = ["convert", "--model", str(tmp_path / "model.pth"), "--out", str(out), "--text", text, "--dtype", "fp32"]
    assert cli.main([*convert, "--vae", str(small_files.vae), "--clip", str(small_files.clip)]) == 0
    assert cli.main(["inspect", str(out)]) == 0
    assert "bundled" in capsys.readouterr().out
    assert cli.main(["export", str(out), "--out", str(back)]) == 0
    again = load_file(back)
    assert set(again) == set(released) and all(torch.equal(again[n], released[n]) for n in released)
    assert cli.main(arguments(model=out, clip=None, vae=None)) == 0  # bundled


def test_convert_without_a_text_tower_names_the_files_that_have_one(small_files, tmp_path, capsys):
    state = load_file(small_files.model)
    torch.save({r: to_released(n, state[n]) for n, r in key_map(list(state), TINY).items()}, tmp_path / "model.pth")
    out = tmp_path / "ours.safetensors"
    assert cli.main(["convert", "--model", str(tmp_path / "model.pth"), "--out", str(out)]) == 1
    error = capsys.readouterr().err
    assert "--text" in error and "open_clip_pytorch_model.bin" in error and not out.exists()


@pytest.mark.parametrize("command", [None, "animate", "pose", "convert", "inspect", "export", "demo"])
def test_help_does_not_wait_for_torch(command):
    code = """
import sys
from animatex_core import cli
try:
    cli.main([*sys.argv[1:], "--help"])
finally:
    sys.stderr.write(" ".join({"torch", "numpy", "av", "transformers"} & set(sys.modules)))
"""
    run = [sys.executable, "-c", code, *([command] if command else [])]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.startswith("usage: animate-x") and done.stderr == ""


def test_quiet_stands_before_or_after_the_command_and_hides_the_bars(arguments, tmp_path, capsys):
    assert cli.main(arguments(out=tmp_path / "a.mp4")) == 0
    assert "denoising" in capsys.readouterr().err
    animate, *flags = arguments()
    assert cli.main(["--quiet", animate, *flags]) == 0
    assert cli.main([animate, *flags, "--quiet", "--overwrite"]) == 0
    said = capsys.readouterr().err
    assert "denoising" not in said and "decoding" not in said and "WARNING" in said and "INFO" not in said


@pytest.mark.parametrize("error", [RuntimeError(), ValueError(), OSError(), RuntimeError("\n\n")])
def test_an_error_without_words_is_said_by_its_kind(error, arguments, monkeypatch, capsys):
    def fails(*_):
        raise error

    monkeypatch.setattr(pipeline, "prepare", fails)
    assert cli.main(arguments()) == 1
    assert type(error).__name__ in capsys.readouterr().err


def test_a_bar_is_closed_by_an_error(capsys):
    with pytest.raises(ValueError), progress_bar("denoising", "step", quiet=False) as advance:
        advance(1, 3)
        raise ValueError
    assert "1/3" in capsys.readouterr().err and not tqdm._instances


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_demo_that_is_interrupted_ends_tidily(tmp_path):
    """By the signal that Ctrl-C sends, once the bar shows that it is at work."""
    run = [sys.executable, "-m", "animatex_core.cli", "demo", "--out", str(tmp_path / "demo")]
    place = Path(__file__).parents[2]
    # A shell's background jobs, and so their children, start with the signal ignored.
    attend = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.default_int_handler)}
    with subprocess.Popen(run, stderr=subprocess.PIPE, text=True, cwd=place, **attend) as process:
        said = ""
        while "denoising" not in said:
            said += process.stderr.read(1)
        process.send_signal(signal.SIGINT)
        said += process.stderr.read()
    assert process.returncode == 130 and "interrupted" in said and "Traceback" not in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("device", "precision", "dtype"),
    [
        ("cpu", "auto", torch.float32),
        ("cpu:0", "auto", torch.float32),
        ("cuda:1", "auto", torch.float16),
        ("mps", "auto", torch.float16),
        ("cpu:0", "bf16", torch.bfloat16),
    ],
)
def test_precision_follows_the_kind_of_device(device, precision, dtype):
    assert choose_dtype(precision, device) is dtype and choose_device("cpu:0") == "cpu:0"


@pytest.mark.parametrize("device", ["cuda:99", "gpu", "meta", "", "xla"])
def test_a_device_that_is_not_there_is_one_message(device, arguments, capsys):
    assert cli.main([*arguments(), "--device", device]) == 1
    error = capsys.readouterr().err
    assert f"--device {device}: it cannot be used here: " in error and "Traceback" not in error


@pytest.mark.parametrize("kind", ["vae", "clip", "swapped", "width", "diffusers"])
def test_a_wrong_clip_or_vae_is_said_before_anything_is_loaded(
    kind, arguments, small_files, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(pipeline, "load_motion", None)
    changes, said = {}, []
    if kind in ("vae", "clip"):
        changes, said = {kind: small_files.model}, ["model.safetensors", "--" + kind]
    elif kind == "swapped":
        changes, said = {"clip": small_files.vae, "vae": small_files.clip}, ["no VAE in it", "clip.safetensors"]
    elif kind == "width":
        state = load_file(small_files.clip)
        state["visual_projection.weight"] = torch.zeros(80, 64)
        save_file(state, tmp_path / "wide.safetensors")
        changes, said = (
            {"clip": tmp_path / "wide.safetensors"},
            ["wide.safetensors", "80", "model.safetensors reads 64"],
        )
    else:
        monkeypatch.setitem(sys.modules, "diffusers", None)
        said = ['pip install "animate-x[offline]"']
    assert cli.main(arguments(**changes)) == 1
    error = capsys.readouterr().err
    assert all(words in error for words in said), error


@pytest.mark.parametrize("name", ["model", "clip", "vae", "image", "video", "poses", "reference-pose"])
@pytest.mark.parametrize("found", ["nothing", "a folder"])
def test_every_path_is_that_of_a_file(name, found, arguments, tmp_path, capsys):
    path = tmp_path / ("nowhere" if found == "nothing" else "folder")
    (tmp_path / "folder").mkdir()
    assert cli.main(arguments(**{name: path})) == 1
    said = "no such file" if found == "nothing" else "expected a file, found a folder"
    assert f"{path}: {said} (--{name})" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--overlap", "4"], "give a window too"),
        (["--window", "8", "--overlap", "8"], "overlap must be 0 to 7"),
        (["--drop-absent"], "it needs align character, full or similarity"),
        (["--detector", "{file}"], "--detector and --pose-model go together"),
        (["--detector", "{file}", "--pose-model", "{file}"], "without --poses"),
        (
            ["--detector", "{file}", "--pose-model", "{file}", "--align", "full", "--reference-pose", "{file}"],
            "for --align and --reference-mode, without --reference-pose",
        ),
    ],
)
def test_flags_that_do_not_fit_together_are_said(flags, said, arguments, small_files, capsys):
    assert cli.main([*arguments(), *(flag.format(file=small_files.vae) for flag in flags)]) == 1
    assert said in capsys.readouterr().err
