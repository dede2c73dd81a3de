"""Settings of the csv format, and the matching of its columns to those of a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from tipline.errors import FormatError
from tipline.formats.base import ATTRIBUTES, Patterns, Prefixes, TextSettings, Verbatim, nearest

Number = Annotated[int, Field(strict=True, ge=1, le=10_000)]
Column = Number | str
Columns = Annotated[list[Column], BeforeValidator(lambda v: v if isinstance(v, list) else [v])]

_NAMED_DELIMITERS = {"tab": "\t", "\\t": "\t", "space": " ", "pipe": "|"}


class CsvColumns(BaseModel):
    """Which column holds what: numbers starting at 1, or names (exact, else in any case)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    value: Columns = Field(default=[1], min_length=1, description="Column of the indicator; several give several rows.")
    type: Column | None = Field(default=None, description="Column of the type word (ip, FileHash-SHA256, ...).")
    record: Column | None = Field(default=None, description="Column of the record's id, where indicators repeat.")
    confidence: Column | None = Field(default=None, description="Column of the confidence (0-100, or mapped words).")
    actionable: Column | None = Field(default=None, description="Column that says whether to act (MISP's to_ids).")
    tlp: Column | None = Field(default=None, description="Column of the TLP.")
    direction: Column | None = Field(default=None, description="Column of the direction (inbound, outbound).")
    threat_types: Columns | None = Field(default=None, description="Column or columns of threat types.")
    tags: Columns | None = Field(default=None, description="Column or columns of tags.")
    description: Column | None = Field(default=None, description="Column of the description.")
    references: Columns | None = Field(default=None, description="Column or columns of references (URLs).")
    first_seen: Column | None = Field(default=None, description="Column of the time first seen.")
    last_seen: Column | None = Field(default=None, description="Column of the time last seen.")
    valid_until: Column | None = Field(default=None, description="Column of the time at which the indicator ends.")


class CsvSettings(TextSettings):
    """How a CSV file is read."""

    columns: CsvColumns = Field(default_factory=CsvColumns, description="Which column holds what.")
    header: bool = Field(default=True, description="Whether the first record names the columns.")
    names: list[str] = Field(default_factory=list, description="Names of the columns of a file without a header.")
    types_by_column: dict[Column, str] = Field(
        default_factory=dict, description="Type word for each value column, such as {3: md5, 4: sha256}."
    )
    extra: Columns = Field(default_factory=list, description="Columns kept as they are, as JSON.")
    delimiter: Verbatim = Field(
        default=",",
        min_length=1,
        max_length=16,
        description="Between cells: any text, or the words tab, space, pipe.",
    )
    quote: Verbatim | None = Field(
        default='"',
        description="Quote character around cells (doubled inside them); null: quotes mean nothing.",
    )
    comments: Prefixes = Field(default=["#"], description="A line that begins with one of these is no record.")
    ignore: Patterns = Field(
        default_factory=list,
        description="Cells of value columns in which one of these regular expressions is found are skipped.",
    )
    skip_rows: int = Field(default=0, ge=0, description="Lines to skip at the top, before the header.")
    split: Verbatim | None = Field(
        default=None, description="Separator inside the value's cell, which then gives several rows."
    )
    trim: bool = Field(default=True, description="Take white space (also no-break spaces) off both ends of cells.")
    short_rows: Literal["drop", "keep"] = Field(
        default="drop",
        description="Rows that lack a mapped cell: drop (as bad-row), or keep if they hold the value.",
    )

    @field_validator("delimiter", mode="before")
    @classmethod
    def _delimiter(cls, value: Any) -> Any:
        return _NAMED_DELIMITERS.get(value.strip().lower(), value) if isinstance(value, str) else value

    @field_validator("delimiter", "quote")
    @classmethod
    def _no_line_ends(cls, value: str | None) -> str | None:
        if value is not None and ("\n" in value or "\r" in value):
            raise ValueError("a line's end cannot stand here")
        return value

    @model_validator(mode="after")
    def _sensible(self) -> CsvSettings:
        if self.quote is not None and (len(self.quote) != 1 or not self.quote.isascii()):
            raise ValueError("quote is one ASCII character, or null")
        if self.quote is not None and self.quote in self.delimiter:
            raise ValueError("the delimiter contains the quote character")
        if self.names and self.header:
            raise ValueError("names are for files without a header; set header: false")
        if "" in self.comments:
            raise ValueError("an empty comment prefix would skip every line")
        stray = [column for column in self.types_by_column if column not in self.columns.value]
        if stray:
            raise ValueError(f"types_by_column names {stray[0]!r}, which is not among the value columns")
        return self


@dataclass(frozen=True)
class Layout:
    """Where things stand in a file: zero-based positions of its cells.

    Attributes:
        values: (position, type word or None) of each value column.
        attributes: attribute to its positions, one for most.
        extra: (position, key in the JSON) of each kept column.
        needed: the highest position that a record must have.
    """

    values: list[tuple[int, str | None]]
    attributes: dict[str, list[int]]
    extra: list[tuple[int, str]]
    needed: int

    @property
    def positions(self) -> list[int]:
        """Every position that is read, in file order."""
        mapped = [p for p, _ in self.values] + [p for ps in self.attributes.values() for p in ps]
        return sorted({*mapped, *(p for p, _ in self.extra)})


def layout(settings: CsvSettings, header: Sequence[str] | None, where: str) -> Layout:
    """Match the settings' columns to a file's.

    Args:
        settings: of the source.
        header: the names of the columns; None if there are none.
        where: feed, for messages.

    Raises:
        FormatError: a column is not there; the message lists those that are, and suggests the nearest.
    """

    def at(column: Column) -> int:
        return _position(column, header, where)

    values = [(at(c), settings.types_by_column.get(c)) for c in settings.columns.value]
    mapped = {name: getattr(settings.columns, name) for name in ATTRIBUTES}
    attributes = {
        name: [at(c) for c in (columns if isinstance(columns, list) else [columns])]
        for name, columns in mapped.items()
        if columns is not None
    }
    extra = [(at(c), _key(c, at(c), header)) for c in settings.extra]
    found = Layout(values, attributes, extra, 0)
    needed = found.positions[-1] if settings.short_rows == "drop" else min(p for p, _ in values)
    return replace(found, needed=needed)


def _key(column: Column, position: int, header: Sequence[str] | None) -> str:
    if isinstance(column, str):
        return column
    return header[position] if header and position < len(header) else f"column{column}"


def _position(column: Column, header: Sequence[str] | None, where: str) -> int:
    if isinstance(column, int):
        if header is not None and column > len(header):
            raise FormatError(
                f"there is no column {column}: the header has {len(header)}", where=where, fix=_listed(header)
            )
        return column - 1
    if header is None:
        raise FormatError(
            f"column {column!r} is given by name, but the file has no header",
            where=where,
            fix="give column numbers (from 1), or list the names under `names`",
        )
    for wanted, names in ((column, list(header)), (column.strip().lower(), [n.lower() for n in header])):
        if wanted in names:
            return names.index(wanted)
    hint = nearest(column, header)
    raise FormatError(
        f"there is no column {column!r}", where=where, fix="; ".join(filter(None, [hint, _listed(header)]))
    )


def _listed(header: Sequence[str]) -> str:
    shown = ", ".join(header[:30])
    more = f" and {len(header) - 30} more" if len(header) > 30 else ""
    one = "; one column only: is the delimiter right?" if len(header) == 1 else ""
    return f"the file has: {shown}{more}{one}"
