"""Prove that our network computes what the released one computes, from a file of golden outputs.

    python -m tests.parity.golden FILE --seed 7 --frames 4 --dim 64 --mult 1,2 --res-blocks 1

Weights and inputs are drawn again from their recipe (a Philox stream per name), loaded through the key map, and every
output of the file is compared: a line `name relative_l2 max_abs` for each, also when some fail. Exit code 0 only if
each relative L2 is below 1e-4 and the file holds neither more nor less than the six outputs.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from animatex_core.config import RELEASED, AnimateXConfig, with_unet
from animatex_core.ipi import position_table
from animatex_core.keymap import key_map, to_ours, to_released
from animatex_core.layers import Layers
from animatex_core.model import AnimateX, Inputs

TOLERANCE = 1e-4
TIMESTEP = 661
LATENT = (96, 64)
OUTPUTS = ("ipi.query", "ipi.output", "unet.cond", "unet.uncond", "unet.cond_randomref", "unet.cond_paper")


def stream(name: str, seed: int) -> np.random.Generator:
    """The random stream of a name."""
    return np.random.Generator(np.random.Philox(key=(zlib.crc32(name.encode()) << 32) | seed))


def weight(released: str, shape: tuple[int, ...], seed: int) -> Tensor:
    """A weight of the recipe, by its released name and shape."""
    if released.endswith("pos_table"):
        return position_table(shape[1], shape[2])
    values = torch.from_numpy(stream("w:" + released, seed).standard_normal(shape, dtype=np.float32))
    if released.endswith("latents"):
        return values.div_(32)
    if len(shape) >= 2:
        return values.div_(math.sqrt(math.prod(shape[1:])))
    return values.mul_(0.02) if released.endswith("bias") else values.mul_(0.05).add_(1)


def draw(name: str, shape: tuple[int, ...], seed: int, uniform: bool = False) -> Tensor:
    """An input of the recipe."""
    source = stream("i:" + name, seed)
    drawn = source.random(shape, dtype=np.float32) if uniform else source.standard_normal(shape, dtype=np.float32)
    return torch.from_numpy(drawn)


def build(config: AnimateXConfig, seed: int) -> AnimateX:
    """The model with the recipe's weights, filled one tensor at a time."""
    model = AnimateX(config, Layers(device="meta")).to_empty(device="cpu").requires_grad_(False).train(False)
    ours = model.state_dict()
    for name, released in key_map(list(ours), config).items():
        shape = tuple(to_released(name, ours[name]).shape)
        ours[name].copy_(to_ours(name, weight(released, shape, seed)))
    model.empty_prompt.copy_(draw("empty_text_context", (1, 77, config.unet.context_width), seed))
    return model


def inputs(frames: int, seed: int, height: int = LATENT[0], width: int = LATENT[1]) -> Inputs:
    """The released setting plus what the paper's setting needs."""
    pose = draw("dwpose", (1, 3, frames + 1, 8 * height, 8 * width), seed, uniform=True)
    keypoints = draw("pose_keypoints", (1, frames + 1, 2, 18), seed, uniform=True)
    features = draw("driving_clip", (frames + 1, 1, 1024), seed).transpose(0, 1)
    return Inputs(
        pose=pose[:, :, 1:],
        reference_pose=pose[:, :, 0],
        reference=draw("local_image", (1, 3, 1, 8 * height, 8 * width), seed, uniform=True)[:, :, 0],
        reference_latent=draw("randomref", (1, 4, 1, height, width), seed)[:, :, 0],
        image_feature=draw("image", (1, 1, 1024), seed)[:, 0],
        keypoints=keypoints[:, 1:],
        reference_keypoints=keypoints[:, 0],
        features=features[:, 1:],
        reference_feature=features[:, 0],
    )


@torch.inference_mode()
def compute(model: AnimateX, frames: int, seed: int) -> dict[str, Tensor]:
    """The six outputs, named as in the golden file."""
    everything = inputs(frames, seed)
    settings = {
        "unet.cond": replace(everything, reference_latent=None, reference_pose=None),
        "unet.uncond": Inputs(),
        "unet.cond_randomref": everything,
        "unet.cond_paper": replace(everything, reference=None),
    }
    assert model.ipi is not None and everything.keypoints is not None and everything.reference_keypoints is not None
    keypoints = torch.cat([everything.reference_keypoints[:, None], everything.keypoints], dim=1)
    found = {
        "ipi.query": model.ipi.query(keypoints),
        "ipi.output": model.encode(everything, frames, *LATENT).motion,
    }
    x, timestep = draw("x", (1, 4, frames, *LATENT), seed), torch.tensor([TIMESTEP])
    for name, chosen in settings.items():
        found[name] = model(x, timestep, model.encode(chosen, frames, *LATENT))
    return found


def compare(found: dict[str, Tensor], golden: dict[str, Tensor]) -> tuple[list[str], list[str]]:
    """Figures, a line `name relative_l2 max_abs` for every output in the file, and what is wrong, in words."""
    missing, extra = sorted(set(OUTPUTS) - set(golden)), sorted(set(golden) - set(OUTPUTS))
    lines, wrong, far = [], [], []
    if missing or extra:
        wrong.append(f"missing entries: {', '.join(missing) or 'none'}; unexpected: {', '.join(extra) or 'none'}")
    for name in (name for name in OUTPUTS if name in golden):
        ours, theirs = found[name].double(), golden[name].double()
        if ours.shape != theirs.shape:
            lines.append(f"{name} nan nan")
            wrong.append(f"{name}: shape {list(theirs.shape)} in the file, {list(ours.shape)} computed")
            continue
        relative = ((ours - theirs).norm() / theirs.norm()).item()
        lines.append(f"{name} {relative:.3e} {(ours - theirs).abs().max().item():.3e}")
        if not relative < TOLERANCE:
            far.append(name)
    if far:
        wrong.append(f"relative L2 not below {TOLERANCE:g}: {', '.join(far)}")
    return lines, wrong


def _multipliers(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"[1-9]\d{0,3}(,[1-9]\d{0,3})*", text):
        raise argparse.ArgumentTypeError(f"expected whole numbers from 1 such as 1,2,4,4, got {text!r}")
    return tuple(int(number) for number in text.split(","))


def _at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not re.fullmatch(r"\d{1,19}", text) or int(text) < least:
            raise argparse.ArgumentTypeError(f"expected a whole number from {least}, got {text!r}")
        return int(text)

    return number


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(description="Compare our network with golden outputs of the released one.")
    parser.add_argument("file", type=Path)
    unet, count = RELEASED.unet, _at_least(1)
    parser.add_argument("--seed", type=_at_least(0), required=True)
    parser.add_argument("--frames", type=count, required=True)
    parser.add_argument("--dim", type=count, default=unet.width, help="width of the UNet; default: %(default)s")
    parser.add_argument("--mult", type=_multipliers, default=unet.multipliers, help="default: 1,2,4,4")
    parser.add_argument("--res-blocks", type=count, default=unet.blocks_per_level, help="default: %(default)s")
    options = parser.parse_args(arguments)
    try:
        golden = load_file(options.file)
        config = with_unet(RELEASED, width=options.dim, multipliers=options.mult, blocks_per_level=options.res_blocks)
        lines, wrong = compare(compute(build(config, options.seed), options.frames, options.seed), golden)
    except (OSError, SafetensorError, ValueError, ArithmeticError, MemoryError, RuntimeError) as error:
        lines, wrong = [], [str(error) or type(error).__name__]
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stderr.write("".join(f"{options.file}: {problem}\n" for problem in wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
