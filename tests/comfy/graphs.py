"""Prompts in the form that the server takes, and a server with the files that they name."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

from animatex_core.config import TINY, AnimateXConfig
from tests.comfy.real_host import RealHost
from tests.comfy.small_models import write_model

POSES = Path(__file__).parents[1] / "data/poses/dance_60.json"
MODEL, REFERENCE, DRIVER = "animatex_tiny.safetensors", "character.png", "dance.json"
POSES_OF_FILE = {"file": DRIVER, "units": "find out", "skip_first_frames": 0}

ARGUMENTS = ("--preview-method", "latent2rgb", "--fp32-text-enc")


def new_host(folder, config: AnimateXConfig = TINY) -> RealHost:
    """A fresh server with the files and the nodes for tests."""
    host = RealHost(folder, *ARGUMENTS)
    write_files(host.base, config)
    host.add_test_nodes()
    return host


def pixels(pictures):
    """[n, H, W, 3] of PNGs."""
    return np.stack([np.array(Image.open(io.BytesIO(picture)).convert("RGB")) for picture in pictures])


def write_files(base: Path, config: AnimateXConfig = TINY) -> None:
    """The model, the character and 120 poses, in the host's folders."""
    for folder in ("models/diffusion_models", "input"):
        (base / folder).mkdir(parents=True, exist_ok=True)
    write_model(base / "models/diffusion_models" / MODEL, config, told=config == TINY)
    noise = np.random.default_rng(0).integers(0, 256, (60, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((320, 480)).save(base / "input" / REFERENCE)
    poses = json.loads(POSES.read_text())
    (base / "input" / DRIVER).write_text(json.dumps(poses | {"frames": poses["frames"] * 2}))


def animation(frames: int, width: int, height: int, **changes) -> dict:
    """Picture and poses to pictures over the WebSocket; `changes` go to the sampler, `sample` names its node class."""
    sampler = {
        "model": ["model", 0], "positive": ["conditioning", 0], "negative": ["conditioning", 1],
        "latent": ["conditioning", 2], "seed": 5, "steps": 6, "cfg": 2.5, **changes,
    }  # fmt: skip
    return prompt(
        model=("AnimateX_LoadModel", {"model_name": MODEL, "weight_dtype": "default"}),
        poses=("AnimateX_LoadPose", {**POSES_OF_FILE, "frame_load_cap": frames}),
        picture=("LoadImage", {"image": REFERENCE}),
        conditioning=(
            "AnimateX_Conditioning",
            {
                "reference": ["picture", 0], "clip_vision": ["model", 1], "driving_pose": ["poses", 0],
                "width": width, "height": height, "length": 0, "fit": "pad",
            },
        ),
        sample=("AnimateX_Sampler", sampler),
        decode=("VAEDecode", {"samples": ["sample", 0], "vae": ["model", 2]}),
        show=("SaveImageWebsocket", {"images": ["decode", 0]}),
    )  # fmt: skip


def latents_only(graph: dict) -> dict:
    """The same without decoding: the latents are written to the output folder."""
    kept = {name: node for name, node in graph.items() if name not in ("decode", "show")}
    return kept | prompt(save=("SaveLatent", {"samples": ["sample", 0], "filename_prefix": "latents"}))


def with_ksampler(graph: dict, **inputs) -> dict:
    """The same with ComfyUI's KSampler."""
    changed = json.loads(json.dumps(graph))
    links = {name: graph["sample"]["inputs"][name] for name in ("model", "positive", "negative")}
    changed["sample"] = {
        "class_type": "KSampler",
        "inputs": {
            **links, "latent_image": graph["sample"]["inputs"]["latent"], "seed": 5, "steps": 6, "cfg": 2.5,
            "sampler_name": "ddim", "scheduler": "ddim_uniform", "denoise": 1.0, **inputs,
        },
    }  # fmt: skip
    return changed


def prompt(**nodes) -> dict:
    """name=(class, inputs)."""
    return {name: {"class_type": kind, "inputs": inputs} for name, (kind, inputs) in nodes.items()}
