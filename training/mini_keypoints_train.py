"""Train the mini keypoint network: python -m animatex_training.mini_keypoints_train --out F --stills S --held-stills H

Stills with joints are made by `python -m animatex_training.synthetic stills`. Every picture is shown in other colours,
moved, mirrored, blurred and noisy, and half of them as the mini VAE gives them back: the network is to read what a
small model makes. About twelve minutes of one core.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import affine_grid, conv2d, grid_sample, interpolate, log_softmax, pad

from animatex_core.atomic_file import replacing
from animatex_core.pose.keypoints import POINTS, PoseSequence
from animatex_core.vae import VAE, load_vae

from .evaluation.metrics.joints import joint_values
from .evaluation.metrics.mini_keypoints import FORMAT, HEIGHT, JOINTS, STRIDE, WIDTH, MiniKeypoints, load_keypoints
from .synthetic.stills import Stills, load_stills

LOG = logging.getLogger(__name__)
LICENSE = "CC0-1.0: made from rendered characters"
DEFAULT_VAE = Path(__file__).parent / "assets" / "mini_vae.safetensors"
MIRRORED = (0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10, 15, 14, 17, 16)  # left joints for right ones
_SPREAD = 1.0  # of the wanted heat, cells


@dataclass(frozen=True, kw_only=True)
class KeypointTraining:
    """How it is trained; kept in the file."""

    steps: int = 2600
    batch: int = 32
    rate: float = 3e-3
    ema: float = 0.995
    through_vae: float = 0.5  # share of pictures that went through the VAE
    coded: int = 1400  # how many different ones: the VAE is slower than all the rest
    turn: float = 0.0  # degrees by which pictures are turned at most
    seed: int = 0


def train(
    stills: Stills, vae: VAE, settings: KeypointTraining, minutes: float = float("inf"), start: Path | None = None
) -> MiniKeypoints:
    """The averaged network after all steps, or after so many minutes. start: weights to begin with."""
    pictures, joints = torch.from_numpy(stills.pictures), torch.from_numpy(_joints(stills))
    torch.manual_seed(settings.seed)
    rng = torch.Generator().manual_seed(settings.seed)
    few = torch.randperm(len(pictures), generator=rng)[: settings.coded]
    coded = torch.from_numpy(through_vae(vae, stills.pictures[few.numpy()]))
    LOG.info("%d pictures went through the VAE", len(few))
    model = (load_keypoints(start) if start else MiniKeypoints()).train()
    model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    average = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    optimiser = torch.optim.AdamW(model.parameters(), settings.rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.rate, settings.steps, pct_start=0.1)
    began = time.monotonic()
    for step in range(settings.steps):
        first = round(settings.batch * settings.through_vae)
        soft = torch.randint(len(few), (first,), generator=rng)
        sharp = torch.randint(len(pictures), (settings.batch - first,), generator=rng)
        shown = torch.cat([coded[soft], pictures[sharp]]).permute(0, 3, 1, 2).float() / 255
        loss = _loss(model, *varied(shown, joints[torch.cat([few[soft], sharp])], rng, settings.turn))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                average[name].lerp_(tensor, 1 - min(settings.ema, (1 + step) / (10 + step)))
        if step % 100 == 0:
            LOG.info("step %d: loss %.3f, %.0f s", step, loss.item(), time.monotonic() - began)
        if time.monotonic() - began > minutes * 60:
            LOG.info("stopped by the clock after %d steps", step + 1)
            break
    model.load_state_dict(average)
    return model.eval()


def through_vae(vae: VAE, pictures: np.ndarray, batch: int = 16) -> np.ndarray:
    """Pictures uint8 RGB [n, H, W, 3] as the VAE gives them back."""
    found = []
    for start in range(0, len(pictures), batch):
        part = torch.from_numpy(pictures[start : start + batch]).permute(0, 3, 1, 2).float() / 255
        decoded = torch.cat([piece.float() for piece in vae.decode(vae.encode(part))])
        found.append((decoded * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy())
    return np.concatenate(found)


def varied(pictures: Tensor, joints: Tensor, rng: torch.Generator, turn: float = 0.0) -> tuple[Tensor, Tensor]:
    """Pictures [n, 3, H, W] in 0..1 and their joints [n, 18, 3] in other colours, mirrored, moved, blurred, noisy.

    turn: degrees by which they are turned at most.
    """
    count = len(pictures)

    def draw(low: float, high: float, *shape: int) -> Tensor:
        return torch.rand(count, *shape, generator=rng) * (high - low) + low

    mirror = draw(0, 1) < 0.5
    swapped = joints[:, MIRRORED] * torch.tensor([-1.0, 1, 1]) + torch.tensor([float(WIDTH), 0, 0])
    pictures = torch.where(mirror[:, None, None, None], pictures.flip(3), pictures)
    joints = torch.where(mirror[:, None, None], swapped, joints)
    pictures, joints = _moved(pictures, joints, draw(0.85, 1.2), draw(-0.15, 0.15, 2), draw(-turn, turn))
    order = torch.stack([torch.randperm(3, generator=rng) for _ in range(count)])
    pictures = pictures.gather(1, order[:, :, None, None].expand(-1, -1, *pictures.shape[2:]))
    pictures = (pictures * draw(0.6, 1.2, 3)[..., None, None] + draw(-0.1, 0.15, 3)[..., None, None]).clamp(0, 1)
    stains = torch.randn(count, 3, 6, 4, generator=rng) * draw(0, 0.05, 1)[..., None, None]
    grain = torch.randn(pictures.shape, generator=rng) * draw(0, 0.04, 1)[..., None, None]
    pictures = _blurred(pictures, draw(-0.7, 1.6).clamp(min=0)) + grain
    return pictures + interpolate(stains, size=pictures.shape[2:], mode="bilinear"), joints


def _moved(pictures: Tensor, joints: Tensor, zoom: Tensor, shift: Tensor, degrees: Tensor) -> tuple[Tensor, Tensor]:
    """Shown through a window so much larger [n], shifted [n, 2] (in half pictures) and turned [n]."""
    half = torch.tensor([WIDTH / 2, HEIGHT / 2])
    cos, sin = torch.cos(torch.deg2rad(degrees)), torch.sin(torch.deg2rad(degrees))
    linear = zoom[:, None, None] * torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)
    linear = linear * half / half[:, None]  # turned in pixels, not in halves of the picture
    grid = affine_grid(torch.cat([linear, shift[..., None]], 2), list(pictures.shape), align_corners=False)
    shown = grid_sample(pictures, grid, padding_mode="border", align_corners=False)
    joints = joints.clone()
    place = joints[..., :2] / half - 1 - shift[:, None]
    joints[..., :2] = (torch.linalg.solve(linear, place.transpose(1, 2)).transpose(1, 2) + 1) * half
    return shown, joints


def wanted_heat(joints: Tensor) -> tuple[Tensor, Tensor]:
    """What the heat maps should be [n, 18, cells], and which joints are in the picture [n, 18]."""
    rows, columns = HEIGHT // STRIDE, WIDTH // STRIDE
    y, x = (torch.arange(size) * STRIDE + STRIDE / 2 for size in (rows, columns))
    near_x = -((joints[..., 0, None] - x) / (_SPREAD * STRIDE)).square() / 2
    near_y = -((joints[..., 1, None] - y) / (_SPREAD * STRIDE)).square() / 2
    heat = (near_y[..., :, None] + near_x[..., None, :]).flatten(2).softmax(-1)
    inside = (joints[..., :2] >= 0).all(-1) & (joints[..., 0] < WIDTH) & (joints[..., 1] < HEIGHT)
    return heat, inside & (joints[..., 2] > 0)


def floor(model: MiniKeypoints, stills: Stills, pictures: np.ndarray) -> dict[str, float]:
    """`joint_error` and `joint_pck` of pictures that show the stills, each picture alone."""
    joints = _joints(stills)
    points = np.zeros((len(joints), 1, POINTS, 2), np.float32)
    scores = np.zeros((len(joints), 1, POINTS), np.float32)
    points[:, 0, :JOINTS], scores[:, 0, :JOINTS] = joints[..., :2], joints[..., 2]
    values = joint_values(model, pictures, PoseSequence(points, scores, WIDTH, HEIGHT, 1.0), {})
    return {name: round(value.value, 3) for name, value in values.items()}


def save(path: Path, model: MiniKeypoints, facts: dict[str, str]) -> None:
    """The weights in half precision, whole or not at all."""
    tensors = {n: t.half().contiguous() for n, t in model.state_dict().items() if t.is_floating_point()}
    with replacing(path, overwrite=True) as temporary:
        save_file(tensors, temporary, {"format": FORMAT, "license": LICENSE, **facts})


def _loss(model: MiniKeypoints, pictures: Tensor, joints: Tensor) -> Tensor:
    wanted, there = wanted_heat(joints)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(pictures.contiguous(memory_format=torch.channels_last))
    found = log_softmax(logits.float().flatten(2), -1)
    return -(wanted * found).sum(-1)[there].mean()


def _blurred(pictures: Tensor, sigma: Tensor) -> Tensor:
    """Each picture blurred by its own deviation in pixels."""
    at = torch.arange(-3.0, 4.0)
    line = torch.exp(-at.square() / (2 * sigma.clamp(min=0.15)[:, None].square()))
    line = (line / line.sum(1, keepdim=True)).repeat_interleave(3, 0)
    count, height, width = len(pictures), *pictures.shape[2:]
    stacked = pad(pictures.reshape(1, count * 3, height, width), (3, 3, 3, 3), mode="replicate")
    stacked = conv2d(stacked, line[:, None, None, :], groups=count * 3)
    return conv2d(stacked, line[:, None, :, None], groups=count * 3).view(count, 3, height, width)


def _joints(stills: Stills) -> np.ndarray:
    if stills.joints is None or stills.joints.shape[1:] != (JOINTS, 3) or stills.pictures.shape[1:3] != (HEIGHT, WIDTH):
        raise ValueError(
            "stills of 128x192 with joints expected: make them anew with animatex_training.synthetic stills"
        )
    return stills.joints.astype(np.float32)


def main() -> None:
    """The command line."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = _parser().parse_args()
    settings = KeypointTraining(steps=options.steps, rate=options.rate, turn=options.turn)
    vae, held = load_vae(options.vae, dtype=torch.bfloat16), load_stills(options.held_stills)
    model = train(load_stills(options.stills), vae, settings, options.minutes, options.start)
    coded = through_vae(vae, held.pictures)
    found = {"as rendered": floor(model, held, held.pictures), "through the VAE": floor(model, held, coded)}
    LOG.info("held out: %s", found)
    told = asdict(settings) | {"start": options.start.name if options.start else ""}
    save(options.out, model, {"training": json.dumps(told), "floor": json.dumps(found)})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m animatex_training.mini_keypoints_train", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--stills", type=Path, required=True, help="of animatex_training.synthetic stills, to train on")
    parser.add_argument("--held-stills", type=Path, required=True, help="others, to measure on")
    parser.add_argument("--vae", type=Path, default=DEFAULT_VAE, help="default: the mini VAE")
    parser.add_argument("--steps", type=int, default=KeypointTraining.steps, help="default: %(default)s")
    parser.add_argument("--rate", type=float, default=KeypointTraining.rate, help="default: %(default)s")
    words = "degrees by which pictures are turned at most; default: %(default)s"
    parser.add_argument("--turn", type=float, default=KeypointTraining.turn, help=words)
    parser.add_argument("--start", type=Path, help="weights to begin with")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop earlier by the clock")
    return parser


if __name__ == "__main__":
    main()
