"""Who there is: humans drawn from a seed, for training; the held-out characters and motions of the mini benchmark."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass, replace

import numpy as np

from animatex_core.pose.pool import TABLE, Augmentation
from animatex_core.pose.rescale import Rescale

from .body import PHENOTYPES, AnnyModel, Human
from .costumes import Dressed, draw_costume
from .figures import EARS, OBJECTS, Build, Figure
from .mascots import draw_mascot_costume
from .puppet import Puppet

Colour = tuple[float, float, float]
TRAINING_MOTIONS = ("01_01", "01_03", "backflip", "cartwheel", "dance_a", "run", "spin", "walk")
LENDING_MOTIONS = ("crawl", "getup_facedown", "getup_faceup", "roll")  # not upright: their limbs alone are of use
_SKINS = ((0.97, 0.84, 0.74), (0.89, 0.70, 0.57), (0.76, 0.56, 0.42), (0.58, 0.40, 0.28), (0.40, 0.27, 0.19))
_HAIR = ((0.09, 0.07, 0.06), (0.28, 0.17, 0.10), (0.55, 0.36, 0.17), (0.86, 0.70, 0.36),
         (0.62, 0.22, 0.10), (0.75, 0.75, 0.77))  # fmt: skip
# The ranges are those of the EPI's random rescaling. The chances are higher: there a clip meets another body in every
# sample, here it is rendered once.
_RESCALING = Augmentation(table=tuple(replace(line, chance=0.7) for line in TABLE))
_UNIFORM = ("body", "shoulders", "face")
_APART = 0.45  # least distance of the background's colour from clothes and skin


@dataclass(frozen=True)
class Looks:
    """Colours of a character by part, and of what is behind it."""

    clothes: dict[str, Colour]
    background: Colour


def draw_looks(rng: np.random.Generator, *, human: bool = True) -> Looks:
    """Clothes of a few flat colours: long or short sleeves and trousers, bare hands or gloves."""
    skin = _SKINS[int(rng.integers(len(_SKINS)))] if human or rng.random() < 0.5 else _colour(rng)
    hair = _HAIR[int(rng.integers(len(_HAIR)))] if human or rng.random() < 0.5 else _colour(rng)
    shirt, trousers, shoes = _colour(rng), _colour(rng), _colour(rng, most=0.6)
    long_sleeves, shorts = rng.random() < 0.5, rng.random() < 0.3
    gloves = not human and rng.random() < 0.6
    clothes = {
        "skin": skin, "hair": hair, "shirt": shirt, "trousers": trousers, "shoes": shoes, "eyes": (0.06, 0.06, 0.08),
        "sleeves": shirt if human or rng.random() < 0.7 else skin, "forearms": shirt if long_sleeves else skin,
        "hands": (0.96, 0.96, 0.94) if gloves else skin, "shins": skin if shorts else trousers,
    }  # fmt: skip
    return Looks(clothes, _background(rng, clothes))


def redressed(looks: Looks, rng: np.random.Generator) -> Looks:
    """The same person before the same background, whose shirt, trousers and shoes have other colours, far from both."""
    worn = [looks.clothes[part] for part in ("shirt", "trousers", "shoes")]
    others: dict[Colour, Colour] = {}
    for colour in worn:
        gaps = {c: float(np.linalg.norm(np.array([colour, looks.background]) - c, axis=1).min()) for c in _colours(rng)}
        others[colour] = max(gaps, key=lambda c: gaps[c])
    return Looks({part: others.get(colour, colour) for part, colour in looks.clothes.items()}, looks.background)


def draw_shape(rng: np.random.Generator) -> dict[str, float]:
    """A human's phenotype: children and adults, from thin to heavy."""
    shape = {name: float(rng.uniform(0.05, 0.95)) for name in PHENOTYPES}
    return shape | {"age": float(rng.uniform(0.2, 0.8)), "weight": float(rng.uniform(0.1, 1.0))}


def draw_human(model: AnnyModel, rng: np.random.Generator) -> tuple[Puppet, Looks]:
    """A random human."""
    looks = draw_looks(rng)
    return Human(model, draw_shape(rng), looks.clothes), looks


def draw_rescaled(model: AnnyModel, rng: np.random.Generator) -> tuple[Puppet, Looks]:
    """A random human of `draw_lengths`; half of them have a figure's looks."""
    looks = draw_looks(rng, human=rng.random() < 0.5)
    return Human(model, draw_shape(rng), looks.clothes, draw_lengths(rng)), looks


def dressed(who: Puppet, looks: Looks, rng: np.random.Generator) -> Puppet:
    """A human in a random costume, whose colours are those of the clothes or far enough from the background."""
    if not isinstance(who, Human):
        raise ValueError(f"only a human can be dressed up, got {type(who).__name__}")
    return Dressed(who, draw_costume(who, _fabrics(looks, rng), rng))


def draw_mascot(model: AnnyModel, rng: np.random.Generator) -> tuple[Puppet, Looks]:
    """A random human of `draw_lengths` as a mascot; half have thinner limbs, over a quarter lacks parts of arms."""
    looks, lengths = draw_looks(rng, human=rng.random() < 0.5), draw_lengths(rng)
    girth = 0.5 ** rng.random() if rng.random() < 0.5 else 1.0
    if rng.random() < 0.25:
        lengths = replace(lengths, drop=("arms",))
    who = Human(model, draw_shape(rng), looks.clothes, lengths, girth)
    return Dressed(who, draw_mascot_costume(who, _fabrics(looks, rng), rng)), looks


def _fabrics(looks: Looks, rng: np.random.Generator) -> tuple[Colour, ...]:
    """Colours to dress up in: some that are far enough from the background, and some of the clothes."""
    drawn = [c for c in _colours(rng) if np.linalg.norm(np.subtract(c, looks.background)) > _APART][:4]
    return (*drawn, *(looks.clothes[part] for part in ("skin", "hair", "shirt", "trousers")))


def draw_lengths(rng: np.random.Generator) -> Rescale:
    """Factors on a human's lengths, in the ranges of the EPI's random rescaling (TABLE), and a part to leave out.

    Neck and limbs are log-uniform as there. Trunk and head are uniform, which makes large ones more frequent.
    """
    drawn = replace(_RESCALING.sample(rng), add=())
    uniform: dict[str, float] = {}
    for line in TABLE:
        factor = float(getattr(drawn, line.operation))
        if line.operation in _UNIFORM and factor != 1:
            where = np.log(factor / line.low) / np.log(line.high / line.low)
            uniform[line.operation] = float(line.low + (line.high - line.low) * where)
    return replace(drawn, **uniform)


def draw_figure(rng: np.random.Generator) -> tuple[Puppet, Looks]:
    """A random character of our own."""
    looks = draw_looks(rng, human=False)
    arms = 0.0 if rng.random() < 0.2 else rng.uniform(0.12, 0.36)
    legs, solid = rng.uniform(0.12, 0.5), bool(rng.random() < 0.3)
    build = Build(
        thigh=legs,
        shin=legs,
        foot=rng.uniform(0.14, 0.26),
        hip=rng.uniform(0.08, 0.16),
        trunk=rng.uniform(0.3, 0.65),
        shoulder=rng.uniform(0.2, 0.38) if solid else rng.uniform(0.14, 0.26),
        arm=arms,
        fore=arms,
        neck=rng.uniform(0.04, 0.14),
        head=rng.uniform(0.12, 0.42),
        thick=rng.uniform(0.03, 0.05) if solid else rng.uniform(0.05, 0.1),
        ears=str(rng.choice(EARS)),
        shape=str(rng.choice(OBJECTS)) if solid else "",
    )
    return Figure(build, looks.clothes), looks


def _colour(rng: np.random.Generator, most: float = 0.95) -> Colour:
    return colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.05, 0.95), rng.uniform(0.12, most))


def _colours(rng: np.random.Generator) -> list[Colour]:
    return [_colour(rng) for _ in range(32)]


def _background(rng: np.random.Generator, clothes: dict[str, Colour]) -> Colour:
    """A calm colour that is none of the character's; the best of many where none is far enough from all."""
    worn = np.array([clothes[part] for part in ("skin", "shirt", "trousers", "hair")])
    drawn = [colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.0, 0.5), rng.uniform(0.25, 0.98)) for _ in range(32)]
    gaps = [float(np.linalg.norm(worn - colour, axis=1).min()) for colour in drawn]
    return next((c for c, gap in zip(drawn, gaps, strict=True) if gap > _APART), drawn[int(np.argmax(gaps))])
