"""Time and memory of the temporal module, attention against Mamba, over the number of frames.

    python -m benchmarks.temporal                       CPU, the released level of 320 channels, 12x8 pixels
    python -m benchmarks.temporal --pixels 96x64        that level at its full size (a GPU; fp16 and bf16 with --dtype)
    python -m benchmarks.temporal --train               forward and backward instead of the forward alone

The two take turns; the median of the rounds counts. Memory is the peak beyond weights and input: on a GPU as its
allocator counts it, on a CPU the bytes of all tensors that are alive at the same time.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

import torch
from torch import Tensor, nn

from animatex_core.config import RELEASED, with_unet
from animatex_core.layers import Layers
from animatex_core.selective_scan import fused_kernel
from animatex_core.temporal import temporal_module

from .memory import PeakOfTensors
from .timing import interleave

FRAMES = (16, 32, 64, 128, 256, 512)
KINDS = ("attention", "mamba")
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def module_of(kind: str, device: str, dtype: torch.dtype) -> nn.Module:
    """The temporal module of the released network's first level, seeded."""
    torch.manual_seed(7)
    config = with_unet(RELEASED, temporal=kind).unet
    heads = config.width // config.head_width
    return temporal_module(config.width, heads, config.head_width, config, Layers(device=device, dtype=dtype))


def task(module: nn.Module, x: Tensor, train: bool) -> Callable[[], object]:
    """One forward without gradients, or one with the backward pass."""

    @torch.inference_mode()
    def infer() -> object:
        return module(x, 1)

    def learn() -> object:
        module.zero_grad(set_to_none=True)
        module(x, 1).square().mean().backward()
        return None

    return learn if train else infer


def peak_bytes(run: Callable[[], object], device: str) -> int:
    """Memory that a run takes beyond what there was."""
    if device == "cpu":
        with PeakOfTensors() as counter:
            run()
        return counter.peak
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    run()
    return torch.cuda.max_memory_allocated() - before


def line(frames: int, pixels: tuple[int, int], options: argparse.Namespace) -> str:
    """Both kinds at a number of frames."""
    dtype = DTYPES[options.dtype]
    generator = torch.Generator().manual_seed(8)
    x = torch.randn(frames, RELEASED.unet.width, *pixels, generator=generator).to(options.device, dtype)
    x = x.contiguous(memory_format=torch.channels_last).requires_grad_(options.train)
    tasks = {kind: task(module_of(kind, options.device, dtype), x, options.train) for kind in KINDS}
    seconds = {kind: timing.median for kind, timing in interleave(tasks, options.rounds).items()}
    peaks = {kind: peak_bytes(run, options.device) / 2**20 for kind, run in tasks.items()}
    shown = [f"{seconds[kind]:9.4f} s {peaks[kind]:9.1f} MiB" for kind in KINDS]
    ratio = f"{seconds['mamba'] / seconds['attention']:5.2f}  {peaks['mamba'] / peaks['attention']:5.2f}"
    return f"{frames:6}  {'   '.join(shown)}   {ratio}"


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, nargs="+", default=FRAMES)
    parser.add_argument("--pixels", default="12x8", help="height x width of the latents")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=("cpu", "cuda"))
    parser.add_argument("--dtype", default="fp32", choices=DTYPES)
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    height, width = (int(side) for side in options.pixels.split("x"))
    scan = "mamba-ssm" if options.device == "cuda" and fused_kernel() is not None else "plain torch"
    what = "forward and backward" if options.train else "forward"
    where = torch.cuda.get_device_name() if options.device == "cuda" else f"CPU, {options.threads} threads"
    print(f"torch {torch.__version__}, {where}, {options.dtype}, {height}x{width} pixels, {what}, scan by {scan}")
    print("frames  attention                     mamba                         time, memory: mamba over attention")
    for frames in options.frames:
        print(line(frames, (height, width), options), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
