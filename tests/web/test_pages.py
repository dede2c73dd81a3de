"""Every page: shown to whoever may see it, the same as JSON, accessible, and deaf to what feeds would have it do."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from web import stage
from web.pages import PAGES
from web.stage import Lab

AXE = Path(__file__).parent.parent / "data" / "axe" / "axe.min.js"


def problems(page: Page) -> list[str]:
    """What axe-core finds wrong with a page."""
    page.evaluate(AXE.read_text())  # not by a script element: the policy forbids that
    found = page.evaluate(
        "axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']})"
        ".then(r => r.violations.map(v => v.id + ': '"
        " + v.nodes.map(n => n.target + ' ' + n.failureSummary).join('; ')))"
    )
    return list(found)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_accessible_and_runs_nothing_of_a_feed(lab_page: Page, lab: Lab, path: str) -> None:
    answer = lab_page.goto(lab.ui(path))
    assert answer is not None
    assert answer.status == 200
    assert "tipline" in lab_page.title()
    assert lab_page.title() != "owned"
    assert problems(lab_page) == []
    assert "\x1b" not in lab_page.content()
    assert not lab_page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth + 1")


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_accessible_in_the_dark_and_on_a_narrow_screen(
    browser: Browser, lab: Lab, inside: BrowserContext, path: str
) -> None:
    state = inside.storage_state()
    context = browser.new_context(
        storage_state=state, color_scheme="dark", reduced_motion="reduce", viewport={"width": 768, "height": 1000}
    )
    page = context.new_page()
    page.goto(lab.ui(path))
    found = problems(page)
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    context.close()
    assert found == []
    assert wide <= 1


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_also_json(lab_page: Page, lab: Lab, path: str) -> None:
    answer = lab_page.request.get(lab.ui(path), headers={"accept": "application/json"})
    assert answer.status == 200
    assert isinstance(answer.json(), dict)


@pytest.mark.parametrize("path", PAGES)
def test_nobody_sees_a_page_without_signing_in(lab: Lab, inside: BrowserContext, path: str) -> None:
    answer = httpx.get(lab.ui(path), trust_env=False)
    assert (answer.status_code, answer.headers["location"][:12]) == (303, "/ui/sign-in?")
    asked = httpx.get(lab.ui(path), headers={"accept": "application/json"}, trust_env=False)
    assert asked.status_code == 401


def test_what_feeds_say_is_text(lab_page: Page, lab: Lab) -> None:
    lab_page.goto(lab.ui(f"/nodes/{stage.NODE}"))
    assert lab_page.get_by_text(stage.SCRIPT).count() > 0
    assert lab_page.locator("main script").count() == 0


def test_every_header_and_the_policy_are_there(lab: Lab) -> None:
    answer = httpx.get(lab.ui("/sign-in"), trust_env=False, follow_redirects=True)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-frame-options"] == "DENY"
    assert httpx.get(f"{lab.url}/", trust_env=False).headers["location"] == "/ui/overview"


def test_static_files_are_small_together(lab: Lab) -> None:
    folder = Path(stage.__file__).parents[2] / "src" / "tipline" / "web" / "static"
    sizes = [
        len(httpx.get(lab.ui(f"/static/{each.relative_to(folder)}"), trust_env=False).content)
        for each in folder.rglob("*")
        if each.is_file() and each.suffix in {".js", ".css", ".svg"}
    ]
    assert 0 < sum(sizes) < 700_000
