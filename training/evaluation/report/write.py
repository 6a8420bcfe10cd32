"""The report: one HTML file with everything in it, which opens anywhere and asks nothing of a network."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from animatex_core.atomic_file import check_output, naming_errors, replacing
from animatex_core.cli_output import Advance

from ..records import RunFolder
from .columns import number
from .standing import StudyView, view_study
from .views import Limits, RunView, view_run
from .walls import data_uri


@dataclass(frozen=True)
class ReportOptions:
    """pictures: cases of each run with video, stills and plots, the worst ones. frames: of a clip, thinned above.

    megabytes: of all videos together. fps: of the videos; None: the run's. studies: analyses of user studies.
    """

    title: str = "A2Bench report"
    pictures: int = 24
    frames: int = 96
    megabytes: float = 24.0
    fps: float | None = None
    studies: tuple[Path, ...] = ()


def write_report(
    runs: Sequence[Path],
    out: Path,
    options: ReportOptions | None = None,
    *,
    overwrite: bool = False,
    progress: Advance | None = None,
) -> None:
    """Write a page about one or several runs (a run holds one setting). The same runs give the same page.

    Raises ValueError naming the file for what is no run, OutputError for an output that cannot be written.
    """
    options = options or ReportOptions()
    if not runs or options.pictures < 0 or options.frames < 2 or options.megabytes <= 0:
        raise ValueError("a report needs a run, pictures from 0, frames from 2 and megabytes above 0")
    check_output(out, overwrite=overwrite)
    limits = Limits(options.pictures, options.frames, int(options.megabytes * 1e6) // len(runs))
    views = [view_run(RunFolder(run), limits, options.fps, progress) for run in runs]
    studies = [view_study(path) for path in options.studies]
    text = render(options.title, views, studies)
    with replacing(out, overwrite=overwrite) as temporary, naming_errors(out):
        temporary.write_text(text, encoding="utf-8")


def render(title: str, runs: Sequence[RunView], studies: Sequence[StudyView] = ()) -> str:
    """The page. Every text of a run is escaped, and only the script that came along may run."""
    package = __name__.rpartition(".")[0]
    own = files(package)
    script = (own / "page.js").read_text(encoding="utf-8")
    environment = Environment(
        loader=PackageLoader(package, "."), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"json": _json, "number": number}
    return environment.get_template("page.html.j2").render(
        title=title,
        runs=runs,
        studies=studies,
        data_uri=data_uri,
        style=Markup((own / "page.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True)
