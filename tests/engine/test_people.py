"""What people do by hand: entries of their own, allowing with its reach, and who did it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from engine.support import NO_GUARD, Given, Time, aggregate, configuration, plain, published, source
from tipline.engine.core import Engine
from tipline.engine.people import Entry, People, RequestError
from tipline.sources.local import Local, LocalSettings
from tipline.store.control import AUDIT


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def engine(tmp_path: Path, time: Time) -> Iterator[Engine]:
    hand = Local("hand", LocalSettings(kind="local", tlp="clear", guard=NO_GUARD))
    nodes = [source("feed"), hand, aggregate("all", ["feed", "hand"]), plain("out", "all")]
    with Engine(configuration(tmp_path, *nodes), in_memory=True, clock=time) as made:
        yield made


def seen(engine: Engine) -> set[str]:
    engine.tick()
    engine.evaluate()
    return set(published(engine, "out"))


def add(engine: Engine, *values: str, user: str = "u", **more: object) -> dict[str, object]:
    entries = [Entry(value, **more) for value in values]  # type: ignore[arg-type]
    return People(engine).add(entries, source=None, team="default", user=user)


def remove(engine: Engine, value: str, user: str = "u", *, everyone: bool = False) -> dict[str, object]:
    return People(engine).remove([value], source=None, team="default", user=user, everyone=everyone)


def test_removing_mine_leaves_yours(engine: Engine) -> None:
    add(engine, "a.com", user="me")
    add(engine, "a.com", user="you")
    answer = remove(engine, "A[.]com", "me")
    assert (answer["removed"], answer["left"]) == (1, [{"value": "a.com", "by": "default/you"}])
    assert seen(engine) == {"a.com"}
    assert remove(engine, "a.com", "me")["removed"] == 0
    assert remove(engine, "a.com", "me", everyone=True)["removed"] == 1
    assert seen(engine) == set()


def test_adding_again_replaces(engine: Engine) -> None:
    assert add(engine, "a.com", comment="one")["added"] == 1
    answer = add(engine, "a.com", comment="two", tags=("x",), tlp="green", confidence=30)
    assert (answer["added"], answer["changed"]) == (0, 1)
    engine.evaluate()
    assert published(engine, "out")["a.com"]["description"] == "two"
    row = published(engine, "out")["a.com"]
    assert (row["tags"], row["tlp"], row["confidence"], row["sources"]) == (["x"], 1, 30, ["hand"])


def test_what_is_added_for_a_while_leaves_by_itself(engine: Engine, time: Time) -> None:
    add(engine, "a.com", ttl=timedelta(hours=2))
    add(engine, "b.com")
    assert seen(engine) == {"a.com", "b.com"}
    time.forward(hours=2)
    assert seen(engine) == {"b.com"}


def test_refused_entries_say_why_and_cost_the_others_nothing(engine: Engine) -> None:
    answer = add(engine, "a.com", "10.0.0.1", "nonsense")
    assert answer["added"] == 1
    assert {each["value"] for each in answer["refused"]} == {"10.0.0.1", "nonsense"}  # type: ignore[attr-defined]
    assert all(each["reason"] for each in answer["refused"])  # type: ignore[attr-defined]


def feed(engine: Engine, *values: str) -> None:
    node = engine.graph.sources["feed"]
    assert isinstance(node, Given)
    node.rows = [{"value": value} for value in values]
    engine.poll("feed")


@pytest.mark.parametrize(
    ("allowed", "gone"),
    [
        ("evil.com", {"evil.com", "www.evil.com", "http://evil.com/"}),
        ("http://evil.com/x.exe", {"http://evil.com/x.exe"}),
        ("8.8.4.4", {"8.8.4.4"}),
        ("8.8.4.0/24", {"8.8.4.4", "http://8.8.4.9/x"}),
    ],
)
def test_allowing_takes_out_what_it_covers_and_the_next_poll_does_not_bring_it_back(
    engine: Engine, allowed: str, gone: set[str]
) -> None:
    values = {
        "evil.com",
        "www.evil.com",
        "http://evil.com/",
        "http://evil.com/x.exe",
        "8.8.4.4",
        "http://8.8.4.9/x",
        "notevil.com",
    }
    feed(engine, *values)
    assert seen(engine) == values
    People(engine).allow(allowed, reason="ours", ttl=None, team="default", user="u")
    assert seen(engine) == values - gone
    feed(engine, *values, "new.com")
    assert seen(engine) == values - gone | {"new.com"}
    People(engine).disallow(allowed, team="default", user="another")
    assert seen(engine) == values | {"new.com"}


def test_allowing_for_a_while(engine: Engine, time: Time) -> None:
    feed(engine, "a.com")
    People(engine).allow("a.com", reason="r", ttl=timedelta(days=1), team="default", user="u")
    assert seen(engine) == set()
    time.forward(days=1)
    assert seen(engine) == {"a.com"}


def test_allow_lists_take_what_feeds_may_not_hold(engine: Engine) -> None:
    for value in ("10.0.0.0/8", "192.168.1.1", "co.uk"):
        assert People(engine).allow(value, reason="r", ttl=None, team="default", user="u")["added"] == 1


def test_what_cannot_be_allowed(engine: Engine) -> None:
    with pytest.raises(RequestError, match="'nonsense' cannot be allowed"):
        People(engine).allow("nonsense", reason="r", ttl=None, team="default", user="u")


def test_sources_that_cannot_be_added_to(engine: Engine) -> None:
    with pytest.raises(RequestError, match=r"feed is no local source .local sources: hand"):
        People(engine).add([Entry("a.com")], source="feed", team="default", user="u")
    with pytest.raises(RequestError, match="no local source to add to"):
        People(engine).add([Entry("a.com")], source=None, team="other", user="u")


def test_everything_is_written_down_with_who_did_it(engine: Engine) -> None:
    add(engine, "a.com", user="ann")
    remove(engine, "a.com", "bob")
    People(engine).allow("b.com", reason="ours", ttl=timedelta(days=1), team="default", user="cy")
    with engine.control.reading() as con:
        rows = con.execute(select(AUDIT).order_by(AUDIT.c.id)).all()
    assert [(row.actor, row.action, row.subject) for row in rows] == [
        ("ann", "add", "hand"), ("bob", "remove", "hand"), ("cy", "allow", "b.com"),
    ]  # fmt: skip
    assert rows[2].detail["reason"] == "ours"
    assert rows[1].detail["before"] == rows[1].detail["after"] == [{"value": "a.com", "by": "default/ann"}]
    remove(engine, "a.com", "ann")
    with engine.control.reading() as con:
        last = con.execute(select(AUDIT).order_by(AUDIT.c.id.desc())).first()
    assert last is not None
    assert (last.detail["before"], last.detail["after"]) == ([{"value": "a.com", "by": "default/ann"}], [])


def test_values_are_no_sql(engine: Engine) -> None:
    for value in ("x'; DROP TABLE nodes; --", "a.com' OR '1'='1"):
        remove(engine, value, user="u' OR '1'='1")
    add(engine, "a.com")
    assert remove(engine, "a.com", user="u' OR '1'='1")["removed"] == 0
    assert seen(engine) == {"a.com"}
