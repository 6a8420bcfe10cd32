"""A real browser for the tests of pages; skipped loudly where there is none."""

import os
import shutil
import time
from contextlib import contextmanager

from tests.comfy.real_host import skip_loudly


@contextmanager
def chromium():
    """A headless Chromium: CHROMIUM names it, else the usual names are looked for."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        skip_loudly("pages in a browser: pip install playwright")
    names = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    found = next((path for path in map(shutil.which, filter(None, names)) if path), None)
    if found is None:
        skip_loudly("pages in a browser: no Chromium was found; CHROMIUM names one")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@contextmanager
def page_of(browser, path, **options):
    """A page from a file; whatever its console says or it asks of a network is an error."""
    context = browser.new_context(**options)
    page = context.new_page()
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url) if request.url.startswith(("http", "ws")) else None)
    page.goto(path.as_uri())
    yield page
    context.close()
    assert not said and not asked, (said, asked)


def until(page, condition, seconds=10):
    """Wait for a JavaScript expression; Playwright's own waiting needs `eval`, which the report's policy forbids."""
    deadline = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < deadline, f"in vain: {condition}"
        time.sleep(0.03)
