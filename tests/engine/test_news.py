"""What is told as new: what happened since somebody's visit before this one, and nothing of other teams."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from engine.support import Time, aggregate, configuration, plain, source
from tipline.engine.asker import Asker
from tipline.engine.core import Engine
from tipline.engine.operations import Operations
from tipline.store import visits

ANN, BOB = Asker("ann", everywhere=True), Asker("bob", everywhere=True)


@pytest.fixture(name="stage")
def _stage(tmp_path: Path) -> Iterator[tuple[Operations, Time]]:
    time = Time()
    feed, red = source("feed"), source("red-feed", team="red")
    feed.rows = [{"value": "203.0.114.1"}, {"value": "203.0.114.2"}]
    red.rows = [{"value": "203.0.114.3"}]
    nodes = [feed, red, aggregate("agg", ["feed"]), plain("out", "agg")]
    with Engine(configuration(tmp_path, *nodes), clock=time) as engine:
        yield Operations(engine), time


def test_a_visit_ends_with_half_an_hour_without_a_look(stage: tuple[Operations, Time]) -> None:
    operations, time = stage
    control, first = operations.engine.control, time.now
    assert visits.look(control, "ann", time.now) is None
    time.forward(minutes=10)
    assert visits.look(control, "ann", time.now) is None
    last = time.now
    time.forward(minutes=40)
    assert visits.look(control, "ann", time.now) == last
    time.forward(minutes=5)
    assert visits.look(control, "ann", time.now) == visits.since(control, "ann") == last
    assert visits.since(control, "bob") is None
    assert last - first == timedelta(minutes=10)


def test_each_person_is_told_what_others_and_feeds_did_since(stage: tuple[Operations, Time]) -> None:
    operations, time = stage
    ann, bob = operations.asked_by(ANN), operations.asked_by(BOB)
    assert ann.call("news", {"look": True}) == {"since": None}
    time.forward(hours=1)
    bob.call("poll", {"source": "feed"})
    bob.call("poll", {"source": "red-feed"})
    ann.call("poll", {"source": "feed"})
    time.forward(minutes=1)
    told = ann.call("news", {"look": True})
    assert (told["added"], told["removed"], told["people"]) == (3, 0, {"bob": 2})
    assert [each["subject"] for each in told["changes"]] == ["red-feed", "feed"]
    theirs = operations.asked_by(Asker("rhea", "red")).call("news", {"since": told["since"]})
    assert (theirs["added"], theirs["people"]) == (1, {})
    time.forward(hours=1)
    later = ann.call("news", {"look": True})
    assert (later["added"], later["people"], later["changes"]) == (0, {}, [])
