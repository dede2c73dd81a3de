"""Writes a published table as text: DuckDB makes the lines, Arrow carries them, nothing holds them all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import duckdb
import numpy as np

from tipline.outputs.render.dialect import Dialect, Layout
from tipline.outputs.render.layouts import SPECS, layout
from tipline.outputs.render.queries import parts
from tipline.outputs.render.spec import UNNAMED, Context, Part, Rows

# Rows a batch: also the most lines that have to be read over to find the start of a page.
_BATCH = 8192
_LINE_FEED = 10


@dataclass(frozen=True)
class Rendered:
    """What was written.

    Attributes:
        rows: records written.
        left_out: rows that the dialect cannot hold: other types, values that would break its syntax.
        size: bytes.
        marks: (record, the byte at which its text starts), now and then, from record 0 on.
    """

    rows: int
    left_out: int
    size: int
    marks: tuple[tuple[int, int], ...]


@dataclass
class _Writer:
    out: BinaryIO
    around: Layout
    by_lines: bool
    size: int = 0
    rows: int = 0
    left_out: int = 0
    marks: list[tuple[int, int]] = field(default_factory=list)

    def write(self, data: bytes | memoryview) -> None:
        self.out.write(data)
        self.size += len(data)

    def part(self, con: duckdb.DuckDBPyConnection, part: Part) -> None:
        """Write the records of a part, and what stands around them."""
        some = False
        for batch in con.execute(part.query).to_arrow_reader(_BATCH):
            texts = batch.column(0)
            self.left_out += texts.null_count if batch.num_columns == 1 else _left_out(batch)
            data = _bytes_of(texts)
            if not len(data):
                continue
            if not some:
                self.write(part.before)
            if not some and (part.lead is not None or not self.rows):
                data = data[self.around.lead if part.lead is None else part.lead :]
            else:
                self.marks.append((self.rows, self.size + self.around.lead))
            self.write(data)
            self.rows += self._records(texts, data)
            some = True
        self.write(part.after if some else part.empty)

    def _records(self, texts: Any, data: memoryview) -> int:
        """Where pages can be cut out, a record is a line: that is how they are found."""
        if self.by_lines:
            return int(np.count_nonzero(np.frombuffer(data, np.uint8) == _LINE_FEED))
        return int(len(texts) - texts.null_count)


def render(
    con: duckdb.DuckDBPyConnection,
    table: str,
    dialect: Dialect,
    out: BinaryIO,
    context: Context = UNNAMED,
) -> Rendered:
    """Write the rows of a published table, by type and then value; addresses in numeric order.

    A type is written at a time where that can be: sorting within a type is quicker than sorting all, and
    needs less memory.

    Args:
        con: a connection inside the transaction whose snapshot is wanted.
        table: a relation with the published columns.
        dialect: how to write it.
        out: where to; it is neither flushed nor closed.
        context: which list and version it is, for formats that say so.
    """
    spec, around = SPECS[dialect.format], layout(dialect, context)
    counts = con.execute(f"SELECT type, count(*) FROM {table} GROUP BY type ORDER BY type").fetchall()
    carried = spec.carried(dialect)
    taken = [(type_, count) for type_, count in counts if carried is None or type_ in carried]
    total = sum(count for _, count in taken)
    rows = Rows(table, tuple(type_ for type_, _ in taken), total)
    by_lines = spec.pages is True and not around.lead
    writer = _Writer(out, around, by_lines, left_out=sum(count for _, count in counts) - total)
    pieces: Sequence[Part] = parts(spec, dialect, context, rows)
    if around.empty is not None and not total:
        out.write(around.empty)
        return Rendered(0, writer.left_out, len(around.empty), ((0, len(around.empty)),))
    writer.write(around.head)
    writer.marks.append((0, writer.size))
    for piece in pieces:
        writer.part(con, piece)
    writer.write(around.tail)
    return Rendered(writer.rows, writer.left_out, writer.size, tuple(writer.marks))


def _left_out(batch: Any) -> int:
    """Of a batch with distinct texts and how many rows gave each: the rows that gave none."""
    return sum(int(row["n"]) for row in batch.filter(batch.column(0).is_null()).to_pylist())


def _bytes_of(texts: Any) -> memoryview:
    """The texts of a string array one after another, as Arrow holds them already (nulls take no bytes)."""
    _, offsets, data = texts.buffers()
    if data is None or not len(texts):
        return memoryview(b"")
    bounds = np.frombuffer(offsets, dtype=np.int32)
    return memoryview(data)[int(bounds[texts.offset]) : int(bounds[texts.offset + len(texts)])]
