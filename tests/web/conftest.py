"""One server and one browser for each module of page tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from web import stage


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[stage.Lab]:
    """A running server with data."""
    with stage.lab(tmp_path_factory.mktemp("lab")) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser."""
    with stage.browser() as found:
        yield found


@pytest.fixture(scope="module")
def inside(browser: Browser, lab: stage.Lab) -> Iterator[BrowserContext]:
    """A browser's context with the administrator signed in."""
    context = stage.signed_in(browser, lab)
    yield context
    context.close()


@pytest.fixture
def lab_page(inside: BrowserContext) -> Iterator[Page]:
    """A page of somebody who is signed in; whatever the browser complains of fails the test."""
    page = inside.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    yield page
    page.close()
    assert not complaints
