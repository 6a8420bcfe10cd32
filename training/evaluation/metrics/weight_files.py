"""Files of weights for the metrics: opened without running anything, and checked name by name against a layout."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor, nn

from animatex_core.identify import open_checkpoint
from animatex_core.tensor_files import WeightsError

from .pickled import is_old_torch, read_old_torch


def open_weights(path: Path) -> Mapping[str, Tensor]:
    """The tensors of a .safetensors or of a file of torch.save, old or new. Raises WeightsError naming the file."""
    try:
        with path.open("rb") as file:
            if not is_old_torch(file.read(32)):
                return open_checkpoint(path).tensors
        return read_old_torch(path.read_bytes())
    except WeightsError:
        raise
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise WeightsError(f"{path}: {error}") from error


def fill(network: nn.Module, path: Path, what: str, rename: Callable[[str], str] = str) -> None:
    """Put a file's tensors into a network that has exactly their names and shapes, and set it to inference.

    rename: the network's name of a tensor of the file. Counters of batch norms may be absent.
    Raises WeightsError naming what is missing, misshapen or unknown: another network is no stand-in for this one.
    """
    found = {rename(name): tensor for name, tensor in open_weights(path).items()}
    wanted = {n: tuple(t.shape) for n, t in network.state_dict().items() if not n.endswith("num_batches_tracked")}
    given = {n: tuple(t.shape) for n, t in found.items() if not n.endswith("num_batches_tracked")}
    wrong = [f"{n} missing" for n in wanted if n not in given]
    wrong += [f"{n} {list(given[n])} instead of {list(s)}" for n, s in wanted.items() if n in given and given[n] != s]
    wrong += [f"{n} unknown" for n in given if n not in wanted]
    if wrong:
        raise WeightsError(
            f"{path}: not the weights of {what}: {'; '.join(wrong[:3])}"
            f"{f' and {len(wrong) - 3} more' if len(wrong) > 3 else ''}. Another network is not taken under this name"
        )
    network.load_state_dict({n: found[n].float() for n in wanted}, strict=False)
    network.eval().requires_grad_(False)
