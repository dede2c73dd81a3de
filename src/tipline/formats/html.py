"""The html format: a table of a web page, its columns mapped as those of a CSV file."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, Field
from selectolax.lexbor import LexborHTMLParser, LexborNode, SelectolaxError

from tipline.errors import FormatError
from tipline.formats import csv as csv_format
from tipline.formats.base import Context, Verbatim
from tipline.formats.csv_settings import Column, Columns, CsvColumns, CsvSettings

_SPAN = 1000
_WIDEST = 1000


class HtmlSettings(BaseModel):
    """Which table of a page is read, and how."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    table: int | str | None = Field(
        default=None,
        description="Number of the table (from 1) or a CSS selector; unset: the longest that has the named columns.",
    )
    columns: CsvColumns = Field(default_factory=CsvColumns, description="Which column holds what.")
    header: bool = Field(default=True, description="Whether the first row names the columns.")
    types_by_column: dict[Column, str] = Field(
        default_factory=dict, description="Type word for each value column, such as {3: md5, 4: sha256}."
    )
    extra: Columns = Field(default_factory=list, description="Columns kept as they are, as JSON.")
    split: Verbatim | None = Field(
        default=None, description="Separator inside the value's cell, which then gives several rows."
    )
    short_rows: Literal["drop", "keep"] = Field(
        default="drop", description="Rows that lack a mapped cell: drop (as bad-row), or keep if they hold the value."
    )
    max_document: int = Field(default=64 << 20, ge=1, description="Largest page, in bytes.")


@dataclass
class Table:
    """One table of a page, spans filled in: `rows` of cells, the header (if there is one) first."""

    rows: list[list[str]] = field(default_factory=list)

    @property
    def headers(self) -> list[str]:
        """The cells of the first row."""
        return self.rows[0] if self.rows else []


def tables(document: str | bytes, selector: str = "table") -> list[Table]:
    """The tables of a page that a CSS selector finds, in order.

    Raises:
        FormatError: not a CSS selector.
    """
    tree = LexborHTMLParser(document)
    for node in tree.css("script, style, template"):
        node.decompose()
    try:
        found = tree.css(selector)
    except SelectolaxError as error:
        raise FormatError(f"{selector!r} is no CSS selector: {error}", fix="try one such as table#iocs") from error
    return [Table(_rows(node)) for node in found if node.tag == "table"]


def _rows(table: LexborNode) -> list[list[str]]:
    """Rows of a table, without those of tables inside it; a cell over several rows or columns stands in each."""
    down: dict[int, tuple[int, str]] = {}
    out = []
    for row in table.css("tr"):
        if _table_of(row) != table.mem_id:
            continue
        cells: list[str] = []
        for cell in (node for node in row.iter() if node.tag in ("td", "th")):
            _fill(cells, down)
            text = " ".join(cell.text(deep=True, separator=" " if cell.css("br, p, li, div") else "").split())
            rows = _number(cell, "rowspan")
            for _ in range(min(_number(cell, "colspan"), _WIDEST - len(cells))):
                if rows > 1:
                    down[len(cells)] = (rows - 1, text)
                cells.append(text)
        _fill(cells, down)
        if cells:
            out.append(cells)
    return out


def _fill(cells: list[str], down: dict[int, tuple[int, str]]) -> None:
    """Put in the cells that reach down from rows above."""
    while len(cells) in down:
        left, text = down.pop(len(cells))
        if left > 1:
            down[len(cells)] = (left - 1, text)
        cells.append(text)


def _table_of(node: LexborNode) -> int:
    parent = node.parent
    while parent is not None and parent.tag != "table":
        parent = parent.parent
    return parent.mem_id if parent is not None else 0


def _number(cell: LexborNode, name: str) -> int:
    value = (cell.attributes.get(name) or "").strip()
    return max(1, min(int(value[:6]), _SPAN)) if value.isascii() and value.isdigit() else 1


def read(path: Path, settings: HtmlSettings, ctx: Context) -> Iterator[pl.DataFrame]:
    """Raw frames of one table of a page.

    Raises:
        FormatError: there is no such table or column, or the page is larger than `max_document`.
    """
    if path.stat().st_size > settings.max_document:
        raise FormatError(
            f"the page is larger than max_document ({settings.max_document:,} bytes)",
            where=ctx.feed,
            fix="raise max_document if memory allows (some ten times that)",
        )
    table = _chosen(path.read_bytes().decode("utf-8", "replace"), settings, ctx)
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", errors="replace", newline="", dir=path.parent) as cells:
        csv.writer(cells).writerows(table.rows)
        cells.flush()
        yield from csv_format.read(Path(cells.name), _as_csv(settings), ctx)


def _as_csv(settings: HtmlSettings) -> CsvSettings:
    return CsvSettings(
        html=True,
        comments=[],
        columns=settings.columns,
        header=settings.header,
        types_by_column=settings.types_by_column,
        extra=settings.extra,
        split=settings.split,
        short_rows=settings.short_rows,
    )


def _chosen(document: str, settings: HtmlSettings, ctx: Context) -> Table:
    wanted = settings.table
    found = tables(document, wanted if isinstance(wanted, str) else "table")
    if isinstance(wanted, int):
        if not 1 <= wanted <= len(found):
            raise FormatError(f"there is no table {wanted}", where=ctx.feed, fix=_listed(found))
        return found[wanted - 1]
    names = {name.strip().lower() for name in _named(settings)}
    fit = [table for table in found if names <= {header.lower() for header in table.headers}]
    if not fit:
        what = f"no table that {wanted!r} finds" if wanted else "no table"
        having = f" has the columns {', '.join(sorted(names))}" if names and found else " is on the page"
        raise FormatError(what + having, where=ctx.feed, fix=_listed(found))
    return max(fit, key=lambda table: len(table.rows))


def _named(settings: HtmlSettings) -> list[str]:
    """The columns that the settings name by their header."""
    given = [
        column
        for value in settings.columns.model_dump().values()
        for column in (value if isinstance(value, list) else [value])
    ]
    return [column for column in [*given, *settings.extra] if isinstance(column, str)]


def _listed(found: list[Table]) -> str:
    if not found:
        return "is the page made by a script? then look for the address that the script reads"
    heads = [f"{n}: {', '.join(table.headers)[:80]} ({len(table.rows)} rows)" for n, table in enumerate(found[:10], 1)]
    return "the page has: " + "; ".join(heads)
