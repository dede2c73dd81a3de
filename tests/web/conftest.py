"""One server and one browser for each module of page tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from web import far_stage, looks, stage


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
    """A page of the administrator; whatever the browser complains of fails the test."""
    with looks.uncomplaining(inside) as page:
        yield page


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[far_stage.FarLab]:
    """A running server that delivers to the stand-in."""
    with far_stage.far_lab(tmp_path_factory.mktemp("far")) as found:
        yield found


@pytest.fixture(scope="module")
def context(browser: Browser, far: far_stage.FarLab) -> Iterator[BrowserContext]:
    """A browser's context with that server's administrator signed in."""
    found = stage.signed_in(browser, far)
    yield found
    found.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A page of that administrator; whatever the browser complains of fails the test."""
    with looks.uncomplaining(context) as found:
        yield found
