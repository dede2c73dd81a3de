"""A server that fails, is gone, and is there again: people are told, and what they wrote is not lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, expect

from tipline.api.serving import served
from tipline.config.check import load
from tipline.engine.accounts import Accounts
from tipline.engine.core import Engine
from tipline.engine.operations import Operations
from web import stage
from web.stage import ADMIN, PASSWORD, Lab


def test_a_server_that_is_gone_is_told_and_what_was_written_is_sent_once_it_is_back(
    browser: Browser, tmp_path: Path
) -> None:
    (tmp_path / "tipline.yml").write_text(
        "sources:\n  mine: {kind: local}\noutputs:\n  list: {kind: list, inputs: mine}\n"
    )
    with Engine(load(tmp_path / "tipline.yml")) as engine:
        Accounts(engine.control, engine.clock).add(ADMIN, role="admin", team="default", password=PASSWORD)
        with served(engine, [("127.0.0.1", 0)]) as (urls, scheduler):
            lab = Lab(urls[0], Operations(engine, scheduler), tmp_path)
            context = stage.signed_in(browser, lab)
            page = context.new_page()
            page.goto(lab.ui("/indicators/add"))
            expect(page.locator(".signal")).to_have_text("Live")
            page.fill("textarea[name=text]", "written.example.org")
        expect(page.locator(".signal")).not_to_have_text("Live", timeout=30_000)
        page.get_by_role("button", name="Look through").click()
        expect(page.locator(".signal")).to_have_text("The server does not answer")
        expect(page.locator("textarea[name=text]")).to_have_value("written.example.org")
        with served(engine, [("127.0.0.1", int(urlsplit(urls[0]).port or 0))]):
            expect(page.locator(".signal")).to_have_text("Live", timeout=30_000)
            page.get_by_role("button", name="Look through").click()
            page.wait_for_url("**/indicators/review")
            expect(page.get_by_label("Add written.example.org")).to_be_checked()
        context.close()


def test_a_page_that_fails_says_so_and_tells_nothing_of_the_inside(
    browser: Browser, lab: Lab, inside: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ValueError("a secret of the inside")

    monkeypatch.setattr("tipline.engine.upkeep_operations.vitals", broken)
    page = inside.new_page()
    answer = page.goto(lab.ui("/administration/health"))
    assert answer.status == 500
    expect(page.get_by_role("alert").filter(has_text="the server failed")).to_contain_text("look at the server's log")
    assert "secret of the inside" not in page.content()
    told = page.request.get(lab.ui("/administration/health"), headers={"accept": "application/json"})
    assert (told.status, told.headers["content-type"]) == (500, "application/problem+json")
    assert "inside" not in told.text()
    page.get_by_role("link", name="Overview").last.click()
    page.wait_for_url("**/ui/overview")
    page.close()
