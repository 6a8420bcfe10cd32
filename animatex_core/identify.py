"""What a file is: one of ours, the released model, another model that this package uses, or something else."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from .config import AnimateXConfig
from .inventory import Difference
from .network_files import Network, bundled_parts, embedded_config, find_network, network_config, network_difference
from .pickle_files import open_pickle
from .recognise import recognise
from .tensor_files import Checkpoint, PathLike, WeightsError, container_of, file_size, open_safetensors

OURS = ("animate-x", "animate-x-modelsave")
CONVERT = "convert it first: animate-x convert --model FILE --text TEXT_TOWER --out OUT.safetensors"
_SHOWN = ("variant", "temporal", "empty_prompt", "license", "note", "converted_with", "source_sha256", "deepened")


@dataclass(frozen=True)
class FileReport:
    """What `identify` found. `kind` is a short name for programs, `title` the words for people."""

    path: Path
    kind: str
    title: str
    container: str
    dtype: str = ""
    parameters: int = 0
    tensors: int = 0
    config: AnimateXConfig | None = None
    variant: str | None = None  # animate-x or uni-animate
    bundled: tuple[str, ...] = ()  # vae, clip_vision
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    misshapen: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]] = field(default_factory=dict)
    problems: tuple[str, ...] = ()  # in words, what is missing, unexpected and misshapen included
    notes: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    advice: str = ""

    @property
    def loadable(self) -> bool:
        """Whether `load_model` takes the file, as far as names and shapes tell."""
        return self.kind in OURS and not self.problems

    def lines(self) -> list[str]:
        """For people, in printable ASCII; the first line says it all."""
        shown = [f"{self.path}: {self.title}"]
        if self.tensors:
            shown.append(f"{self.container}, {self.tensors:,} tensors, {self.parameters:,} numbers, {self.dtype}")
        if self.config is not None:
            shown.append(_config_line(self.config))
        if self.bundled:
            shown.append(f"bundled: {', '.join(self.bundled)}")
        shown += [f"{key}: {self.metadata[key][:300]}" for key in _SHOWN if key in self.metadata]
        shown += [*self.notes, *(f"problem: {problem}" for problem in self.problems)]
        if self.advice:
            shown.append(self.advice)
        printable = ("".join(c if c.isprintable() else " " for c in line) for line in shown)
        return [line.encode("ascii", "backslashreplace").decode() for line in printable]


def identify(path: PathLike, *, pickles: bool = True) -> FileReport:
    """What the file is, by its tensors' names and shapes. Raises WeightsError when it cannot be read.

    PyTorch archives are opened as in conversion (no code of theirs runs), or named only with pickles=False.
    """
    path = Path(path)
    file_size(path)
    if path.suffix.lower() == ".onnx":
        advice = "DWPose and its person detector come as such files"
        return FileReport(path, "onnx", "an ONNX network, by its name alone (not opened)", "ONNX", advice=advice)
    if is_archive(path) and not pickles:
        return FileReport(path, "archive", "a PyTorch archive (not opened here)", "PyTorch archive", advice=CONVERT)
    return describe(open_checkpoint(path))


def describe(checkpoint: Checkpoint) -> FileReport:
    """The same for an opened file."""
    shapes = checkpoint.shapes
    notes = (f"beside the tensors: {', '.join(checkpoint.extras[:12])}",) if checkpoint.extras else ()
    facts = FileReport(
        checkpoint.path, "unknown", "", checkpoint.container,
        dtype=_dtypes(checkpoint), parameters=sum(math.prod(s) for s in shapes.values()), tensors=len(shapes),
        notes=notes, metadata=checkpoint.metadata,
    )  # fmt: skip
    network = find_network(shapes)
    if network is not None:
        return _describe_network(facts, network, checkpoint)
    other = recognise(shapes)
    return replace(facts, kind=other.kind, title=other.title, advice=other.advice)


def open_checkpoint(path: PathLike) -> Checkpoint:
    """Open a file by its content, whatever its name: .safetensors, or a PyTorch archive as in conversion."""
    return open_pickle(path) if is_archive(path) else open_safetensors(path)


def open_mapped(path: PathLike, advice: str = CONVERT) -> Checkpoint:
    """Open .safetensors for use. Archives of pickles are for conversion only: WeightsError with the advice."""
    if is_archive(path):
        raise WeightsError(f"{path}: a PyTorch archive, which only conversion opens: {advice}")
    return open_safetensors(path)


def is_archive(path: PathLike) -> bool:
    """Whether the content is a zip archive or a pickle."""
    file_size(path)
    try:
        with open(path, "rb") as file:
            meaning = container_of(file.read(64)) or ""
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror or error}") from error
    return "zip archive" in meaning or "pickle" in meaning


def _describe_network(facts: FileReport, network: Network, checkpoint: Checkpoint) -> FileReport:
    config, difference, problems = None, Difference((), (), {}), []
    try:
        config = network_config(network, checkpoint.metadata, embedded_config(checkpoint))
        difference = network_difference(network, config)
        problems = difference.lines()
    except WeightsError as error:
        problems = [str(error)]
    kind, how, advice = _format(network)
    model = "Animate-X" if network.has_ipi else "UniAnimate (no IPI, no motion attention)"
    bundled = bundled_parts(network) if kind == "animate-x" else ()
    beside = () if bundled else network.beside
    notes = (f"beside the network: {len(beside):,} tensors, such as {', '.join(beside[:4])}",) if beside else ()
    return replace(
        facts, kind=kind, title=f"{model}, {how}", config=config, variant=network.variant, bundled=bundled,
        missing=difference.missing, unexpected=difference.unexpected, misshapen=difference.misshapen,
        problems=tuple(problems), notes=facts.notes + notes, advice=advice,
    )  # fmt: skip


def _format(network: Network) -> tuple[str, str, str]:
    """Kind, words and advice for a network by the names of its tensors."""
    if network.released:
        return f"{network.variant}-released", "names as released", CONVERT
    if network.prefix:
        return "animate-x-modelsave", "as saved by ComfyUI", ""
    return "animate-x", "converted", ""


def _dtypes(checkpoint: Checkpoint) -> str:
    counts = Counter(str(tensor.dtype).removeprefix("torch.") for tensor in checkpoint.tensors.values())
    (first, _), *others = counts.most_common() or [("no tensors", 0)]
    return first + "".join(f", {count:,} {dtype}" for dtype, count in others)


def _config_line(config: AnimateXConfig) -> str:
    unet = config.unet
    levels = ",".join(str(m) for m in unet.multipliers)
    given = unet.blocks_per_level
    blocks = given if isinstance(given, int) else ",".join(str(b) for b in given)
    ipi = "no IPI" if config.ipi is None else f"IPI {config.ipi.width} x {config.ipi.reader_layers} layers"
    if config.ipi is not None and (config.ipi.query, unet.motion_attention, config.alpha) != ("merged", "serial", 1):
        ipi += f" (query: {config.ipi.query}, motion attention: {unet.motion_attention}, alpha: {config.alpha:g})"
    return (
        f"UNet {unet.width} x ({levels}), {blocks} blocks a level, heads of {unet.head_width}, "
        f"context {unet.context_width}, {ipi}, temporal module: {unet.temporal}"
    )
