"""Objects of a paged output: what the table says follows from what is published and what left."""

from __future__ import annotations

import random
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.support import Time, configuration, source
from tipline.engine.core import Engine
from tipline.engine.maintain import prune_history
from tipline.engine.objects import namespace
from tipline.outputs.taxii import TaxiiKind, TaxiiSettings
from tipline.store.schema import log_table, objects_table, published_table

VALUES = [
    "evil.com",
    "www.evil.com",
    "8.8.4.4",
    "8.8.4.0-8.8.4.5",
    "http://evil.com/é|x",
    "CVE-2026-1234",
    "d" * 32,
]


@pytest.fixture(name="engine")
def _engine(tmp_path: Path) -> Any:
    kind = TaxiiKind(
        "out", TaxiiSettings.model_validate({"kind": "taxii", "inputs": "feed", "guard": {"enabled": False}})
    )
    with Engine(configuration(tmp_path, source("feed"), kind), clock=Time()) as made:
        yield made


def publish(engine: Engine, rows: list[dict[str, Any]]) -> None:
    engine.clock.forward(minutes=1)  # type: ignore[attr-defined]  # the clock of these tests
    engine.graph.sources["feed"].rows = rows  # type: ignore[attr-defined]  # the feed of these tests
    engine.poll("feed")
    engine.evaluate()


def table(engine: Engine, sql: str) -> list[tuple[Any, ...]]:
    number = engine.graph.ids["out"]
    names = {"objects": objects_table(number), "published": published_table(number), "log": log_table(number)}
    with engine.lake.reading() as con:
        return con.execute(sql.format(**names)).fetchall()


def test_objects_are_what_is_published_and_what_left(engine: Engine) -> None:
    chance = random.Random(4)
    for _ in range(25):
        chosen = chance.sample(VALUES, chance.randrange(len(VALUES)))
        publish(engine, [{"value": value, "confidence": str(chance.choice([50, 60]))} for value in chosen])
        shown = "key, type, value, since, confidence, tlp, threat_types, tags, description, refs, valid_until"
        assert table(engine, f"SELECT {shown} FROM {{objects}} WHERE NOT removed ORDER BY key") == table(
            engine, f"SELECT {shown} FROM {{published}} ORDER BY key"
        )
        newest = "SELECT max(seq), max(stamp) FROM {log} GROUP BY key"
        live = "SELECT seq, stamp FROM {objects} WHERE NOT removed"
        assert table(engine, f"({live}) EXCEPT ({newest})") == []
        removals = table(engine, "SELECT seq, stamp, key FROM {log} WHERE op = 0 ORDER BY seq")
        assert table(engine, "SELECT seq, stamp, key FROM {objects} WHERE removed ORDER BY seq") == removals
    assert table(engine, "SELECT count(*) - count(DISTINCT id) FROM {objects}") == [(0,)]


def test_identifiers_are_uuids_of_version_5(engine: Engine) -> None:
    publish(engine, [{"value": value} for value in VALUES])
    found = table(engine, "SELECT id, type || '|' || value || '|' || epoch_us(since) FROM {objects}")
    assert len(found) > 5
    within = namespace("tipline", "out")
    assert {given for given, _ in found} == {uuid.uuid5(within, name) for _, name in found}
    assert {given.version for given, _ in found} == {5}


def test_what_left_is_forgotten_with_the_history(engine: Engine) -> None:
    publish(engine, [{"value": "evil.com"}, {"value": "www.evil.com"}])
    publish(engine, [{"value": "evil.com"}])
    at = engine.clock() + timedelta(days=2)
    prune_history(engine.lake, engine.control, engine.graph, at, timedelta(days=1))
    assert table(engine, "SELECT value, removed FROM {objects}") == [("evil.com", False)]


def test_a_clock_that_is_set_back_hides_nothing(engine: Engine) -> None:
    publish(engine, [{"value": "evil.com"}])
    ((first,),) = table(engine, "SELECT max(stamp) FROM {objects}")
    engine.clock.forward(hours=-1)  # type: ignore[attr-defined]  # the clock of these tests
    publish(engine, [{"value": "evil.com"}, {"value": "www.evil.com"}])
    assert table(engine, "SELECT value, stamp FROM {objects} ORDER BY seq") == [
        ("evil.com", first),
        ("www.evil.com", first + timedelta(milliseconds=1)),
    ]
