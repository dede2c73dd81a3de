"""Search and overlap, held against plain counting in Python over random claims."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.support import Given, Time, configuration, plain, source
from tipline.engine.asker import LOCAL, Asker
from tipline.engine.core import Engine
from tipline.engine.facets import facets
from tipline.engine.filters import Search
from tipline.engine.leaves import DEFAULT_CONFIDENCE
from tipline.engine.overlap import overlap
from tipline.engine.search import search

NAMES = [f"s{n}" for n in range(70)]  # more than one word of bits
FEW = ["a", "b"]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    nodes = [
        source("a", tlp="green", tags=["feed"]),
        source("b", tlp=None, confidence=80, distribution="server"),
        plain("out", "a"),
    ]
    with Engine(configuration(tmp_path, *nodes), in_memory=True, clock=Time()) as found:
        fill(found, "a", [
            {"value": "1.2.3.4", "tags": ["x"], "confidence": "10"}, {"value": "1.2.3.0/24"},
            {"value": "http://evil.com/a"}, {"value": "evil.com"}, {"value": "2001:db9::1"},
        ])  # fmt: skip
        fill(found, "b", [{"value": "1.2.3.4", "tlp": "red"}, {"value": "a" * 64}, {"value": "http://oneill.com/it's"}])
        found.evaluate()
        yield found


def fill(engine: Engine, name: str, rows: list[dict[str, Any]]) -> None:
    node = engine.graph.sources[name]
    assert isinstance(node, Given)
    node.rows = rows
    assert engine.poll(name).state == "ok"


def found(engine: Engine, asker: Asker = LOCAL, **wanted: Any) -> set[str]:
    values = [each["value"] for each in search(engine, asker, Search(**wanted))]
    assert values == sorted(values)
    claims = facets(engine, asker, Search(**wanted))["claims"]
    assert claims >= len(values)
    return set(values)


@pytest.mark.parametrize(
    ("wanted", "values"),
    [
        ({"text": "1.2.3[.]4"}, {"1.2.3.4"}),
        ({"text": "1.2.0.0/16"}, {"1.2.3.4", "1.2.3.0/24"}),
        ({"text": "hxxp://evil[.]com/a"}, {"http://evil.com/a"}),
        ({"text": "evil[.]com"}, {"http://evil.com/a", "evil.com"}),
        ({"text": "EVIL"}, {"http://evil.com/a", "evil.com"}),
        ({"text": "'"}, {"http://oneill.com/it's"}),
        ({"text": "%"}, set()),
        ({"values": ["1[.]2.3.4", "nothing", "EVIL.com"]}, {"1.2.3.4", "evil.com"}),
        ({"values": ["nothing at all"]}, set()),
        ({"types": ["sha256"]}, {"a" * 64}),
        ({"sources": ["b"]}, {"1.2.3.4", "a" * 64, "http://oneill.com/it's"}),
        ({"sources": ["none"]}, set()),
        ({"output": "out", "types": ["domain"]}, {"evil.com"}),
        ({"output": "none"}, set()),
        ({"confidence": 80}, {"1.2.3.4", "a" * 64, "http://oneill.com/it's"}),
        ({"tlp": ["red"]}, {"1.2.3.4"}),
        ({"tlp": ["amber"]}, {"a" * 64, "http://oneill.com/it's"}),
        ({"tlp": ["none"]}, set()),
        ({"tag": "x"}, {"1.2.3.4"}),
        ({"tag": "feed", "types": ["ipv6"]}, {"2001:db9::1"}),
        ({"since": "2026-01-01T00:00:00", "types": ["ipv6"]}, {"2001:db9::1"}),
        ({"until": "2026-01-01T00:00:00"}, set()),
    ],
)  # fmt: skip
def test_filters(engine: Engine, wanted: dict[str, Any], values: set[str]) -> None:
    assert found(engine, **wanted) == values


def test_an_indicator_shows_all_its_claims(engine: Engine) -> None:
    (only,) = search(engine, LOCAL, Search(text="1.2.3.4"))
    shown = [(claim["source"], claim["tlp"], claim["confidence"]) for claim in only["claims"]]
    assert shown == [("a", "green", 10), ("b", "red", 80)], "what a claim does not say, its source does"
    (other,) = search(engine, LOCAL, Search(text="1.2.3.0/24", types=["ipv4"], sources=["a"]), limit=1)
    assert [claim["confidence"] for claim in other["claims"]] == [DEFAULT_CONFIDENCE]
    counts = facets(engine, LOCAL, Search(text="1.2.3.4"))
    assert (counts["claims"], counts["types"], counts["sources"]) == (2, {"ipv4": 2}, {"a": 1, "b": 1})


def test_counts_follow_what_is_claimed_and_published(engine: Engine) -> None:
    other = Asker("eve", team="other")
    asked = [(LOCAL, Search()), (LOCAL, Search(output="out")), (other, Search())]

    def counts() -> list[int]:
        told = [facets(engine, asker, wanted) for asker, wanted in asked]
        assert [facets(engine, asker, wanted) for asker, wanted in asked] == told, "counted or kept, it is the same"
        return [each["claims"] for each in told]

    assert counts() == [8, 6, 2]
    fill(engine, "a", [{"value": "1.2.3.4"}, {"value": "evil.com"}])
    assert counts() == [5, 3, 2], "claims are gone, though they are still published"
    engine.evaluate()
    fill(engine, "b", [{"value": "evil.com", "tlp": "red"}, {"value": "a" * 64}, {"value": "b" * 64}])
    assert counts() == [5, 3, 2]
    fill(engine, "a", [])
    engine.evaluate()
    assert counts()[1] == 0


def test_pages_hold_everything_once(engine: Engine) -> None:
    for limit in range(1, 9):
        values: list[str] = []
        after = None
        while page := search(engine, LOCAL, Search(), limit=limit, after=after):
            values += [each["value"] for each in page]
            after = (page[-1]["value"], page[-1]["type"])
        assert len(values) == 7
        assert set(values) == found(engine)


def test_what_sources_have_in_common(tmp_path: Path) -> None:
    rng = random.Random(7)
    nodes = [source(name) for name in NAMES]
    clock = Time()
    with Engine(configuration(tmp_path, *nodes, plain("out", NAMES)), in_memory=True, clock=clock) as engine:
        held = {name: {f"10.0.{n}.com" for n in rng.sample(range(60), rng.randrange(20))} for name in NAMES}
        for name in NAMES:
            fill(engine, name, [{"value": value.replace("10.0.", "h")} for value in held[name]])
            clock.forward(minutes=1)
        result = overlap(engine, LOCAL, NAMES)
        for i, a in enumerate(NAMES):
            others = set().union(*(held[name] for name in NAMES if name != a))
            earlier = set().union(*(held[name] for name in NAMES[:i]), set())
            assert result["common"][i] == [len(held[a] & held[b]) for b in NAMES]
            assert result["unique"][i] == len(held[a] - others)
            assert result["shared"][i] == len(held[a] & others)
            assert result["first"][i] == len((held[a] & others) - earlier)
        assert overlap(engine, LOCAL, NAMES) == result
        fill(engine, "s0", [{"value": "new.com"}])
        assert overlap(engine, LOCAL, NAMES)["common"][0][0] == 1
        assert overlap(engine, LOCAL, [])["common"] == []
