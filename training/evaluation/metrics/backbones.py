"""The networks behind the metrics: files given by the user, opened when first needed, each known by its sha256."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from animatex_core.mini_vision import MiniVision
from animatex_core.tensor_files import WeightsError
from animatex_core.vision import ClipVision, load_clip_vision

from ...checkpoint import sha256
from .i3d import I3d, load_i3d
from .inception import FidInception, load_inception
from .lpips_net import Lpips, load_lpips, networks_in
from .mini_keypoints import MiniKeypoints, load_keypoints
from .resnet3d import ResNet3d, load_resnet3d

DEFAULT_PROXY = Path(__file__).parents[2] / "assets" / "mini_vision.safetensors"
NAMES = ("lpips", "inception", "resnet3d", "i3d", "clip", "joints", "proxy")


class Backbones:
    """Which file stands behind which network.

    lpips: written by `lpips_convert`, with AlexNet, VGG16 or both. inception: pt_inception-2015-12-05 of pytorch-fid.
    resnet3d: resnet-50-kinetics.pth. i3d: i3d_pretrained_400.pt. clip: any CLIP image tower in .safetensors.
    joints: the mini keypoint network, for renders of `synthetic` alone.
    proxy: EfficientNet-lite0, which comes along; None for no proxies. A metric whose file is not given is absent.
    """

    def __init__(
        self,
        *,
        lpips: str | Path | None = None,
        inception: str | Path | None = None,
        resnet3d: str | Path | None = None,
        i3d: str | Path | None = None,
        clip: str | Path | None = None,
        joints: str | Path | None = None,
        proxy: str | Path | None = DEFAULT_PROXY,
        device: str = "cpu",
    ) -> None:
        given = zip(NAMES, (lpips, inception, resnet3d, i3d, clip, joints, proxy), strict=True)
        self.paths = {name: Path(path) for name, path in given if path is not None}
        self.device = device
        self._kept: dict[str, Any] = {}

    def has(self, name: str) -> bool:
        """Whether a file was given: one of NAMES."""
        return name in self.paths

    def facts(self, name: str) -> dict[str, str]:
        """What a Value says of the file behind it. Raises WeightsError when it cannot be read."""
        return {"weights": self.paths[name].name, "sha256": self._once(f"sha256 {name}", lambda: self._hash(name))}

    def hashes(self) -> dict[str, str]:
        """sha256 of every file given, for the record of a run."""
        return {name: self.facts(name)["sha256"] for name in self.paths}

    def check(self) -> None:
        """Open every file given, so that a wrong one is an error before the work. Raises WeightsError naming it."""
        for net in self.lpips_networks():
            self.lpips(net)
        for name in set(self.paths) - {"lpips"}:
            getattr(self, name)()

    def lpips_networks(self) -> tuple[str, ...]:
        """Of `alex` and `vgg`, those in the file; none without a file."""
        return self._once("nets", lambda: networks_in(self.paths["lpips"])) if self.has("lpips") else ()

    def lpips(self, net: str) -> Lpips:
        """LPIPS with `alex` or `vgg`."""
        return self._once(f"lpips {net}", lambda: load_lpips(self.paths["lpips"], net, self.device))

    def inception(self) -> FidInception:
        """The network of FID."""
        return self._once("inception", lambda: load_inception(self.paths["inception"], self.device))

    def resnet3d(self) -> ResNet3d:
        """The network of FID-VID."""
        return self._once("resnet3d", lambda: load_resnet3d(self.paths["resnet3d"], self.device))

    def i3d(self) -> I3d:
        """The network of FVD."""
        return self._once("i3d", lambda: load_i3d(self.paths["i3d"], self.device))

    def clip(self) -> ClipVision:
        """A genuine CLIP tower; the small stand-in is refused under this name."""
        return self._once("clip", self._load_clip)

    def joints(self) -> MiniKeypoints:
        """The mini keypoint network."""
        return self._once("joints", lambda: load_keypoints(self.paths["joints"]))

    def proxy(self) -> ClipVision:
        """EfficientNet-lite0, whose features stand in where genuine networks are missing, under names of their own."""
        return self._once("proxy", self._load_proxy)

    def _load_clip(self) -> ClipVision:
        tower = load_clip_vision(self.paths["clip"], device=self.device)
        if isinstance(tower.model, MiniVision):
            raise WeightsError(f"{self.paths['clip']}: EfficientNet-lite0, not CLIP: give it as the proxy")
        return tower

    def _load_proxy(self) -> ClipVision:
        tower = load_clip_vision(self.paths["proxy"], device=self.device)
        if not isinstance(tower.model, MiniVision):
            raise WeightsError(f"{self.paths['proxy']}: not EfficientNet-lite0, which the names of proxies promise")
        return tower

    def _hash(self, name: str) -> str:
        try:
            return sha256(self.paths[name])
        except OSError as error:
            raise WeightsError(f"{self.paths[name]}: cannot be read: {error.strerror or error}") from error

    def _once(self, key: str, make: Callable[[], Any]) -> Any:
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]


def encode(tower: ClipVision, pictures: list[np.ndarray]) -> np.ndarray:
    """Features [n, width] float32 of pictures uint8 RGB."""
    return tower.encode(pictures).numpy()
