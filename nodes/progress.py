"""Progress bars of ComfyUI for long loops; each step is also where a cancel is noticed."""

from __future__ import annotations

from collections.abc import Callable

import comfy.model_management
import comfy.utils


def steps_progress(total: int) -> Callable[[int], None]:
    """Shows a bar of `total` steps; call the result with the number done. Raises ComfyUI's interruption on cancel."""
    bar = comfy.utils.ProgressBar(total)

    def show(done: int) -> None:
        comfy.model_management.throw_exception_if_processing_interrupted()
        bar.update_absolute(done, total)

    return show


def bytes_progress() -> Callable[[str, int, int], None]:
    """A bar for work that tells what it does, how many bytes are done and how many there are; a percent at a time."""
    bar = comfy.utils.ProgressBar(100)
    shown = -1

    def show(_what: str, done: int, total: int) -> None:
        nonlocal shown
        percent = 100 * done // max(total, 1)
        if percent != shown:
            comfy.model_management.throw_exception_if_processing_interrupted()
            bar.update_absolute(percent, 100)
            shown = percent

    return show
