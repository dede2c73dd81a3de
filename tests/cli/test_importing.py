"""`tipline import`: what another tool is configured with becomes sources that pass `check`."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from config.importers.test_minemeld import lab
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


BCRYPT = "$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"
# What the page on moving says is different, and this MineMeld has.
DIFFERENT = {
    ("hc", "infilters", "confidence > 75 became >= 75"),
    ("inbound", "host bits", "10.0.0.5/24 is 10.0.0.0/24"),
    ("seen", "age_out", "counted from when it left the feed"),
    ("seen", "share_level", "here it is amber"),
    ("hc", "share_level", "of several sources the strictest counts"),
    ("mde", "action", "AlertAndBlock became Audit"),
    ("mde", "mode", "writes nothing until you say live"),
}


@pytest.fixture
def minemeld(place: Path) -> Path:
    """A MineMeld's local directory: also with a feed aged by `last_seen`, and a reader with a hash by bcrypt."""
    root = lab(place / "old")
    committed = root / "config" / "committed-config.yml"
    seen = "  seen: {prototype: minemeldlocal.seen, output: true}\n"
    committed.write_text(committed.read_text().replace("nodes:\n", f"nodes:\n{seen}"))
    prototypes = root / "prototypes" / "minemeldlocal.yml"
    prototypes.write_text(
        prototypes.read_text()
        + "  seen: {class: minemeld.ft.http.HttpFT, config: {url: https://feeds.example.org/seen,"
        " age_out: {default: last_seen+30d}, attributes: {type: IPv4, confidence: 60}}}\n"
    )
    with (root / "config" / "api" / "feeds.htpasswd").open("a") as file:
        file.write(f"edge:{BCRYPT}\n")
    return root


def backup(root: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as made:
        for file in root.rglob("*"):
            made.write(file, file.relative_to(root))
    return path


@pytest.mark.parametrize("form", ["directory", "committed-config.yml", "backup.zip"])
def test_a_minemeld_is_brought_over_and_what_is_different_is_told(
    minemeld: Path, form: str, place: Path, tipline_: Any
) -> None:
    given = {
        "directory": minemeld,
        "committed-config.yml": minemeld / "config" / "committed-config.yml",
        "backup.zip": backup(minemeld, place / "backup.zip"),
    }[form]

    answer = tipline_("import", "minemeld", str(given), "--output", "new/tipline.yml", "--json")

    assert answer.code == 0, answer.err
    changed = [note for note in answer.json["notes"] if note["outcome"] == "changed"]
    missing = {
        wanted for wanted in DIFFERENT
        if not any((n["node"], n["setting"]) == wanted[:2] and wanted[2] in n["sentence"] for n in changed)
    }  # fmt: skip
    assert missing == set()
    assert (place / "new" / "secrets" / "reader-edge").read_text() == BCRYPT
    assert tipline_("check", "--config", "new/tipline.yml").code == 0
    shown = tipline_("import", "minemeld", str(given), "--output", "again/tipline.yml")
    assert "AlertAndBlock became Audit" in " ".join(shown.out.split())
