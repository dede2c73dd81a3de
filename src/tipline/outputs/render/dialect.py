"""What a list can be asked for: its format, fields and options, as one value that is equal if the text is."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import Literal

Format = Literal["plain", "csv", "json"]
Formulas = Literal["escape", "keep"]

MAX_FIELDS = 32
FORMULAS_HELP = "csv: escape: an apostrophe before cells that spreadsheets would calculate; keep: as it is."
_FIELD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,63}")
_COLUMN = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]{1,64}")


@dataclass(frozen=True)
class Layout:
    """How a dialect is laid out as bytes.

    Attributes:
        head: before the first record.
        tail: after the last one.
        lead: bytes at the start of each record's text that separate it from the one before.
    """

    head: bytes
    tail: bytes
    lead: int = 0


@dataclass(frozen=True)
class Dialect:
    """One way to write a list; make it with `dialect()`, so that what does not matter is left out.

    Attributes:
        format: plain, csv or json.
        fields: (field, name of its column or key); empty: the format's usual ones.
        cidrs: address ranges as minimal CIDRs.
        header: csv: whether the first line names the columns.
        bom: csv: whether a UTF-8 byte order mark comes first.
        formulas: csv: whether cells that a spreadsheet would calculate are made text.
    """

    format: Format = "plain"
    fields: tuple[tuple[str, str], ...] = ()
    cidrs: bool = False
    header: bool = True
    bom: bool = False
    formulas: Formulas = "escape"

    def text(self) -> str:
        """The dialect as JSON: the same for equal dialects, in every process."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def parse(cls, text: str) -> Dialect:
        """The dialect that `text()` wrote."""
        values = json.loads(text)
        return cls(**{**values, "fields": tuple((field, column) for field, column in values["fields"])})


def dialect(
    kind: Format,
    fields: tuple[tuple[str, str], ...] = (),
    *,
    cidrs: bool = False,
    header: bool = True,
    bom: bool = False,
    formulas: Formulas = "escape",
) -> Dialect:
    """A dialect with every option that its format does not know at its default."""
    if kind == "plain":
        return Dialect(cidrs=cidrs)
    if kind == "json":
        return Dialect("json", fields, cidrs)
    return Dialect("csv", fields or (("indicator", "indicator"),), cidrs, header, bom, formulas)


def parse_field(text: str) -> tuple[str, str]:
    """`field` or `field|column` as (field, column).

    Raises:
        ValueError: it is neither; the message says what is wrong with it.
    """
    field, bar, column = text.partition("|")
    if not _FIELD.fullmatch(field):
        raise ValueError(f"{field[:80]!r} is no field; write f=indicator or f=indicator|column")
    if bar and not _COLUMN.fullmatch(column):
        raise ValueError(f"{column[:80]!r} cannot name a column; use 1 to 64 characters on one line")
    return field, column if bar else field
