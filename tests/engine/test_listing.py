"""What nodes hold and why, looked at a page at a time, beside whoever writes."""

from __future__ import annotations

import threading
from contextlib import closing
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.support import Time, aggregate, configuration, plain, source

from tipline.engine import listing as module
from tipline.engine.core import Engine
from tipline.engine.listing import listing
from tipline.engine.paths import why

_ADDRESS = st.integers(0, 63).map(lambda last: f"8.8.8.{last}")
_NETWORK = st.builds(lambda a, n: str(ip_network(f"{a}/{n}", strict=False)), _ADDRESS, st.integers(24, 31))
_NAME = st.sampled_from(["a.com", "b.com", "www.a.com", "z.net", "http://a.com/x", "http://b.com/"])
_HELD = st.lists(st.one_of(_ADDRESS, _NETWORK, _NAME), max_size=12, unique=True)


def _engine(directory: Path, feeds: list[Any], allow: Any) -> Engine:
    names = [feed.name for feed in feeds]
    nodes = (*feeds, allow, aggregate("all", names, [allow.name]), plain("out", "all"))
    return Engine(configuration(directory, *nodes), in_memory=True, clock=Time())


@settings(max_examples=40, deadline=None)
@given(held=st.lists(_HELD, min_size=2, max_size=2), allowed=_HELD, size=st.integers(1, 5))
def test_pages_of_a_processor_are_those_of_all_that_it_holds(
    held: list[list[str]], allowed: list[str], size: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    feeds, allow = [source("one"), source("two")], source("allow")
    for feed, values in zip([*feeds, allow], [*held, allowed], strict=True):
        feed.rows = [{"value": value} for value in values]
    with pytest.MonkeyPatch.context() as patch, _engine(tmp_path_factory.mktemp("listing"), feeds, allow) as engine:
        for feed in [*feeds, allow]:
            engine.poll(feed.name)
        every = listing(engine, "all", 1000)
        patch.setattr(module, "FULL_SHARE", 100)  # however few there are, no page is cut from all
        pages = [listing(engine, "all", size, start) for start in range(0, len(every) + 1, size)]
    assert [row for page in pages for row in page] == every


def test_why_and_listings_wait_for_no_writer(tmp_path: Path) -> None:
    feed, allow = source("feed"), source("allow")
    feed.rows = [{"value": value} for value in ("8.8.8.8", "a.com", "www.b.com")]
    allow.rows = [{"value": value} for value in ("8.8.8.0/24", "b.com")]
    with _engine(tmp_path, [feed], allow) as engine:
        for name in ("feed", "allow"):
            engine.poll(name)
        engine.evaluate()
        found: dict[str, Any] = {}

        def look() -> None:
            found["all"] = [row["value"] for row in listing(engine, "all")]
            found["why"] = {value: why(engine, value) for value in ("8.8.8.8", "a.com", "www.b.com")}

        with engine.lake.writing(), closing(engine.lake.connection()):
            looking = threading.Thread(target=look)
            looking.start()
            looking.join(60)
        assert found["all"] == ["a.com"]
        steps = {
            value: {(step["node"], step["reason"]) for step in answer["nodes"]}
            for value, answer in found["why"].items()
        }
        assert steps == {
            "8.8.8.8": {("feed", None), ("all", "allowed by allow: 8.8.8.0/24")},
            "a.com": {("feed", None), ("all", None), ("out", None)},
            "www.b.com": {("feed", None), ("all", "allowed by allow: b.com")},
        }
