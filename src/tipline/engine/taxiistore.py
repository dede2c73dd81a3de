"""Reads the objects of a TAXII collection: pages by position, and positions for paging by number."""

from __future__ import annotations

import threading
import uuid
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import duckdb

from tipline.engine.core import Engine
from tipline.outputs.taxii import TaxiiKind
from tipline.outputs.taxii_objects import Row
from tipline.store.schema import objects_table

_MILLISECOND = timedelta(milliseconds=1)
# Readings at the same time: each may use all of the database's threads.
_MOST_READINGS = 4
_COLUMNS = (
    "seq, stamp, id, type, value, since, removed, confidence, tlp, threat_types, tags, description, refs, valid_until"
)


@dataclass(frozen=True)
class Wanted:
    """Which objects are asked for.

    Attributes:
        added_after: only those that came or changed after this moment (naive UTC, to the millisecond).
        ids: only these; None: all.
        versions: only those whose version is one of these (to the millisecond); None: all.
    """

    added_after: datetime | None = None
    ids: tuple[uuid.UUID, ...] | None = None
    versions: tuple[datetime, ...] | None = None


@dataclass(frozen=True)
class Span:
    """A stretch of objects: positions of the first and the last, how many, and when the last one changed."""

    first: int
    last: int
    count: int
    stamp: datetime


@dataclass
class TaxiiStore:
    """The objects of an engine's collections (any thread; all methods may wait)."""

    engine: Engine
    _created: dict[int, datetime] = field(default_factory=dict)
    _readings: threading.Semaphore = field(default_factory=lambda: threading.BoundedSemaphore(_MOST_READINGS))

    def created(self, output: TaxiiKind) -> datetime:
        """When the collection was made: before anything in it."""
        number = self._number(output)
        if number not in self._created:
            with self._reading() as con:
                row = con.execute("SELECT created FROM nodes WHERE id = ?", [number]).fetchone()
            self._created[number] = row[0] if row else self.engine.clock()
        return self._created[number]

    def page(self, output: TaxiiKind, after: int, count: int, wanted: Wanted) -> list[Row]:
        """The next objects in order.

        Args:
            output: the collection.
            after: the position behind which to begin: the `seq` of the last object seen, 0 for none.
            count: how many at most.
            wanted: which.
        """
        table = objects_table(self._number(output))
        condition, values = self._condition(output, wanted)
        # First how far the page reaches, by the positions alone: then only its own blocks are read.
        ahead = f"SELECT seq FROM {table} WHERE seq > ? AND {condition} ORDER BY seq LIMIT ?"
        with self._reading() as con:
            (last,) = con.execute(f"SELECT max(seq) FROM ({ahead})", [after, *values, count]).fetchone() or (None,)
            if last is None:
                return []
            sql = f"SELECT {_COLUMNS} FROM {table} WHERE seq > ? AND seq <= ? AND {condition} ORDER BY seq"
            return [Row(*each) for each in con.execute(sql, [after, last, *values]).fetchall()]

    def positions(self, output: TaxiiKind, after: int, wanted: Wanted) -> array[int]:
        """The positions of all objects behind one, in order."""
        condition, values = self._condition(output, wanted)
        table = objects_table(self._number(output))
        sql = f"SELECT seq FROM {table} WHERE seq > ? AND {condition} ORDER BY seq"
        with self._reading() as con:
            found = con.execute(sql, [after, *values]).fetchnumpy()["seq"]
        return array("q", found.astype("int64").tobytes())

    def at(self, output: TaxiiKind, positions: Sequence[int], wanted: Wanted) -> list[Row]:
        """The objects that still are at these (ascending) positions: those that changed are elsewhere."""
        if not positions:
            return []
        rows = self._between(output, positions[0], positions[-1], wanted)
        kept = set(positions)
        return [row for row in rows if row.seq in kept]

    def span(self, output: TaxiiKind, wanted: Wanted, until: datetime | None) -> Span | None:
        """Where the objects lie that changed up to a moment (naive UTC; None: up to now); None if there are none."""
        condition, values = self._condition(output, wanted)
        if until is not None:
            condition, values = f"{condition} AND stamp <= ?", [*values, until]
        table = objects_table(self._number(output))
        sql = f"SELECT min(seq), max(seq), count(*), max(stamp) FROM {table} WHERE {condition}"
        with self._reading() as con:
            row = con.execute(sql, values).fetchone()
        return Span(*row) if row and row[2] else None

    def texts(
        self, output: TaxiiKind, after: int, last: int, count: int, expression: str
    ) -> list[tuple[int, str | None]]:
        """The next objects as texts that the database makes.

        Args:
            output: the collection.
            after: the position behind which to begin.
            last: the last position to take.
            count: how many at most.
            expression: SQL of the text.

        Returns:
            Position and text of each.
        """
        condition, values = self._condition(output, Wanted())
        sql = (
            f"SELECT seq, {expression} FROM {objects_table(self._number(output))} WHERE seq > ? AND seq <= ?"
            f" AND {condition} ORDER BY seq LIMIT ?"
        )
        with self._reading() as con:
            return con.execute(sql, [after, last, *values, count]).fetchall()

    def _between(self, output: TaxiiKind, first: int, last: int, wanted: Wanted) -> list[Row]:
        condition, values = self._condition(output, wanted)
        sql = (
            f"SELECT {_COLUMNS} FROM {objects_table(self._number(output))} WHERE seq BETWEEN ? AND ?"
            f" AND {condition} ORDER BY seq"
        )
        with self._reading() as con:
            return [Row(*each) for each in con.execute(sql, [first, last, *values]).fetchall()]

    def _condition(self, output: TaxiiKind, wanted: Wanted) -> tuple[str, list[object]]:
        parts = ["(NOT removed OR stamp >= ?)"]
        found: list[object] = [self.engine.clock() - output.settings.keep_removed]
        if wanted.added_after is not None:
            # Readers see milliseconds: what they have seen is everything up to the end of that one.
            parts.append("stamp >= ?")
            found.append(milliseconds(wanted.added_after) + _MILLISECOND)
        if wanted.ids is not None:
            parts.append("id IN (SELECT unnest(?::UUID[]))")
            found.append(list(wanted.ids))
        if wanted.versions is not None:
            parts.append("date_trunc('milliseconds', stamp) IN (SELECT unnest(?::TIMESTAMP[]))")
            found.append(list(wanted.versions))
        return " AND ".join(parts), found

    def _number(self, output: TaxiiKind) -> int:
        return self.engine.graph.ids[output.name]

    @contextmanager
    def _reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with self._readings, self.engine.lake.reading() as con:
            yield con


def milliseconds(moment: datetime) -> datetime:
    """A moment cut to its millisecond, as readers see it."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
