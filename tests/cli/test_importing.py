"""`tipline import`: what another tool is configured with becomes sources that pass `check`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sources.conftest import Web

FEEDS = [
    {
        "Feed": {
            "name": "COVID-19",
            "provider": "Microsoft",
            "url": "https://feeds.example.org/covid.csv",
            "source_format": "csv",
            "distribution": "0",
            "fixed_event": True,
            "publish": True,
            "settings": {"csv": {"value": "2", "delimiter": ","}},
            "headers": "X-Api-Key: secret-of-the-feed",
        }
    }
]


def test_misps_feed_list_becomes_sources(place: Path, tipline_: Any) -> None:
    (place / "feeds.json").write_text(json.dumps(FEEDS))

    answer = tipline_("import", "misp-feeds", "feeds.json", "--output", "imported.yml", "--json")

    assert answer.code == 0
    assert answer.json["sources"]["covid-19"]["columns"] == {"value": 2}
    assert {note["setting"] for note in answer.json["notes"]} >= {"fixed_event", "publish"}
    assert "secret-of-the-feed" not in json.dumps(answer.json) + (place / "imported.yml").read_text()


def test_misps_feed_list_is_read_from_its_api(place: Path, web: Web, tipline_: Any) -> None:
    web.answer = lambda _path: (200, {"Content-Type": "application/json"}, json.dumps(FEEDS).encode())
    (place / "key").write_text("the-key-of-misp\n")

    answer = tipline_("import", "misp-feeds", web.url("/feeds/index"), "--key-file", "key", "--json")

    assert answer.code == 0, answer.err
    assert answer.json["sources"]["covid-19"]["kind"] == "csv"
    [(path, headers)] = web.requests
    assert (path, headers["accept"], headers["authorization"]) == (
        "/feeds/index",
        "application/json",
        "the-key-of-misp",
    )
    assert "the-key-of-misp" not in answer.out


@pytest.mark.parametrize(("status", "body"), [(403, b"no"), (302, b""), (200, b"<html>sign in</html>")])
def test_what_is_no_feed_list_is_refused(status: int, body: bytes, web: Web, tipline_: Any) -> None:
    web.answer = lambda _path: (status, {"Location": "http://169.254.169.254/"} if status == 302 else {}, body)
    answer = tipline_("import", "misp-feeds", web.url("/feeds/index"))
    assert answer.code == 1
    assert answer.err.startswith("error: ")
    assert "TIPLINE_DEBUG" not in answer.err


def test_an_existing_file_is_not_written_over(place: Path, tipline_: Any) -> None:
    (place / "feeds.json").write_text(json.dumps(FEEDS))
    (place / "imported.yml").write_text("mine")

    answer = tipline_("import", "misp-feeds", "feeds.json", "--output", "imported.yml", "--json")

    assert answer.code == 1
    assert (place / "imported.yml").read_text() == "mine"
