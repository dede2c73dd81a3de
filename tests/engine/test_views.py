"""An evaluation that fails says what failed."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from engine.support import Given, Plain, Time, configuration, source
from tipline.engine.core import Engine
from tipline.outputs.base import OutputSettings


class Broken(Plain):
    """An output whose shape cannot be computed."""

    def shape(self, relation: str, as_of: str) -> str:
        """An error, once there is a row."""
        return f"SELECT * REPLACE (error('it cannot be shaped') AS value), NULL::VARCHAR AS dropped FROM {relation}"


def test_the_error_is_that_of_what_failed(tmp_path: Path) -> None:
    output = Broken("out", OutputSettings(kind="plain", inputs=["a"], max_tlp="red"))
    with Engine(configuration(tmp_path, source("a"), output), in_memory=True, clock=Time()) as engine:
        feed = engine.graph.sources["a"]
        assert isinstance(feed, Given)
        feed.rows = [{"value": "a.com"}]
        engine.poll("a")
        with pytest.raises(duckdb.Error, match="it cannot be shaped"):
            engine.evaluate()
