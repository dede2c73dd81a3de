"""What an output may see: claims above its TLP add nothing; allow-lists are not limited."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.support import Given, Time, aggregate, configuration, plain, published, source
from tipline.engine.core import Engine
from tipline.engine.people import Entry, People
from tipline.engine.verify import verify
from tipline.model.tlp import NAMES
from tipline.sources.local import Local, LocalSettings

SECRET = {"value": "8.8.4.4", "confidence": "99", "tags": ["secret"], "description": "the secret",
          "first_seen": "2020-01-01",
          "references": ["https://secret.example/"], "threat_types": ["secret"]}  # fmt: skip
OPEN = {"value": "8.8.4.4", "confidence": "30", "tags": ["open"], "description": "for all", "tlp": "clear"}


def fill(engine: Engine, **rows: list[dict[str, Any]]) -> None:
    for name, given in rows.items():
        node = engine.graph.sources[name]
        assert isinstance(node, Given)
        node.rows = given
        assert engine.poll(name).state == "ok"
    engine.evaluate()


@pytest.mark.parametrize("limit", range(5))
@pytest.mark.parametrize("marked", range(5))
def test_claims_above_the_limit_add_nothing(tmp_path: Path, limit: int, marked: int) -> None:
    """No value, score, tag, name of a source, description, reference, time, nor count."""
    nodes = [
        source("open"),
        source("closed"),
        aggregate("all", ["open", "closed"]),
        plain("out", "all", max_tlp=NAMES[limit]),
    ]
    with Engine(configuration(tmp_path, *nodes), in_memory=True, clock=Time()) as engine:
        fill(
            engine,
            open=[OPEN],
            closed=[{**SECRET, "tlp": NAMES[marked]}, {"value": "evil.com", "tlp": NAMES[marked]}],
        )
        seen = published(engine, "out")
        ledger = verify(engine)[0].ledger
        if marked <= limit:
            assert set(seen) == {"8.8.4.4", "evil.com"}
            assert seen["8.8.4.4"]["sources"] == ["closed", "open"]
            assert (seen["8.8.4.4"]["confidence"], seen["8.8.4.4"]["tlp"]) == (99, marked)
            return
        assert set(seen) == {"8.8.4.4"}
        assert "secret" not in str(seen)
        row = seen["8.8.4.4"]
        assert (row["sources"], row["confidence"], row["tlp"], row["first_seen"]) == (["open"], 30, 0, None)
        assert (ledger["read"], ledger["accepted"], ledger["dropped"]) == (1, 1, {})


def test_claim_without_tlp_has_that_of_its_source_and_else_amber(tmp_path: Path) -> None:
    nodes = [source("green", tlp="green"), source("unset", tlp=None)]
    outputs = [
        plain("out-green", ["green", "unset"], max_tlp="green"),
        plain("out-amber", ["green", "unset"], max_tlp="amber"),
    ]
    with Engine(configuration(tmp_path, *nodes, *outputs), in_memory=True, clock=Time()) as engine:
        fill(engine, green=[{"value": "a.com"}, {"value": "b.com", "tlp": "red"}], unset=[{"value": "c.com"}])
        assert set(published(engine, "out-green")) == {"a.com"}
        assert set(published(engine, "out-amber")) == {"a.com", "c.com"}


def test_red_of_another_team_never(tmp_path: Path) -> None:
    """Whatever the output's limit and the source's distribution: red is for the team that has it."""
    theirs = source("theirs", team="other", distribution="server", tlp=None)
    nodes = [source("open"), theirs, aggregate("all", ["open", "theirs"])]
    outputs = [plain("ours", "all", max_tlp="red"), plain("direct", "theirs", max_tlp="red"),
               plain("own", "theirs", max_tlp="red", team="other")]  # fmt: skip
    with Engine(configuration(tmp_path, *nodes, *outputs), in_memory=True, clock=Time()) as engine:
        fill(engine, open=[OPEN], theirs=[{**SECRET, "tlp": "red"}, {"value": "a.com", "tlp": "amber"}])
        assert published(engine, "ours")["8.8.4.4"]["sources"] == ["open"]
        assert "secret" not in str(published(engine, "ours"))
        assert set(published(engine, "ours")) == {"8.8.4.4", "a.com"}
        assert set(published(engine, "direct")) == {"a.com"}
        assert set(published(engine, "own")) == {"8.8.4.4", "a.com"}


def test_red_only_by_name(tmp_path: Path) -> None:
    """An output shows red only if it says so."""
    with Engine(
        configuration(tmp_path, source("a"), plain("out", "a", max_tlp="amber+strict")),
        in_memory=True,
        clock=Time(),
    ) as engine:
        fill(engine, a=[{"value": "a.com", "tlp": "red"}, {"value": "b.com", "tlp": "amber+strict"}])
        assert set(published(engine, "out")) == {"b.com"}


def test_claims_that_are_not_actionable_are_left_out_before_merging(tmp_path: Path) -> None:
    nodes = [source("a"), source("b"), aggregate("all", ["a", "b"])]
    outputs = [plain("enforced", "all"), plain("everything", "all", actionable_only=False)]
    with Engine(configuration(tmp_path, *nodes, *outputs), in_memory=True, clock=Time()) as engine:
        fill(engine, a=[OPEN], b=[{**SECRET, "actionable": "false"}, {"value": "a.com", "actionable": "false"}])
        assert published(engine, "enforced")["8.8.4.4"]["sources"] == ["a"]
        assert "secret" not in str(published(engine, "enforced"))
        assert set(published(engine, "everything")) == {"8.8.4.4", "a.com"}
        assert published(engine, "everything")["8.8.4.4"]["sources"] == ["a", "b"]


def test_allow_lists_are_not_limited_by_tlp(tmp_path: Path) -> None:
    """What is known to be good in secret is not to be blocked in public."""
    nodes = [source("a"), source("wl"), aggregate("all", ["a"], ["wl"]), plain("out", "all", max_tlp="clear")]
    with Engine(configuration(tmp_path, *nodes, allow_lists=["wl"]), in_memory=True, clock=Time()) as engine:
        fill(engine, a=[{"value": "a.com"}, {"value": "b.com"}], wl=[{"value": "a.com", "tlp": "red"}])
        assert set(published(engine, "out")) == {"b.com"}


def test_each_team_allows_for_itself(tmp_path: Path) -> None:
    hand = Local("hand", LocalSettings(kind="local", tlp="clear", distribution="server"))
    outputs = [plain("ours", "hand"), plain("theirs", "hand", team="other")]
    with Engine(configuration(tmp_path, hand, *outputs), in_memory=True, clock=Time()) as engine:
        people = People(engine)
        people.add([Entry("a.com")], source="hand", team="default", user="u")
        people.allow("a.com", reason="ours", ttl=None, team="default", user="u")
        engine.evaluate()
        assert (set(published(engine, "ours")), set(published(engine, "theirs"))) == (set(), {"a.com"})
        people.allow("a.com", reason="ours", ttl=None, team="other", user="v")
        people.disallow("a.com", team="default", user="u")
        engine.evaluate()
        assert (set(published(engine, "ours")), set(published(engine, "theirs"))) == ({"a.com"}, set())
