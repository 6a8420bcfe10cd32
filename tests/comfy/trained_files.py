"""What training exports, for the checks inside ComfyUI: a LoRA, and the network that it is worked into."""

from __future__ import annotations

from pathlib import Path

import torch
from animatex_training.initial import initial_network
from animatex_training.lora import add_lora, lora_file, merged
from animatex_training.optimiser import trainable
from safetensors.torch import load_file, save_file

from animatex_core.weights import load_state

LORA, MERGED = "trained_lora.safetensors", "trained_merged.safetensors"
ALPHA = 4.0
LAYERS = ("*attention*", "ipi.*", "unet.*.res.conv1", "unet.entrance", "*feed_forward*", "pose.conv2", "image_tokens.*")


def write_trained(base: Path, model: Path) -> None:
    """A LoRA of random numbers for a model file, and the file with the LoRA in it."""
    network = initial_network(load_state(model).config, str(model), 0)
    add_lora(network, LAYERS, 2, ALPHA, seed=1)
    learned = {name: p.detach() for name, p in trainable(network).items()}
    generator = torch.Generator().manual_seed(2)
    for name, tensor in learned.items():
        deviation = 0.02 if name.endswith("up") else 0.3
        tensor.normal_(0, deviation, generator=generator)
    plain = load_file(model)
    (base / "models/loras").mkdir(parents=True, exist_ok=True)
    save_file(lora_file(learned, ALPHA), base / "models/loras" / LORA)
    facts = {"format": "animate-x", "format_version": "1", "config": load_state(model).config.to_json()}
    save_file(merged(plain, learned, ALPHA), base / "models/diffusion_models" / MERGED, facts)
