"""The network files of a job, looked at before any of them is read: is each what it has to be, do they fit together?"""

from __future__ import annotations

from pathlib import Path

from .config import AnimateXConfig
from .identify import FileReport, identify
from .tensor_files import WeightsError
from .vae import check_vae
from .vision import projection_width


def check_networks(model: Path, clip: Path, vae: Path) -> AnimateXConfig:
    """The model's configuration. clip and vae may be the model's file, when it has them bundled.

    Raises WeightsError naming the file that is something else, incomplete or of another width.
    """
    report = identify(model, pickles=False)
    if report.config is None or not report.loadable:
        raise WeightsError("\n".join(report.lines()))
    for path, part, what, flag in ((clip, "clip_vision", "CLIP image tower", "--clip"), (vae, "vae", "VAE", "--vae")):
        if path == model and part not in report.bundled:
            raise WeightsError(f"{model} has no {what} bundled: give its file with {flag}")
    check_vae(vae)
    _check_clip(clip, report, report.config)
    return report.config


def _check_clip(clip: Path, model: FileReport, config: AnimateXConfig) -> None:
    width = projection_width(clip)
    wanted = {config.conditions.clip_width} | ({config.ipi.clip_width} if config.ipi else set())
    if wanted != {width}:
        numbers = " and ".join(str(number) for number in sorted(wanted))
        raise WeightsError(
            f"{clip}: this CLIP image tower gives features of {width} numbers, {model.path} reads {numbers}: give the "
            "tower it was trained with (ViT-H/14 for the released weights)"
        )
