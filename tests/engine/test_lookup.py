"""Look-ups find what is published: exactly, by a network around it, by a domain above it."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.support import Time, aggregate, configuration, plain, source

from tipline.engine.core import Engine
from tipline.engine.lookup import lookup

_ADDRESS = st.integers(0, 255).map(lambda last: f"8.8.8.{last}")
_NETWORK = st.builds(lambda a, n: str(ip_network(f"{a}/{n}", strict=False)), _ADDRESS, st.integers(20, 31))
_RANGE = st.tuples(st.integers(0, 255), st.integers(0, 255)).map(lambda p: f"8.8.8.{min(p)}-8.8.8.{max(p)}")
_SIX = st.builds(
    lambda last, n: str(ip_network(f"2606:4700::{last:x}/{n}", strict=False)),
    st.integers(0, 65535),
    st.integers(96, 128),
)
_HELD = st.one_of(_ADDRESS, _NETWORK, _RANGE, _SIX)


def _engine(directory: Path, feed: Any) -> Engine:
    nodes = (feed, aggregate("all", ["feed"]), plain("out", "all"))
    return Engine(configuration(directory, *nodes), in_memory=True, clock=Time())


def _hits(engine: Engine, value: str) -> list[tuple[str, str]]:
    return [(hit["how"], hit["value"]) for hit in lookup(engine, [value])[0]["hits"]]


def test_exact_parent_and_network(tmp_path: Path) -> None:
    feed = source("feed")
    feed.rows = [{"value": v} for v in ("evil.com", "8.8.8.8", "8.8.8.0/24", "8.8.8.1-8.8.8.9", "http://a.evil.com/x")]
    with _engine(tmp_path, feed) as engine:
        engine.poll("feed")
        engine.evaluate()
        assert _hits(engine, "EVIL[.]com") == [("exact", "evil.com")]
        assert _hits(engine, "b.evil.com") == [("parent", "evil.com")]
        assert _hits(engine, "http://a.evil.com/x") == [
            ("exact", "http://a.evil.com/x"),
            ("parent", "evil.com"),
        ]
        assert _hits(engine, "8.8.8.8") == [
            ("exact", "8.8.8.8"), ("network", "8.8.8.0/24"), ("network", "8.8.8.1-8.8.8.9"),
        ]  # fmt: skip
        assert _hits(engine, "8.8.8.0/25") == [("network", "8.8.8.0/24")]
        assert _hits(engine, "notevil.com") == []
        answer = lookup(engine, ["8.8.8.999"])[0]
        assert (answer["value"], answer["problem"], answer["hits"]) == (None, "bad-ipv4", [])


@settings(max_examples=25)
@given(
    polls=st.lists(st.lists(_HELD, max_size=6), min_size=1, max_size=3),
    asked=st.lists(_HELD, min_size=1, max_size=40),
)
def test_every_network_that_covers_is_found_after_every_change(
    polls: list[list[str]], asked: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    feed = source("feed")
    with _engine(tmp_path_factory.mktemp("lookup"), feed) as engine:
        for rows in polls:
            feed.rows = [{"value": value} for value in rows]
            engine.poll("feed")
            engine.evaluate()
            found = lookup(engine, asked)
            table = f"published_{engine.graph.ids['out']}"
            with engine.lake.reading() as con:
                for entry in found:
                    span = con.execute(
                        f"SELECT p.value FROM {table} p,"
                        " (SELECT ?::VARCHAR AS type, ?::UUID AS lo, ?::UUID AS up) a"
                        " WHERE p.type = a.type AND p.lo <= a.lo AND p.up >= a.up ORDER BY p.value",
                        _interval(entry["asked"]),
                    ).fetchall()
                    assert sorted(hit["value"] for hit in entry["hits"]) == [value for (value,) in span]


def _interval(value: str) -> list[str | None]:
    from tipline.model.normalise import normalise_one
    from tipline.model.policy import Policy

    found = normalise_one(value, None, Policy.allow_list())
    return [found.type, found.lo, found.up]
