"""The lines format: one indicator a line, dialects of lists, and lines that a regular expression takes apart."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Literal

import polars as pl
from pydantic import Field, field_validator, model_validator

from tipline.errors import FormatError
from tipline.formats.base import (
    ATTRIBUTES,
    BAD_ROW,
    TEXT_LIMIT,
    Context,
    Patterns,
    Prefixes,
    TextSettings,
    groups_of,
    line_blocks,
    nearest,
    not_ignored,
    open_text,
    slices,
)
from tipline.formats.dialects import READERS, Dialect

# A URL ends at white space only, since commas, semicolons and # belong to URLs; all else also at those.
_FIRST_WORD = r"^([^\s,;#/]*://\S*[^\s,;#]|[^\s,;#/:]*[A-Za-z][^\s,;#/:]*(?::\d+)?/\S*[^\s,;#]|[^\s,;#]+)"
_RANGE = {"start", "end"}
_EXTRA = "extra_"


class LinesSettings(TextSettings):
    """How a list is read."""

    take: Literal["first", "line"] = Field(
        default="first",
        description="first: up to white space, comma, semicolon or # (a URL: white space); line: all of it.",
    )
    comments: Prefixes = Field(
        default=["#", ";", "//"],
        description="A line that begins with one of these is skipped; behind white space it ends the line.",
    )
    pattern: str | None = Field(
        default=None,
        description=(
            "Regular expression (no look-around) with named groups: value (or start and end of a "
            "range), type, confidence, ...; extra_NAME is kept as NAME. Lines without a match are bad rows."
        ),
    )
    dialect: Dialect = Field(
        default="plain",
        description=(
            "A syntax with meanings of its own: what it blocks is taken, what it lets through or only restricts "
            "is dropped with a reason. plain: `take` or `pattern`."
        ),
    )
    redirects: bool = Field(
        default=False,
        description="hosts, dnsmasq, unbound, rpz: take also names that are answered with a page or address.",
    )
    ignore: Patterns = Field(
        default_factory=list,
        description="Lines in which one of these regular expressions is found are skipped.",
    )
    skip_rows: int = Field(default=0, ge=0, description="Lines to skip at the top.")

    @field_validator("comments")
    @classmethod
    def _no_empty_prefix(cls, value: list[str]) -> list[str]:
        if "" in value:
            raise ValueError("an empty comment prefix would skip every line")
        return value

    @model_validator(mode="after")
    def _pattern_names_fields(self) -> LinesSettings:
        if self.pattern is None:
            return self
        if self.dialect != "plain":
            raise ValueError("dialect and pattern exclude each other")
        names = {name for name in groups_of(self.pattern) if not name.isdigit()}
        known = {"value", *ATTRIBUTES, *_RANGE}
        for name in sorted(names - known):
            if not name.startswith(_EXTRA):
                hint = nearest(name, known) or f"call it {_EXTRA}{name} to keep it in `extra`"
                raise ValueError(f"pattern: {name!r} is not a field; {hint}")
        if "value" not in names and not names >= _RANGE:
            raise ValueError("pattern: no group named value, such as (?P<value>\\S+), and no start and end")
        return self


def read(path: Path, settings: LinesSettings, ctx: Context) -> Iterator[pl.DataFrame]:
    """Raw frames of a list, at most 100,000 rows each; memory does not grow with the file.

    Args:
        path: UTF-8 text (see `decode`), with or without a byte-order mark.
        settings: of the source.
        ctx: feed's name, and where warnings go.

    Raises:
        FormatError: a web page, a line of over 16 MiB, or a file of another dialect.
    """
    rows = _reader(settings)
    with open_text(path, settings, ctx) as stream:
        for _ in range(settings.skip_rows):
            stream.readline()
        for block in line_blocks(stream, ctx):
            lines = pl.read_lines(BytesIO(block), name="line")
            try:
                found = rows(lines)
            except FormatError as error:
                error.where = error.where or ctx.feed
                raise
            yield from slices(found)


def _reader(settings: LinesSettings) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """What makes raw rows of the lines of one file, block after block."""
    if settings.dialect == "plain":
        return lambda lines: _raw(_wanted(lines, settings), settings)
    read_dialect = READERS[settings.dialect](settings.redirects)
    return lambda lines: read_dialect(not_ignored(lines, "line", settings.ignore))


def _wanted(lines: pl.DataFrame, settings: LinesSettings) -> pl.DataFrame:
    """Lines that are neither blank, nor comments, nor ignored; trimmed."""
    line = pl.col("line")
    keep = line != ""
    for prefix in settings.comments:
        keep &= ~line.str.starts_with(prefix)
    left = not_ignored(lines, "line", settings.ignore)
    return left.select(line.str.strip_chars("\ufeff").str.strip_chars()).filter(keep)


def _raw(lines: pl.DataFrame, settings: LinesSettings) -> pl.DataFrame:
    if settings.pattern is not None:
        return _matched(lines, settings.pattern)
    if settings.take == "first":
        several = lines.select(pl.col("line").str.contains(r"[\s,;#]").any()).item()
        value = pl.col("line").str.extract(_FIRST_WORD) if several else pl.col("line")
    else:
        value = _without_inline_comment(settings.comments)
    return _or_bad(lines.with_columns(value=value))


def _without_inline_comment(prefixes: list[str]) -> pl.Expr:
    line = pl.col("line")
    if not prefixes:
        return line
    choice = "|".join(re.escape(prefix) for prefix in prefixes)
    return line.str.replace(rf"\s+(?:{choice}).*$", "")


def _or_bad(frame: pl.DataFrame) -> pl.DataFrame:
    """Rows without a value become bad rows with the line's text."""
    lost = pl.col("value").is_null() | (pl.col("value") == "")
    if not frame.select(lost.any()).item():
        return frame.drop("line")
    return frame.with_columns(
        value=pl.when(lost).then(pl.col("line").str.slice(0, TEXT_LIMIT)).otherwise("value"),
        drop=pl.when(lost).then(pl.lit(BAD_ROW)),
    ).drop("line")


def _matched(lines: pl.DataFrame, pattern: str) -> pl.DataFrame:
    groups = lines.select("line", pl.col("line").str.extract_groups(pattern).alias("_groups")).unnest("_groups")
    names = [name for name in groups_of(pattern) if not name.isdigit()]
    columns = [pl.col(name) for name in names if name in ("value", *ATTRIBUTES)]
    if "value" not in names:
        columns.append((pl.col("start") + "-" + pl.col("end")).alias("value"))
    extra = [pl.col(name).alias(name.removeprefix(_EXTRA)) for name in names if name.startswith(_EXTRA)]
    if extra:
        columns.append(pl.struct(extra).struct.json_encode().alias("extra"))
    return _or_bad(groups.select("line", *columns))
