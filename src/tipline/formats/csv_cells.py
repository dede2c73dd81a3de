"""CSV text to frames of cells, in blocks: by Polars if plain or well quoted, else by the csv module.

A block is cut where a record ends (a line's end outside quotes). If its quotes obey RFC 4180 (each opening
quote behind a delimiter or a line's end, each closing quote before one), Polars and Python's csv module agree
on it, which a property test shows, and Polars is some ten times faster. All other blocks go to `csv_loose`.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import polars as pl

from tipline.formats.base import BLOCK_BYTES, MAX_LINE_BYTES, cut
from tipline.formats.csv_dialect import STAND_IN, Cells, Dialect, Want
from tipline.formats.csv_loose import loose_cells

_NEWLINE, _RETURN, _SPACE = 10, 13, 32
Positions = npt.NDArray[np.intp]


def cells(stream: BinaryIO, dialect: Dialect, want: Want, size: int = BLOCK_BYTES) -> Iterator[Cells]:
    """All records from the stream's position on.

    Args:
        stream: UTF-8 text, seekable.
        dialect: delimiter, quote and comments.
        want: positions to read.
        size: bytes read at once.

    Raises:
        FormatError: see `csv_loose`.
    """
    offset, ask = stream.tell(), size
    while True:
        stream.seek(offset)
        data = stream.read(ask)
        if not data:
            return
        last = len(data) < ask
        end = _record_end(data, dialect.quote, last=last)
        if not end and ask < MAX_LINE_BYTES:
            ask *= 2
            continue
        found = _strict_cells(data[:end], dialect, want) if end else None
        if found is None:
            found, offset = loose_cells(stream, offset, offset + (end or len(data)), dialect, want)
        else:
            offset += end
        ask = size
        yield found


def _record_end(data: bytes, quote: str | None, *, last: bool) -> int:
    """Where the last whole record of the data ends; 0 if none does."""
    if last:
        return len(data)
    if quote is None or quote.encode() not in data:
        return data.rfind(b"\n") + 1
    array = np.frombuffer(data, np.uint8)
    ends = _unquoted(np.flatnonzero(array == _NEWLINE), np.flatnonzero(array == ord(quote)))
    return int(ends[-1]) + 1 if len(ends) else 0


def _unquoted(positions: Positions, quotes: Positions) -> Positions:
    """Those positions that have an even number of quotes before them."""
    return positions[(np.searchsorted(quotes, positions) & 1) == 0] if len(quotes) else positions


def _strict_cells(block: bytes, dialect: Dialect, want: Want) -> Cells | None:
    """Cells of a block by Polars; None if its quotes are not well-formed."""
    block = dialect.prepared(block)
    quoted = dialect.quote is not None and dialect.quote.encode() in block
    if quoted:
        if dialect.trim:
            block = _without_space_before_quotes(block, dialect)
        if not _well_quoted(block, dialect):
            return None
    block = _without_comments(block, dialect, quoted=quoted)
    if not block:
        return Cells(_empty(want))
    frame = _polars(block, dialect, want, quoted=quoted)
    ends = _ends(block, dialect) if quoted else None
    if frame.height != (len(ends) if ends is not None else block.count(b"\n") + (not block.endswith(b"\n"))):
        return None
    if quoted and dialect.separator != dialect.delimiter:
        frame = frame.with_columns(pl.all().str.replace_all(STAND_IN, dialect.delimiter, literal=True))
    return Cells(frame, _short_rows(block, frame, dialect, want))


def _empty(want: Want) -> pl.DataFrame:
    return pl.DataFrame(schema={f"c{p}": pl.String for p in want.positions})


def _polars(block: bytes, dialect: Dialect, want: Want, *, quoted: bool) -> pl.DataFrame:
    frame = pl.read_csv(
        BytesIO(block),
        has_header=False,
        columns=want.positions,
        schema={f"column_{i}": pl.String for i in range(1, want.positions[-1] + 2)},
        separator=dialect.separator,
        quote_char=dialect.quote if quoted else None,
        extra_columns="ignore",
        missing_columns="insert",
        truncate_ragged_lines=True,
        encoding="utf8-lossy",
    )
    return frame.select(pl.col(f"column_{p + 1}").alias(f"c{p}") for p in want.positions)


def _quotes(block: bytes, dialect: Dialect) -> tuple[npt.NDArray[np.uint8], Positions]:
    array = np.frombuffer(block, np.uint8)
    return array, np.flatnonzero(array == ord(dialect.quote or ""))


def _ends(block: bytes, dialect: Dialect) -> Positions:
    """Positions just behind each record's last character (its line's end, or the end of the block)."""
    array = np.frombuffer(block, np.uint8)
    quotes = np.flatnonzero(array == ord(dialect.quote)) if dialect.quote else np.empty(0, np.intp)
    ends = _unquoted(np.flatnonzero(array == _NEWLINE), quotes)
    return ends if block.endswith(b"\n") else np.append(ends, len(block))


def _well_quoted(block: bytes, dialect: Dialect) -> bool:
    """Whether every quote opens behind a delimiter or a line's end, closes before one, or is doubled."""
    array, quotes = _quotes(block, dialect)
    if len(quotes) % 2:
        return False
    opens, closes = quotes[0::2], quotes[1::2]
    separator = ord(dialect.separator)
    before = np.where(opens > 0, array[opens - 1], _NEWLINE)
    follows = np.minimum(closes + 1, len(array) - 1)
    after = np.where(closes + 1 < len(array), array[follows], _NEWLINE)
    second = np.minimum(closes + 2, len(array) - 1)
    line_end = (after == _NEWLINE) | ((after == _RETURN) & ((closes + 2 >= len(array)) | (array[second] == _NEWLINE)))
    doubled = np.zeros(len(opens) + 1, bool)
    doubled[1:-1] = opens[1:] == closes[:-1] + 1
    opened = (before == separator) | (before == _NEWLINE) | doubled[:-1]
    closed = (after == separator) | line_end | doubled[1:]
    return bool(opened.all() and closed.all())


def _without_space_before_quotes(block: bytes, dialect: Dialect) -> bytes:
    """The block without the blanks between a delimiter (or a line's start) and an opening quote."""
    array, quotes = _quotes(block, dialect)
    at = quotes[0::2] - 1
    at = at[at >= 0]
    at = at[array[at] == _SPACE]
    gone: list[Positions] = []
    while len(at):
        gone.append(at)
        at = at[at > 0] - 1
        at = at[array[at] == _SPACE]
    if not gone:
        return block
    spaces = np.sort(np.concatenate(gone)) if len(gone) > 1 else gone[0]
    begins = np.append(True, np.diff(spaces) > 1)
    starts = spaces[begins]
    led = (starts == 0) | np.isin(array[starts - 1], (ord(dialect.separator), _NEWLINE))
    return np.delete(array, spaces[led[np.cumsum(begins) - 1]]).tobytes()


def _without_comments(block: bytes, dialect: Dialect, *, quoted: bool) -> bytes:
    """The block without blank lines and comments."""
    prefixes = tuple(prefix.encode() for prefix in dialect.comments)
    marks = (b"\n", b"\r\n", b" ", *prefixes)
    if not block.startswith(marks) and not any(b"\n" + mark in block for mark in marks):
        return block
    ends = _ends(block, dialect) if quoted else _ends(block, Dialect(quote=None))
    starts = np.concatenate(([0], ends[:-1] + 1))
    first = np.frombuffer(block, np.uint8)[np.minimum(starts, len(block) - 1)]
    likely = np.isin(first, np.array([mark[0] for mark in (*marks, b"\r")], np.uint8))
    kept, position = [], 0
    for start, end in zip(starts[likely].tolist(), (ends[likely] + 1).tolist(), strict=True):
        if block.startswith(prefixes, start) or not block[start:end].strip(b" \r\n"):
            kept.append(block[position:start])
            position = end
    return b"".join([*kept, block[position:]])


def _short_rows(block: bytes, frame: pl.DataFrame, dialect: Dialect, want: Want) -> dict[int, str]:
    """Records with too few cells; looked for only where the last needed cell is empty somewhere."""
    column = f"c{want.needed}"
    if frame.get_column(column).null_count() == 0:
        return {}
    array, ends = np.frombuffer(block, np.uint8), _ends(block, dialect)
    separators = np.flatnonzero(array == ord(dialect.separator))
    if dialect.quote is not None:
        separators = _unquoted(separators, np.flatnonzero(array == ord(dialect.quote)))
    counts = np.diff(np.searchsorted(separators, ends), prepend=0)
    rows: Any = np.flatnonzero(counts < want.needed)
    starts = np.concatenate(([0], ends[:-1] + 1))
    return {
        int(row): cut(dialect.restored(block[starts[row] : ends[row]].decode("utf-8", "replace").strip()))
        for row in rows
    }
