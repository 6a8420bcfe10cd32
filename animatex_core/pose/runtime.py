"""Running the two pose networks: ONNX files on ONNX Runtime, TorchScript files on torch alone.

Opening a network says aloud (in the log) what it runs on, and warns when that is the CPU although a GPU was asked for
or is there: a silent fall to the CPU is the usual cause of a slow pose extraction.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np
import torch

PROVIDERS = {
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "directml": "DmlExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
_AUTO = ("cuda", "directml", "cpu")  # TensorRT builds engines for minutes, so it is taken on demand only
TORCHSCRIPT = (".pt", ".pth", ".torchscript")

log = logging.getLogger(__name__)


class Network(Protocol):
    """A network that turns pictures [N, 3, H, W] float32 into arrays with N rows each."""

    name: str  # for messages
    backend: str  # what it runs on, for the report
    size: tuple[int, int] | None  # (H, W) where the file says so
    batch: int | None  # how many pictures one run takes; None: any number
    parallel: bool  # whether several threads gain by running it at once

    def run(self, pictures: np.ndarray) -> list[np.ndarray]: ...


def open_network(path: str | os.PathLike[str], device: str = "auto") -> Network:
    """Open an .onnx or a TorchScript file.

    device: "auto", "cpu", "cuda", "cuda:1", "tensorrt" or "directml".
    Raises FileNotFoundError; ValueError for a file that is no network and for an unknown device; ImportError with the
    command to install it when ONNX Runtime is missing.
    """
    path = Path(path)
    kind, _, number = device.partition(":")
    if kind not in ("auto", *PROVIDERS) or (number and not number.isdigit()):
        raise ValueError(f'device must be "auto", {", ".join(map(repr, PROVIDERS))} or "cuda:1", found {device!r}')
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    if path.suffix == ".onnx":
        return OnnxNetwork(path, kind, int(number or 0))
    if path.suffix in TORCHSCRIPT:
        return TorchScriptNetwork(path, kind, int(number or 0))
    raise ValueError(
        f"{path}: expected a file in .onnx or {', '.join(TORCHSCRIPT)}, found {path.suffix or 'no ending'}"
    )


def run_all(network: Network, pictures: np.ndarray) -> list[np.ndarray]:
    """Run any number of pictures through a network, whatever batch it takes; what fills up a batch is dropped again."""
    count, batch = len(pictures), network.batch or len(pictures)
    parts = []
    for start in range(0, count, max(batch, 1)):
        part = pictures[start : start + batch]
        if len(part) < batch:
            part = np.concatenate([part, np.repeat(part[-1:], batch - len(part), 0)])
        parts.append(network.run(part))
    return [np.concatenate(column)[:count] for column in zip(*parts, strict=True)]


def cores() -> int:
    """How many processor cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def workers() -> int:
    """How many threads share the work on frames; each runs a network on its share of the cores."""
    return min(4, cores())


class OnnxNetwork:
    """A network in an .onnx file."""

    def __init__(self, path: Path, kind: str, number: int) -> None:
        ort = _onnxruntime(path)
        asked = _AUTO if kind == "auto" else dict.fromkeys((kind, "cpu"))
        available = ort.get_available_providers()
        providers: list[Any] = [
            (PROVIDERS[name], _options(name, number)) for name in asked if PROVIDERS[name] in available
        ]
        self._session = _open_session(ort, path, providers)
        self.name = path.name
        active = self._session.get_providers()[0]
        self.backend = f"onnxruntime {active}"
        self.parallel = active == PROVIDERS["cpu"]
        self._one_at_a_time = nullcontext() if self.parallel else threading.Lock()
        feed = self._session.get_inputs()[0]
        self._input = feed.name
        self._half = "float16" in feed.type
        shape = feed.shape
        if len(self._session.get_inputs()) != 1 or len(shape) != 4 or shape[1] != 3:
            raise ValueError(f"{path}: expected a network with one input of 3-channel pictures, found {shape}")
        self.batch = shape[0] if isinstance(shape[0], int) else None
        self.size = (shape[2], shape[3]) if isinstance(shape[2], int) and isinstance(shape[3], int) else None
        _say(self.name, self.backend, fell=self.parallel and _gpu_missed(kind), wanted=kind)

    def run(self, pictures: np.ndarray) -> list[np.ndarray]:
        """Run one batch; raises ValueError with the file when the network refuses it."""
        feed = pictures.astype(np.float16) if self._half else pictures
        try:
            with self._one_at_a_time:
                outputs = self._session.run(None, {self._input: feed})
        except Exception as error:  # onnxruntime's errors have no base class of their own
            raise ValueError(f"{self.name}: onnxruntime cannot run {feed.shape}: {_first_line(error)}") from error
        return [np.asarray(output, np.float32) for output in outputs]


class TorchScriptNetwork:
    """A network in a TorchScript file, traced for one picture, or for N where its name ends in `_bsN`."""

    def __init__(self, path: Path, kind: str, number: int) -> None:
        gpu = kind == "cuda" or (kind == "auto" and torch.cuda.is_available())
        if kind not in ("auto", "cpu", "cuda"):
            raise ValueError(f'{path}: TorchScript files run on "cuda" or "cpu", found {kind!r}')
        missed = gpu and not torch.cuda.is_available()
        self._device = torch.device("cuda", number) if gpu and not missed else torch.device("cpu")
        try:
            self._module = torch.jit.load(str(path), map_location=self._device).eval()
        except (RuntimeError, ValueError) as error:
            raise ValueError(f"{path}: not a TorchScript file: {_first_line(error)}") from error
        self.name = path.name
        self.backend = f"torch on {self._device}"
        self.parallel = False
        self._one_at_a_time = threading.Lock()
        named = re.search(r"_bs(\d+)", path.name)
        self.batch: int | None = int(named[1]) if named else 1
        self.size: tuple[int, int] | None = None
        _say(self.name, self.backend, fell=missed, wanted=kind)

    def run(self, pictures: np.ndarray) -> list[np.ndarray]:
        """Run one batch; raises ValueError with the file when the network refuses it."""
        try:
            with self._one_at_a_time, torch.inference_mode():
                outputs = self._module(torch.from_numpy(pictures).to(self._device))
                several: Sequence[torch.Tensor] = [outputs] if isinstance(outputs, torch.Tensor) else outputs
                return [output.float().cpu().numpy() for output in several]
        except RuntimeError as error:
            raise ValueError(f"{self.name}: torch cannot run {pictures.shape}: {_first_line(error)}") from error


def _onnxruntime(path: Path) -> ModuleType:
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError(
            f'{path.name} needs ONNX Runtime: pip install "animate-x[pose]" (NVIDIA: "animate-x[pose-gpu]"), '
            "or use the TorchScript files, which run on torch alone"
        ) from error
    if not hasattr(onnxruntime, "InferenceSession"):
        raise ImportError(
            "the onnxruntime installation is broken (two onnxruntime packages were installed and one was removed): "
            'pip uninstall onnxruntime onnxruntime-gpu, then pip install "animate-x[pose]"'
        )
    return onnxruntime


def _open_session(ort: ModuleType, path: Path, providers: list[Any]) -> Any:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = max(1, cores() // workers())
    if providers[0][0] == PROVIDERS["directml"]:
        options.enable_mem_pattern = False  # DirectML does not support it
    if providers[0][0] != PROVIDERS["cpu"] and hasattr(ort, "preload_dlls"):
        ort.preload_dlls()  # the CUDA libraries that came with torch
    try:
        return ort.InferenceSession(str(path), sess_options=options, providers=providers)
    except Exception as error:  # onnxruntime's errors have no base class of their own
        raise ValueError(f"{path}: onnxruntime cannot open it: {_first_line(error)}") from error


def _options(name: str, number: int) -> dict[str, Any]:
    if name == "cpu":
        return {}
    options: dict[str, Any] = {"device_id": number}
    # the exhaustive search would begin anew for each size of the last batch
    return options | {"cudnn_conv_algo_search": "HEURISTIC"} if name == "cuda" else options


def _gpu_missed(kind: str) -> bool:
    return kind not in ("auto", "cpu") or (kind == "auto" and torch.cuda.is_available())


def _say(name: str, backend: str, fell: bool, wanted: str) -> None:
    if not fell:
        log.info("%s runs on %s", name, backend)
        return
    reason = "there is a GPU" if wanted == "auto" else f'"{wanted}" was asked for'
    log.warning(
        '%s runs on the CPU (%s) although %s: pip install "animate-x[pose-gpu]" for NVIDIA, onnxruntime-directml for '
        "others; only one onnxruntime package may be installed",
        name,
        backend,
        reason,
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
