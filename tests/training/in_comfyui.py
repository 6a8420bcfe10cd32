"""An exported file in a real ComfyUI: its own nodes make the clips that it was trained on."""

import shutil

import numpy as np
from PIL import Image

from animatex_core.video import read_frames
from tests.comfy.real_host import RealHost

MODEL, FRAMES, SIZE = "trained.safetensors", 8, {"width": 64, "height": 96}


def in_comfyui(base, model, videos):
    """PSNR of what the server makes from the poses of each video, against the frames of every one: [made][target]."""
    host = RealHost(base)
    (base / "models/diffusion_models").mkdir(parents=True)
    shutil.copy(model, base / "models/diffusion_models" / MODEL)
    names, targets = [], []
    for video in sorted(videos.glob("*.mp4")):
        names.append(video.stem)
        targets.append(np.stack(list(read_frames(video))[:FRAMES]))
        Image.fromarray(targets[-1][0]).save(base / "input" / f"{video.stem}.png")
        for path in (video, video.with_suffix(".json")):
            shutil.copy(path, base / "input")
    with host:
        made = [pictures(host, host.run(**prompt(name))) for name in names]
    return [[float(-10 * np.log10(np.square((one - target) / 255.0).mean())) for target in targets] for one in made]


def pictures(host, shown):
    return np.stack([host.picture(of) for of in shown["save"]["images"]]).astype(float)


def prompt(name):
    """Picture, video and poses of a clip to frames; the file brings the image encoder and the VAE."""
    poses = {"file": f"{name}.json", "units": "find out", "skip_first_frames": 0}
    inputs = {
        "reference": ("picture", 0), "clip_vision": ("model", 1), "driving_pose": ("poses", 0),
        "driving_images": ("parts", 0), "reference_pose": ("own", 0), "length": 0, "fit": "pad", **SIZE,
    }  # fmt: skip
    given = {"positive": ("conditioning", 0), "negative": ("conditioning", 1), "latent": ("conditioning", 2)}
    sampler = {"model": ("model", 0), **given, "seed": 1, "steps": 20, "cfg": 1.0, "offset_noise": 0.0}
    return {
        "model": ("AnimateX_LoadModel", {"model_name": MODEL, "weight_dtype": "default"}),
        "poses": ("AnimateX_LoadPose", {**poses, "frame_load_cap": FRAMES}),
        "own": ("AnimateX_LoadPose", {**poses, "frame_load_cap": 1}),
        "picture": ("LoadImage", {"image": f"{name}.png"}),
        "video": ("LoadVideo", {"file": f"{name}.mp4"}),
        "parts": ("GetVideoComponents", {"video": ("video", 0)}),
        "conditioning": ("AnimateX_Conditioning", inputs),
        "sample": ("AnimateX_Sampler", sampler),
        "decode": ("VAEDecode", {"samples": ("sample", 0), "vae": ("model", 2)}),
        "save": ("SaveImage", {"images": ("decode", 0), "filename_prefix": name}),
    }
