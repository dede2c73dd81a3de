"""Feeds as people keep them: added and wired, changed in part, switched, removed, with secrets kept apart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tipline.config.check import check_text
from tipline.config.library import entries, source_of
from tipline.engine.asker import Asker
from tipline.engine.core import Engine
from tipline.engine.operations import Operations
from tipline.errors import TiplineError

CONFIG = """\
# ours
teams: {red: {}}
sources:
  by-hand: {kind: local}
  old: # came with the first set-up
    kind: lines
    url: FOLDER/old.txt # on the share
    confidence: 60
  reds: {kind: lines, url: FOLDER/old.txt, team: red}
processors:
  merged: {kind: aggregate, inputs: [by-hand, old]}
outputs:
  all: {kind: list, inputs: merged, max_tlp: amber}
  red-list: {kind: list, inputs: reds, team: red}
"""


@pytest.fixture
def operations(tmp_path: Path) -> Iterator[Operations]:
    path, text = tmp_path / "tipline.yml", CONFIG.replace("FOLDER", str(tmp_path))
    path.write_text(text)
    (tmp_path / "old.txt").write_text("old.example.com\n")
    (tmp_path / "new.csv").write_text("new,new.example.com\n")
    with Engine(check_text(text, path).usable()) as engine, closing(Operations(engine)) as found:
        yield found


def text_of(operations: Operations) -> str:
    return operations.engine.configuration.path.read_text()


def published(operations: Operations, output: str = "all") -> set[str]:
    return {row["value"] for row in operations.call("list", {"node": output})["rows"]}


def test_a_feed_is_added_read_by_others_and_in_its_outputs(operations: Operations, tmp_path: Path) -> None:
    settings = {"kind": "csv", "url": str(tmp_path / "new.csv"), "columns": {"value": 2}, "header": False}
    operations.call("feed_add", {"name": "new", "settings": settings, "into": ["merged"], "message": "asked for"})
    operations.call("poll", {"source": "new"})
    assert "new.example.com" in published(operations)
    text = text_of(operations)
    assert "inputs: [by-hand, old, new]" in text
    assert "columns: {value: 2}" in text
    assert text.startswith("# ours\n")
    assert operations.call("history", {})["versions"][0]["message"] == "asked for"
    assert operations.call("feed", {"name": "new"})["into"] == ["merged"]


def test_many_feeds_are_added_in_one_version_and_nothing_else_changes(operations: Operations) -> None:
    before, version = text_of(operations), operations.call("configuration", {})["version"]
    names = [name for name, each in entries().items() if each.misp and each.status == "live"][:12]
    feeds = {name: {**source_of(name, {}), "enabled": False} for name in names}
    operations.call("feeds_add", {"feeds": feeds, "into": ["merged"]})
    assert operations.call("configuration", {})["version"] == version + 1
    assert set(feeds) <= set(operations.engine.configuration.sources)
    head, _, tail = before.partition("  reds:")
    text = text_of(operations)
    assert text.startswith(head)
    inputs = ", ".join(["by-hand", "old", *names])
    assert text.endswith(tail.partition("processors")[2].replace("by-hand, old", inputs))


def test_a_change_leaves_everything_else_as_it_stands(operations: Operations) -> None:
    before = text_of(operations)
    operations.call("feed_change", {"name": "old", "settings": {"enabled": False}})
    assert text_of(operations) == before.replace("confidence: 60\n", "confidence: 60\n    enabled: false\n")
    operations.call("feed_change", {"name": "old", "settings": {"enabled": None}})
    assert text_of(operations) == before


def test_what_is_switched_off_keeps_what_it_holds_and_is_not_polled(operations: Operations, tmp_path: Path) -> None:
    operations.call("run_once", {})
    operations.call("feed_change", {"name": "old", "settings": {"enabled": False}})
    (tmp_path / "old.txt").write_text("other.example.com\n")
    done = operations.call("run_once", {})
    assert "old" not in [poll["source"] for poll in done["polls"]]
    assert published(operations) == {"old.example.com"}
    operations.call("feed_remove", {"name": "old"})
    assert published(operations) == set()
    assert "inputs: [by-hand]" in text_of(operations)


def test_secrets_are_kept_apart_and_never_shown(operations: Operations) -> None:
    over = {"basic": {"username": "me", "password": "geheim"}, "headers": {"Accept": "text/csv", "X-Key": "k3y"}}
    operations.call("feed_change", {"name": "old", "settings": over})
    text = text_of(operations)
    assert "geheim" not in text
    assert "k3y" not in text
    assert "${secret:old.basic.password}" in text
    assert "Accept: text/csv" in text
    settings: Any = operations.engine.configuration.sources["old"].settings
    assert settings.basic.password.get_secret_value() == "geheim"
    assert settings.headers["X-Key"].get_secret_value() == "k3y"
    shown = operations.call("feed", {"name": "old"})["text"]
    operations.call("feed_change", {"name": "old", "text": shown.replace("60", "70")})
    assert settings.headers["X-Key"].get_secret_value() == "k3y"
    operations.call("feed_change", {"name": "old", "settings": {"basic": {"password": "neu"}}})
    changed: Any = operations.engine.configuration.sources["old"].settings
    assert (changed.basic.username, changed.basic.password.get_secret_value()) == ("me", "neu")
    assert "geheim" not in str(operations.call("audit", {}))


def test_secrets_of_what_is_refused_are_forgotten(operations: Operations) -> None:
    before = text_of(operations)
    bad = {"kind": "lines", "url": "https://x.example/", "bearer": "t0ken", "nope": 1}
    with pytest.raises(TiplineError, match="no such setting"):
        operations.call("feed_add", {"name": "bad", "settings": bad})
    assert operations.call("secrets", {})["secrets"] == []
    assert text_of(operations) == before


def test_a_secret_that_stands_in_the_file_survives_a_change_that_does_not_see_it(
    operations: Operations, tmp_path: Path
) -> None:
    path = tmp_path / "tipline.yml"
    path.write_text(path.read_text().replace("confidence: 60", "bearer: in-the-file"))
    operations.call("reload", {})
    shown = operations.call("feed", {"name": "old"})["text"]
    assert "in-the-file" not in shown
    operations.call("feed_change", {"name": "old", "text": shown + "confidence: 10\n"})
    settings: Any = operations.engine.configuration.sources["old"].settings
    assert (settings.bearer.get_secret_value(), settings.confidence) == ("in-the-file", 10)
    assert "in-the-file" not in path.read_text()


def test_a_team_keeps_its_own_feeds(operations: Operations) -> None:
    rhea = operations.asked_by(Asker("rhea", "red"))
    assert [each["name"] for each in rhea.call("feed_readers", {})["readers"]] == ["red-list"]
    rhea.call("feed_add", {"name": "more", "settings": {"kind": "local"}, "into": ["red-list"]})
    assert operations.engine.configuration.sources["more"].settings.team == "red"
    for name, arguments in (
        ("feed_change", {"name": "old", "settings": {"enabled": False}}),
        ("feed_remove", {"name": "old"}),
        ("feed", {"name": "old"}),
        ("feed_add", {"name": "theirs", "settings": {"kind": "local"}, "into": ["merged"]}),
        ("feed_add", {"name": "old", "settings": {"kind": "local"}}),
        ("feed_add", {"name": "theirs", "settings": {"kind": "local", "team": "default"}}),
    ):
        with pytest.raises(TiplineError):
            rhea.call(name, arguments)


def test_misps_list_is_looked_at_and_then_what_is_chosen_is_added(operations: Operations, tmp_path: Path) -> None:
    new = (tmp_path / "new.csv").as_uri()
    feeds = [
        {"Feed": {"name": "old", "provider": "x", "url": new, "source_format": "csv", "enabled": True,
                  "settings": {"csv": {"value": "2"}}, "headers": "X-Key: k\u00e9y", "fixed_event": True,
                  "delta_merge": True, "publish": True}, "Tag": {"name": "tlp:green"}},
        {"Feed": {"name": "same", "url": str(tmp_path / "old.txt"), "source_format": "freetext"}},
    ]  # fmt: skip
    before = text_of(operations)
    seen = operations.call("misp_import", {"body": json.dumps(feeds)})
    assert [(each["name"], each["there"]) for each in seen["feeds"]] == [("old-2", []), ("same", ["old", "reds"])]
    assert "k\u00e9y" not in json.dumps(seen, ensure_ascii=False)
    assert {note["node"] for note in seen["notes"]} <= {"old-2", "same"}
    assert text_of(operations) == before
    operations.call("misp_import", {"body": json.dumps(feeds), "names": ["old-2"], "into": ["merged"]})
    made: Any = operations.engine.configuration.sources["old-2"].settings
    assert made.headers["X-Key"].get_secret_value() == "k\u00e9y"
    assert (made.event.publish, made.event.fixed, made.tlp) == (True, True, 1)
    operations.call("poll", {"source": "old-2"})
    assert "new.example.com" in published(operations)
    assert "k\u00e9y" not in text_of(operations)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("feed_change", {"name": "never-block", "settings": {}}, "built in"),
        ("feed_change", {"name": "nope", "settings": {}}, "no feed nope"),
        ("feed_remove", {"name": "never-block"}, "built in"),
        ("feed_add", {"name": "x", "settings": {"kind": "nope"}}, "no kind 'nope'"),
        ("feed_add", {"name": "x", "settings": {}}, "no kind None"),
        ("feed_add", {"name": "x", "text": "kind: [local"}, "not valid YAML"),
        ("feed_add", {"name": "x", "settings": {"kind": "local"}, "into": ["nope"]}, "no node that can read it nope"),
        ("feed_add", {"name": "x", "settings": {"kind": "local"}, "base": 99}, "meanwhile"),
    ],
)
def test_what_is_refused(operations: Operations, name: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(TiplineError, match=message):
        operations.call(name, arguments)
