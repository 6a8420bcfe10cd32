"""Where the network lies in a file: prefixes, released or own names, what stands beside it, its configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from .config import AnimateXConfig
from .infer import infer_config
from .inventory import POSITIONS, Difference, Shapes, compare, empty_model
from .keymap import key_map, released_name, to_released
from .layers import Layers
from .tensor_files import Checkpoint, WeightsError

FORMAT, FORMAT_VERSION = "animate-x", "1"
BUNDLES = ("vae", "clip_vision")  # models that a file of ours may hold too, under these prefixes
CONFIG_TENSOR = "animatex_config"  # the configuration as bytes of JSON, for hosts that keep no metadata
MAX_CONFIG_BYTES = 1 << 16

# What a host's own save node puts beside the network.
_SAVED_BESIDE = re.compile(r"v_pred|model_sampling\..*")
# What training programs and hosts put in front of names.
_PREFIX = re.compile(r"((module|_orig_mod|model|diffusion_model)\.)*")
_MARKERS = (
    ("unet.time_in.weight", False),
    ("unet.entrance.weight", False),
    ("time_embed.0.weight", True),
    ("input_blocks.0.0.weight", True),
)


@dataclass(frozen=True)
class Network:
    """The network of a file: its shapes by names without the prefix, and the names beside it (with everything)."""

    prefix: str
    released: bool  # names and shapes of the published files
    shapes: dict[str, tuple[int, ...]]
    beside: tuple[str, ...]

    @property
    def has_ipi(self) -> bool:
        """Animate-X rather than UniAnimate."""
        start = ("pose_embedding_before.", "pose_embedding_after.") if self.released else ("ipi.",)
        return any(name.startswith(start) for name in self.shapes)

    @property
    def variant(self) -> str:
        """The name of the variant in metadata."""
        return "animate-x" if self.has_ipi else "uni-animate"


def find_network(shapes: Shapes) -> Network | None:
    """The network in a file of these names, or None when the file is something else."""
    found = _marker(shapes)
    if found is None:
        return None
    prefix, released = found
    inside, beside = {}, []
    for name, shape in shapes.items():
        bare = name.removeprefix(prefix)
        bundled = not prefix and not released and name.startswith(tuple(f"{part}." for part in BUNDLES))
        if not name.startswith(prefix) or bundled or bare == CONFIG_TENSOR or _SAVED_BESIDE.fullmatch(bare):
            beside.append(name)
        else:
            inside[bare] = shape
    if released and not any(name.startswith("dwpose_embedding.") for name in inside):
        return None
    return Network(prefix, released, inside, tuple(sorted(beside)))


def _marker(shapes: Shapes) -> tuple[str, bool] | None:
    for marker, released in _MARKERS:
        for name in shapes:
            if name.endswith(marker) and _PREFIX.fullmatch(name.removesuffix(marker)):
                return name.removesuffix(marker), released
    return None


def network_config(network: Network, metadata: Mapping[str, str], embedded: str | None) -> AnimateXConfig:
    """The configuration that the file names, else the one its shapes tell. Raises WeightsError."""
    text = metadata.get("config", embedded)
    if text is None:
        return infer_config(network.shapes)
    try:
        return AnimateXConfig.from_json(text)
    except (ArithmeticError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise WeightsError(f"the configuration in the metadata is broken: {str(error)[:200]}") from error


def embedded_config(checkpoint: Checkpoint) -> str | None:
    """The configuration that a host kept as a tensor of bytes."""
    for name, tensor in checkpoint.tensors.items():
        if name.rsplit(".", 1)[-1] == CONFIG_TENSOR and tensor.dtype == torch.uint8:
            return bytes(tensor.flatten()[:MAX_CONFIG_BYTES].tolist()).decode("utf-8", "replace")
    return None


def network_difference(network: Network, config: AnimateXConfig) -> Difference:
    """What the network lacks, has too many or has in another shape, in the names of the file."""
    ours = empty_model(config, Layers(), len(network.shapes)).state_dict()
    if not network.released:
        return compare({name: tuple(t.shape) for name, t in ours.items()}, network.shapes)
    pairs = key_map(list(ours), config).items()
    expected = {released: tuple(to_released(name, ours[name]).shape) for name, released in pairs}
    return compare(expected, network.shapes, positions=released_name(POSITIONS, config))


def bundled_parts(network: Network) -> tuple[str, ...]:
    """Which other models the file holds, by their prefixes."""
    return tuple(part for part in BUNDLES if any(name.startswith(f"{part}.") for name in network.beside))
