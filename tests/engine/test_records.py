"""Records that come whole: what an append source takes back, it takes back by naming the record."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.support import Given, Time, configuration, plain, published, source
from tipline.engine.core import Engine
from tipline.engine.verify import verify
from tipline.sources.base import Poll, PollContext


class Whole(Given):
    """Brings whole records."""

    def poll(self, context: PollContext) -> Poll:
        """The rows as one frame."""
        return replace(super().poll(context), whole_records=True)


def row(value: str, record: str, drop: str | None = None) -> dict[str, Any]:
    return {"value": value, "record": record, "drop": drop}


def engine_of(tmp_path: Path, **settings: Any) -> tuple[Engine, Whole]:
    feed = Whole("feed", source("feed", **settings).settings)
    return Engine(configuration(tmp_path, feed, plain("out", "feed")), in_memory=True, clock=Time()), feed


def polled(engine: Engine, feed: Whole, *rows: dict[str, Any]) -> tuple[int, int, int]:
    feed.rows = list(rows)
    result = engine.poll("feed")
    assert result.ledger.read == len(rows)
    return result.added, result.changed, result.removed


def seen(engine: Engine) -> set[str]:
    engine.evaluate()
    assert all(found.equal for found in verify(engine))
    return set(published(engine, "out"))


def test_a_record_that_comes_again_loses_what_it_no_longer_lists(tmp_path: Path) -> None:
    engine, feed = engine_of(tmp_path, mode="append", expire="added + 90d")
    try:
        assert polled(engine, feed, row("a.com", "1"), row("b.com", "1"), row("c.com", "2")) == (3, 0, 0)
        assert polled(engine, feed, row("b.com", "1"), row("d.com", "1")) == (1, 0, 1)
        assert seen(engine) == {"b.com", "c.com", "d.com"}
    finally:
        engine.close()


def test_a_dropped_row_takes_its_record_back_and_nothing_else(tmp_path: Path) -> None:
    """At once, although the rules say never; another record may still claim the value."""
    engine, feed = engine_of(tmp_path, mode="append", expire="never")
    try:
        polled(engine, feed, row("a.com", "1"), row("a.com", "2"), row("b.com", "1"), row("c.com", ""))
        assert polled(engine, feed, row("a.com", "1", drop="revoked"), row("", "", drop="revoked")) == (
            0,
            0,
            2,
        )
        assert seen(engine) == {"a.com", "c.com"}
        assert polled(engine, feed, row("x", "2", drop="revoked")) == (0, 0, 1)
        assert seen(engine) == {"c.com"}
        assert polled(engine, feed, row("a.com", "1")) == (1, 0, 0)
    finally:
        engine.close()


def test_in_snapshot_mode_absence_says_it_already(tmp_path: Path) -> None:
    engine, feed = engine_of(tmp_path)
    try:
        polled(engine, feed, row("a.com", "1"), row("b.com", "2"))
        assert polled(engine, feed, row("a.com", "1"), row("b.com", "2", drop="revoked")) == (0, 0, 1)
        assert seen(engine) == {"a.com"}
    finally:
        engine.close()
