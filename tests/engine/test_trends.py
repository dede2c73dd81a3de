"""What nodes gained and lost over time: every run counts, in the span that it began in."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from engine.support import Time, configuration, plain, source
from tipline.engine.asker import LOCAL
from tipline.engine.core import Engine
from tipline.engine.trends import trend


def test_runs_of_one_span_are_counted_together(tmp_path: Path) -> None:
    """Two polls within half an hour, at different seconds, and a third one in the next half hour."""
    feed, time = source("a"), Time()
    with Engine(configuration(tmp_path, feed, plain("out", "a")), in_memory=True, clock=time) as engine:
        for values in (["198.51.101.1"], ["198.51.101.1", "198.51.101.2"], ["198.51.101.2", "198.51.101.3"]):
            feed.rows = [{"value": value} for value in values]
            engine.poll("a")
            time.forward(minutes=17)
        found = trend(engine, LOCAL, ["a"], timedelta(hours=1), timedelta(minutes=30))
    assert (found.added, found.removed) == ([2, 1], [0, 1])
    assert found.held(2) == [2, 2]
