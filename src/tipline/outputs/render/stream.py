"""Writes a published table as text: DuckDB makes the lines, Arrow carries them, nothing holds them all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, BinaryIO

import duckdb
import numpy as np

from tipline.outputs.render.dialect import Dialect
from tipline.outputs.render.fields import literal
from tipline.outputs.render.layouts import layout, line
from tipline.processors.iptext import to_cidrs

_ADDRESSES = ("ipv4", "ipv6")
# Rows a batch: also the most lines that have to be read over to find the start of a page.
_BATCH = 8192


@dataclass(frozen=True)
class Rendered:
    """What was written.

    Attributes:
        rows: records written.
        left_out: rows that no line can hold (control characters in the value).
        size: bytes.
        marks: (record, the byte at which its text starts), now and then, from record 0 on.
    """

    rows: int
    left_out: int
    size: int
    marks: tuple[tuple[int, int], ...]


def render(con: duckdb.DuckDBPyConnection, table: str, dialect: Dialect, out: BinaryIO) -> Rendered:
    """Write every row of a published table, by type and then value; addresses in numeric order.

    A type is written at a time: sorting within a type is quicker than sorting all, and needs less memory.

    Args:
        con: a connection inside the transaction whose snapshot is wanted.
        table: a relation with the published columns.
        dialect: how to write it.
        out: where to; it is neither flushed nor closed.
    """
    around = layout(dialect)
    out.write(around.head)
    size, rows, left_out = len(around.head), 0, 0
    marks = [(0, size)]
    for (type_,) in con.execute(f"SELECT DISTINCT type FROM {table} ORDER BY type").fetchall():
        for batch in con.execute(_query(table, dialect, type_)).to_arrow_reader(_BATCH):
            texts = batch.column(0)
            data = _bytes_of(texts)
            written = len(texts) - texts.null_count
            left_out += texts.null_count
            if rows and written:
                marks.append((rows, size + around.lead))
            elif written:
                data = data[around.lead :]
            out.write(data)
            size, rows = size + len(data), rows + written
    out.write(around.tail)
    return Rendered(rows, left_out, size + len(around.tail), tuple(marks))


def _query(table: str, dialect: Dialect, type_: str) -> str:
    rows = f"(SELECT * FROM {table} WHERE type = {literal(type_)})"
    if type_ not in _ADDRESSES:
        return f"SELECT {line(dialect, type_)} FROM {rows} ORDER BY value"
    if dialect.cidrs:
        rows = f"({to_cidrs(rows)})"
    return f"SELECT {line(dialect, type_)} FROM {rows} ORDER BY lo, up, value"


def _bytes_of(texts: Any) -> memoryview:
    """The texts of a string array one after another, as Arrow holds them already (nulls take no bytes)."""
    _, offsets, data = texts.buffers()
    if data is None or not len(texts):
        return memoryview(b"")
    bounds = np.frombuffer(offsets, dtype=np.int32)
    return memoryview(data)[int(bounds[texts.offset]) : int(bounds[texts.offset + len(texts)])]
