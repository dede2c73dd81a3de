"""CSV records by Python's csv module, for blocks whose quotes are not well-formed, and for headers.

A quote that never closes would swallow the rest of the file: a record is given up after 128 KiB, its first
line is reported as bad, and reading goes on with the line after it.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import BinaryIO

import polars as pl

from tipline.errors import FormatError
from tipline.formats.base import BATCH_ROWS, MAX_LINE_BYTES, cut
from tipline.formats.csv_dialect import Cells, Dialect, Want

_MAX_RECORD_BYTES = 128 << 10
_MAX_UNCLOSED = 1000


class _Lines:
    """Feeds the csv module line by line, and knows where each record begins."""

    def __init__(self, stream: BinaryIO, dialect: Dialect) -> None:
        self._stream = stream
        self._dialect = dialect
        self._prefixes = tuple(prefix.encode() for prefix in dialect.comments)
        self.record = self.first_end = self.position = stream.tell()
        self.first = ""
        self.cut_off = False
        self._fresh = True

    def begin(self) -> None:
        """The next line begins a record."""
        self._fresh, self.cut_off = True, False

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._line()
        while self._fresh and line and (line.startswith(self._prefixes) or not line.strip(b" \r\n")):
            line = self._line()
        if not line or (not self._fresh and self.position - self.record > _MAX_RECORD_BYTES):
            self.cut_off = not self._fresh
            raise StopIteration
        text = self._dialect.prepared(line).decode("utf-8", "replace")
        if self._fresh:
            self._fresh = False
            self.record, self.first_end, self.first = self.position - len(line), self.position, text
        return text

    def _line(self) -> bytes:
        line = self._stream.readline(MAX_LINE_BYTES)
        self.position += len(line)
        return line


def records(
    stream: BinaryIO, offset: int, stop: int, dialect: Dialect, *, limit: int = BATCH_ROWS
) -> tuple[list[list[str]], list[str], int]:
    """Records from `offset` until `stop` is passed or `limit` are read.

    Returns:
        The records' cells, the texts of records that cannot be read, and the offset behind the last one.

    Raises:
        FormatError: over 1,000 quotes do not close: the quote character is not what the settings say.
    """
    rows: list[list[str]] = []
    bad: list[str] = []
    while offset < stop and len(rows) < limit:
        stream.seek(offset)
        lines = _Lines(stream, dialect)
        for row in _until_trouble(lines, dialect):
            if row is None:
                bad.append(cut(dialect.restored(lines.first.strip())))
                break
            rows.append(row)
            if lines.position >= stop or len(rows) >= limit:
                break
        offset = lines.first_end if lines.cut_off else lines.position
        if len(bad) > _MAX_UNCLOSED:
            raise FormatError(
                f"over {_MAX_UNCLOSED} records have quotes that do not pair, such as: {bad[0][:80]}",
                fix="set `quote: null` if quotes mean nothing here, or the quote character in use",
            )
    return rows, bad, offset


def _until_trouble(lines: _Lines, dialect: Dialect) -> Iterator[list[str] | None]:
    """Records of the lines; None in place of one that cannot be read, and then no more."""
    reader = csv.reader(
        lines,
        delimiter=dialect.separator,
        quotechar=dialect.quote,
        quoting=csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE,
        skipinitialspace=dialect.trim,
    )
    while True:
        lines.begin()
        try:
            row = next(reader, None)
        except csv.Error:
            row, lines.cut_off = None, True
        if lines.cut_off:
            yield None
        if row is None or lines.cut_off:
            return
        yield row


def loose_cells(stream: BinaryIO, offset: int, stop: int, dialect: Dialect, want: Want) -> tuple[Cells, int]:
    """The same as `csv_cells` reads, by Python's csv module; and the offset behind the last record."""
    rows, bad, offset = records(stream, offset, stop, dialect)
    restore = dialect.separator != dialect.delimiter
    columns = {}
    for position in want.positions:
        column = [(row[position] or None) if position < len(row) else None for row in rows]
        columns[f"c{position}"] = [cell and dialect.restored(cell) for cell in column] if restore else column
    frame = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))
    short = {number: cut(dialect.delimiter.join(row)) for number, row in enumerate(rows) if len(row) <= want.needed}
    return Cells(frame, short, bad), offset


def header(stream: BinaryIO, dialect: Dialect) -> list[str] | None:
    """The first record's cells, trimmed; leaves the stream behind it. None if there is no record.

    Raises:
        FormatError: the header's quotes do not close.
    """
    offset = stream.tell()
    end = stream.seek(0, 2)
    rows, bad, offset = records(stream, offset, end, dialect, limit=1)
    stream.seek(offset)
    if bad:
        raise FormatError(f"the header cannot be read: {bad[0][:80]}", fix="its quotes do not pair; see `quote`")
    return [dialect.restored(cell).strip() for cell in rows[0]] if rows else None
