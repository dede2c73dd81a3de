"""Nodes that tests steer: a source that yields what it is given, an output that publishes as it is."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import polars as pl

from tipline.config.builtins import add_builtins
from tipline.config.schema import Configuration, Settings
from tipline.engine.core import Engine
from tipline.errors import FetchError
from tipline.kinds import NodeSettings
from tipline.outputs.base import Output, OutputSettings
from tipline.processors.aggregate import Aggregate, AggregateSettings
from tipline.processors.base import Processor
from tipline.sources.base import GuardSettings, Poll, PollContext, Source, SourceSettings
from tipline.sources.local import Local

START = datetime.fromisoformat("2026-01-01")
NO_GUARD = GuardSettings(enabled=False)


class Given(Source):
    """Yields the rows it was given; `rows = None` fails like a dead server."""

    kind: ClassVar[str] = "given"
    Settings: ClassVar[type[NodeSettings]] = SourceSettings
    settings: SourceSettings
    rows: list[dict[str, Any]] | None

    def __init__(self, name: str, settings: SourceSettings) -> None:
        super().__init__(name, settings)
        self.rows = []

    def poll(self, context: PollContext) -> Poll:
        """The rows as one frame."""
        if self.rows is None:
            raise FetchError("the server is gone", where=self.name, retryable=True)
        columns = {key: pl.String for row in self.rows for key in row}
        for row in self.rows:
            for key, value in row.items():
                if isinstance(value, list):
                    columns[key] = pl.List(pl.String)
        schema = {"value": pl.String, **columns}
        return Poll(iter([pl.DataFrame(self.rows, schema=schema)]), {})


class Plain(Output):
    """Publishes what it gets."""

    kind: ClassVar[str] = "plain"
    Settings: ClassVar[type[NodeSettings]] = OutputSettings
    settings: OutputSettings


class Time:
    """A clock that moves when it is told to."""

    def __init__(self, start: datetime = START) -> None:
        self.now = start

    def __call__(self) -> datetime:
        """The time."""
        return self.now

    def forward(self, **by: float) -> None:
        """Let time pass."""
        self.now += timedelta(**by)


def source(name: str, **settings: Any) -> Given:
    """A source without a guard, unless one is asked for."""
    return Given(name, SourceSettings(kind="given", **{"guard": NO_GUARD, "tlp": "clear", **settings}))


def aggregate(name: str, inputs: list[str], allow: Iterable[str] = (), **settings: Any) -> Aggregate:
    """An aggregator."""
    return Aggregate(name, AggregateSettings(kind="aggregate", inputs=inputs, allow=list(allow), **settings))


def plain(name: str, inputs: list[str] | str, **settings: Any) -> Plain:
    """An output without a guard, unless one is asked for."""
    guard = {"enabled": False}
    return Plain(name, OutputSettings(kind="plain", **{"inputs": inputs, "guard": guard, "max_tlp": "red", **settings}))


def configuration(
    directory: Path, *nodes: Source | Processor | Output | Local, allow_lists: Iterable[str] = ()
) -> Configuration:
    """A configuration made of nodes."""
    made = Configuration(directory / "tipline.yml", Settings.model_validate({"store": {"threads": 1}}))
    for node in nodes:
        section = {"source": made.sources, "processor": made.processors, "output": made.outputs}[node.sort]
        section[node.name] = node
    made.allow_lists = frozenset(allow_lists)
    add_builtins(made)
    return made


def published(engine: Engine, output: str) -> dict[str, dict[str, Any]]:
    """What an output publishes, by value."""
    number = engine.graph.ids[output]
    with engine.lake.reading() as con:
        cursor = con.execute(f"SELECT * EXCLUDE (key, kh, lo, up, rhost, digest, shown) FROM published_{number}")
        names = [column[0] for column in cursor.description or []]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return {row["value"]: row for row in rows}
