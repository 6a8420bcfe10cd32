"""The models, inputs and measures that the checks share."""

from __future__ import annotations

import json
from pathlib import Path

import comfy.patcher_extension as patching
import host
import torch

MODEL = "animatex_tiny.safetensors"
POSES = host.ROOT / "tests" / "data" / "poses" / "dance.json"
WIDTH, HEIGHT = 64, 96


class Kit:
    """`base` is the host's base directory, with the small model in models/diffusion_models."""

    def __init__(self, base: Path):
        self.base = base
        self.nodes = host.load_pack().nodes
        self.model_path = base / "models" / "diffusion_models" / MODEL
        self.model, self.clip, self.vae = self.call("LoadModel", model_name=MODEL, weight_dtype="default")
        self.poses = json.loads(POSES.read_text())["frames"]

    def call(self, name: str, **inputs):
        """A node's outputs."""
        return self.nodes[f"AnimateX_{name}"].execute(**inputs).args

    def pack(self, name: str):
        """A module of the pack."""
        return host.pack_module(name)

    def clip_of(self, frames, seed=0):
        """Poses and driving images of so many frames, and a reference."""
        generator = torch.Generator().manual_seed(seed)
        images = torch.rand(frames, 30, 20, 3, generator=generator)
        return {
            "driving_pose": [self.poses[i % len(self.poses)] for i in range(frames)],
            "driving_images": images,
            "reference": torch.rand(1, HEIGHT, WIDTH, 3, generator=generator),
        }

    def conditioning(self, frames=8, **changes):
        """positive, negative, latent."""
        inputs = {
            "clip_vision": self.clip, "width": WIDTH, "height": HEIGHT, "length": 0, "fit": "pad",
            "reference_pose": self.poses[5:6], **self.clip_of(frames), **changes,
        }  # fmt: skip
        return self.call("Conditioning", **inputs)

    def noise(self, frames=8, seed=1):
        """Unit noise [F, 4, h, w]."""
        return torch.randn(frames, 4, HEIGHT // 8, WIDTH // 8, generator=torch.Generator().manual_seed(seed))


def relative(found, expected):
    """Relative L2 distance."""
    return float((found.double() - expected.double()).norm() / expected.double().norm())


class Recorder:
    """Calls of the network: latents, time steps, conditions, output, and the host's window."""

    def __init__(self, model):
        self.calls = []
        self.model = model.clone()
        self.model.add_wrapper_with_key(patching.WrappersMP.DIFFUSION_MODEL, "recorder", self._record)

    def _record(self, executor, x, timesteps, context, control, options, **conditions):
        x, out = x.clone(), executor(x, timesteps, context, control, options, **conditions)
        window = options.get("context_window")
        self.calls.append((x, timesteps, dict(conditions), out.clone(), window, list(options["cond_or_uncond"])))
        return out


class Encodings:
    """Counts how often conditions are encoded, with and without inputs, while it is entered."""

    def __init__(self, model):
        self.network = model.model.diffusion_model
        self.with_inputs = self.without = 0

    def __enter__(self):
        encode = self.network.encode

        def counted(inputs, *rest, **named):
            if inputs.pose is None:
                self.without += 1
            else:
                self.with_inputs += 1
            return encode(inputs, *rest, **named)

        self.network.encode = counted
        return self

    def __exit__(self, *error):
        del self.network.encode
