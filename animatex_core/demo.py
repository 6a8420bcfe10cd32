"""The complete job on small networks of random weights: shows that everything is wired, not what the model can do."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from . import pipeline
from .config import TINY
from .contact_sheet import contact_sheet, save_picture
from .fit import plan_fit
from .model import AnimateX
from .pictures import load_picture
from .sampling import OnStep
from .settings import Settings
from .video import write_video

LOG = logging.getLogger(__name__)
ASSETS = Path(__file__).parent / "assets"
SETTINGS = Settings(width=128, height=192, frames=16, stride=2, steps=10, seed=7, ipi_source="reference")
WARNING = (
    "The weights of this demo are RANDOM: the job is complete (picture, poses, CLIP, IPI, sampling, VAE, video), but "
    "the result is noise by nature. With the released weights use: animate-x animate"
)


def demo(folder: Path, on_step: OnStep | None = None) -> list[str]:
    """Run it; writes `demo.mp4` and `contact_sheet.png` into the folder, and returns what there is to say."""
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder}: expected a folder, found a file")
    LOG.warning(WARNING)
    video, sheet = folder / "demo.mp4", folder / "contact_sheet.png"
    with tempfile.TemporaryDirectory() as temporary:
        job = small_job(Path(temporary))
        prepared = pipeline.prepare(job)
        frames = list(pipeline.decode(job, pipeline.denoise(job, prepared, on_step)))
        facts = pipeline.metadata(job, prepared) | {"weights": "random"}
    picture = load_picture(job.reference)
    fit = plan_fit((picture.shape[1], picture.shape[0]), (SETTINGS.width, SETTINGS.height), SETTINGS.fit)
    rows = {
        "reference": fit.apply(picture)[None],
        "poses": prepared.motion.pictures(SETTINGS),
        "result (random weights)": np.stack(frames),
    }
    pictures = contact_sheet(rows)
    folder.mkdir(parents=True, exist_ok=True)
    write_video(video, frames, prepared.motion.fps, metadata=facts, overwrite=True)
    save_picture(sheet, pictures, metadata=facts, overwrite=True)
    return [
        f"{video}: {len(frames)} frames of a network with RANDOM weights",
        f"{sheet}: reference, poses and frames side by side",
    ]


def small_job(folder: Path) -> pipeline.Job:
    """Small networks with random weights, written as files of the same formats as real ones."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        metadata = {"format": "animate-x", "format_version": "1", "config": TINY.to_json(), "dtype": "fp32"}
        _save(AnimateX(TINY).state_dict(), folder / "model.safetensors", metadata)
        _save(_vae(), folder / "vae.safetensors")
        _save(_clip(), folder / "clip.safetensors")
    return pipeline.Job(
        model=folder / "model.safetensors",
        clip=folder / "clip.safetensors",
        vae=folder / "vae.safetensors",
        reference=ASSETS / "banana.png",
        poses=ASSETS / "dance.json",
        settings=SETTINGS,
    )


def _vae() -> dict[str, Tensor]:
    try:
        from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    except ImportError as error:
        raise ImportError('the demo needs diffusers: pip install "animate-x[offline]"') from error
    config = {
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
        "block_out_channels": [32] * 4,
        "layers_per_block": 1,
    }
    vae = AutoencoderKL.from_config(config)
    assert isinstance(vae, AutoencoderKL)
    return vae.state_dict()


def _clip() -> dict[str, Tensor]:
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    config = CLIPVisionConfig(
        hidden_size=64, intermediate_size=128, projection_dim=TINY.conditions.clip_width, num_hidden_layers=2,
        num_attention_heads=1, image_size=224, patch_size=32, hidden_act="gelu",
    )  # fmt: skip
    return CLIPVisionModelWithProjection(config).state_dict()


def _save(state: Mapping[str, Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path, metadata)
