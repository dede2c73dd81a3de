"""Operations: what people can do, over plain JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tipline.config.check import check_text
from tipline.engine.asker import Asker
from tipline.engine.core import Engine
from tipline.engine.operations import NAMES, Operations, plain
from tipline.engine.people import RequestError
from tipline.errors import ConfigError
from tipline.store.control import AUDIT
from tipline.store.records import rows

CONFIG = """\
sources:
  feed: {{kind: lines, url: 'file://{folder}/feed.txt', confidence: 80, tlp: clear}}
  by-hand: {{kind: local, tlp: clear}}
processors:
  inbound: {{kind: aggregate, inputs: [feed, by-hand]}}
outputs:
  all: {{kind: list, inputs: inbound}}
"""


@pytest.fixture
def operations(tmp_path: Path) -> Iterator[Operations]:
    """Operations on an engine that has polled its feed once."""
    (tmp_path / "feed.txt").write_text("1.2.3.4\n5.6.7.8\n5.6.7.9\n")
    text = CONFIG.format(folder=tmp_path)
    configuration = check_text(text, tmp_path / "tipline.yml").usable()
    with Engine(configuration) as engine, closing(Operations(engine)) as found:
        found.call("poll", {"source": "feed"})
        yield found


def values(operations: Operations, node: str = "all") -> list[str]:
    return sorted(row["value"] for row in operations.call("list", {"node": node})["rows"])


def test_an_unknown_operation_is_refused_with_a_suggestion(operations: Operations) -> None:
    with pytest.raises(RequestError) as caught:
        operations.call("lokup", {})

    assert caught.value.fix == "did you mean lookup?"


@pytest.mark.parametrize(
    ("name", "arguments", "named"),
    [
        ("status", {"extra": 1}, "extra"),
        ("add", {}, "entries"),
        ("add", {"entries": [{"value": "1.1.1.1", "confidence": 101}]}, "confidence"),
        ("add", {"entries": [{"value": "1.1.1.1", "colour": "red"}]}, "colour"),
        ("allow", {"value": "1.1.1.1"}, "reason"),
        ("lookup", {"values": 7}, "values"),
        ("runs", {"node": "feed", "limit": "many"}, "limit"),
    ],
)
def test_wrong_arguments_are_named(operations: Operations, name: str, arguments: Any, named: str) -> None:
    with pytest.raises(RequestError) as caught:
        operations.call(name, arguments)

    assert named in caught.value.what


def test_private_methods_cannot_be_called(operations: Operations) -> None:
    for name in ("call", "close", "_publish", "__init__", "engine"):
        assert name not in NAMES
        with pytest.raises(RequestError):
            operations.call(name, {})


@pytest.mark.parametrize("name", ["status", "deliveries", "holds", "verify", "doctor", "run_once", "reconcile"])
def test_results_are_plain_json(operations: Operations, name: str) -> None:
    result = operations.call(name, {})

    assert json.loads(json.dumps(result)) == result


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("list", {"node": "al"}),
        ("poll", {"source": "fed"}),
        ("runs", {"node": "fed"}),
        ("verify", {"outputs": ["al"]}),
        ("lookup", {"values": ["1.2.3.4"], "outputs": ["al"]}),
        ("reconcile", {"output": "all"}),
        ("adopt", {"output": "all"}),
        ("doctor", {"output": "al"}),
        ("add", {"entries": [{"value": "1.1.1.1"}], "source": "feed"}),
        ("approve", {"node": "feed"}),
    ],
)
def test_wrong_names_are_refused_with_what_there_is(operations: Operations, name: str, arguments: Any) -> None:
    with pytest.raises(RequestError) as caught:
        operations.call(name, arguments)

    assert caught.value.fix


def test_a_poll_is_published_at_once(operations: Operations) -> None:
    assert values(operations) == ["1.2.3.4", "5.6.7.8", "5.6.7.9"]


def test_entries_of_two_users_are_two(operations: Operations) -> None:
    for user in ("ann", "ben"):
        operations.call("add", {"entries": [{"value": "9.9.9.9"}], "user": user})

    mine = operations.call("remove", {"values": ["9.9.9.9"], "user": "ann"})

    assert (mine["removed"], mine["left"]) == (1, [{"value": "9.9.9.9", "by": "default/ben"}])
    assert "9.9.9.9" in values(operations)
    operations.call("remove", {"values": ["9.9.9.9"], "user": "ann", "everyone": True})
    assert "9.9.9.9" not in values(operations)


def test_allow_reports_what_a_network_takes_out(operations: Operations) -> None:
    found = operations.call("allow", {"value": "5.6.7.0/24", "reason": "ours", "user": "ann"})

    assert [(o["output"], o["removed"]) for o in found["outputs"]] == [("all", 2)]
    assert {s["value"] for s in found["outputs"][0]["samples"]} == {"5.6.7.8", "5.6.7.9"}
    assert values(operations) == ["1.2.3.4"]


def test_allow_with_a_time_to_live_ends_by_itself(operations: Operations) -> None:
    operations.call("allow", {"value": "1.2.3.4", "reason": "ours", "ttl": "1h"})
    assert "1.2.3.4" not in values(operations)

    later = operations.engine.clock() + timedelta(hours=2)
    operations.engine.clock = lambda: later
    operations.engine.tick()
    operations.engine.evaluate()

    assert "1.2.3.4" in values(operations)


def test_what_people_do_is_audited_with_who_did_it(operations: Operations) -> None:
    operations.call("add", {"entries": [{"value": "9.9.9.9"}], "user": "ann"})
    operations.call("allow", {"value": "1.2.3.4", "reason": "ours", "user": "ben"})

    found = [(row["actor"], row["action"]) for row in rows(operations.engine.control, AUDIT)]
    assert found[-2:] == [("ann", "add"), ("ben", "allow")]


def test_polls_are_audited_with_what_came_of_them(operations: Operations) -> None:
    asked = operations.asked_by(Asker("ann", everywhere=True, address="192.0.2.9"))
    asked.call("poll", {"source": "feed"})
    (operations.engine.data.parent / "feed.txt").unlink(missing_ok=True)
    asked.call("run_once", {})

    poll, run = operations.call("audit", {"actor": "ann"})["entries"][::-1]
    assert (poll["action"], poll["subject"], poll["address"], poll["detail"]) == (
        "poll", "feed", "192.0.2.9", {"state": "unchanged"})  # fmt: skip
    assert (run["action"], run["subject"], run["detail"]) == ("run once", "every source", {"failed": True})


def test_a_plan_does_not_touch_what_is_published(operations: Operations, tmp_path: Path) -> None:
    text = CONFIG.format(folder=tmp_path).replace("kind: list,", "kind: list, where: confidence > 90,")

    found = operations.call("plan", {"text": text, "path": str(tmp_path / "tipline.yml")})

    assert [(o["output"], o["state"], o["removed"]) for o in found["outputs"]] == [("all", "changed", 3)]
    assert len(values(operations)) == 3


def test_a_plan_of_a_wrong_configuration_is_refused(operations: Operations, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="lins"):
        operations.call("plan", {"text": "sources: {feed: {kind: lins}}", "path": str(tmp_path / "x.yml")})


def test_plain_turns_what_json_does_not_know_into_text() -> None:
    found = plain(
        {
            "moment": datetime.fromisoformat("2026-01-02T03:04:05"),
            "day": date(2026, 1, 2),
            "time": timedelta(days=30),
            "key": UUID(int=1),
            "set": {"b", "a"},
            1: (None, True, 1.5),
        }
    )

    assert found == {
        "moment": "2026-01-02T03:04:05Z",
        "day": "2026-01-02",
        "time": "30d",
        "key": "00000000-0000-0000-0000-000000000001",
        "set": ["a", "b"],
        "1": [None, True, 1.5],
    }
