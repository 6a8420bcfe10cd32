"""Raters who answer as they are told, without a page."""

import json

from animatex_training.evaluation.study.answers import KIND
from animatex_training.evaluation.study.design import Wish, design
from animatex_training.evaluation.study.draws import screens, sides
from animatex_training.evaluation.study.questions import NAMES

METHODS = ("ours", "b", "c", "d", "e", "f")


def make_study(methods=METHODS, cases=4, checks=3, **more):
    names = tuple(f"case{number}" for number in range(cases))
    wish = Wish("self", tuple(methods), names, checks=checks, **more)
    return design(wish, dict.fromkeys(names, True), "secret of the tests")


def answers_of(study, rater, prefers, attentive=True):
    """The document of a rater. prefers(question, method of the left clip, of the right): whether the left is taken."""
    found = []
    for screen in screens(study.id, rater, study.raters, study.forms):
        left, right = sides(screen, study.pairs())
        better = study.trials[screen.trial].better
        one = {"trial": screen.trial, "left": left, "right": right, "seconds": 7.5}
        for name in NAMES:
            takes = (left == better) == attentive if better else prefers(name, study.method(left), study.method(right))
            one[name] = "left" if takes else "right"
        found.append(one)
    return {"format": 1, "kind": KIND, "study": study.id, "rater": rater, "answers": found}


def write_answers(folder, study, raters, prefers):
    """A file per rater; returns the files."""
    folder.mkdir(exist_ok=True)
    files = [folder / f"answers_{rater}.json" for rater in raters]
    for file, rater in zip(files, raters, strict=True):
        file.write_text(json.dumps(answers_of(study, rater, prefers)))
    return files
