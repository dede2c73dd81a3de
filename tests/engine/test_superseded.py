"""Groups of records that a poll takes back by name, in append mode."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pytest

from engine.support import NO_GUARD, Time, configuration, plain, published
from tipline.engine.core import Engine
from tipline.kinds import NodeSettings
from tipline.sources.base import EVERY_GROUP, Poll, PollContext, Source, SourceSettings


class Grouped(Source):
    """Yields rows `record value`, and names groups only while they are read."""

    kind: ClassVar[str] = "grouped"
    Settings: ClassVar[type[NodeSettings]] = SourceSettings
    settings: SourceSettings
    rows: ClassVar[list[str]] = []
    superseded: ClassVar[list[str]] = []
    kept: ClassVar[list[str]] = []

    def poll(self, context: PollContext) -> Poll:
        """The rows as one frame."""
        poll = Poll(iter(()), {}, whole_records=True)
        poll.frames = self._frames(poll)
        return poll

    def _frames(self, poll: Poll) -> Iterator[pl.DataFrame]:
        pairs = [row.split() for row in self.rows]
        schema = {"record": pl.String, "value": pl.String}
        yield pl.DataFrame(pairs, schema=schema, orient="row")
        poll.superseded.extend(self.superseded)
        poll.kept.extend(self.kept)


@pytest.mark.parametrize(
    ("rows", "superseded", "kept", "left"),
    [
        ([], [], [], {"a1.com", "a2.com", "b1.com", "x.com"}),
        ([], ["a"], [], {"b1.com", "x.com"}),
        (["a/2 a2.com", "a/3 a3.com"], ["a"], [], {"a2.com", "a3.com", "b1.com", "x.com"}),
        (["a/1 a9.com"], [], [], {"a9.com", "a2.com", "b1.com", "x.com"}),
        ([], ["unknown", "a'--"], [], {"a1.com", "a2.com", "b1.com", "x.com"}),
        ([], [EVERY_GROUP], [], set()),
        (["c/1 c1.com"], [EVERY_GROUP, "a"], ["b", "c"], {"b1.com", "c1.com"}),
    ],
)
def test_what_is_superseded_and_not_listed_again_goes(
    rows: list[str], superseded: list[str], kept: list[str], left: set[str], tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"kind": "grouped", "mode": "append", "guard": NO_GUARD, "tlp": "clear"}
    node = Grouped("feed", SourceSettings(**settings))
    engine = Engine(configuration(tmp_path, node, plain("out", "feed")), in_memory=True, clock=Time())
    for node.rows, node.superseded, node.kept in (
        (["a/1 a1.com", "a/2 a2.com", "b/1 b1.com", "x x.com"], [], []),
        (rows, superseded, kept),
    ):
        assert engine.poll("feed").state == "ok"
    engine.evaluate()
    assert set(published(engine, "out")) == left
    engine.close()
