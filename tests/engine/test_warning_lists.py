"""Warning lists: what stands on one is tagged or dropped; lists are switched, added, fetched, held, and counted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tipline.config.check import check, check_text
from tipline.engine.asker import Asker
from tipline.engine.conditions import conditions
from tipline.engine.core import Engine
from tipline.engine.operations import Operations
from tipline.engine.verify import verify
from tipline.engine.warning_refresh import due
from tipline.engine.warnings import FOLDER
from tipline.errors import TiplineError

CONFIG = """\
# ours
teams: {red: {}}
sources:
  feed: {kind: lines, url: FOLDER/feed.txt, tlp: clear, tags: [ours]} # beside
  reds: {kind: lines, url: FOLDER/reds.txt, team: red, tlp: red, distribution: server}
processors:
  quiet: {kind: filter, inputs: feed, where: "not ('warning-list:microsoft' in tags)"}
outputs:
  all: {kind: list, inputs: feed}
  filtered: {kind: list, inputs: quiet}
  red-list: {kind: list, inputs: reds, team: red, max_tlp: amber}
"""
EMPTY = "d41d8cd98f00b204e9800998ecf8427e"
FEED = ["8.8.8.8", "evil.example.com", "login.microsoft.com", EMPTY, "104.16.7.0/24", "http://www.google.com/x"]
START = datetime.fromisoformat("2026-03-01")


@pytest.fixture
def now() -> list[datetime]:
    return [START]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "feed.txt").write_text("\n".join(FEED))
    (tmp_path / "reds.txt").write_text("1.1.1.1\n8.8.8.8\n")
    file = tmp_path / "tipline.yml"
    file.write_text(CONFIG.replace("FOLDER", str(tmp_path)))
    return file


@pytest.fixture
def operations(path: Path, now: list[datetime]) -> Iterator[Operations]:
    configuration = check_text(path.read_text(), path).usable()
    with Engine(configuration, clock=lambda: now[0]) as engine, closing(Operations(engine)) as found:
        for source in ("feed", "reds"):
            assert found.call("poll", {"source": source})["state"] == "ok"
        yield found


def tags(operations: Operations, output: str = "all") -> dict[str, list[str]]:
    return {row["value"]: row["tags"] for row in operations.call("list", {"node": output})["rows"]}


def ours(place: Path, entries: list[str], match: str = "hostname") -> str:
    """Write a list of one's own; returns where."""
    file = place / "ours.json"
    found = {"name": "Ours <b>", "description": "our own", "version": 3, "type": match, "list": entries}
    file.write_text(json.dumps(found))
    return str(file)


def test_only_the_two_that_drop_are_used_at_first(operations: Operations) -> None:
    used = [each for each in operations.call("warning_lists", {})["lists"] if each["enabled"]]
    assert [(each["name"], each["action"], each["hits"]) for each in used] == [
        ("common-ioc-false-positive", "drop", 1), ("empty-hashes", "drop", 1),
    ]  # fmt: skip
    assert tags(operations) == {value: ["ours"] for value in FEED if value != EMPTY}
    (run,) = operations.call("runs", {"node": "all", "limit": 1})["runs"]
    assert (run["read"], run["accepted"]) == (5, 5)
    told = operations.call("why", {"value": EMPTY})
    assert told["nodes"][0]["reason"] == "on warning list common-ioc-false-positive"
    assert {each["list"]: each["entries"] for each in told["warning_lists"]}["empty-hashes"] == [EMPTY]


def test_the_recommended_lists_tag_and_filters_see_the_tags(operations: Operations, path: Path) -> None:
    operations.call("warning_lists_set", {"recommended": True})
    found = tags(operations)
    assert found["8.8.8.8"] == ["ours", "warning-list:public-dns-v4"]
    assert found["104.16.7.0/24"] == ["ours", "warning-list:cloudflare"]
    assert "warning-list:google" in found["http://www.google.com/x"]
    assert found["evil.example.com"] == ["ours"]
    assert set(found) - set(tags(operations, "filtered")) == {"login.microsoft.com"}
    assert path.read_text().startswith("# ours\n")
    assert "tags: [ours]} # beside" in path.read_text()
    operations.call("warning_list_change", {"name": "microsoft", "enabled": False})
    assert "login.microsoft.com" in tags(operations, "filtered")
    assert all(each.equal for each in verify(operations.engine))


def test_a_category_drops_unless_a_list_says_otherwise(operations: Operations) -> None:
    operations.call("warning_list_change", {"name": "public-dns-v4", "enabled": True, "category": "known"})
    operations.call("warning_list_change", {"name": "cloudflare", "enabled": True})
    operations.call("warning_lists_set", {"drop": ["known"]})
    assert "8.8.8.8" not in tags(operations)
    removed = operations.call("why", {"value": "8.8.8.8"})["log"][0]
    assert (removed["op"], removed["reason"]) == ("removed", "on warning list public-dns-v4")
    operations.call("warning_list_change", {"name": "public-dns-v4", "action": "tag"})
    assert tags(operations)["8.8.8.8"] == ["ours", "warning-list:public-dns-v4"]
    operations.call("warning_lists_set", {"drop": []})
    assert tags(operations)["104.16.7.0/24"] == ["ours", "warning-list:cloudflare"]


def test_a_plan_shows_what_a_list_would_drop_and_changes_nothing(operations: Operations, path: Path) -> None:
    text = path.read_text() + "warning_lists: {lists: {public-dns-v4: {enabled: true, action: drop}}}\n"
    found = operations.call("plan", {"text": text, "path": str(path)})
    outputs = {each["output"]: each for each in found["outputs"]}
    assert (outputs["all"]["removed"], outputs["all"]["samples"][0]["value"]) == (1, "8.8.8.8")
    assert "8.8.8.8" in tags(operations)
    assert all(each.equal for each in verify(operations.engine))


def test_a_list_of_ones_own_is_fetched_when_due_and_only_what_it_touches_is_looked_at(
    operations: Operations, now: list[datetime], tmp_path: Path
) -> None:
    added = operations.call("warning_list_add", {"name": "ours", "url": ours(tmp_path, ["example.com"]), "every": "6h"})
    assert (added["changed"], added["message"], added["list"]["entries"]) == (True, "", 1)
    assert tags(operations)["evil.example.com"] == ["ours", "warning-list:ours"]
    ours(tmp_path, ["microsoft.com"])
    assert due(operations.engine) == []
    now[0] += timedelta(hours=6)
    assert due(operations.engine) == ["ours"]
    done = operations.scheduler.run_once()
    (change,) = [each for each in done.evaluated if each.output == "all"]
    assert (change.full, change.added, change.changed, change.removed) == (False, 0, 2, 0)
    assert tags(operations)["login.microsoft.com"] == ["ours", "warning-list:ours"]
    assert tags(operations)["evil.example.com"] == ["ours"]
    assert all(each.equal for each in verify(operations.engine))


def test_a_list_in_the_place_of_one_that_ships(operations: Operations, tmp_path: Path) -> None:
    operations.call("warning_list_change", {"name": "microsoft", "enabled": True})
    operations.call("warning_list_add", {"name": "microsoft", "url": ours(tmp_path, ["example.com"])})
    assert tags(operations)["evil.example.com"] == ["ours", "warning-list:microsoft"]
    assert tags(operations)["login.microsoft.com"] == ["ours"]
    assert list((tmp_path / "data" / FOLDER).iterdir())
    operations.call("warning_list_remove", {"name": "microsoft"})
    assert list((tmp_path / "data" / FOLDER).iterdir()) == []
    assert tags(operations)["evil.example.com"] == ["ours"]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (["example.com"], [], "held: the list is empty"),
        ([f"a{n}.com" for n in range(40)], ["example.com"], "held: of 40 entries only 1 are left"),
        (["example.com", *(f"a{n}.com" for n in range(99))], [f"b{n}.com" for n in range(1200)], "grew to 1,200"),
    ],
)
def test_what_a_list_can_hardly_have_become_is_held_until_somebody_approves(
    operations: Operations, tmp_path: Path, before: list[str], after: list[str], said: str
) -> None:
    operations.call("warning_list_add", {"name": "ours", "url": ours(tmp_path, before)})
    was = tags(operations)
    ours(tmp_path, after)
    found = operations.call("warning_list_refresh", {"name": "ours"})
    assert said in found["message"]
    assert found["list"]["failing_since"]
    assert tags(operations) == was
    assert [each.name for each in conditions(operations.engine)] == ["list ours failing"]
    assert operations.call("warning_list_refresh", {"name": "ours", "approve": True})["message"] == ""
    assert operations.call("warning_list", {"name": "ours"})["entries"] == len(after)
    assert conditions(operations.engine) == []


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"[]", b'{"list": 1}', b'{"name": "x", "list": []}', b"[" * 99999])
def test_what_is_no_list_is_kept_out_and_told(operations: Operations, tmp_path: Path, body: bytes) -> None:
    operations.call("warning_list_add", {"name": "ours", "url": ours(tmp_path, ["example.com"])})
    (tmp_path / "ours.json").write_bytes(body)
    found = operations.call("warning_list_refresh", {"name": "ours"})
    assert found["message"]
    assert tags(operations)["evil.example.com"] == ["ours", "warning-list:ours"]


def test_hostile_expressions_end(operations: Operations, tmp_path: Path) -> None:
    (tmp_path / "feed.txt").write_text("a" * 60 + ".com\nhttp://x.com/" + "a" * 1500 + "!\n")
    url = ours(
        tmp_path, ["/^(a+)+$/", "/(a|a)*b/", "/(?=(a+))\\1/", "/[/", "x'; DROP TABLE warning_lists; --"], "regex"
    )
    operations.call("warning_list_add", {"name": "ours", "url": url})
    operations.call("poll", {"source": "feed"})
    assert len(tags(operations)) == 2
    with operations.engine.lake.reading() as con:
        refused = con.execute("SELECT refused, samples FROM warning_lists WHERE name = 'ours'").fetchone()
    assert refused == (2, ["/(?=(a+))\\1/", "/[/"])


def test_what_was_made_ready_outlives_its_file_and_a_restart(
    operations: Operations, path: Path, now: list[datetime], tmp_path: Path
) -> None:
    operations.call("warning_list_add", {"name": "ours", "url": ours(tmp_path, ["example.com"])})
    operations.engine.warnings.path("ours").unlink()
    operations.engine.close()
    with Engine(check_text(path.read_text(), path).usable(), clock=lambda: now[0]) as engine:
        assert engine.evaluate() == engine.evaluate()
        assert all(each.equal for each in verify(engine))
        with closing(Operations(engine)) as again:
            assert tags(again)["evil.example.com"] == ["ours", "warning-list:ours"]


def test_values_are_checked_entries_searched_and_indicators_found_by_the_tag(operations: Operations) -> None:
    operations.call("warning_lists_set", {"recommended": True})
    found = operations.call("warning_check", {"values": ["8[.]8.8.8", "a.evil.example.com", "!!"]})["values"]
    assert [(each["list"], each["entries"]) for each in found[0]["lists"]] == [("public-dns-v4", ["8.8.8.8"])]
    assert [each["lists"] for each in found[1:]] == [[], []]
    assert found[2]["problem"]
    page = operations.call("warning_entries", {"name": "google", "text": "GOOGLE.A", "limit": 3})
    assert page["entries"] == [".google.ad", ".google.ae", ".google.al"]
    assert page["next"] == 3 < page["total"]
    wanted = {"tag": "warning-list:public-dns-v4"}
    assert [each["value"] for each in operations.call("find", {"wanted": wanted})["indicators"]] == [
        "1.1.1.1",
        "8.8.8.8",
    ]
    assert operations.call("find", {"wanted": {**wanted, "sources": ["nothing"]}})["indicators"] == []


def test_hits_are_those_that_the_asker_sees_and_only_admins_switch(operations: Operations) -> None:
    operations.call("warning_lists_set", {"recommended": True})
    everybody = operations.call("warning_list", {"name": "public-dns-v4"})
    assert everybody["sources"] == [{"source": "reds", "indicators": 2}, {"source": "feed", "indicators": 1}]
    assert everybody["hits"] == 2
    default = operations.asked_by(Asker("vik", "default"))
    assert default.call("warning_list", {"name": "public-dns-v4"})["sources"] == [{"source": "feed", "indicators": 1}]
    assert default.call("warning_list", {"name": "public-dns-v4"})["hits"] == 1
    worth = {each["source"]: each for each in default.call("worth", {})["sources"]}
    assert (worth["feed"]["warned"], worth["feed"]["warning_lists"]["public-dns-v4"]) == (5, 1)
    for name, arguments in (
        ("warning_list_change", {"name": "microsoft", "enabled": True}), ("warning_lists_set", {"recommended": False}),
        ("warning_list_add", {"name": "x", "url": "x"}), ("warning_list_remove", {"name": "x"}),
        ("warning_list_refresh", {"name": "x"}),
    ):  # fmt: skip
        with pytest.raises(TiplineError, match="every team"):
            default.call(name, arguments)


def test_changes_are_on_record(operations: Operations, tmp_path: Path) -> None:
    operations.call("warning_list_change", {"name": "microsoft", "enabled": True, "action": "drop"})
    operations.call("warning_list_add", {"name": "ours", "url": ours(tmp_path, ["example.com"])})
    operations.call("warning_list_remove", {"name": "ours"})
    entries = {each["action"]: each for each in operations.call("audit", {})["entries"]}
    changed: dict[str, Any] = entries["warning list change"]["detail"]
    assert (changed["before"]["enabled"], changed["after"]["enabled"]) == (False, True)
    assert {"warning list add", "warning list remove"} <= set(entries)
    messages = [each["message"] for each in operations.call("history", {})["versions"]]
    assert "warning list microsoft changed" in messages


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("lists: {mircosoft: {enabled: true}}", "there is no warning list mircosoft"),
        ("lists: {a/b: {url: x}}", "no name for a list"),
        ("drop: [bad]", "false_positive"),
        ("lists: {microsoft: {action: block}}", "'tag' or 'drop'"),
    ],
)
def test_mistakes_in_the_file_are_told_with_their_line(path: Path, text: str, what: str) -> None:
    path.write_text(f"{path.read_text()}warning_lists:\n  {text}\n")
    (problem,) = check(path).errors
    assert what in problem.what
    assert problem.where.endswith(("tipline.yml:14", "tipline.yml:13"))
