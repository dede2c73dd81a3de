"""Teams: made, renamed and closed in the configuration, and only when they own nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tipline.config.check import load
from tipline.engine.asker import Asker
from tipline.engine.core import Engine
from tipline.engine.operations import Operations
from tipline.engine.people import RequestError
from tipline.engine.visible import NotYoursError

CONFIG = """\
# ours
teams:
  blue: {title: Blue}   # the first
sources:
  mine: {kind: local}
  theirs: {kind: local, team: blue}
outputs:
  list: {kind: list, inputs: mine}
"""


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Operations]:
    path = tmp_path / "tipline.yml"
    path.write_text(CONFIG)
    with Engine(load(path), in_memory=True) as engine:
        operations = Operations(engine).asked_by(Asker("ada", everywhere=True, address="192.0.2.1"))
        yield operations
        operations.close()


def text(house: Operations) -> str:
    return house.engine.configuration.path.read_text()


def names(house: Operations) -> list[str]:
    return [each["name"] for each in house.call("teams", {})["teams"]]


def test_a_team_is_made_renamed_and_closed_and_the_rest_of_the_file_stays(house: Operations) -> None:
    made = house.call("team_add", {"name": "green", "title": "Green"})
    assert (made["title"], made["listed"], names(house)) == ("Green", True, ["blue", "default", "green"])
    assert "# ours" in text(house)
    assert "# the first" in text(house)
    house.call("user_add", {"name": "gil", "team": "green", "role": "viewer"})
    key = house.call("key_add", {"user": "gil"})["key"]
    house.call("team_change", {"name": "green", "title": "Greener"})
    assert house.engine.configuration.settings.teams["green"].title == "Greener"
    found = house.call("team", {"name": "green"})
    assert ([each["name"] for each in found["users"]], found["keys"]) == (["gil"], 1)
    assert house.call("team_close", {"name": "green"}) == {"closed": "green", "users": ["gil"]}
    assert house.accounts.by_key(key, "192.0.2.1") is None
    assert "green" not in house.engine.configuration.settings.teams
    entries = house.call("audit", {})["entries"]
    told = {each["action"]: each["detail"] for each in entries}
    assert (told["team change"]["before"]["title"], told["team change"]["after"]["title"]) == ("Green", "Greener")
    assert told["team close"]["before"]["users"][0]["name"] == "gil"
    assert [each["message"] for each in house.call("history", {})["versions"]][:3] == [
        "team green closed", "team green renamed", "team green made",
    ]  # fmt: skip


def test_a_team_that_owns_something_stays(house: Operations) -> None:
    house.call("team_add", {"name": "green"})
    house.call("secret_set", {"name": "theirs", "value": "x", "team": "green"})
    for name, owned in (("blue", "theirs"), ("green", "theirs")):
        with pytest.raises(RequestError, match=f"{name} still has {owned}"):
            house.call("team_close", {"name": name})
    assert {"blue", "green"} <= house.engine.configuration.settings.teams.keys()


@pytest.mark.parametrize(
    ("operation", "arguments", "words"),
    [
        ("team_add", {"name": "blue"}, "already"),
        ("team_add", {"name": "default"}, "no name"),
        ("team_add", {"name": "a b"}, "no name"),
        ("team_close", {"name": "default"}, "stays"),
        ("team_close", {"name": "nobody"}, "no team"),
        ("team", {"name": "nobody"}, "no team"),
    ],
)
def test_what_cannot_be_is_told(house: Operations, operation: str, arguments: dict[str, Any], words: str) -> None:
    before = text(house)
    with pytest.raises(RequestError, match=words):
        house.call(operation, arguments)
    assert text(house) == before


def test_nobody_but_an_admin_sees_or_changes_them(house: Operations) -> None:
    theirs = house.asked_by(Asker("eve", "blue"))
    assert [each["name"] for each in theirs.call("teams", {})["teams"]] == ["blue"]
    for operation in ("team", "team_add", "team_change", "team_close"):
        arguments = {"name": "blue", **({"title": "x"} if operation == "team_change" else {})}
        with pytest.raises(NotYoursError):
            theirs.call(operation, arguments)


def test_the_first_listed_team_brings_those_that_nodes_name(tmp_path: Path) -> None:
    path = tmp_path / "tipline.yml"
    path.write_text("sources:\n  a: {kind: local, team: red}\n")
    with Engine(load(path), in_memory=True) as engine:
        operations = Operations(engine)
        operations.call("team_add", {"name": "blue"})
        assert sorted(engine.configuration.settings.teams) == ["blue", "red"]
        operations.close()
