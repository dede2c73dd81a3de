"""What is true of every page, whatever it shows: a module of tests gives its pages, and gets these checks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import BrowserContext, Page

from web.stage import Lab

_REFUSED = "the server responded with a status of 4"
AXE = Path(__file__).parent.parent / "data" / "axe" / "axe.min.js"


def problems(page: Page) -> list[str]:
    """What axe-core finds wrong with a page."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text())  # not by a script element: the policy forbids that
    found = page.evaluate(
        "axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']})"
        ".then(r => r.violations.map(v => v.id + ': '"
        " + v.nodes.map(n => n.target + ' ' + n.failureSummary).join('; ')))"
    )
    return list(found)


@contextmanager
def uncomplaining(context: BrowserContext) -> Iterator[Page]:
    """A page; whatever the browser complains of fails the test, but for forms that the server refuses."""
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    yield page
    page.close()
    assert [each for each in complaints if _REFUSED not in each] == []


def check_page(page: Page, lab: Lab, path: str) -> None:
    """It is accessible on a desk in the light and on a tablet in the dark, no wider than its window, runs nothing of
    a feed, and is also JSON."""
    answer = page.goto(lab.ui(path))
    assert answer is not None
    assert answer.status == 200
    assert "tipline" in page.title()
    assert page.title() != "owned"
    assert problems(page) == []
    assert "\x1b" not in page.content()
    assert page.locator("main script").count() == 0
    assert overhang(page) <= 1
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    page.set_viewport_size({"width": 768, "height": 1000})
    assert problems(page) == []
    assert overhang(page) <= 1
    plain = page.request.get(lab.ui(path), headers={"accept": "application/json"})
    assert plain.status == 200
    assert plain.json()
    assert isinstance(plain.json(), dict)


def overhang(page: Page) -> int:
    """How many pixels of a page stand beyond its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))
