"""A file whose network follows the pose pictures more: their features times a number, in the weights themselves.

The same as the pose strength of the Conditioning node, and from then on the strength that counts as 1: hosts and
command lines need to know nothing of it. A pre-norm block passes a factor on when what enters and what it adds have
it; the norm of attention takes it out again (but for its epsilon), the feed-forward has none and is given what it had.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from animatex_core.atomic_file import check_output
from animatex_core.tensor_files import WeightsError, open_safetensors
from animatex_core.tensor_writer import Cast, write_tensors

MOST = 2.0  # more doubles limbs
ROUNDED = 1 + 1e-5  # numbers as messages and metadata print them, of six digits, are good enough
_TIMES = tuple(
    f"pose.{layer}.{kind}" for layer in ("conv3", "over_time.out", "over_time.down") for kind in ("weight", "bias")
)
_OVER = ("pose.over_time.up.weight",)


def strengthen(file: Path, out: Path, factor: float, *, overwrite: bool = False) -> None:
    """Write the .safetensors of `animate-x-train export` or `average` with its pose features times the factor.

    Metadata are the file's, with `pose_strength`: the factor, on top of what the file says of itself. Raises ValueError
    for a factor that is not above 0 or makes more than MOST in all, and WeightsError naming the file where it has no
    pose encoder of such names, or tells a strength that is no number.
    """
    check_output(out, overwrite=overwrite)
    opened = open_safetensors(file)
    told = told_strength(file, opened.metadata)
    total, most = factor * told, MOST / told
    if not 0 < factor <= most * ROUNDED:
        words = f"factor: expected a number above 0 and at most {most:g}, got {factor:g}"
        raise ValueError(f"{words}; {file}: its pose strength would be {total:g} in all; at most {MOST:g}")
    if lacking := [name for name in (*_TIMES, *_OVER) if name not in opened.tensors]:
        raise WeightsError(f"{file}: {lacking[0]}: not in it; expected a file of animate-x-train export or average")
    casts = {}
    for name, tensor in opened.tensors.items():
        scale = factor if name in _TIMES else 1 / factor if name in _OVER else 1.0
        scaled = tensor if scale == 1 else tensor.float() * scale
        casts[name] = Cast(scaled, tensor.dtype, f"{file}: {name} times {scale:g}")
    write_tensors(out, casts, {**opened.metadata, "pose_strength": f"{total:g}"})


def told_strength(file: Path, metadata: Mapping[str, str]) -> float:
    """The pose strength that a file says it has, 1 when it says nothing. Raises WeightsError for any other."""
    told = metadata.get("pose_strength", "1")
    try:
        strength = float(told)
    except ValueError:
        strength = 0.0
    if not 0 < strength < float("inf"):
        raise WeightsError(f"{file}: pose_strength: expected a number above 0 in the metadata, found {told!r}")
    return strength
