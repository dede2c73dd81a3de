"""Upkeep: what expires leaves, what is stale is withdrawn, logs are pruned without losing a change."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from engine.support import Time, configuration, plain, published, source
from tipline.engine.core import Engine
from tipline.engine.maintain import prune_history, sort_published
from tipline.engine.verify import verify
from tipline.store.schema import log_table, published_table


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[tuple[Engine, Time]]:
    """Two sources in both modes and an output."""
    time = Time()
    nodes = [
        source("feed", expire="left + 1d"),
        source("stream", mode="append", expire="added + 2d"),
        source("dying", stale_after="3d"),
        plain("out", ["feed", "stream", "dying"]),
    ]
    engine = Engine(configuration(tmp_path, *nodes), clock=time)
    yield engine, time
    engine.close()


def given(engine: Engine, name: str, values: list[str] | None) -> str:
    """Let a source yield these values, poll it and evaluate; returns the poll's state."""
    node = engine.graph.sources[name]
    node.rows = None if values is None else [{"value": value} for value in values]
    state = engine.poll(name).state
    engine.evaluate()
    return state


def test_what_left_stays_for_its_time_and_goes(lab: tuple[Engine, Time]) -> None:
    engine, time = lab
    given(engine, "feed", ["1.1.1.1", "9.9.9.9"])
    time.forward(hours=1)
    given(engine, "feed", ["9.9.9.9"])
    assert set(published(engine, "out")) == {"1.1.1.1", "9.9.9.9"}
    time.forward(hours=25)
    engine.tick()
    engine.evaluate()
    assert set(published(engine, "out")) == {"9.9.9.9"}
    assert all(found.equal for found in verify(engine))


def test_appended_claims_leave_the_store_when_they_expire(lab: tuple[Engine, Time]) -> None:
    engine, time = lab
    given(engine, "stream", ["1.1.1.1"])
    time.forward(days=2)
    engine.tick()
    engine.evaluate()
    assert published(engine, "out") == {}
    with engine.lake.reading() as con:
        assert con.execute(f"SELECT count(*) FROM claims_{engine.graph.ids['stream']}").fetchone() == (0,)


def test_a_failing_source_keeps_its_indicators_until_it_is_stale(lab: tuple[Engine, Time]) -> None:
    engine, time = lab
    given(engine, "dying", ["1.1.1.1"])
    time.forward(hours=1)
    assert given(engine, "dying", None) == "failed"
    time.forward(days=2, hours=23)
    engine.tick()
    engine.evaluate()
    assert set(published(engine, "out")) == {"1.1.1.1"}
    time.forward(hours=2)
    engine.tick()
    engine.evaluate()
    assert published(engine, "out") == {}
    assert given(engine, "dying", ["1.1.1.1"]) == "ok"
    assert set(published(engine, "out")) == {"1.1.1.1"}


def test_pruned_logs_lose_no_change(lab: tuple[Engine, Time]) -> None:
    """An output whose cursor lies before what was pruned is evaluated in full."""
    engine, time = lab
    given(engine, "feed", ["1.1.1.1"])
    time.forward(days=1)
    engine.graph.sources["feed"].rows = [{"value": "9.9.9.9"}]
    engine.poll("feed")
    time.forward(days=40)
    prune_history(engine.lake, engine.control, engine.graph, time(), timedelta(days=30))
    with engine.lake.reading() as con:
        assert con.execute("SELECT count(*) FROM claim_log").fetchone() == (0,)
        assert con.execute(f"SELECT count(*) FROM {log_table(engine.graph.ids['out'])}").fetchone() == (0,)
    engine.tick()
    engine.evaluate()
    assert set(published(engine, "out")) == {"9.9.9.9"}
    assert all(found.equal for found in verify(engine))


def test_a_published_table_is_sorted_again_when_its_tail_has_grown(lab: tuple[Engine, Time]) -> None:
    engine, time = lab
    given(engine, "feed", [f"8.8.4.{n}" for n in range(100)])
    assert not sort_published(engine.lake, engine.graph, "out")
    time.forward(hours=1)
    given(engine, "stream", [f"8.8.5.{n}" for n in range(50)])
    before = published(engine, "out")
    assert sort_published(engine.lake, engine.graph, "out")
    assert published(engine, "out") == before
    with engine.lake.reading() as con:
        hashes = con.execute(f"SELECT kh FROM {published_table(engine.graph.ids['out'])} ORDER BY rowid").fetchall()
    assert hashes == sorted(hashes)


def test_a_node_taken_out_of_the_file_can_come_back_within_the_retention(tmp_path: Path) -> None:
    """A typing mistake in the file must not cost what was added by hand."""
    time = Time()
    with Engine(configuration(tmp_path, source("feed"), plain("out", "feed")), clock=time) as engine:
        given(engine, "feed", ["1.1.1.1"])
    with Engine(configuration(tmp_path, source("other"), plain("out", "other")), clock=time) as engine:
        engine.evaluate()
        assert published(engine, "out") == {}
    with Engine(configuration(tmp_path, source("feed"), plain("out", "feed")), clock=time) as engine:
        engine.evaluate()
        assert set(published(engine, "out")) == {"1.1.1.1"}
