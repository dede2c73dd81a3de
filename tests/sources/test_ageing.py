"""When claims leave: the rules, MineMeld's own vectors, and the clock of a source that fails or is held."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import pytest

from engine.support import START, Given, Time, configuration, plain, published, source
from tipline.engine.conditions import conditions
from tipline.engine.core import Engine
from tipline.engine.verify import verify
from tipline.sources.ageing import parse_expire
from tipline.sources.base import GuardSettings

VECTORS = json.loads((Path(__file__).resolve().parents[1] / "data" / "minemeld" / "aging_vectors.json").read_text())
VALUES = {"a": "8.8.4.1", "b": "8.8.4.2"}
# Our setting for each of MineMeld's, and the steps whose outcome is ours on purpose.
SETTINGS: dict[str, dict[str, Any]] = {
    "persistent feed, sudden death": {},
    "no sudden death, never expires": {"expire": "never"},
    "class default (first_seen+30d, sudden death)": {"expire": ["left + 0", "added + 30d"]},
    "last_seen+30d, delta feed": {"expire": "last_seen + 30d", "mode": "append"},
    "attribute change emits update": {},
    # MineMeld has rules by type; here they are by source.
    "per type override": {"expire": ["left + 0", "added + 1d"]},
}
# MineMeld does not move last_seen while an indicator stays in the feed, so that it withdraws what is still
# listed, for good. Here an indicator that is still in the feed is seen, and stays.
DIFFERENT: dict[str, dict[str, Any]] = {
    "last_seen+30d, no sudden death, ALWAYS in feed": {"expire": "last_seen + 30d"},
    "last_seen+30d, polled hourly, always in feed": {"expire": "last_seen + 2h"},
}


class Ageing:
    """One source and one output, at a time that the test moves."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.time = Time()
        self.engine = Engine(
            configuration(folder, source("feed", **settings), plain("out", "feed")),
            in_memory=True,
            clock=self.time,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.engine.close()

    def poll(self, *rows: str | dict[str, Any]) -> str:
        node = self.engine.graph.sources["feed"]
        assert isinstance(node, Given)
        node.rows = [row if isinstance(row, dict) else {"value": row} for row in rows]
        return self.engine.poll("feed").state

    def fail(self) -> None:
        node = self.engine.graph.sources["feed"]
        assert isinstance(node, Given)
        node.rows = None
        assert self.engine.poll("feed").state == "failed"

    def seen(self) -> set[str]:
        self.engine.tick()
        for found in verify(self.engine):
            assert found.equal, found
        return set(published(self.engine, "out"))

    def alerts(self) -> list[str]:
        return [condition.name for condition in conditions(self.engine)]


def test_every_vector_is_accounted_for() -> None:
    assert {vector["title"] for vector in VECTORS} == {*SETTINGS, *DIFFERENT}


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["title"].partition(",")[0] for vector in VECTORS])
def test_minemelds_vectors(tmp_path: Path, vector: dict[str, Any]) -> None:
    title = vector["title"]
    alive: set[str] = set()
    with Ageing(tmp_path, **{**SETTINGS, **DIFFERENT}[title]) as ageing:
        for step in vector["steps"]:
            ageing.time.now = START + timedelta(days=step["day"])
            assert (
                ageing.poll(*({"value": VALUES[name], "description": str(more)} for name, more in step["feed"])) == "ok"
            )
            for what, name, _ in step["emits"]:
                (alive.add if what == "update" else alive.discard)(VALUES[name])
            expected = alive if title in SETTINGS else {VALUES[name] for name, _ in step["feed"]}
            assert ageing.seen() == expected, step


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("never", []),
        ([], []),
        ("left + 0", ["left + 0s"]),
        ("LEFT", ["left + 0s"]),
        ("added+90d", ["added + 90d"]),
        (["left + 30d", "last_seen + 12h"], ["left + 30d", "last_seen + 12h"]),
    ],
)
def test_rules_that_are_understood(text: Any, rules: list[str]) -> None:
    assert parse_expire(text) == rules
    assert parse_expire(rules) == rules


@pytest.mark.parametrize(
    "text", ["", "soon", "left - 3d", "left + ", "seen + 3d", ["never", "left + 1d"], "left + 3 parsecs"]
)
def test_rules_that_are_not(text: Any) -> None:
    with pytest.raises(ValueError, match=r"expiry|duration|understood|\d"):
        parse_expire(text)


def test_without_a_rule_what_leaves_the_feed_is_gone_at_once(tmp_path: Path) -> None:
    with Ageing(tmp_path) as ageing:
        ageing.poll("a.com", "b.com")
        assert ageing.seen() == {"a.com", "b.com"}
        ageing.poll("b.com")
        assert ageing.seen() == {"b.com"}


def test_grace_after_leaving_counts_from_the_leaving_and_ends_with_a_return(tmp_path: Path) -> None:
    with Ageing(tmp_path, expire="left + 30d") as ageing:
        ageing.poll("a.com")
        ageing.time.forward(days=90)
        ageing.poll()
        assert ageing.seen() == {"a.com"}
        ageing.time.forward(days=29)
        ageing.poll("a.com")
        assert ageing.seen() == {"a.com"}
        ageing.poll()
        ageing.time.forward(days=29.9)
        assert ageing.seen() == {"a.com"}
        ageing.time.forward(days=0.1)
        assert ageing.seen() == set()


def test_earliest_of_several_rules_wins(tmp_path: Path) -> None:
    with Ageing(tmp_path, expire=["left + 30d", "added + 7d"]) as ageing:
        ageing.poll("a.com")
        ageing.time.forward(days=7)
        assert ageing.seen() == set()


def test_last_seen_by_the_source_itself_counts(tmp_path: Path) -> None:
    with Ageing(tmp_path, expire="last_seen + 7d") as ageing:
        ageing.poll({"value": "a.com", "last_seen": (START - timedelta(days=6)).isoformat()}, "b.com")
        assert ageing.seen() == {"a.com", "b.com"}
        ageing.time.forward(days=1)
        assert ageing.seen() == {"b.com"}


def test_an_expired_claim_in_the_feed_stays_out_until_it_leaves_and_returns(tmp_path: Path) -> None:
    with Ageing(tmp_path, expire=["left + 0", "added + 7d"]) as ageing:
        ageing.poll("a.com")
        ageing.time.forward(days=8)
        for _ in range(3):
            ageing.poll("a.com")
            assert ageing.seen() == set()
            ageing.time.forward(days=1)
        ageing.poll({"value": "a.com", "description": "changed"})
        assert ageing.seen() == set()
        ageing.poll()
        ageing.poll("a.com")
        assert ageing.seen() == {"a.com"}


def test_an_expired_claim_returns_when_its_end_moves(tmp_path: Path) -> None:
    def until(days: float) -> dict[str, str]:
        return {"value": "a.com", "valid_until": (START + timedelta(days=days)).isoformat()}

    with Ageing(tmp_path) as ageing:
        ageing.poll(until(2))
        assert ageing.seen() == {"a.com"}
        ageing.time.forward(days=2)
        assert ageing.seen() == set()
        ageing.poll(until(2))
        assert ageing.seen() == set()
        ageing.poll(until(5))
        assert ageing.seen() == {"a.com"}
        ageing.time.forward(days=4)
        assert ageing.seen() == set()


def test_an_append_source_forgets_what_was_not_brought_again(tmp_path: Path) -> None:
    with Ageing(tmp_path, mode="append", expire="last_seen + 7d") as ageing:
        ageing.poll("a.com", "b.com")
        ageing.time.forward(days=5)
        ageing.poll("a.com")
        assert ageing.seen() == {"a.com", "b.com"}
        ageing.time.forward(days=2)
        assert ageing.seen() == {"a.com"}
        ageing.time.forward(days=5)
        assert ageing.seen() == set()


def test_ageing_stands_still_while_the_source_fails(tmp_path: Path) -> None:
    with Ageing(tmp_path, expire="added + 7d") as ageing:
        ageing.poll("a.com")
        ageing.time.forward(days=6)
        assert ageing.seen() == {"a.com"}
        ageing.fail()
        ageing.time.forward(days=20)
        ageing.fail()
        assert ageing.seen() == {"a.com"}
        ageing.poll("a.com")
        assert ageing.seen() == set()


def test_ageing_stands_still_while_the_source_is_held(tmp_path: Path) -> None:
    guard = GuardSettings(min_withdrawn=2, release_after=timedelta(days=100))
    with Ageing(tmp_path, expire=["left + 0", "added + 7d"], guard=guard) as ageing:
        ageing.poll("a.com", "b.com", "c.com")
        ageing.time.forward(days=6)
        assert ageing.seen() == {"a.com", "b.com", "c.com"}
        assert ageing.poll("a.com") == "held"
        ageing.time.forward(days=20)
        assert ageing.seen() == {"a.com", "b.com", "c.com"}
        assert ageing.poll("a.com", "b.com", "c.com") == "ok"
        assert ageing.seen() == set()


def test_an_end_that_the_source_itself_gave_counts_even_while_it_fails(tmp_path: Path) -> None:
    with Ageing(tmp_path) as ageing:
        ageing.poll({"value": "a.com", "valid_until": (START + timedelta(days=2)).isoformat()}, "b.com")
        ageing.fail()
        ageing.time.forward(days=3)
        assert ageing.seen() == {"b.com"}


@pytest.mark.parametrize("stale_after", [timedelta(days=30), None])
def test_a_source_that_fails_too_long_is_withdrawn_with_an_alert(tmp_path: Path, stale_after: timedelta | None) -> None:
    with Ageing(tmp_path, stale_after=stale_after) as ageing:
        ageing.poll("a.com")
        assert ageing.alerts() == []
        ageing.fail()
        assert ageing.alerts() == ["source feed failing"]
        ageing.time.forward(days=29)
        ageing.fail()
        assert ageing.seen() == {"a.com"}
        ageing.time.forward(days=1)
        if stale_after is None:
            ageing.time.forward(days=1000)
            assert ageing.seen() == {"a.com"}
            assert ageing.alerts() == ["source feed failing"]
            return
        assert ageing.seen() == set()
        assert ageing.alerts() == ["source feed stale, and withdrawn"]
        ageing.poll("a.com")
        assert ageing.seen() == {"a.com"}
        assert ageing.alerts() == []
