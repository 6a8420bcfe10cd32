"""All pairs are asked about, evenly, and nothing in the page says whose a clip is."""

import json
from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from animatex_training.evaluation.study.design import read_key
from animatex_training.evaluation.study.draws import Draws, screens, sides
from animatex_training.evaluation.study.make import page
from animatex_training.evaluation.study.questions import QUESTIONS

from animatex_core.pose.strict_json import write_json
from tests.training.evaluation.study.raters import METHODS, make_study


def pairs_of(study, form):
    trials = [study.trials[name] for name in form if not study.trials[name].better]
    return Counter((study.method(trial.a), study.method(trial.b), trial.case) for trial in trials)


def test_every_rater_sees_all_pairs_of_all_cases_once():
    study = make_study()
    (form,) = study.forms
    asked = pairs_of(study, form)
    assert set(asked.values()) == {1} and len(asked) == 15 * 4
    assert {pair[:2] for pair in asked} == set(combinations(METHODS, 2))
    assert sum(bool(study.trials[name].better) for name in form) == 3


@pytest.mark.parametrize("each", [1, 3])
def test_shared_cases_are_shared_evenly(each):
    study = make_study(cases=5, cases_per_pair=each)
    forms = [pairs_of(study, form) for form in study.forms]
    assert all(len({pair[:2] for pair in form}) == 15 and form.total() == 15 * each for form in forms)
    total = sum(forms, Counter())
    assert len(total) == 15 * 5 and set(total.values()) == {each}
    raters = tuple(f"r{number}" for number in range(10))
    known = make_study(cases=5, cases_per_pair=each, raters=raters)
    seen = Counter(screen.trial for rater in raters for screen in screens(known.id, rater, raters, known.forms))
    assert set(count for name, count in seen.items() if not known.trials[name].better) == {2 * each}


def test_order_and_sides_are_fixed_by_the_rater_and_even():
    study = make_study()
    anna, ben = (screens(study.id, rater, (), study.forms) for rater in ("anna", "ben"))
    assert anna == screens(study.id, "anna", (), study.forms) and anna != ben
    assert sorted(s.trial for s in anna) == sorted(s.trial for s in ben) == sorted(study.forms[0])
    many = [screen.flipped for rater in range(100) for screen in screens(study.id, f"r{rater}", (), study.forms)]
    assert abs(np.mean(many) - 0.5) < 4 * 0.5 / len(many) ** 0.5
    one = anna[0]
    assert set(sides(one, study.pairs())) == set(study.pairs()[one.trial])


def test_draws_are_even():
    draws = Draws("text")
    counts = Counter(draws.below(6) for _ in range(6000))
    assert set(counts) == set(range(6)) and max(abs(count - 1000) for count in counts.values()) < 5 * 29
    assert sorted(draws.shuffled("abcdef")) == list("abcdef")


def test_the_page_says_nothing_of_methods_and_cases():
    study = make_study(methods=("animate_x", "rival_one", "rival_two"))
    text = page(study, "<Which> & why?")
    assert not [word for word in (*study.methods, *study.cases, "secret", "truth", "spoilt") if word in text]
    told = json.loads(text.split('id="study">')[1].split("</script>")[0])
    assert set(told) == {"format", "kind", "id", "raters", "forms", "trials", "questions"}
    assert {field for trial in told["trials"].values() for field in trial} == {"reference", "clips"}
    assert list(told["trials"]) == sorted(told["trials"]) and list(told["forms"][0]) == sorted(told["forms"][0])
    assert "&lt;Which&gt; &amp; why?" in text and study.id in text
    assert all(question.title in text for question in QUESTIONS)
    assert "http" not in text


def test_names_need_the_secret():
    from animatex_training.evaluation.study.design import design

    from tests.training.evaluation.study.raters import Wish

    wish = Wish("self", ("a", "b"), ("x",))
    one, other = (design(wish, {"x": False}, secret) for secret in ("1", "2"))
    assert not set(one.clips) & set(other.clips) and one == design(wish, {"x": False}, "1")


def test_the_key_comes_back_and_another_file_is_named(tmp_path):
    study = make_study(cases_per_pair=2, raters=("anna", "ben"))
    write_json(tmp_path / "key.json", study.record())
    assert read_key(tmp_path / "key.json") == study
    for text in ("{}", "[]", "nothing", '{"kind": "animate-x user study key", "format": 1, "id": "x"}'):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(ValueError, match=r"bad\.json"):
            read_key(tmp_path / "bad.json")
