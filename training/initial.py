"""The network that training starts from: Animate-X weights, UniAnimate weights with new motion branches, or nothing."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Mapping
from operator import attrgetter
from pathlib import Path

import torch
from torch import nn

from animatex_core.config import AnimateXConfig
from animatex_core.identify import open_mapped
from animatex_core.inventory import families
from animatex_core.model import AnimateX
from animatex_core.network_files import embedded_config
from animatex_core.weights import load_state

from .config import StartSettings
from .strengthen import told_strength

LOG = logging.getLogger(__name__)
# The last layer of every residual branch, and of the network: zero, so that a new branch changes nothing until it has
# learned something.
ENDS = (".leave", ".conv2", ".convs.3", ".mixer.out", "unet.out")
NEW_IN_ANIMATE_X = ("ipi.", "motion.")
# What attention and Mamba over time do not share.
OVER_TIME = re.compile(r"temporal\.block\.(self_attention|cross_norm|cross_attention|mixer)\.")
HASHED_AT_ONCE = 1 << 22
# How widths are cut into heads and groups: no shape tells it, and cut otherwise the same weights say something else.
CUTS = ("unet.head_width", "unet.entrance_heads", "unet.groups")
CUTS_OF_IPI = ("ipi.query_heads", "ipi.reader_heads", "ipi.reader_head_width")
# No shape tells these either. They are ablations, which may well begin with weights of the full model.
ABLATIONS = ("alpha", "unet.motion_attention", "ipi.query")


def initial_network(config: AnimateXConfig, weights: str, seed: int) -> AnimateX:
    """The network in float32 on the CPU, the same for a seed wherever it is made.

    weights: a converted file, or empty. A UniAnimate file leaves the IPI and motion attention of an Animate-X network
    new: it begins by predicting exactly what UniAnimate predicts. Attention over time gives a network with Mamba all
    but the attention itself. Raises ValueError for a file of another network, also where only the configuration in it
    tells that.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = AnimateX(config)
        _begin(network)
    if weights:
        _load(network, Path(weights))
    return network


def check_start(start: StartSettings) -> None:
    """Raises ValueError when these settings are for trained weights and none are named."""
    if start.required and not start.weights:
        raise ValueError(
            "start.weights: none given, and these settings are for weights that are trained already: name a file with "
            "--start FILE (with torchrun: --set start.weights='\"FILE\"'); random weights: --set start.required=false"
        )


def weights_sha256(weights: str) -> str:
    """Of the file that training starts from; empty without one. Raises ValueError when it is not there."""
    if not weights:
        return ""
    if not Path(weights).is_file():
        raise ValueError(f"{weights}: there is no such file of weights to start from (--start; at export --weights)")
    digest = hashlib.sha256()
    with open(weights, "rb") as file:
        while chunk := file.read(HASHED_AT_ONCE):
            digest.update(chunk)
    return digest.hexdigest()


@torch.no_grad()
def _begin(network: AnimateX) -> None:
    """Residual branches end in zeros, and so does the network; the learned query is as large as a normed token."""
    for name, module in network.named_modules():
        if name.startswith("unet.") and name.endswith(ENDS) and isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.zeros_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    if network.ipi is not None and network.ipi.reader.learned_query is not None:
        query = network.ipi.reader.learned_query
        nn.init.normal_(query, 0.0, query.shape[-1] ** -0.5)


@torch.no_grad()
def _load(network: AnimateX, path: Path) -> None:
    state, config, facts = load_state(path)
    own = network.state_dict()
    exchanged = config.unet.temporal != network.config.unet.temporal
    if exchanged:
        state = {name: tensor for name, tensor in state.items() if not OVER_TIME.search(name)}
    _same_stages(path, network.config, config)
    _same_widths(path, own, state)
    missing = sorted(own.keys() - state.keys())
    new = () if config.ipi is not None else NEW_IN_ANIMATE_X
    expected = [n for n in missing if any(part in n for part in new) or (exchanged and OVER_TIME.search(n))]
    if missing != expected:
        lacking = sorted(set(missing) - set(expected))
        raise ValueError(f"{path}: lacks {len(lacking)} tensors of the network, the first is {lacking[0]}")
    if state.keys() - own.keys():
        extra = sorted(state.keys() - own.keys())
        raise ValueError(f"{path}: holds {len(extra)} tensors that the network lacks, the first is {extra[0]}")
    if _says_its_configuration(path, facts):
        _same_settings(path, network.config, config)
    if missing:
        LOG.info("%s: %d tensors that it lacks begin new: %s", path, len(missing), families(missing))
    if abs((strength := told_strength(path, facts)) - 1) > 1e-3:
        LOG.info(
            "%s: its pose features are strengthened by %g; they stay so, and exports of the run will not say it "
            "(animate-x-train strengthen --factor %.6g takes it out first)", path, strength, 1 / strength,
        )  # fmt: skip
    for name, tensor in state.items():
        own[name].copy_(tensor)


def _same_stages(path: Path, wanted: AnimateXConfig, found: AnimateXConfig) -> None:
    for name in ("multipliers", "blocks_per_level"):
        own, its = (json.dumps(getattr(config.unet, name)) for config in (wanted, found))
        if own != its:
            mend = f"--set 'model.unet.{name}={its}' takes the file as it is"
            raise ValueError(f"{path}: unet.{name}: expected {own} as [model] says, found {its}; {mend}")


def _same_widths(path: Path, own: dict[str, torch.Tensor], state: dict[str, torch.Tensor]) -> None:
    for name in own.keys() & state.keys():
        if own[name].shape != state[name].shape:
            raise ValueError(
                f"{path}: {name}: expected {list(own[name].shape)} as [model] says, found {list(state[name].shape)}"
            )


def _says_its_configuration(path: Path, facts: Mapping[str, str]) -> bool:
    """Whether the file holds one; else its heads and groups were guessed."""
    return "config" in facts or embedded_config(open_mapped(path)) is not None


def _same_settings(path: Path, wanted: AnimateXConfig, found: AnimateXConfig) -> None:
    """The settings that no tensor's shape tells. A UniAnimate file has those of the UNet only."""
    both = wanted.ipi is not None and found.ipi is not None
    for name in CUTS + (CUTS_OF_IPI + ABLATIONS if both else ()):
        own, its = attrgetter(name)(wanted), attrgetter(name)(found)
        if own == its:
            continue
        if name not in ABLATIONS:
            raise ValueError(f"{path}: {name}: expected {own} as [model] says, found {its} in its configuration")
        LOG.warning("%s: %s is %s in its configuration and %s in [model]; the run has the latter", path, name, its, own)
