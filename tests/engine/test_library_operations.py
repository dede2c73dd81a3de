"""The library and `try` as operations over plain JSON."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tipline.config.check import check_text
from tipline.engine.core import Engine
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
    ],
)
def test_what_try_refuses(operations: Operations, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(TiplineError, match=message):
        operations.call("try", arguments)
