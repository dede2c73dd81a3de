"""Every page: shown to whoever may see it, the same as JSON, accessible, and deaf to what feeds would have it do."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from playwright.sync_api import BrowserContext, Page

from web import looks, stage
from web.pages import PAGES
from web.stage import Lab


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_accessible_runs_nothing_and_is_also_json(lab_page: Page, lab: Lab, path: str) -> None:
    looks.check_page(lab_page, lab, path)


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
