"""The csv format: cells to raw claim frames."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from tipline.errors import FormatError
from tipline.formats.base import BAD_ROW, LIST_ATTRIBUTES, MAX_LINE_BYTES, Context, not_ignored, open_text, slices
from tipline.formats.csv_cells import cells
from tipline.formats.csv_dialect import Cells, Dialect, Want
from tipline.formats.csv_loose import header
from tipline.formats.csv_settings import CsvColumns, CsvSettings, Layout, layout

__all__ = ["CsvColumns", "CsvSettings", "read"]

_REPLACEMENT = "\ufffd"


def read(path: Path, settings: CsvSettings, ctx: Context) -> Iterator[pl.DataFrame]:
    """Raw frames of a CSV file, at most 100,000 rows each; memory does not grow with the file.

    Args:
        path: UTF-8 text (see `decode`), with or without a byte-order mark.
        settings: of the source.
        ctx: feed's name, and where warnings go.

    Raises:
        FormatError: a web page, a missing column, or quotes that do not pair.
    """
    dialect = Dialect(settings.delimiter, settings.quote, tuple(settings.comments), settings.trim)
    with open_text(path, settings, ctx) as stream:
        for _ in range(settings.skip_rows):
            stream.readline(MAX_LINE_BYTES)
        names = header(stream, dialect) if settings.header else settings.names or None
        if settings.header and names is None:
            return
        found = layout(settings, names, ctx.feed)
        for number, part in enumerate(cells(stream, dialect, Want(found.positions, found.needed))):
            if number == 0:
                _refuse_all_short(part, found, ctx)
            yield from slices(_raw(part, found, settings))


def _refuse_all_short(part: Cells, found: Layout, ctx: Context) -> None:
    """A first block in which no record has enough cells is a wrong setting, not bad data."""
    if part.frame.height and len(part.short) == part.frame.height:
        raise FormatError(
            f"no record has {found.needed + 1} cells, the first one is: {part.short[0][:80]}",
            where=ctx.feed,
            fix="check the delimiter and the column numbers (they start at 1)",
        )


def _raw(part: Cells, found: Layout, settings: CsvSettings) -> pl.DataFrame:
    """Cells to a raw frame: one row for each value column of each record, then the bad rows."""
    frame = _tidied(part.frame) if settings.trim else part.frame
    whole = frame
    if part.short:
        whole = frame.filter(~pl.int_range(pl.len()).is_in(list(part.short)))
    frames = [not_ignored(each, "value", settings.ignore) for each in _by_value(whole, found, settings.split)]
    bad = [*part.short.values(), *part.bad]
    if bad:
        frames.append(pl.DataFrame({"value": bad}, schema={"value": pl.String}).with_columns(drop=pl.lit(BAD_ROW)))
    return pl.concat(frames, how="diagonal")


def _tidied(frame: pl.DataFrame) -> pl.DataFrame:
    """Cells without white space around them; what is empty then is null."""
    stripped = pl.all().str.strip_chars()
    return frame.select(pl.when(stripped != "").then(stripped))


def _by_value(frame: pl.DataFrame, found: Layout, split: str | None) -> list[pl.DataFrame]:
    """One frame for each value column; an empty cell is a row only where all value columns are empty."""
    attributes = [_attribute(name, positions) for name, positions in found.attributes.items()]
    if found.extra:
        attributes.append(
            pl.struct(pl.col(f"c{p}").alias(key) for p, key in found.extra).struct.json_encode().alias("extra")
        )
    filled = [pl.col(f"c{p}").is_not_null() for p, _ in found.values]
    frames = []
    for number, (position, type_word) in enumerate(found.values):
        rows = frame
        if len(filled) > 1:
            rows = rows.filter(filled[number] | ~pl.any_horizontal(filled) if number == 0 else filled[number])
        columns = [pl.col(f"c{position}").fill_null("").alias("value"), *attributes]
        if type_word is not None:
            columns = [c for c in columns if c.meta.output_name() != "type"] + [pl.lit(type_word).alias("type")]
        frames.append(_split(_no_replacements(rows.select(columns)), split))
    return frames


def _attribute(name: str, positions: list[int]) -> pl.Expr:
    if name in LIST_ATTRIBUTES and len(positions) > 1:
        return pl.concat_list(f"c{p}" for p in positions).list.drop_nulls().alias(name)
    return pl.col(f"c{positions[0]}").alias(name)


def _no_replacements(frame: pl.DataFrame) -> pl.DataFrame:
    """Undecodable bytes at a value's ends are no part of it."""
    edge = pl.col("value").str.contains("^\\s*\ufffd|\ufffd\\s*$")
    if not frame.select(edge.any()).item():
        return frame
    return frame.with_columns(
        pl.when(edge)
        .then(pl.col("value").str.strip_chars(f"{_REPLACEMENT} \t\u00a0"))
        .otherwise("value")
        .alias("value")
    )


def _split(frame: pl.DataFrame, separator: str | None) -> pl.DataFrame:
    if separator is None:
        return frame
    parts = pl.col("value").str.split(separator).list.eval(pl.element().str.strip_chars()).list.set_difference([""])
    whole = pl.when(parts.list.len() == 0).then(pl.concat_list(pl.lit(""))).otherwise(parts)
    return frame.with_columns(whole.alias("value")).explode("value")
