"""The candidate, node by node: several people and teams edit it at once, and nothing of anybody's is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tipline.config.check import load
from tipline.config.hidden import MASK
from tipline.engine.asker import Asker
from tipline.engine.configuring import ConflictError
from tipline.engine.core import Engine
from tipline.engine.operations import Operations
from tipline.engine.people import RequestError
from tipline.engine.visible import NotYoursError
from tipline.errors import ConfigError

TEXT = """\
# Our lab.
sources:
  # what people add
  mine: {kind: local, tlp: clear}   # by hand
  feed:
    kind: lines
    url: https://ann:hunter2@feeds.example.org/list.txt
    enabled: false   # not yet
outputs:
  list: {kind: list, inputs: [mine, feed]}
"""
TEAMS = """\
teams: {red: {}, blue: {}}
sources:
  r: {kind: local, team: red}
  b: {kind: local, team: blue}
outputs:
  ro: {kind: list, inputs: r, team: red}
  bo: {kind: list, inputs: b, team: blue}
"""


class Person:
    """One who calls operations."""

    def __init__(self, operations: Operations, name: str, team: str = "", *, everywhere: bool = True) -> None:
        self._operations = operations.asked_by(Asker(name, team or "default", everywhere))

    def __call__(self, operation: str, /, **arguments: Any) -> Any:
        return self._operations.call(operation, arguments)

    def edit(self, name: str, old: str, new: str) -> Any:
        """Change a node's text."""
        node = self("draft_node", name=name)
        assert old in node["text"]
        text = node["text"].replace(old, new)
        return self("draft_put", section=node["section"], name=name, text=text, seen=node["seen"])


def _running(tmp_path: Path, text: str) -> Iterator[Operations]:
    (tmp_path / "tipline.yml").write_text(text)
    with Engine(load(tmp_path / "tipline.yml")) as engine:
        operations = Operations(engine)
        yield operations
        operations.close()


@pytest.fixture
def operations(tmp_path: Path) -> Iterator[Operations]:
    """A running configuration."""
    yield from _running(tmp_path, TEXT)


@pytest.fixture
def ann(operations: Operations) -> Person:
    """Somebody."""
    return Person(operations, "ann")


@pytest.fixture
def bob(operations: Operations) -> Person:
    """Somebody else."""
    return Person(operations, "bob")


def _file(operations: Operations) -> str:
    return operations.engine.configuration.path.read_text()


def test_a_node_is_edited_planned_and_put_to_work(operations: Operations, ann: Person) -> None:
    ann.edit("feed", "enabled: false", "enabled: true")
    ann("draft_put", section="sources", name="new", settings={"kind": "local", "tlp": "green"})
    found = ann("draft")
    assert [(each["name"], each["op"]) for each in found["changes"]] == [("feed", "changed"), ("new", "added")]
    assert (found["actor"], found["revision"], found["ok"]) == ("ann", 2, True)
    assert "-enabled: false   # not yet" in found["changes"][0]["diff"]
    assert "+enabled: true   # not yet" in found["changes"][0]["diff"]
    assert [each["what"] for each in found["problems"]] == ["no node reads new"]
    plan = ann("draft_plan")
    assert (plan["new_sources"], plan["revision"]) == (["new"], 2)
    assert ann("draft_commit", message="both", revision=2)["version"] == 2
    assert ann("draft")["changes"] == []
    assert "  # what people add\n  mine: {kind: local, tlp: clear}   # by hand\n" in _file(operations)
    assert ann("history")["versions"][0]["actor"] == "ann"


def test_secrets_in_the_file_are_not_shown_and_stay(operations: Operations, ann: Person) -> None:
    assert "hunter2" not in str([ann("draft_node", name="feed"), ann("draft_text")])
    ann.edit("feed", "list.txt", "other.txt")
    assert "hunter2" not in str(ann("draft"))
    ann("draft_commit", message="", revision=1)
    assert "https://ann:hunter2@feeds.example.org/other.txt" in _file(operations)
    with pytest.raises(ConfigError, match="not known"):
        ann("draft_put", section="sources", name="x", text=f"kind: lines\nurl: x\nbearer: {MASK}\n")
    text = ann("draft_text")
    ann("save_candidate", text=text["text"].replace("Our lab", "Their lab"), base=2)
    assert ann("draft")["only_remarks"]
    ann("draft_commit", message="", revision=1)
    assert "hunter2" in _file(operations)
    assert "# Their lab" in _file(operations)


def test_a_new_secret_in_place_of_a_hidden_one_is_told_but_not_shown(ann: Person) -> None:
    ann("draft_put", section="outputs", name="keyed", settings={"kind": "list", "inputs": "mine", "access": "key",
                                                               "keys": ["the-first-long-key"]})  # fmt: skip
    ann("draft_commit", message="", revision=1)
    ann.edit("keyed", MASK, "the-second-long-key")
    (change,) = ann("draft")["changes"]
    assert change["hidden"]
    assert "long-key" not in str(change)


def test_two_people_edit_different_nodes_of_one_candidate(ann: Person, bob: Person) -> None:
    node = bob("draft_node", name="mine")
    ann.edit("feed", "enabled: false", "enabled: true")
    bob("draft_put", section="sources", name="mine", text=node["text"].replace("clear", "green"), seen=node["seen"])
    assert [each["name"] for each in ann("draft")["changes"]] == ["mine", "feed"]


def test_who_edits_the_same_node_is_told(ann: Person, bob: Person) -> None:
    node = bob("draft_node", name="mine")
    ann.edit("mine", "clear", "green")
    for call, arguments in (
        ("draft_put", {"section": "sources", "text": node["text"]}),
        ("draft_drop", {}),
    ):
        with pytest.raises(ConflictError, match=r"mine was changed since you began.* ann,"):
            bob(call, name="mine", seen=node["seen"], **arguments)
    bob.edit("mine", "green", "amber")
    with pytest.raises(ConflictError, match="bob has changed the candidate since"):
        ann("draft_commit", message="", revision=1)


def test_a_change_is_taken_back_alone_and_all_is_thrown_away(ann: Person) -> None:
    ann.edit("mine", "clear", "green")
    feed = ann("draft_node", name="feed")
    ann("draft_drop", name="feed", seen=feed["seen"])
    found = [(each["name"], each["op"]) for each in ann("draft")["changes"]]
    assert found == [("mine", "changed"), ("feed", "removed")]
    assert not ann("draft")["ok"]
    ann("draft_undo", name="feed")
    assert ann("draft")["ok"]
    assert [each["name"] for each in ann("draft")["changes"]] == ["mine"]
    ann("draft_undo", name="mine")
    assert ann("draft")["revision"] == 0
    with pytest.raises(RequestError, match="changes nothing of mine"):
        ann("draft_undo", name="mine")
    ann.edit("mine", "clear", "green")
    ann("draft_discard")
    assert ann("draft")["changes"] == []


def test_a_version_put_to_work_meanwhile_costs_the_candidate_nothing(operations: Operations, ann: Person) -> None:
    ann.edit("mine", "clear", "green")
    operations.call("put_node", {"section": "sources", "name": "other", "settings": {"kind": "local"}, "base": 1,
                                 "user": "bob", "message": "one more"})  # fmt: skip
    found = ann("draft")
    assert [each["name"] for each in found["changes"]] == ["mine"]
    assert [(each["version"], each["actor"], each["message"]) for each in found["since"]] == [(2, "bob", "one more")]
    ann("draft_commit", message="", revision=1)
    assert "tlp: green" in _file(operations)
    assert "other" in _file(operations)


def test_where_both_changed_the_same_somebody_decides(operations: Operations, ann: Person) -> None:
    ann.edit("mine", "clear", "green")
    ann.edit("feed", "enabled: false", "enabled: true")
    body = {"kind": "local", "tlp": "red"}
    operations.call("put_node", {"section": "sources", "name": "mine", "settings": body, "base": 1, "user": "bob"})
    (undecided,) = ann("draft")["undecided"]
    assert (undecided["name"], "green" in undecided["ours"]["text"], "red" in undecided["theirs"]["text"]) == (
        "mine", True, True)  # fmt: skip
    for call, arguments in (
        ("draft_commit", {"message": "", "revision": 2}),
        ("draft_plan", {}),
        ("draft_put", {"section": "sources", "name": "x", "settings": {"kind": "local"}}),
    ):
        with pytest.raises(ConflictError, match="version 2 of bob changed the same: mine"):
            ann(call, **arguments)
    with pytest.raises(ConflictError, match="say which holds: mine"):
        ann("draft_decide", prefer={})
    assert ann("draft_decide", prefer={"mine": "ours"})["undecided"] == []
    ann("draft_commit", message="", revision=3)
    assert "tlp: green" in _file(operations)
    assert "enabled: true" in _file(operations)


def test_a_candidate_that_is_no_yaml_is_told_and_can_be_thrown_away(ann: Person) -> None:
    ann("save_candidate", text="sources: [", base=1)
    found = ann("draft")
    assert not found["ok"]
    assert "not valid YAML" in found["problems"][0]["what"]
    with pytest.raises(ConfigError):
        ann("draft_node", name="mine")
    ann("draft_discard")
    assert ann("draft")["ok"]


def test_problems_say_which_setting(ann: Person) -> None:
    ann.edit("feed", "enabled: false", "confidence: 200")
    problem = next(each for each in ann("draft")["problems"] if each["severity"] == "error")
    assert problem["place"] == ["sources", "feed", "confidence"]


def test_teams_edit_and_commit_their_own_part(tmp_path: Path) -> None:
    for operations in _running(tmp_path, TEAMS):
        red, blue = (Person(operations, name, name, everywhere=False) for name in ("red", "blue"))
        red.edit("r", "team: red", "team: red, tlp: green")
        blue("draft_put", section="sources", name="b2", settings={"kind": "local", "team": "blue"})
        found = red("draft")
        assert ([each["name"] for each in found["changes"]], found["others"]) == (["r"], 1)
        assert {each["name"] for each in red("draft_nodes")["nodes"]} >= {"r", "ro"}
        assert not {each["name"] for each in red("draft_nodes")["nodes"]} & {"b", "bo", "b2"}
        assert [each["output"] for each in red("draft_plan")["outputs"]] == ["ro"]
        for call, arguments in (
            ("draft_node", {"name": "b"}),
            ("draft_text", {}),
            ("draft_undo", {"name": "b2"}),
            ("draft_put", {"section": "sources", "name": "b", "settings": {"kind": "local", "team": "red"}}),
            ("draft_put", {"section": "sources", "name": "x", "settings": {"kind": "local", "team": "blue"}}),
            ("draft_put", {"section": "sources", "name": "x", "settings": {"kind": "local"}}),
        ):
            with pytest.raises((NotYoursError, RequestError, ConfigError)):
                red(call, **arguments)
        red("draft_commit", message="green", revision=found["revision"])
        assert "tlp: green" in _file(operations)
        assert "b2" not in _file(operations)
        assert [each["name"] for each in blue("draft")["changes"]] == ["b2"]
        red.edit("r", "green", "amber")
        red("draft_discard")
        assert [each["name"] for each in blue("draft")["changes"]] == ["b2"]
        blue("draft_commit", message="", revision=blue("draft")["revision"])
        assert "b2" in _file(operations)


def test_a_node_is_checked_while_it_is_written(ann: Person) -> None:
    def check(text: str, name: str = "feed", section: str = "sources") -> list[tuple[Any, str, str]]:
        found = ann("draft_check", section=section, name=name, text=text)["problems"]
        return [(each["line"], each["path"], each["what"]) for each in found]

    assert check(ann("draft_node", name="feed")["text"]) == []
    assert check("kind: lines\nurl: x\n\nconfidence: 200\n") == [
        (4, "confidence", "Input should be less than or equal to 100")
    ]
    assert check("kind: lines\nurl: [x\n")[0][0] == 3
    assert check("kind: lines\nurl: x\nurll: y\n")[0][:2] == (3, "urll")
    assert check("kind: csv\nurl: x\n")[0][1:] == ("kind", "feed is a lines source, and stays one")
    assert check("{kind: list,\n inputs: [nothing]}\n", "list", "outputs")[0][:2] == (2, "inputs")
    assert check(f"kind: lines\nurl: x\nbearer: {MASK}\n")[0][1:] == (
        "bearer", "bearer: the hidden value is not known here")  # fmt: skip
    assert check("just words")[0][2].startswith("the file's top level is not a mapping")
    assert check("kind: lines\nurl: ${env:NOTHING_OF_THIS_NAME}\n")[0][:2] == (2, "url")
