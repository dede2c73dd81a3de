"""The library and `try` as operations over plain JSON."""

from __future__ import annotations

import base64
import gzip
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tipline.config.check import check_text
from tipline.engine import library_operations
from tipline.engine.asker import Asker
from tipline.engine.core import Engine
from tipline.engine.library_operations import MOST_BYTES
from tipline.engine.operations import Operations
from tipline.errors import TiplineError

CONFIG = "# mine\nsources:\n  by-hand: {kind: local}\noutputs:\n  all: {kind: list, inputs: by-hand}\n"


@pytest.fixture
def operations(tmp_path: Path) -> Iterator[Operations]:
    path = tmp_path / "tipline.yml"
    path.write_text(CONFIG)
    with Engine(check_text(CONFIG, path).usable()) as engine, closing(Operations(engine)) as found:
        yield found


def test_search_and_show(operations: Operations) -> None:
    found = operations.call("library_search", {"words": "tor exit"})
    assert "tor-exit-addresses" in [entry["name"] for entry in found["entries"]]
    assert operations.call("library_show", {"name": "cisa-kev"})["source"]["kind"] == "json"


def test_an_entry_says_what_reads_it_already(operations: Operations) -> None:
    before = operations.call("library_show", {"name": "spamhaus-drop"})
    operations.call("library_add", {"name": "spamhaus-drop", "node": "drop", "settings": {"enabled": False}})
    found = operations.call(
        "library_search", {"words": "spamhaus drop", "status": "live", "tlp": before["source"]["tlp"]}
    )
    using = {entry["name"]: entry["in_use"] for entry in found["entries"]}
    assert (before["in_use"], using["spamhaus-drop"]) == ([], ["drop"])
    assert all(names == [] for name, names in using.items() if name != "spamhaus-drop")
    dead = operations.call("library_search", {"words": "spamhaus", "status": "dead"})["entries"]
    assert [entry["name"] for entry in dead] == ["spamhaus-edrop"]


def test_add_keeps_why_and_is_the_askers_teams(tmp_path: Path) -> None:
    text = CONFIG + "teams: {red: {}}\n"
    path = tmp_path / "tipline.yml"
    path.write_text(text)
    with Engine(check_text(text, path).usable()) as engine, closing(Operations(engine)) as found:
        rhea = found.asked_by(Asker("rhea", "red"))
        rhea.call(
            "library_add", {"name": "spamhaus-drop", "settings": {"enabled": False}, "message": "for the mail team"}
        )
        assert engine.configuration.sources["spamhaus-drop"].settings.team == "red"
        assert found.call("history", {})["versions"][0]["message"] == "for the mail team"


def test_add_puts_the_source_to_work(operations: Operations, tmp_path: Path) -> None:
    base = operations.call("configuration", {})["version"]
    arguments = {"name": "spamhaus-drop", "base": base, "node": "drop", "settings": {"enabled": False}}
    operations.call("library_add", arguments)
    text = (tmp_path / "tipline.yml").read_text()
    assert text.startswith("# mine\n")
    assert "  drop:\n" in text
    assert "drop" in operations.engine.configuration.sources


def test_try_takes_a_text(operations: Operations) -> None:
    found = operations.call("try", {"body": "ioc,type\nevil.com,domain\n"})
    assert found["settings"]["columns"] == {"value": "ioc", "type": "type"}
    assert found["preview"]["accepted"] == 1
    assert "tipline-try" not in str(found)


def test_try_takes_a_file_and_names_the_source_after_it(operations: Operations) -> None:
    encoded = base64.b64encode(gzip.compress(b"evil.com\n192.0.3.7\nnope\n")).decode()
    found = operations.call("try", {"encoded": encoded, "filename": "../Bad list.txt.gz"})
    assert (found["settings"]["kind"], found["preview"]["types"]) == ("lines", {"domain": 1, "ipv4": 1})
    assert found["name"] == "bad-list-txt"
    assert found["preview"]["drops"]["unknown-type"]["samples"] == ["nope"]


def test_try_takes_settings_as_they_are_if_asked_to(operations: Operations) -> None:
    body = "one;evil.com\ntwo;bad.org\n"
    assert operations.call("try", {"body": body})["settings"]["columns"] == {"value": 2}
    exact = {"kind": "csv", "header": False, "columns": {"value": 1}, "delimiter": ";"}
    found = operations.call("try", {"body": body, "settings": exact, "exact": True})
    assert found["preview"]["accepted"] == 0
    assert operations.call("try", {"body": body, "settings": {"kind": "freetext"}})["preview"]["accepted"] == 2


def test_try_looks_at_few_feeds_at_the_same_time(operations: Operations, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library_operations, "_PATIENCE", 0)
    monkeypatch.setattr(library_operations, "_LOOKING", threading.BoundedSemaphore(1))
    with library_operations._LOOKING, pytest.raises(TiplineError, match="others are looking"):
        operations.call("try", {"body": "evil.com"})
    assert operations.call("try", {"body": "evil.com"})["preview"]["accepted"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"url": "file:///etc/passwd"}, "no web address"),
        ({"url": "/etc/passwd"}, "no web address"),
        ({"url": "http://127.0.0.1/"}, "refused"),
        ({"url": "http://169.254.169.254/latest/"}, "refused"),
        ({"url": "http://127.0.0.1/", "settings": {"allow_private": True}}, "allow_private cannot be given"),
        ({"url": "http://x.example/", "settings": {"ca_file": "/etc/passwd"}}, "ca_file cannot be given"),
        ({"body": "x", "settings": {"url": "/etc/passwd"}}, "url cannot be given"),
        ({}, "either"),
        ({"url": "http://x.example/", "body": "x"}, "either"),
        ({"encoded": "eA==", "body": "x"}, "either"),
        ({"encoded": "nope!"}, "not base64"),
        ({"body": "x" * (MOST_BYTES + 1)}, "16 MiB"),
        ({"encoded": base64.b64encode(gzip.compress(bytes(40 << 20))).decode()}, "unpack"),
        ({"body": "x", "settings": {"kind": "nope"}, "exact": True}, "nothing reads"),
    ],
)
def test_what_try_refuses(operations: Operations, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(TiplineError, match=message):
        operations.call("try", arguments)
