"""Prompts of anthropomorphic characters, as the paper made its 500 (appendix B.2 and figure 10).

The paper gave a language model a template: characters that are cute, with arms and legs, standing, dancing, of high
quality; object, season, province and place left open; classes of objects to choose from; and two worked examples.
Neither its wording nor its examples are in our copy, so these are ours. The blanks are filled from lists with a seed,
or by any language model: `request` is what to hand to it, `read_answers` takes what it wrote.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from animatex_core.pose.strict_json import read_json, write_json

from ..records import checked_name
from .words import OBJECTS, PLACES, SEASONS

FORMAT = 1
COUNT = 500
TEMPLATE = (
    "A cute anthropomorphic {object} with a friendly face, two arms and two legs, standing upright and dancing, full "
    "body in view, at {place} in {province} in {season}; plain composition, one character, high quality, sharp detail"
)
EXAMPLES = (
    {"object": "banana", "season": "summer", "province": "Hainan", "place": "a palm beach"},
    {"object": "panda", "season": "winter", "province": "Sichuan", "place": "a bamboo forest"},
)
_LEAST, _MOST = 20, 1000  # letters of a prompt


@dataclass(frozen=True)
class Prompt:
    """name: of the case. kind: class of the object. What a language model wrote has no fields but name and text."""

    name: str
    text: str
    kind: str = ""
    object: str = ""
    season: str = ""
    province: str = ""
    place: str = ""


def draw_prompts(count: int = COUNT, seed: int = 0) -> list[Prompt]:
    """So many different prompts; classes take turns, and no object comes again before all of its class have been.

    Raises ValueError for more than the lists can give.
    """
    if not 1 <= count <= most_prompts():
        raise ValueError(f"count: expected 1 to {most_prompts()}, which is all that the lists can give, got {count}")
    rng = np.random.default_rng(seed)
    places = [(province, place) for province, found in PLACES.items() for place in found]
    decks: dict[str, list[str]] = {kind: [] for kind in OBJECTS}
    used, prompts = set[tuple[str, ...]](), []
    while len(prompts) < count:
        kind = tuple(OBJECTS)[len(prompts) % len(OBJECTS)]
        if not decks[kind]:
            decks[kind] = [OBJECTS[kind][i] for i in rng.permutation(len(OBJECTS[kind]))]
        thing = decks[kind].pop()
        season = SEASONS[int(rng.random() * len(SEASONS))]
        province, place = places[int(rng.random() * len(places))]
        if (thing, season, province, place) in used:
            continue
        used.add((thing, season, province, place))
        text = TEMPLATE.format(object=thing, season=season, province=province, place=place)
        prompts.append(Prompt(_name(len(prompts), thing), text, kind, thing, season, province, place))
    return prompts


def most_prompts() -> int:
    """How many are drawn at most: half of what the smallest class allows, so that drawing ends soon."""
    places = sum(map(len, PLACES.values()))
    return min(map(len, OBJECTS.values())) * len(SEASONS) * places * len(OBJECTS) // 2


def request(count: int = COUNT) -> str:
    """What to ask of a language model: the template, what its blanks may hold, two worked examples."""
    kinds = ", ".join(f"{kind} (such as {', '.join(things[:3])})" for kind, things in OBJECTS.items())
    worked = "\n".join(f"{i}. {TEMPLATE.format(**example)}" for i, example in enumerate(EXAMPLES, 1))
    return (
        f"Write {count} prompts for a text-to-image model, numbered, one a line, no two alike, and nothing else.\n"
        "Each describes one anthropomorphic character that is cute, has arms and legs, stands, dances, and is of high "
        f"quality. Fill in the blanks of this template freely, keeping those demands:\n\n{TEMPLATE}\n\n"
        f"object: one of these classes, spread evenly: {kinds}, and others of the kind\n"
        f"season: {', '.join(SEASONS)}\nprovince: any province of China\nplace: a specific place that fits it\n\n"
        f"Two examples:\n{worked}\n"
    )


def read_answers(path: Path, count: int = COUNT) -> list[Prompt]:
    """The prompts that a language model wrote: a JSON list of texts, or one a line, numbered or not.

    Raises ValueError when there are fewer different ones than `count`, saying what was wrong with the others.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    kept, seen, double, odd = [], set[str](), 0, 0
    for line in _lines(path, text):
        plain = " ".join(re.findall(r"\w+", line.lower()))
        if not _LEAST <= len(line) <= _MOST:
            odd += 1
        elif plain in seen:
            double += 1
        else:
            seen.add(plain)
            kept.append(line)
    if len(kept) < count:
        raise ValueError(
            f"{path}: {len(kept)} usable prompts, expected {count}; {double} repeat another, {odd} are shorter than "
            f"{_LEAST} or longer than {_MOST} letters"
        )
    return [Prompt(_name(i, ""), line) for i, line in enumerate(kept[:count])]


def write_prompts(path: Path, prompts: Sequence[Prompt], **origin: Any) -> None:
    """Write a list of prompts; origin: where they are from (seed, name of a model)."""
    fields = {"format": FORMAT, "origin": origin, "template": TEMPLATE}
    write_json(path, fields | {"prompts": [{k: v for k, v in asdict(p).items() if v} for p in prompts]})


def read_prompts(path: Path) -> list[Prompt]:
    """The list that `write_prompts` wrote, perhaps edited. Raises ValueError naming file and entry."""
    try:
        entries = read_json(path)["prompts"]
        prompts = [Prompt(**entry) for entry in entries]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path}: expected the prompts of `build prompts`: {error}") from None
    for number, prompt in enumerate(prompts):
        if not isinstance(prompt.text, str) or not prompt.text.strip():
            raise ValueError(f"{path}: prompts[{number}].text: expected some text, found {prompt.text!r:.60}")
        checked_name(prompt.name)
    if len({prompt.name for prompt in prompts}) < len(prompts):
        raise ValueError(f"{path}: two prompts have the same name")
    return prompts


def _lines(path: Path, text: str) -> list[str]:
    if text.lstrip().startswith("["):
        try:
            found = json.loads(text)
        except ValueError as error:
            raise ValueError(f"{path}: not JSON: {error}") from None
        if not all(isinstance(line, str) for line in found):
            raise ValueError(f"{path}: expected a list of texts")
        return [line.strip() for line in found if line.strip()]
    bare = (re.sub(r"^\s*(?:\d+\s*[.):]|[-*])\s*", "", line).strip().strip('"') for line in text.splitlines())
    return [line for line in bare if line]


def _name(number: int, thing: str) -> str:
    return f"{number:04d}" + (f"_{thing.replace(' ', '_')}" if thing else "")
