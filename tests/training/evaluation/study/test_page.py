"""Whole studies in a real browser: with the mouse and with the keyboard, closed and taken up again, saved, analysed.

Needs playwright and a Chromium, see tests/training/evaluation/browser.py.
"""

import json
import random
import re

import pytest
from animatex_training.evaluation.study import Rules, StudyOptions, analyse, make_study, read_key
from animatex_training.evaluation.study.answers import read_answers
from animatex_training.evaluation.study.questions import NAMES
from PIL import Image

from animatex_core.atomic_file import OutputError
from animatex_core.video import open_video, read_frames
from tests.training.evaluation.browser import chromium, page_of, until
from tests.training.evaluation.run_folder import make_run

METHODS = ("fine", "noisy", "blocks")  # as good as this rater finds them
OPTIONS = StudyOptions(methods=METHODS, checks=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    base = tmp_path_factory.mktemp("study")
    make_run(base / "run", cases=2, frames=8)
    make_study(base / "run", base / "study", OPTIONS, secret="of the tests")
    return base / "study"


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


def test_the_folder_for_raters_holds_clips_alike_and_no_names(folder):
    study = read_key(folder / "key.json")
    media = {path.name for path in (folder / "page" / "media").iterdir()}
    assert media == {f"{name}.mp4" for name in study.clips} | {f"{name}.png" for name in study.references.values()}
    shapes = {(info.width, info.height, info.fps) for info in map(open_video, sorted(folder.rglob("*.mp4")))}
    lengths = {len(list(read_frames(path))) for path in folder.rglob("*.mp4")}
    assert len(shapes) == len(lengths) == 1 and lengths == {8}
    for path in (folder / "page").rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert not [word for word in (*METHODS, "case_0", "spoilt", "(truth)") if word.encode() in data], path
    assert not list((folder / "answers").iterdir())


def test_a_study_is_never_overwritten_and_lacks_nothing(folder):
    run = folder.parent / "run"
    with pytest.raises(OutputError, match="not empty"):
        make_study(run, folder, OPTIONS)
    for options, message in (
        (StudyOptions(methods=("fine", "none")), "method none: not in the run"),
        (StudyOptions(methods=("fine",)), "at least two methods"),
        (StudyOptions(draw=5), "5 cases cannot be drawn from 2"),
        (StudyOptions(raters=("Anna B",)), "raters Anna B"),
    ):
        with pytest.raises(ValueError, match=message):
            make_study(run, folder.parent / "new", options)
    assert not (folder.parent / "new").exists()


def begin(page, rater):
    page.fill("#rater", rater)
    page.press("#rater", "Enter")
    page.wait_for_selector("#trial:not([hidden])")


def shown(page):
    """Ids of the clips (left, right) on the screen."""
    return [
        re.search(r"media/(\w+)\.mp4", page.get_attribute(f"#{side}", "src")).group(1) for side in ("left", "right")
    ]


def best(study, clips):
    """Which side somebody takes who sees well."""
    methods = [study.method(clip) for clip in clips]
    rank = [-2 if m.startswith("(spoilt)") else 9 if m == "(truth)" else -METHODS.index(m) / 9 for m in methods]
    return ("left", "right")[rank[1] > rank[0]]


def download(page, button):
    with page.expect_download() as got:
        page.click(button)
    return json.loads(got.value.path().read_text()), got.value.suggested_filename


@pytest.mark.slow
def test_with_the_keyboard_and_taken_up_again(browser, folder, tmp_path):
    study = read_key(folder / "key.json")
    count = len(study.forms[0])
    context = browser.new_context(accept_downloads=True)
    page = context.new_page()
    page.goto((folder / "page" / "index.html").as_uri())
    begin(page, "Anna")
    until(page, "left.currentTime > 0.1 && right.currentTime > 0.1 && !left.paused")
    assert page.evaluate("Math.abs(left.currentTime - right.currentTime)") < 0.1
    page.keyboard.press(" ")
    assert page.evaluate("left.paused && right.paused")
    page.keyboard.press("Enter")  # nothing is answered: it stays
    assert page.inner_text("#count") == f"Pair 1 of {count}" and page.is_disabled("#next")
    for _ in range(3):
        clips = shown(page)
        for _ in NAMES:
            page.keyboard.press("ArrowLeft" if best(study, clips) == "left" else "ArrowRight")
        page.keyboard.press("Enter")
    page.keyboard.press("Backspace")
    assert page.inner_text("#count") == f"Pair 3 of {count}" and page.locator("#questions input:checked").count() == 3
    part, _ = download(page, "#save-early")
    assert len(part["answers"]) == 3
    page.close()

    page = context.new_page()
    page.goto((folder / "page" / "index.html").as_uri())
    assert page.input_value("#rater") == "anna"
    page.press("#rater", "Enter")
    assert page.inner_text("#count") == f"Pair 4 of {count}" and page.get_attribute("#bar", "value") == "3"
    for _ in range(3, count):
        clips = shown(page)
        for _ in NAMES:
            page.keyboard.press("ArrowLeft" if best(study, clips) == "left" else "ArrowRight")
        page.keyboard.press("Enter")
    found, name = download(page, "#save")
    context.close()
    (tmp_path / name).write_text(json.dumps(found))
    assert name == "answers_anna.json" and found["answers"][:2] == part["answers"][:2]
    standings = analyse(study, [tmp_path / name], Rules(resamples=100)).outcomes["identity"].standings
    assert [standings[method].win_rate for method in METHODS] == [1, 0.5, 0]


@pytest.mark.slow
def test_with_the_mouse_and_by_a_phone_the_draws_are_those_of_python(browser, folder, tmp_path):
    """`read_answers` refuses clips, sides or an order other than Python draws."""
    study, dice = read_key(folder / "key.json"), random.Random(0)
    phone = {"viewport": {"width": 390, "height": 780}, "has_touch": True, "color_scheme": "dark"}
    for rater in ("ben", "c.4_d-e"):
        with page_of(browser, folder / "page" / "index.html", **phone) as page:
            begin(page, rater)
            assert page.evaluate("document.documentElement.scrollWidth") == 390
            while page.is_visible("#trial"):
                for name in NAMES:
                    page.locator(f"fieldset[data-question={name}] label").nth(dice.randrange(2)).tap()
                page.click("#next")
            found, name = download(page, "#save")
        (tmp_path / name).write_text(json.dumps(found))
        answers = read_answers(tmp_path / name, study)
        assert answers.rater == rater and len(answers.choices) == answers.screens == len(study.forms[0])
        assert all(choice.seconds >= 0 for choice in answers.choices)


@pytest.mark.slow
def test_known_raters_share_the_cases_and_strangers_are_refused(browser, folder, tmp_path):
    options = StudyOptions(methods=METHODS, checks=1, cases_per_pair=1, raters=("anna", "ben"))
    study = make_study(folder.parent / "run", tmp_path / "study", options)
    seen = []
    with page_of(browser, tmp_path / "study" / "page" / "index.html") as page:
        page.fill("#rater", "zoe")
        page.press("#rater", "Enter")
        assert page.is_visible("#welcome") and "zoe" in page.inner_text("#notice")
        page.fill("#rater", "no name!")
        page.press("#rater", "Enter")
        assert page.is_visible("#welcome") and "small letters" in page.inner_text("#notice")
    for rater in options.raters:
        with page_of(browser, tmp_path / "study" / "page" / "index.html") as page:
            begin(page, rater)
            while page.is_visible("#trial"):
                for _ in NAMES:
                    page.keyboard.press("ArrowLeft")
                page.keyboard.press("Enter")
            found, name = download(page, "#save")
        (tmp_path / name).write_text(json.dumps(found))
        choices = read_answers(tmp_path / name, study).choices
        assert len(choices) == 3 + 1
        seen += [choice.trial for choice in choices if not study.trials[choice.trial].better]
    assert sorted(seen) == sorted(name for name, trial in study.trials.items() if not trial.better)


@pytest.mark.slow
def test_a_lost_clip_is_said(browser, folder, tmp_path):
    page_file = tmp_path / "index.html"
    page_file.write_bytes((folder / "page" / "index.html").read_bytes())
    context = browser.new_context()
    page = context.new_page()
    page.goto(page_file.as_uri())
    begin(page, "anna")
    page.wait_for_selector("#notice:not([hidden])")
    assert "whole folder" in page.inner_text("#notice")
    context.close()


def test_the_picture_of_the_character_is_the_reference(folder):
    study = read_key(folder / "key.json")
    for case, name in study.references.items():
        own = Image.open(folder / "page" / "media" / f"{name}.png")
        assert own.tobytes() == Image.open(folder.parent / "run" / "cases" / case / "reference.png").tobytes()
