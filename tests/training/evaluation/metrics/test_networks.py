"""The layouts of FID's Inception, I3D and 3D ResNet-50 are those of the published files, and nothing else is taken."""

import hashlib

import numpy as np
import pytest
import torch
from animatex_training.evaluation.metrics.backbones import DEFAULT_PROXY, Backbones
from animatex_training.evaluation.metrics.i3d import I3d, load_i3d
from animatex_training.evaluation.metrics.inception import FidInception, load_inception
from animatex_training.evaluation.metrics.resnet3d import ResNet3d, load_resnet3d
from safetensors.torch import load_file, save_file

from animatex_core.tensor_files import WeightsError

# sha256 of the sorted lines "name [shape]", without counters of batch norms, of the state dictionaries of pytorch-fid
# 0.3.0 and of DisCo c4fa48a, and how many tensors and numbers they hold
LAYOUTS = [
    (FidInception, 472, 23_885_392, "bd04e829988dd22dd0bbf9e499a87af311ed57c1b4309a9d20a907d8ed4123d4"),
    (ResNet3d, 267, 47_071_696, "1dfda97bf78237b3889735ab2302effdd6543e9eedadf66a30dfcd8c900220c1"),
    (I3d, 287, 12_711_824, "6c8dc7152f4ec11c6f0724b863fc0b9a767eaf683446db6c2f9c2c71e6fa6df3"),
]
LOADERS = {"inception": load_inception, "resnet3d": load_resnet3d, "i3d": load_i3d}


@pytest.mark.parametrize(("network", "tensors", "numbers", "digest"), LAYOUTS)
def test_every_layer_has_the_published_name_and_shape(network, tensors, numbers, digest):
    with torch.device("meta"):
        state = network().state_dict()
    shapes = {n: list(t.shape) for n, t in state.items() if not n.endswith("num_batches_tracked")}
    assert len(shapes) == tensors and sum(int(np.prod(s)) for s in shapes.values()) == numbers
    lines = "\n".join(f"{name} {shape}" for name, shape in sorted(shapes.items()))
    assert hashlib.sha256(lines.encode()).hexdigest() == digest


@pytest.mark.parametrize("name", ["i3d", *(pytest.param(n, marks=pytest.mark.slow) for n in ("inception", "resnet3d"))])
def test_weights_arrive(weights, name):
    network = LOADERS[name](weights[name])
    for tensor_name, tensor in load_file(weights[name]).items():
        if not tensor_name.endswith("num_batches_tracked"):
            assert torch.equal(network.state_dict()[tensor_name], tensor.float()), tensor_name
    assert not network.training and not any(p.requires_grad for p in network.parameters())


@pytest.mark.parametrize("name", LOADERS)
def test_a_proxy_under_a_real_name_is_refused(name):
    backbones = Backbones(**{name: DEFAULT_PROXY})
    with pytest.raises(WeightsError, match=r"mini_vision\.safetensors: not the weights of .* Another network is not"):
        backbones.check()


def test_another_layer_shape_is_refused(tmp_path, weights):
    state = load_file(weights["i3d"])
    state["logits.conv3d.weight"] = state["logits.conv3d.weight"][:101].contiguous()
    save_file(state, tmp_path / "ucf101.safetensors")
    with pytest.raises(WeightsError, match=r"ucf101.*logits\.conv3d\.weight \[101, 1024, 1, 1, 1\] instead of \[400"):
        load_i3d(tmp_path / "ucf101.safetensors")
    del state["logits.conv3d.weight"]
    save_file(state | {"fc.weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match=r"logits\.conv3d\.weight missing; fc\.weight unknown"):
        load_i3d(tmp_path / "other.safetensors")


@pytest.mark.slow
def test_the_published_archive_of_fid_vid_is_taken_as_it_is(tmp_path, weights):
    """In torch.save's format of its time, with `module.` before every name and an optimiser beside them."""
    state = {f"module.{n}": t for n, t in load_file(weights["resnet3d"]).items()}
    content = {"epoch": 3, "arch": "resnet-50", "state_dict": state, "optimizer": {"state": {0: {"m": torch.ones(3)}}}}
    for new in (False, True):
        torch.save(content, tmp_path / f"{new}.pth", _use_new_zipfile_serialization=new)
        assert torch.equal(load_resnet3d(tmp_path / f"{new}.pth").conv1.weight, state["module.conv1.weight"].float())


def test_the_proxy_and_clip_are_not_mistaken_for_each_other(tmp_path):
    with pytest.raises(WeightsError, match="EfficientNet-lite0, not CLIP: give it as the proxy"):
        Backbones(clip=DEFAULT_PROXY).check()
    with pytest.raises(WeightsError, match="no CLIP vision tower"):
        save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors")
        Backbones(proxy=tmp_path / "a.safetensors").check()


def test_files_are_known_by_their_contents(tmp_path, weights):
    backbones = Backbones(lpips=weights["lpips"], i3d=tmp_path / "absent.pt", proxy=None)
    expected = hashlib.sha256(weights["lpips"].read_bytes()).hexdigest()
    assert backbones.facts("lpips") == {"weights": "lpips.safetensors", "sha256": expected}
    with pytest.raises(WeightsError, match=r"absent\.pt: cannot be read: No such file"):
        backbones.hashes()
    with pytest.raises(WeightsError, match=r"absent\.pt"):
        backbones.check()
    assert set(Backbones(lpips=weights["lpips"]).hashes()) == {"lpips", "proxy"}


def test_batches_do_not_matter(weights):
    with torch.no_grad():
        network, pictures = load_inception(weights["inception"]), torch.rand(2, 3, 40, 30)
        together = network(pictures)
        alone = torch.cat([network(p[None]) for p in pictures])
    assert together.shape == (2, 2048) and torch.allclose(together, alone, atol=1e-4)


def test_inception_is_that_of_pytorch_fid(weights):
    pytorch_fid = pytest.importorskip(
        "pytorch_fid.inception", reason="pytorch-fid (with torchvision) is not installed: FID's network is not compared"
    )
    original = pytorch_fid._inception_v3(num_classes=1008, aux_logits=False, weights=None)
    for name, block in (
        ("5b", pytorch_fid.FIDInceptionA(192, 32)), ("5c", pytorch_fid.FIDInceptionA(256, 64)),
        ("5d", pytorch_fid.FIDInceptionA(288, 64)), ("6b", pytorch_fid.FIDInceptionC(768, 128)),
        ("6c", pytorch_fid.FIDInceptionC(768, 160)), ("6d", pytorch_fid.FIDInceptionC(768, 160)),
        ("6e", pytorch_fid.FIDInceptionC(768, 192)), ("7b", pytorch_fid.FIDInceptionE_1(1280)),
        ("7c", pytorch_fid.FIDInceptionE_2(2048)),
    ):  # fmt: skip
        setattr(original, f"Mixed_{name}", block)
    original.load_state_dict({n: t.float() for n, t in load_file(weights["inception"]).items()})
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(pytorch_fid, "fid_inception_v3", lambda: original)
        pictures = torch.rand(2, 3, 96, 64)
        expected = pytorch_fid.InceptionV3().eval()(pictures)[0].flatten(1)
        assert torch.allclose(load_inception(weights["inception"])(pictures), expected, atol=1e-5)
