"""An allow-list's poll: growth is held, since it lets things through; shrinkage is told."""

from __future__ import annotations

from pathlib import Path

from engine.support import Time, configuration, plain, published, source
from tipline.engine.core import Engine
from tipline.sources.base import GuardSettings


def test_growth_is_held_and_shrinkage_is_told(tmp_path: Path) -> None:
    feed, allowed = source("feed"), source("wl", guard=GuardSettings(min_withdrawn=3))
    feed.rows = [{"value": f"8.8.4.{n}"} for n in range(8)]
    allowed.rows = [{"value": "8.8.4.0"}, {"value": "8.8.4.1"}]
    nodes = [feed, allowed, plain("out", "feed", allow=["wl"])]
    with Engine(configuration(tmp_path, *nodes, allow_lists=["wl"]), clock=Time()) as engine:
        for name in ("feed", "wl"):
            assert engine.poll(name).state == "ok"
        engine.evaluate()
        assert len(published(engine, "out")) == 6

        allowed.rows = [{"value": f"8.8.4.{n}"} for n in range(8)]
        grown = engine.poll("wl")
        engine.evaluate()
        assert (grown.state, grown.held, len(published(engine, "out"))) == ("held", 6, 6)

        allowed.rows = [{"value": "8.8.4.0"}]
        shrunk = engine.poll("wl")
        engine.evaluate()
        assert shrunk.state == "ok"
        assert "1 entries left the allow-list" in shrunk.message
        assert len(published(engine, "out")) == 7
