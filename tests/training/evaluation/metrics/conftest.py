"""Files with random weights in the layouts of the genuine ones, half precision, made once for all tests here."""

import pytest
import torch
from animatex_training.evaluation.metrics.i3d import I3d
from animatex_training.evaluation.metrics.inception import FidInception
from animatex_training.evaluation.metrics.lpips_net import LAYERS, lpips_shapes
from animatex_training.evaluation.metrics.resnet3d import ResNet3d
from safetensors.torch import save_file


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """Name of the backbone -> file."""
    folder = tmp_path_factory.mktemp("backbones")
    torch.manual_seed(0)
    for name, network in (("inception", FidInception()), ("resnet3d", ResNet3d()), ("i3d", I3d())):
        state = {n: t.half().contiguous() for n, t in network.state_dict().items()}
        save_file(state, folder / f"{name}.safetensors")
    lpips = {n: torch.randn(s).abs() * 0.05 for net in LAYERS for n, s in lpips_shapes(net).items()}
    save_file(lpips, folder / "lpips.safetensors")
    return {name: folder / f"{name}.safetensors" for name in ("inception", "resnet3d", "i3d", "lpips")}
