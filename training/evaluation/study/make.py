"""A user study from the results of a run: a page for the raters, and a key that stays with the organiser."""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from PIL import Image

from animatex_core.atomic_file import replacing
from animatex_core.cli_output import Advance
from animatex_core.pose.strict_json import write_json
from animatex_core.video import write_video

from ..records import RunFolder
from ..report.pictures import Size, frame_files, read_picture, size_of, within
from .answers import KIND, RATER
from .design import FORMAT, SPOILT, TRUTH, Study, Wish, design
from .questions import QUESTIONS

log = logging.getLogger(__name__)
PAGE, KEY, ANSWERS = "page", "key.json", "answers"
_LARGEST, _CRF = (768, 768), 17
_BLOCKS = 24  # of a spoilt clip, along its shorter side


@dataclass(frozen=True)
class StudyOptions:
    """methods, cases: of the run; empty: all. draw: so many cases at random with the seed; 0: all.

    cases_per_pair: cases of every pair of methods that one rater sees; 0: all. checks: attention checks.
    raters: their names, when they are known. fps: of the clips; None: the run's. title: over the page.
    """

    methods: tuple[str, ...] = ()
    cases: tuple[str, ...] = ()
    draw: int = 0
    cases_per_pair: int = 0
    checks: int = 3
    raters: tuple[str, ...] = ()
    seed: int = 0
    fps: float | None = None
    title: str = "Which clip is better?"


def make_study(
    run: Path, out: Path, options: StudyOptions | None = None, *, secret: str = "", progress: Advance | None = None
) -> Study:
    """Write OUT/page (for the raters; works as a file, needs no server), OUT/key.json and an empty OUT/answers.

    secret: what the names of the files are made from; a random one by default, so that nobody can compute them.
    Raises ValueError for what the run lacks, OutputError when OUT is there already.
    """
    options = options or StudyOptions()
    folder = RunFolder(run)
    wish = _wish(folder, options)
    truth = {case: bool(frame_files(folder.case(case) / "truth")) for case in wish.cases}
    study = design(wish, truth, secret or secrets.token_hex(16))
    fps = options.fps or _fps(folder)
    with replacing(out) as temporary:
        media = temporary / PAGE / "media"
        media.mkdir(parents=True)
        (temporary / ANSWERS).mkdir()
        _write_media(folder, study, media, fps, progress)
        (temporary / PAGE / "index.html").write_text(page(study, options.title), encoding="utf-8")
        write_json(temporary / KEY, study.record())
    return study


def page(study: Study, title: str) -> str:
    """The HTML of a study: its texts, style and script, and the names of its clips, but not whose they are."""
    shown = {
        "format": FORMAT,
        "kind": KIND,
        "id": study.id,
        "raters": study.raters,
        "forms": study.forms,
        "trials": {
            name: {"reference": study.references[trial.case], "clips": [trial.a, trial.b]}
            for name, trial in study.trials.items()
        },
        "questions": [question.name for question in QUESTIONS],
    }
    own = files(__name__.rpartition(".")[0])
    parts = {name: Markup((own / name).read_text(encoding="utf-8")) for name in ("page.css", "page.js")}
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string((own / "page.html.j2").read_text(encoding="utf-8")).render(
        title=title,
        questions=QUESTIONS,
        style=parts["page.css"],
        script=parts["page.js"],
        data=Markup(json.dumps(shown, separators=(",", ":")).replace("<", "\\u003c")),
    )


def _wish(folder: RunFolder, options: StudyOptions) -> Wish:
    bench = folder.bench()
    methods = _chosen("method", options.methods, bench.methods)
    cases = _chosen("case", options.cases, bench.cases)
    if len(methods) < 2:
        raise ValueError(f"{folder.root}: a study compares at least two methods, got {', '.join(methods) or 'none'}")
    if options.draw:
        if options.draw > len(cases):
            raise ValueError(f"{folder.root}: {options.draw} cases cannot be drawn from {len(cases)}")
        drawn = np.random.default_rng(options.seed).choice(len(cases), options.draw, replace=False)
        cases = tuple(cases[number] for number in sorted(drawn))
    strange = [name for name in options.raters if not RATER.fullmatch(name)]
    if strange:
        raise ValueError(f"raters {', '.join(strange)}: expected small letters, digits, '.', '_' and '-', at most 40")
    if options.checks < 0 or options.cases_per_pair < 0 or len(set(options.raters)) < len(options.raters):
        raise ValueError("checks and cases_per_pair are not negative, and no rater is named twice")
    return Wish(bench.setting, methods, cases, options.cases_per_pair, options.checks, options.raters)


def _chosen(what: str, wanted: Sequence[str], there: Sequence[str]) -> tuple[str, ...]:
    strange = [name for name in wanted if name not in there]
    if strange:
        raise ValueError(f"{what} {', '.join(strange)}: not in the run, which has {', '.join(there)}")
    return tuple(dict.fromkeys(wanted)) or tuple(there)


def _fps(folder: RunFolder) -> float:
    found = folder.bench().options.get("fps")
    if isinstance(found, bool) or not isinstance(found, int | float) or found <= 0:
        raise ValueError(f"{folder.root / 'bench.json'}: options.fps is not there; give the frames per second")
    return float(found)


def _write_media(folder: RunFolder, study: Study, media: Path, fps: float, progress: Advance | None) -> None:
    """Every clip of a case at one size and length, encoded alike, so that neither gives a method away."""
    done = 0
    for case in study.cases:
        sources = {name: _source(folder, study, name) for name, (of, _) in study.clips.items() if of == case}
        size = within(size_of(next(iter(sources.values()))[0]), _LARGEST)
        count = min(map(len, sources.values()))
        if any(len(source) > count for source in sources.values()):
            log.warning("case %s: the clips are cut to %d frames, as many as the shortest has", case, count)
        _write_reference(folder, case, media / f"{study.references[case]}.png", size)
        for name, source in sources.items():
            spoilt = study.method(name).startswith(SPOILT)
            frames = (spoil if spoilt else _as_it_is)(source[:count], size)
            write_video(media / f"{name}.mp4", frames, fps, crf=_CRF)
            done += 1
            if progress:
                progress(done, len(study.clips))


def _source(folder: RunFolder, study: Study, clip: str) -> list[Path]:
    case, method = study.clips[clip]
    if method.startswith(SPOILT):
        good = next(trial.better for trial in study.trials.values() if clip in (trial.a, trial.b))
        method = study.method(good)
    where = folder.case(case) / "truth" if method == TRUTH else folder.frames(method, case)
    found = frame_files(where)
    if not found:
        raise ValueError(f"{where}: no frames; a study needs every method's clip of every case")
    return found


def _write_reference(folder: RunFolder, case: str, path: Path, size: Size) -> None:
    source = folder.case(case) / "reference.png"
    if not source.is_file():
        raise ValueError(f"{source}: the picture of the character is missing")
    own = within(size_of(source), (max(size), max(size)))
    Image.fromarray(read_picture(source, own)).save(path, "PNG", optimize=True)


def _as_it_is(source: Sequence[Path], size: Size) -> Iterator[np.ndarray]:
    return (read_picture(path, size) for path in source)


def spoil(source: Sequence[Path], size: Size) -> Iterator[np.ndarray]:
    """Coarse blocks, colours inverted, frames out of order: worse in every question, for anybody who looks."""
    for number in np.random.default_rng(len(source)).permutation(len(source)):
        picture = read_picture(source[number], size)
        step = max(2, min(size) // _BLOCKS)
        across, down = (np.minimum(np.arange(side) // step * step + step // 2, side - 1) for side in size)
        yield 255 - picture[down[:, None], across]
