"""The three questions of the paper's user study (section 4.2, appendix C), in our words."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Question:
    """name: in the answers. title and words: what raters read."""

    name: str
    title: str
    words: str


QUESTIONS = (
    Question(
        "identity",
        "Identity",
        "Look at the picture of the character, then at the two clips. In which clip is the character more like the one "
        "in the picture: the same face, colours, clothes and shape, nothing added and nothing lost?",
    ),
    Question(
        "temporal",
        "Temporal consistency",
        "Watch how the character moves. In which clip do the movements follow one another more coherently, without "
        "jumps, trembling or parts that change from one moment to the next?",
    ),
    Question(
        "quality",
        "Visual quality",
        "Now take everything together: what is seen (flashes, distortions, ghosts), how it moves (smoothly, as a body "
        "could) and whether it is plausible. Which clip is better on the whole? This is your own judgement.",
    ),
)
NAMES = tuple(question.name for question in QUESTIONS)
