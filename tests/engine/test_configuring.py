"""Committing, reverting and reloading a configuration: the file, its versions, and people who edit at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tipline.config.check import load
from tipline.engine.asker import Asker
from tipline.engine.configuring import Configuring, ConflictError
from tipline.engine.core import Engine
from tipline.engine.operations import Operations
from tipline.engine.people import RequestError
from tipline.engine.schedule import Scheduler
from tipline.engine.visible import NotYoursError
from tipline.errors import ConfigError, StoreError
from tipline.store import versions
from tipline.store.control import AUDIT
from tipline.store.records import rows

TEXT = """\
# Our lab.
sources:
  mine: {kind: local, tlp: clear}   # by hand
outputs:
  list: {kind: list, inputs: mine}
"""
CHANGED = TEXT + "  second: {kind: list, inputs: mine}\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A configuration file."""
    path = tmp_path / "tipline.yml"
    path.write_text(TEXT)
    path.chmod(0o640)
    return path


@pytest.fixture
def changing(file: Path) -> Iterator[Configuring]:
    """Changes of a running configuration."""
    with Engine(load(file)) as engine:
        yield Configuring(Scheduler(engine))


def test_what_is_committed_runs_stands_in_the_file_and_in_the_history(changing: Configuring, file: Path) -> None:
    done = changing.commit(CHANGED, "a second list", base=1, user="ann")
    assert (done.version, done.at_restart) == (2, [])
    assert set(changing.engine.graph.outputs) == {"list", "second"}
    assert (file.read_text(), file.stat().st_mode & 0o777) == (CHANGED, 0o640)
    assert [(each["version"], each["actor"], each["message"]) for each in changing.history(10, None)] == [
        (2, "ann", "a second list"),
        (1, "the file", "found at the start"),
    ]
    assert "+  second:" in changing.compared(2, None)["diff"]
    (entry,) = (row for row in rows(changing.engine.control, AUDIT) if row["action"] == "configure")
    assert (entry["actor"], entry["subject"]) == ("ann", "version 2")


def test_who_began_from_an_older_version_is_told(changing: Configuring, file: Path) -> None:
    changing.commit(CHANGED, "", base=1, user="ann")
    with pytest.raises(ConflictError, match="ann has put version 2 to work"):
        changing.commit(TEXT, "", base=1, user="bob")
    assert file.read_text() == CHANGED


def test_what_was_edited_by_hand_is_not_written_over(changing: Configuring, file: Path) -> None:
    by_hand = TEXT.replace("Our lab", "Edited")
    file.write_text(by_hand)
    assert changing.current()["edited_by_hand"]
    with pytest.raises(ConflictError, match="edited by hand"):
        changing.commit(CHANGED, "", base=1, user="ann")
    assert file.read_text() == by_hand
    assert changing.reload("bob").version == 2
    assert not changing.current()["edited_by_hand"]


def test_what_is_wrong_changes_nothing(changing: Configuring, file: Path) -> None:
    with pytest.raises(ConfigError, match="there is no output kind"):
        changing.commit(TEXT.replace("kind: list", "kind: lits"), "", base=1, user="ann")
    with pytest.raises(ConfigError, match="was a local source"):
        changing.commit(
            TEXT.replace("{kind: local, tlp: clear}", "{kind: lines, url: 'https://x.example/a'}"),
            "",
            base=1,
            user="ann",
        )
    assert file.read_text() == TEXT
    assert len(changing.history(10, None)) == 1
    file.write_text("sources: [")
    with pytest.raises(ConfigError, match="not valid YAML"):
        changing.reload("ann")
    assert set(changing.engine.graph.outputs) == {"list"}


def test_a_file_that_cannot_be_written_is_told_and_what_ran_runs_on(
    changing: Configuring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Configuring, "path", Path("/proc/version"))
    monkeypatch.setattr(changing, "_on_disk", lambda: TEXT)
    with pytest.raises(StoreError):
        changing.commit(CHANGED, "", base=1, user="ann")
    assert set(changing.engine.graph.outputs) == {"list"}


def test_back_to_an_earlier_version(changing: Configuring, file: Path) -> None:
    changing.commit(CHANGED, "", base=1, user="ann")
    assert changing.revert(1, "", user="bob").version == 3
    assert file.read_text() == TEXT
    assert changing.history(1, None)[0]["message"] == "back to version 1"


def test_two_who_save_the_candidate_at_once(changing: Configuring) -> None:
    first = changing.save(CHANGED, base=1, revision=0, user="ann")
    assert first.revision == 1
    with pytest.raises(ConflictError, match="somebody else has saved"):
        changing.save(TEXT, base=1, revision=0, user="bob")
    assert changing.save(TEXT, base=1, revision=1, user="bob").revision == 2
    changing.commit(CHANGED, "", base=1, user="ann")
    assert changing.current()["candidate"] is None


def test_what_waits_for_a_restart_is_said(changing: Configuring) -> None:
    done = changing.commit(TEXT + "http: {port: 9999}\ninstance: other\n", "", base=1, user="ann")
    assert set(done.at_restart) == {"http", "instance"}


def test_a_restart_finds_the_same_version(file: Path, changing: Configuring) -> None:
    changing.commit(CHANGED, "", base=1, user="ann")
    changing.engine.close()
    with Engine(load(file)) as engine:
        found = versions.newest(engine.control)
        assert found is not None
        assert found.number == 2


def test_the_operations_are_plain_json(file: Path) -> None:
    with Engine(load(file)) as engine:
        operations = Operations(engine)
        now = operations.call("configuration", {})
        assert (now["version"], now["text"]) == (1, TEXT)
        operations.call("save_candidate", {"text": CHANGED, "base": 1})
        assert "+  second:" in operations.call("configuration", {})["candidate"]["diff"]
        assert operations.call("check", {"text": "sources: ["})["ok"] is False
        assert operations.call("commit", {"text": CHANGED, "message": "why", "base": 1})["version"] == 2
        assert operations.call("version", {"version": 2})["message"] == "why"
        assert operations.call("revert", {"version": 1})["version"] == 3
        assert len(operations.call("history", {})["versions"]) == 3
        operations.close()


def test_one_node_is_changed_and_the_rest_keeps_its_comments(changing: Configuring, file: Path) -> None:
    ways = {"base": 1, "user": "ann"}
    changing.put_node("sources", "mine", {"kind": "local", "tlp": "green"}, "", **ways)
    assert file.read_text() == TEXT.replace("tlp: clear", "tlp: green")
    changing.put_node("outputs", "second", {"kind": "list", "inputs": "mine"}, "", base=2, user="ann")
    assert changing.node("second")["settings"] == {"kind": "list", "inputs": "mine"}
    changing.drop_node("second", "", base=3, user="ann")
    assert [each["message"] for each in changing.history(3, None)] == [
        "second removed",
        "second changed",
        "mine changed",
    ]
    assert "# Our lab." in file.read_text()


def test_a_team_changes_its_own_nodes_alone(tmp_path: Path) -> None:
    path = tmp_path / "tipline.yml"
    path.write_text(
        "teams: {red: {}, blue: {}}\nsources:\n  r: {kind: local, team: red}\n  b: {kind: local, team: blue}\n"
        "outputs:\n  ro: {kind: list, inputs: r, team: red}\n  bo: {kind: list, inputs: b, team: blue}\n"
    )
    with Engine(load(path)) as engine:
        operations = Operations(engine).asked_by(Asker("ann", team="red"))
        body = {"kind": "local", "team": "red", "tlp": "green"}
        assert (
            operations.call("put_node", {"section": "sources", "name": "r", "settings": body, "base": 1})["version"]
            == 2
        )
        for name, other in (("b", "blue"), ("b", "red"), ("x", "blue")):
            wrong = {
                "section": "sources",
                "name": name,
                "settings": {"kind": "local", "team": other, "tlp": "red"},
                "base": 2,
            }
            with pytest.raises(NotYoursError):
                operations.call("put_node", wrong)
        for call, arguments in (("node_settings", {"name": "b"}), ("drop_node", {"name": "b", "base": 2})):
            with pytest.raises(RequestError, match="no node b of yours"):
                operations.call(call, arguments)
        for call in ("configuration", "history"):
            with pytest.raises(NotYoursError):
                operations.call(call, {})
        operations.close()
