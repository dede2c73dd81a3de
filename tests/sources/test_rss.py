"""RSS feeds: what is new is read once, pages are fetched as strangers, one by one."""

from __future__ import annotations

import base64
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sources.conftest import Web
from tipline.sources import rss
from tipline.sources.base import Poll, PollContext
from tipline.sources.rss import Rss, RssSettings


def feed(*items: tuple[str, str, str]) -> bytes:
    body = "".join(
        f"<item><guid>{g}</guid><link>{link}</link><description>{t}</description></item>" for g, link, t in items
    )
    return f"<rss version='2.0'><channel>{body}</channel></rss>".encode()


def made(web: Web, **settings: Any) -> Rss:
    given = {"kind": "rss", "url": web.url(), "allow_private": True, "retries": 0, "pause": "0s", **settings}
    return Rss("blog", RssSettings.model_validate(given))


def polled(source: Rss, spool: Path, cursor: dict[str, Any]) -> tuple[list[pl.DataFrame], Poll]:
    poll = source.poll(PollContext(spool, cursor, datetime(2026, 1, 1), "blog"))  # noqa: DTZ001 - the engine's times are naive UTC
    return list(poll.frames), poll


def test_each_article_is_read_once_and_again_when_it_changes(web: Web, tmp_path: Path) -> None:
    source = made(web)
    web.answer = lambda path: (200, {}, feed(("1", "", "evil[.]com"), ("2", "", "bad[.]com")))
    frames, first = polled(source, tmp_path, {})
    assert [f["value"].to_list() for f in frames] == [["evil[.]com"], ["bad[.]com"]]
    assert frames[0]["record"].to_list() == ["1"]
    assert polled(source, tmp_path, first.cursor)[1].unchanged
    web.answer = lambda path: (200, {}, feed(("3", "", "new[.]com"), ("2", "", "worse[.]com"), ("1", "", "evil[.]com")))
    frames, second = polled(source, tmp_path, first.cursor)
    assert [f["value"].to_list() for f in frames] == [["new[.]com"], ["worse[.]com"]]
    assert sorted(second.cursor["seen"]) == ["1", "2", "3"]


def test_pages_are_fetched_without_the_feeds_sign_in_unless_they_are_its_own(web: Web, tmp_path: Path) -> None:
    other = web.url("/page").replace("127.0.0.1", "localhost")
    own = web.url("/own")
    pages = {"/page": b"<html><p>stranger[.]com</p></html>", "/own": b"<html><p>own[.]com</p></html>"}
    web.answer = lambda path: (200, {}, pages.get(path, feed(("1", other, "x"), ("2", own, "y"))))
    source = made(web, articles=True, basic={"username": "u", "password": "secret"})
    frames, _ = polled(source, tmp_path, {})
    assert [f["value"].to_list() for f in frames] == [["stranger[.]com"], ["own[.]com"]]
    assert frames[0]["references"].to_list() == [other]
    signed = {path: "authorization" in headers for path, headers in web.requests}
    assert signed == {"/feed": True, "/page": False, "/own": True}
    assert base64.b64encode(b"u:secret").decode() in web.requests[0][1]["authorization"]


def test_a_page_that_cannot_be_had_is_tried_again_and_the_feeds_text_taken_at_last(web: Web, tmp_path: Path) -> None:
    source = made(web, articles=True)
    link = web.url("/gone")
    web.answer = lambda path: (404, {}, b"") if path == "/gone" else (200, {}, feed(("1", link, "evil[.]com")))
    cursor: dict[str, Any] = {}
    for attempt in range(rss._TRIES):
        frames, poll = polled(source, tmp_path, cursor)
        cursor = poll.cursor
        assert bool(frames) == (attempt == rss._TRIES - 1)
        assert any("404" in warning for warning in poll.warnings)
    assert frames[0]["value"].to_list() == ["evil[.]com"]
    assert polled(source, tmp_path, cursor)[1].unchanged


def test_no_more_pages_than_allowed_in_one_poll_and_the_rest_with_the_next(web: Web, tmp_path: Path) -> None:
    source = made(web, articles=True, max_articles=2)
    items = [(str(n), web.url(f"/p{n}"), "") for n in range(5)]
    web.answer = lambda path: (200, {}, f"c2: host{path[2:]}[.]com".encode() if path.startswith("/p") else feed(*items))
    cursor: dict[str, Any] = {}
    counts = []
    for _ in range(3):
        frames, poll = polled(source, tmp_path, cursor)
        counts.append(len(frames))
        cursor = poll.cursor
    assert counts == [2, 2, 1]


def test_pages_of_one_host_are_fetched_with_a_pause(web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(rss, "sleep", waits.append)
    items = [(str(n), web.url(f"/p{n}"), "") for n in range(3)]
    web.answer = lambda path: (200, {}, b"x" if path.startswith("/p") else feed(*items))
    polled(made(web, articles=True, pause="7s"), tmp_path, {})
    assert waits == [7.0, 7.0]


@pytest.mark.parametrize(
    "link",
    [
        "http://169.254.169.254/latest/meta-data",
        "file:///etc/passwd",
        "ftp://x/y",
        "http://[.]/x",
        "http://",
        "http://[::1]:1/",
    ],
)
def test_a_link_never_leads_inside(web: Web, tmp_path: Path, link: str) -> None:
    source = made(web, articles=True, allow_private=False, allow_hosts=["127.0.0.1"])
    web.answer = lambda path: (200, {}, feed(("1", link, "evil[.]com")))
    frames, poll = polled(source, tmp_path, {})
    assert frames == []
    assert any("refused" in w or "no address of a page" in w for w in poll.warnings)
