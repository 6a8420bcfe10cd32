"""The files that the templates name, small: random networks, a picture, a video, poses; bare names where none runs."""

from __future__ import annotations

import json
import os
import subprocess
import warnings
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from safetensors.torch import load_file, save_file

from animatex_core.pose.io import load_openpose, save_openpose
from tests.comfy.graphs import ARGUMENTS
from tests.comfy.real_host import RealHost
from tests.comfy.small_models import clip_state, write_model
from tests.core.openclip_reference import OpenClip, names
from tests.core.small_files import SMALL, released_state
from tests.parity.networks import Detector, Pose, write_torchscript

ROOT = Path(__file__).parents[2]
WORKFLOWS, TWINS = ROOT / "workflows", ROOT / "tests/comfy/workflows_api"
NAMES = sorted(path.stem for path in WORKFLOWS.glob("*.json"))
DANCE = ROOT / "tests/data/poses/dance_60.json"
WIDTH, HEIGHT, FPS, FRAMES, SOUND_RATE = 128, 192, 24, 240, 48000
# Files of networks that come in one size, a large one: listed by the host, never opened in these tests.
LISTED = (
    "checkpoints/sdpose_wholebody_fp16.safetensors", "text_encoders/umt5_xxl_fp8_e4m3fn_scaled.safetensors",
)  # fmt: skip


def twin(name: str) -> dict:
    """A template in the form that the server takes."""
    return json.loads((TWINS / f"{name}.json").read_text())


def character() -> Image.Image:
    """A round figure with legs, bright enough for the small detector."""
    picture = Image.new("RGB", (WIDTH, HEIGHT), (236, 226, 200))
    draw = ImageDraw.Draw(picture)
    draw.ellipse((30, 20, 98, 140), fill=(240, 190, 60))
    for x in (45, 73):
        draw.ellipse((x, 50, x + 10, 64), fill=(40, 40, 40))
        draw.rectangle((x, 135, x + 10, 180), fill=(240, 190, 60))
    return picture


def write_files(base: Path) -> None:
    """Everything into a ComfyUI's `models` and `input`."""
    models, inputs = base / "models", base / "input"
    for folder in ("animatex", "clip_vision", "diffusion_models"):
        (models / folder).mkdir(parents=True, exist_ok=True)
    for name in LISTED:
        (models / name).parent.mkdir(parents=True, exist_ok=True)
        save_file({"nothing": torch.zeros(1)}, models / name)
    write_model(models / "diffusion_models/animate-x.safetensors")
    _write_lora(models / "loras/my_character.safetensors", models / "diffusion_models/animate-x.safetensors")
    _write_dwpose(models / "dwpose")
    _write_unconverted(models)
    _write_other_models(models)
    inputs.mkdir(parents=True, exist_ok=True)
    character().save(inputs / "example.png")
    save_openpose(inputs / "walk.json", load_openpose(DANCE))
    _write_video(inputs / "dance.mp4")


def _write_lora(path: Path, model: Path) -> None:
    """Rank 1 on every query of the UNet and of the IPI, in the format that training writes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    state, generator = {}, torch.Generator().manual_seed(5)
    for name, weight in load_file(model).items():
        if name.endswith("query.weight"):
            layer = f"diffusion_model.{name.removesuffix('.weight')}"
            state[f"{layer}.lora_up.weight"] = torch.randn(weight.shape[0], 1, generator=generator)
            state[f"{layer}.lora_down.weight"] = torch.randn(1, weight.shape[1], generator=generator)
    save_file(state, path)


def _write_unconverted(models: Path) -> None:
    """What conversion starts from: the released layout, a checkpoint with text tower and VAE, a CLIP vision tower."""
    torch.save({"state_dict": released_state(), "step": 1}, models / "animatex/animate-x_ckpt.pth")
    text = {f"cond_stage_model.model.{n}": t for n, t in names(OpenClip()).items() if not n.startswith("visual.")}
    vae = {"decoder.mid.block_1.norm1.weight": torch.ones(8), "encoder.conv_in.weight": torch.ones(2, 3, 3, 3)}
    state = text | {f"first_stage_model.{name}": tensor for name, tensor in vae.items()}
    torch.save({"state_dict": state}, models / "animatex/v2-1_512-ema-pruned.ckpt")
    save_file(clip_state(SMALL.conditions.clip_width), models / "clip_vision/clip_vision_h.safetensors")


def _write_other_models(models: Path) -> None:
    """FILM, Wan and its VAE, made in ComfyUI's environment."""
    comfy, python = os.environ.get("COMFYUI_PATH"), os.environ.get("COMFYUI_PYTHON")
    if comfy and python:
        script = Path(__file__).parent / "inside/other_models.py"
        subprocess.run([python, str(script), comfy, str(models)], check=True, capture_output=True)


def _write_dwpose(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    person = np.array([[10, 10, WIDTH - 10, HEIGHT - 10, 0.9, 0.9, 0]])
    write_torchscript(folder / "yolox_l.torchscript.pt", Detector(person, WIDTH, HEIGHT), (1, 640, 640))
    write_torchscript(folder / "dw-ll_ucoco_384_bs5.torchscript.pt", Pose(5), (5, 384, 288))


def _write_video(path: Path) -> None:
    """The character moving from side to side in changing light, with a tone."""
    picture = np.array(character(), np.float32)
    with av.open(str(path), "w") as out:
        video, audio = out.add_stream("libx264", rate=FPS), out.add_stream("aac", rate=SOUND_RATE)
        video.width, video.height, video.pix_fmt, audio.layout = WIDTH, HEIGHT, "yuv420p", "mono"
        step = SOUND_RATE // FPS
        for index in range(FRAMES):
            phase = 2 * np.pi * index / 48
            moved = np.roll(picture, round(12 * np.sin(phase)), axis=1) * (0.85 + 0.1 * np.cos(phase))
            out.mux(video.encode(av.VideoFrame.from_ndarray(moved.astype(np.uint8), format="rgb24")))
            tone = 0.2 * np.sin(2 * np.pi * 440 / SOUND_RATE * np.arange(index * step, (index + 1) * step))
            sound = av.AudioFrame.from_ndarray(tone[None].astype(np.float32), format="fltp", layout="mono")
            sound.sample_rate, sound.pts, sound.time_base = SOUND_RATE, index * step, Fraction(1, SOUND_RATE)
            out.mux(audio.encode(sound))
        out.mux(video.encode())
        out.mux(audio.encode())


@pytest.fixture(scope="module")
def template_host(tmp_path_factory):
    """A ComfyUI that has every file the templates name."""
    waiting = RealHost(tmp_path_factory.mktemp("comfy"), *ARGUMENTS)
    waiting.add_test_nodes()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*torch.jit.*", DeprecationWarning)
        write_files(waiting.base)
    with waiting as running:
        yield running
