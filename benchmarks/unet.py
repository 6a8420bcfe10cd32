"""Time of a forward and of a guided sampling loop; on a CPU also against a checkout of the released program.

    python -m benchmarks.unet                                              CPU, small network, 4 frames
    python -m benchmarks.unet --reference path/to/checkout                 the same, interleaved with theirs
    python -m benchmarks.unet --device cuda --released --frames 32         released size: eager, compiled, fp16 and bf16

Weights are random but seeded (never zeros), one warm-up, then the median of five interleaved rounds. Of a released-size
forward the share of its 89.3 TFLOP floor at `--peak` TFLOP/s is given, and the peak of device memory. On two CPU cores
the comparison takes three quarters of an hour, nearly all of it for the loops: `--only bare` leaves them out.
"""

from __future__ import annotations

import argparse
import copy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from animatex_core import diffusion
from animatex_core.config import RELEASED, AnimateXConfig, with_unet
from animatex_core.layers import Layers
from animatex_core.model import AnimateX, Conditions, Inputs

from .released import fill, load, without_conditions
from .timing import Timing, interleave

FORWARD_TFLOP = 89.3  # released size, 32 frames and the reference, 96x64 latents
LATENT = (96, 64)
STEPS = 10


def random_model(config: AnimateXConfig, device: str, dtype: torch.dtype) -> AnimateX:
    """Our network with random weights."""
    model = AnimateX(config, Layers(device="meta", dtype=dtype)).to_empty(device=device)
    fill(model, device)
    return model.requires_grad_(False).train(False)


def random_inputs(frames: int, device: str, dtype: torch.dtype) -> Inputs:
    """The released setting."""
    generator = torch.Generator().manual_seed(8)
    height, width = 8 * LATENT[0], 8 * LATENT[1]
    return Inputs(
        pose=torch.rand(1, 3, frames, height, width, generator=generator),
        reference=torch.rand(1, 3, height, width, generator=generator),
        image_feature=torch.randn(1, 1024, generator=generator),
        keypoints=torch.rand(1, frames, 2, 18, generator=generator),
        features=torch.randn(1, frames, 1024, generator=generator),
    ).to(device, dtype)


def our_loop(model: Callable[..., Tensor], encode: Callable[[Inputs], Conditions], inputs: Inputs, x: Tensor) -> Tensor:
    """The guided loop as the pipeline runs it: conditions once, then the network."""
    conditional, unconditional = encode(inputs), encode(Inputs())

    def denoise(noisy: Tensor, timestep: int) -> Tensor:
        t = torch.tensor([timestep], device=noisy.device)
        return diffusion.guide(model(noisy, t, conditional), model(noisy, t, unconditional))

    return diffusion.ddim_sample(denoise, x, STEPS)


def their_loop(network: nn.Module, inputs: Inputs, x: Tensor) -> Tensor:
    """The guided loop as the released program runs it: everything at every step."""
    conditional, unconditional = their_arguments(inputs)

    def denoise(noisy: Tensor, timestep: int) -> Tensor:
        t = torch.tensor([timestep])
        return diffusion.guide(network(noisy, t, **conditional), network(noisy, t, **unconditional))

    return diffusion.ddim_sample(denoise, x, STEPS)


def their_arguments(inputs: Inputs) -> tuple[dict, dict]:
    """Our inputs under the released program's names, conditional and unconditional."""
    assert inputs.pose is not None and inputs.reference is not None and inputs.image_feature is not None
    assert inputs.keypoints is not None and inputs.features is not None
    frames = inputs.pose.shape[2]
    keypoints = torch.cat([inputs.keypoints[:, :1], inputs.keypoints], dim=1)
    features = torch.cat([inputs.image_feature[:, None], inputs.features], dim=1)[0].unsqueeze(1)
    conditional = {
        "image": inputs.image_feature[:, None],
        "local_image": inputs.reference.unsqueeze(2).repeat(1, 1, frames, 1, 1),
        "dwpose": torch.cat([inputs.pose[:, :, :1], inputs.pose], dim=2),
        "pose_embeddings": [keypoints, features],
    }
    return conditional, {"pose_embeddings": [torch.zeros_like(keypoints), torch.zeros_like(features)]}


@torch.inference_mode()
def on_cpu(config: AnimateXConfig, frames: int, checkout: Path | None, rounds: int, only: str | None) -> Iterator[str]:
    """Bare forward and guided loop, ours and (given a checkout) theirs. The forwards are the loops' warm-up."""
    model, inputs = random_model(config, "cpu", torch.float32), random_inputs(frames, "cpu", torch.float32)
    x, t = torch.randn(1, 4, frames, *LATENT, generator=torch.Generator().manual_seed(9)), torch.tensor([661])
    encoded = model.encode(inputs, frames, *LATENT)
    bare: dict[str, Callable[[], object]] = {"bare forward": lambda: model(x, t, encoded)}
    loop: dict[str, Callable[[], object]] = {
        f"{STEPS}-step guided loop": lambda: our_loop(model, lambda i: model.encode(i, frames, *LATENT), inputs, x)
    }
    if checkout is not None:
        unet = config.unet
        network = load(checkout, unet.width, unet.multipliers, unet.blocks_per_level, frames)
        stripped = without_conditions(copy.deepcopy(network), torch.randn(frames + 1, 4, 1024))
        arguments = their_arguments(inputs)[1]
        bare["bare forward, released program"] = lambda: stripped(x, t, **arguments)
        loop[f"{STEPS}-step guided loop, released program"] = lambda: their_loop(network, inputs, x)
    if only != "loop":
        yield from compared(interleave(bare, rounds))
    if only != "bare":
        yield from compared(interleave(loop, rounds, warmup=int(only == "loop")))


@torch.inference_mode()
def on_gpu(config: AnimateXConfig, frames: int, rounds: int, peak: float) -> Iterator[str]:
    """Eager and compiled, fp16 and bf16: forward, loop, memory, share of the floor."""
    for dtype in (torch.float16, torch.bfloat16):
        model, inputs = random_model(config, "cuda", dtype), random_inputs(frames, "cuda", dtype)
        for mode, network in (("eager", model), ("compiled", torch.compile(model))):
            name = f"{mode} {str(dtype).removeprefix('torch.')}"
            yield from gpu_lines(name, network, model, inputs, rounds, peak)


def gpu_lines(
    name: str, network: Callable[..., Tensor], model: AnimateX, inputs: Inputs, rounds: int, peak: float
) -> list[str]:
    """The figures of one way to run the network."""
    assert inputs.pose is not None
    frames, dtype = inputs.pose.shape[2], inputs.pose.dtype
    x = torch.randn(1, 4, frames, *LATENT, generator=torch.Generator().manual_seed(9)).to("cuda", dtype)
    t = torch.tensor([661], device="cuda")

    def encode(chosen: Inputs) -> Conditions:
        return model.encode(chosen, frames, *LATENT)

    encoded = encode(inputs)
    torch.cuda.reset_peak_memory_stats()
    contenders: dict[str, Callable[[], object]] = {
        f"{name} forward": lambda: network(x, t, encoded),
        f"{name} {STEPS}-step guided loop": lambda: our_loop(network, encode, inputs, x),
    }
    timings = interleave(contenders, rounds, warmup=3)
    memory = torch.cuda.max_memory_allocated() / 2**30
    share = FORWARD_TFLOP / peak / timings[f"{name} forward"].median
    note = f"{name}: peak {memory:.2f} GiB, {share:.1%} of the floor (counts for the released size and 32 frames only)"
    return [*(timing.line() for timing in timings.values()), note]


def compared(timings: dict[str, Timing]) -> list[str]:
    """A line each; ours first, its ratio against theirs."""
    ours, *theirs = timings.values()
    return [ours.line(theirs[0] if theirs else None), *(t.line() for t in theirs)]


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", type=Path, help="checkout of the released program")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--only", choices=("bare", "loop"), help="CPU: one of the two measurements")
    parser.add_argument("--released", action="store_true", help="released widths instead of the small ones")
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--peak", type=float, default=790.0, help="TFLOP/s of the GPU, for the share of the floor")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    config = RELEASED if options.released else with_unet(RELEASED, width=64, multipliers=(1, 2), blocks_per_level=1)
    if options.device == "cuda" and (options.reference is not None or not torch.cuda.is_available()):
        parser.error("--device cuda needs a CUDA device, and the released program is compared on the CPU only")
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {options.frames} frames, 96x64 latents")
    if options.device == "cuda":
        print(torch.cuda.get_device_name())
        lines = on_gpu(config, options.frames, options.rounds, options.peak)
    else:
        lines = on_cpu(config, options.frames, options.reference, options.rounds, options.only)
    for line in lines:
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
