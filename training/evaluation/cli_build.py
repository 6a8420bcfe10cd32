"""The commands that make a set: build prompts | generate | poses | videos."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path
from typing import Any

from animatex_core.cli_output import progress_bar, say

LAYOUTS = ("auto", "folder", "manifest", "tiktok", "ubc-fashion")


def add_build(parser: argparse.ArgumentParser, common: argparse.ArgumentParser) -> None:
    """Flags of the steps of `build`."""
    steps = parser.add_subparsers(required=True, metavar="STEP")

    def step(name: str, words: str) -> argparse.ArgumentParser:
        return steps.add_parser(name, help=words, description=words, parents=[common])

    _add_prompts(step("prompts", "prompts of characters, from lists or as a language model answered"))
    _add_generate(step("generate", "pictures and clips of the prompts, through a running ComfyUI"))
    _add_poses(step("poses", "find and screen the poses of a set; the good cases are scored"))
    _add_videos(step("videos", "a set of videos that are there, with their poses where they have some"))


def _add_prompts(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", type=Path, nargs="?", help="the .json to write")
    parser.add_argument("--count", type=int, default=500, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    words = "print what to ask of a language model instead, to be handed to any: ... --ask | my-model > answers.txt"
    parser.add_argument("--ask", action="store_true", help=words)
    parser.add_argument("--answers", type=Path, help="what it wrote: a prompt a line, numbered or not, or a JSON list")
    parser.add_argument("--model", default="", help="with --answers: the model's name, for the record")
    parser.set_defaults(run=_prompts)


def _add_generate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("prompts", type=Path, help="the file of `build prompts`")
    parser.add_argument("out", type=Path, metavar="SET", help="the set to write")
    parser.add_argument("--url", default="http://127.0.0.1:8188", help="of ComfyUI; default: %(default)s")
    parser.add_argument("--image-workflow", type=Path, required=True, help="text to image, API format")
    parser.add_argument("--video-workflow", type=Path, required=True, help="image to video, API format")
    words = "of a workflow: image.prompt=6.text, video.reference=NODE.INPUT, ...; default: nodes titled so"
    parser.add_argument("--slot", dest="slots", action="append", default=[], metavar="WHICH.SLOT=NODE", help=words)
    parser.add_argument("--license", required=True, help="of what the models make, kept with every case")
    parser.add_argument("--source", required=True, help="which models made it, kept with every case")
    parser.add_argument("--fps", type=float, required=True, help="of the clips that the video workflow makes")
    parser.add_argument("--tries", type=int, default=4, help="of every prompt; default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--count", type=int, default=0, help="the first prompts only")
    parser.add_argument("--choices", type=Path, help="JSON object of prompt and chosen try, in place of the score")
    parser.add_argument("--work", type=Path, help="where all tries are kept; default: SET.tries")
    parser.add_argument("--name", default="A2Bench-like", help="of the set; default: %(default)s")
    parser.set_defaults(run=_generate)


def _add_poses(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="SET", help="the set")
    for name in ("detector", "pose-model", "mediapipe"):
        parser.add_argument(f"--{name}", type=Path, help="DWPose's files, or an interpreter with MediaPipe")
    parser.add_argument("--device", default="cpu", help="of DWPose; default: %(default)s")
    words = "replace poses that are a case's own or were changed by hand; default: they stay"
    parser.add_argument("--again", action="store_true", help=words)
    parser.add_argument("--accept", default="", help="cases that are scored whatever the rules say, now and later")
    parser.add_argument("--reject", default="", help="cases that are not")
    parser.add_argument("--by-rules", default="", help="cases accepted or rejected before that the rules judge again")
    for name, default in (("empty", 0.02), ("missing", 0.15), ("swaps", 0.05), ("outliers", 0.2), ("jitter", 0.08)):
        parser.add_argument(
            f"--{name}", type=float, default=default, help="the most there may be; default: %(default)s"
        )
    parser.add_argument("--most", type=int, default=100, help="how many cases are scored; default: %(default)s")
    parser.set_defaults(run=_poses)


def _add_videos(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("videos", type=Path, help="a folder or a manifest")
    parser.add_argument("out", type=Path, metavar="SET", help="the set to write")
    parser.add_argument("--layout", choices=LAYOUTS, default="auto", help="default: %(default)s")
    parser.add_argument("--name", required=True, help="of the set")
    parser.add_argument("--version", default="1", help="of the set; default: %(default)s")
    parser.add_argument("--licence", default="", help="of videos that do not say")
    parser.add_argument("--source", default="", help="of videos that do not say")
    parser.add_argument("--frames", type=int, default=0, help="at most so many of every clip; default: all")
    parser.add_argument("--stride", type=int, default=1, help="every which frame, of videos without poses")
    parser.set_defaults(run=_videos)


def _prompts(options: argparse.Namespace) -> None:
    from .build.prompts import draw_prompts, read_answers, request, write_prompts

    if options.ask:
        say(request(options.count))
        return
    if options.out is None:
        raise ValueError("out: the .json to write is missing")
    if options.answers:
        prompts, origin = read_answers(options.answers, options.count), {"model": options.model or "not stated"}
    else:
        prompts, origin = draw_prompts(options.count, options.seed), {"seed": options.seed}
    write_prompts(options.out, prompts, **origin)
    say(f"{options.out}: {len(prompts)} prompts, no two alike")


def _generate(options: argparse.Namespace) -> None:
    from animatex_core.pose.strict_json import read_json

    from .build.generate import Plan, generate, liveliness
    from .build.prompts import read_prompts
    from .comfy_client import ComfyUI
    from .workflow import OUTPUT, load_workflow

    prompts = read_prompts(options.prompts)
    slots = _slots(options.slots)
    choices = {name: int(k) for name, k in read_json(options.choices).items()} if options.choices else None
    plan = Plan(
        image=load_workflow(options.image_workflow, slots["image"], ("prompt", OUTPUT)),
        video=load_workflow(options.video_workflow, slots["video"], ("reference", OUTPUT)),
        score=liveliness, score_name="liveliness", license=options.license, source=options.source, fps=options.fps,
        seed=options.seed, tries=options.tries, choices=choices,
    )  # fmt: skip
    server = ComfyUI(options.url)
    server.system()
    work = options.work or options.out.with_name(f"{options.out.name}.tries")
    with progress_bar("prompts", "prompt", quiet=options.quiet) as advance:
        names = generate(prompts[: options.count or None], work, options.out, options.name, server, plan, advance)
    say(f"{options.out}: {len(names)} cases, the best of {options.tries} tries each; next: build poses")


def _slots(given: list[str]) -> dict[str, dict[str, str]]:
    """WHICH.SLOT=NODE by workflow. Raises ValueError for any other text."""
    slots: dict[str, dict[str, str]] = {"image": {}, "video": {}}
    for text in given:
        place, equals, node = text.partition("=")
        which, dot, slot = place.partition(".")
        if not (equals and dot and node) or which not in slots:
            raise ValueError(f"--slot {text!r}: expected image.SLOT=NODE or video.SLOT=NODE")
        slots[which][slot] = node
    return slots


def _poses(options: argparse.Namespace) -> None:
    from .build.screen import Rules, screen
    from .extraction import open_extraction

    rules = Rules(**{f.name: getattr(options, f.name) for f in fields(Rules)})
    files: dict[str, Any] = {"detector": options.detector, "pose_model": options.pose_model}
    files |= {"mediapipe": options.mediapipe}
    extraction = open_extraction({k: str(v) for k, v in files.items() if v} | {"device": options.device})
    said = (options.accept, options.reject, options.by_rules)
    accept, reject, by_rules = ([name for name in text.split(",") if name] for text in said)
    with progress_bar("cases", "case", quiet=options.quiet) as advance:
        judged = screen(
            options.folder, extraction, rules, accept=accept, reject=reject, by_rules=by_rules, again=options.again,
            progress=advance,
        )  # fmt: skip
    for name, record in judged.items():
        if not record["scored"]:
            say(f"{name}: not scored: {record.get('by hand') or '; '.join(record['reasons']) or 'others are better'}")
    say(f"{options.folder}: {sum(r['scored'] for r in judged.values())} of {len(judged)} cases are scored; look at "
        f"{options.folder / 'screening.png'}, and correct it with --accept and --reject")  # fmt: skip


def _videos(options: argparse.Namespace) -> None:
    from ..sources import Source, find_sources
    from .build.videos import set_from_videos
    from .cases import open_set

    common = Source(video=options.videos, licence=options.licence, source=options.source)
    sources = find_sources(options.videos, options.layout, common)
    names = set_from_videos(
        sources, options.out, options.name, version=options.version, frames=options.frames, stride=options.stride
    )
    scored = len(open_set(options.out).scored)
    say(f"{options.out}: {len(names)} cases, {scored} with poses and therefore scored")
