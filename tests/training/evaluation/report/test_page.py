"""The report in a real browser: it plays in step, sorts, filters, hides, opens sheets, and says nothing in its console.

Needs playwright and a Chromium, see tests/training/evaluation/browser.py.
"""

import pytest
from animatex_training.evaluation.report import write_report

from tests.training.evaluation.browser import chromium, page_of, until
from tests.training.evaluation.run_folder import make_run

pytestmark = pytest.mark.slow
PIXELS = """(canvas) => {
    const copy = document.createElement("canvas");
    [copy.width, copy.height] = [16, 24];
    const pen = copy.getContext("2d");
    pen.drawImage(canvas, 0, 0, 16, 24);
    return [...pen.getImageData(0, 0, 16, 24).data];
}"""


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    base = tmp_path_factory.mktemp("report")
    methods = ("fine", "noisy", "other")
    runs = [make_run(base / name, methods=methods, cases=3, setting=name).root for name in ("self", "cross")]
    write_report(runs, base / "report.html")
    return base / "report.html"


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(params=["light", "dark", "phone"])
def page(request, browser, report):
    small = {"viewport": {"width": 390, "height": 800}}
    options = small if request.param == "phone" else {"color_scheme": request.param}
    with page_of(browser, report, **options) as opened:
        assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth")
        yield opened


def names(page):
    return page.locator("#run-1 .case").evaluate_all(
        "(all) => all.filter((one) => !one.hidden).map((one) => one.dataset.name)"
    )


def test_the_wall_plays_stops_and_steps(page):
    first = page.locator("#run-1 .case").first
    first.scroll_into_view_if_needed()
    until(page, "document.querySelector('#run-1 .case video').currentTime > 0.3")
    first.locator(".toggle").click()
    until(page, "document.querySelector('#run-1 .case video').paused")
    first.locator("input[type=range]").fill("4")
    until(page, "document.querySelector('#run-1 .transport output').textContent === 'frame 4'")
    before = first.locator("canvas").nth(2).evaluate(PIXELS)
    assert len(set(before)) > 10, "the true clip is drawn"
    first.locator(".step").nth(1).click()
    until(page, "document.querySelector('#run-1 .transport output').textContent === 'frame 5'")
    assert first.locator("canvas").nth(2).evaluate(PIXELS) != before
    first.locator(".step").first.click()
    until(page, "document.querySelector('#run-1 .transport output').textContent === 'frame 4'")
    assert first.locator("canvas").nth(2).evaluate(PIXELS) == before
    # the frame that is shown is the one that was asked for, and all tiles show it
    truth, fine = (first.locator("canvas").nth(number).evaluate(PIXELS) for number in (2, 3))
    assert sum(abs(a - b) for a, b in zip(truth, fine, strict=True)) / len(truth) < 6


def test_all_can_be_stopped_at_once(page):
    page.locator("#run-1 .case").first.scroll_into_view_if_needed()
    page.locator("#run-1 [name=play]").click()
    until(page, "[...document.querySelectorAll('#run-1 video')].every((one) => one.paused)")
    assert page.locator("#run-1 [name=play]").inner_text() == "Play all"


def test_cases_are_ordered_and_found(page):
    worst = names(page)
    page.select_option("#run-1 [name=direction]", "best")
    assert names(page) == worst[::-1]
    page.select_option("#run-1 [name=direction]", "worst")
    page.select_option("#run-1 [name=metric]", "mae")
    page.select_option("#run-1 [name=method]", "other")
    shown = page.locator("#run-1 .case .score").all_inner_texts()
    values = [float(text.split(": ")[1]) for text in shown]
    assert values == sorted(values, reverse=True) and all("MAE" in text and "of other" in text for text in shown)
    page.fill("#run-1 [name=find]", "_01")
    assert names(page) == ["case_01"] and page.locator("#run-1 output[name=shown]").inner_text() == "1 of 3 cases"


def test_tables_sort_by_their_headings(page):
    table = page.locator("#run-1 table.sortable").first
    heads = table.locator("thead button")
    heads.nth(1).click()
    assert table.locator("tbody th").all_inner_texts() == ["fine", "noisy", "other"]
    heads.nth(1).press("Enter")
    assert table.locator("tbody th").all_inner_texts() == ["other", "noisy", "fine"]
    assert table.locator("thead th").nth(1).get_attribute("aria-sort") == "ascending"
    heads.nth(2).click()
    assert table.locator("tbody th").all_inner_texts() == ["fine", "noisy", "other"]
    assert table.locator("td.best").all_inner_texts() == table.locator("tbody tr").first.locator("td").all_inner_texts()


def test_methods_are_hidden_everywhere_in_their_run(page):
    page.locator("#run-1 .methods input[value=noisy]").uncheck()
    assert page.locator("#run-1 [data-method=noisy]:not([hidden])").count() == 0
    assert page.locator("#run-2 [data-method=noisy]:not([hidden])").count() > 10
    page.locator("#run-1 .methods input[value=noisy]").check()
    assert page.locator("#run-1 [data-method=noisy][hidden]").count() == 0


def test_a_sheet_opens_by_keyboard(page):
    first = page.locator("#run-1 .case").first
    summary = first.locator("summary")
    summary.focus()
    page.keyboard.press("Enter")
    assert first.locator("table").is_visible() and first.locator("svg.plot").count() == 2
    images = first.locator(".strips img")
    images.last.scroll_into_view_if_needed()
    until(page, "[...document.querySelectorAll('#run-1 .case')][0].querySelector('.strips img').naturalWidth > 0")
    assert images.count() == 6 and first.locator("polyline").count() == 2 * 3 + 3


def test_no_motion_for_those_who_asked_for_none(browser, report):
    with page_of(browser, report, reduced_motion="reduce") as page:
        page.locator("#run-1 .case").first.scroll_into_view_if_needed()
        page.wait_for_timeout(400)
        assert page.evaluate("[...document.querySelectorAll('video')].every((one) => one.paused)")


def test_without_scripts_the_numbers_and_videos_are_there(browser, report):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    assert page.locator("#run-1 .case video").first.is_visible() and page.locator("#run-1 table").first.is_visible()
    assert not page.locator("#run-1 .tiles").first.is_visible()
    context.close()
