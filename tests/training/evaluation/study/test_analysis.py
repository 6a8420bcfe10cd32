"""Answer files: damaged and foreign ones are refused by name, the inattentive left out, the rest counted rightly."""

import json

import numpy as np
import pytest
from animatex_training.evaluation.study.analysis import Rules, analyse
from animatex_training.evaluation.study.questions import NAMES
from animatex_training.evaluation.study.tables import as_text

from tests.training.evaluation.study.raters import METHODS, answers_of, make_study, write_answers

TRUE = dict(zip(METHODS, (1.2, 0.5, 0.1, -0.2, -0.6, -1.0), strict=True))
QUICK = Rules(resamples=100)


def by_chance(seed, scores=TRUE):
    rng = np.random.default_rng(seed)
    return lambda _, left, right: rng.random() < 1 / (1 + np.exp(scores[right] - scores[left]))


def test_what_raters_think_comes_out(tmp_path):
    study = make_study(cases=10)
    raters = [f"r{number}" for number in range(20)]
    analysis = analyse(study, write_answers(tmp_path, study, raters, by_chance(1)), QUICK)
    assert analysis.raters == tuple(sorted(raters)) and not analysis.refused and not analysis.left_out
    for name in NAMES:
        standings = analysis.outcomes[name].standings
        assert sorted(standings, key=lambda one: -standings[one].score) == list(METHODS)
        for method, one in standings.items():
            low, high = one.score_interval
            assert low - 0.1 < TRUE[method] < high + 0.1 and low < one.score < high and high - low < 0.6
            assert one.comparisons == 20 * 5 * 10 and one.win_rate == one.wins / one.comparisons
        assert np.sum(analysis.outcomes[name].wins) == 20 * 15 * 10
    assert analysis.record() == analyse(study, sorted(tmp_path.iterdir()), QUICK).record()
    json.dumps(analysis.record(), allow_nan=False)


@pytest.mark.slow
def test_intervals_cover_the_truth_as_often_as_they_say(tmp_path):
    """Two methods, 12 raters, 40 studies: 95 % of the intervals, give or take, hold the truth."""
    study, scores = make_study(methods=("a", "b"), cases=8, checks=0), {"a": 0.4, "b": -0.4}
    raters, held = [f"r{number}" for number in range(12)], 0
    for seed in range(40):
        files = write_answers(tmp_path, study, raters, by_chance(seed, scores))
        low, high = analyse(study, files, QUICK).outcomes["identity"].standings["a"].score_interval
        held += low <= 0.4 <= high
    assert held >= 33


def test_a_method_that_always_wins(tmp_path):
    study = make_study(methods=("ours", "b", "c"))

    def prefers(_, left, right):
        return left == "ours" if "ours" in (left, right) else left == "b" if len(left) % 2 else False

    files = write_answers(tmp_path, study, ["anna", "ben"], prefers)
    analysis = analyse(study, files, QUICK)
    first = analysis.outcomes["quality"].standings["ours"]
    assert first.win_rate == 1 and first.win_rate_interval == (1, 1) and np.isfinite(first.score)
    assert analysis.outcomes["quality"].tiers[0] == ["ours"]
    assert "one way: {ours} >" in as_text(analysis) and "100.0%" in as_text(analysis)


def test_one_rater_has_no_intervals(tmp_path):
    study = make_study(methods=("a", "b"))
    files = write_answers(tmp_path, study, ["anna"], by_chance(0, {"a": 0, "b": 0}))
    analysis = analyse(study, files, QUICK)
    assert analysis.outcomes["identity"].standings["a"].score_interval is None
    assert "one rater: no intervals" in as_text(analysis)


def test_inattentive_raters_are_left_out_and_named(tmp_path):
    study = make_study()
    files = write_answers(tmp_path, study, ["anna", "ben"], by_chance(0))
    sleepy = tmp_path / "sleepy.json"
    sleepy.write_text(json.dumps(answers_of(study, "carl", by_chance(2), attentive=False)))
    analysis = analyse(study, [*files, sleepy], QUICK)
    assert analysis.raters == ("anna", "ben")
    assert analysis.left_out == (("carl", "0 of 9 attention questions answered as expected"),)
    assert "left out: carl: 0 of 9" in as_text(analysis)
    with pytest.raises(ValueError, match="no answers that can be used\ncarl: 0 of 9"):
        analyse(study, [sleepy], QUICK)


def _cut(one):
    one["answers"] = one["answers"][:5]


def _swapped(one):
    first = one["answers"][0]
    first["left"], first["right"] = first["right"], first["left"]


def _set(**fields):
    return lambda one: one.update(fields)


def _answer(**fields):
    return lambda one: one["answers"][3].update(fields)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (_set(kind="shopping list"), "no answers of a user study"),
        (_set(format=2), "format 2"),
        (_set(study="another"), "another study"),
        (_set(rater="../x"), "rater"),
        (_set(rater="zoe"), "not one of this study's"),
        (_set(rater="ben"), r"answers\[0\].* is not what this rater was shown"),
        (_set(answers={}), "'answers' is not a list"),
        (_swapped, r"answers\[0\]\.left"),
        (_answer(trial="0"), r"answers\[3\]\.trial"),
        (_answer(quality="both"), r"answers\[3\]\.quality: expected left or right, got 'both'"),
        (_answer(seconds=-1), r"answers\[3\]\.seconds"),
        (_cut, "unfinished: 5 of 63"),
    ],
)
def test_damaged_and_foreign_files_are_refused_by_name(tmp_path, damage, reason):
    study = make_study(raters=("anna", "ben"))
    good = write_answers(tmp_path, study, ["ben"], by_chance(0))
    found = answers_of(study, "anna", by_chance(1))
    damage(found)
    (tmp_path / "bad.json").write_text(json.dumps(found))
    analysis = analyse(study, [*good, tmp_path / "bad.json"], QUICK)
    ((file, said),) = analysis.refused
    assert file == "bad.json" and analysis.raters == ("ben",)
    with pytest.raises(ValueError, match=reason):
        raise ValueError(said)
    assert f"refused: bad.json: {said}" in as_text(analysis)


@pytest.mark.parametrize("text", ["", "[]", '{"kind": ', "\x00\x01", '{"kind": "a", "kind": "a"}'])
def test_what_is_no_json_is_refused(tmp_path, text):
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(ValueError, match=r"no answers that can be used\nbad\.json: "):
        analyse(make_study(), [tmp_path / "bad.json"], QUICK)


def test_a_second_file_of_a_rater_is_refused_and_unfinished_ones_count_when_asked(tmp_path):
    study = make_study()
    (file,) = write_answers(tmp_path, study, ["anna"], by_chance(0))
    again = tmp_path / "answers_anna_1.json"
    again.write_bytes(file.read_bytes())
    assert analyse(study, [file, again], QUICK).refused == ((again.name, "a second file of rater 'anna'"),)
    part = answers_of(study, "ben", by_chance(1))
    part["answers"] = part["answers"][:20]
    (tmp_path / "ben.json").write_text(json.dumps(part))
    taken = analyse(study, [file, tmp_path / "ben.json"], Rules(resamples=200, unfinished=True))
    assert taken.raters == ("anna", "ben")
