"""What a module says about a format: which types it carries, how a row reads, what stands around the rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from tipline.outputs.render.dialect import Dialect, Layout
from tipline.outputs.render.fields import CONTROL

ADDRESSES = ("ipv4", "ipv6")
HASHES = ("md5", "sha1", "sha256", "sha512")

# Canonical values match these whole; whatever does not is left out of formats with a syntax of their own.
_LABEL = r"[a-z0-9_][a-z0-9_-]{0,62}"
NAME = rf"(?:{_LABEL}\.)*{_LABEL}"
NUMBERS = r"[0-9a-f:.]{2,45}(?:/[0-9]{1,3})?"
RANGE = r"[0-9a-f:.]{2,45}(?:/[0-9]{1,3}|-[0-9a-f:.]{2,45})?"
HEX = r"[0-9a-f]{32,128}"
# The characters of RFC 3986 but quotes; URLs with others are left out, not encoded: they would not match.
URL = r"[A-Za-z0-9._~:/?#\[\]@!$&()*+,;=%-]+"
LONGEST = 2000


_EPOCH = datetime.fromisoformat("1970-01-01")


@dataclass(frozen=True)
class Context:
    """Which list is written: its name, version, and when it last changed (naive UTC)."""

    name: str = "list"
    seq: int = 0
    changed: datetime = _EPOCH


UNNAMED = Context()


@dataclass(frozen=True)
class Part:
    """One query's records.

    Attributes:
        query: yields the text of a record in its first column, null if the row is left out; a second column,
            if there is one, says how many rows that is.
        before: in front of the first record.
        after: behind the last one.
        empty: instead of these, if there is no record.
        lead: bytes at the start of its first record's text that separate it from the one before; None: as the
            layout says.
    """

    query: str
    before: bytes = b""
    after: bytes = b""
    empty: bytes = b""
    lead: int | None = None


@dataclass(frozen=True)
class Rows:
    """What is written: the published table (or a query), and the types in it that the format carries."""

    table: str
    types: tuple[str, ...]
    total: int


def no_frame(_: Dialect, __: Context) -> Layout:
    """Nothing around the lines."""
    return Layout(b"", b"")


@dataclass(frozen=True)
class Spec:
    """A format.

    Attributes:
        reader: the program that reads it, for people.
        line: SQL of a row's text for a type, null where the row is left out; the text ends its last line.
        types: what it carries; None: every type. A function where that depends on an option.
        frame: what stands around the records.
        media: media type.
        extension: of files.
        shows: published columns that it reads beside type and value; None: all.
        cidrs: whether ranges have to become CIDRs.
        merged: whether addresses must not overlap.
        distinct: whether different rows may give the same line.
        most: how many records its readers take, unless `most` says otherwise.
        pages: whether a part of it is of any use; None: asking for one is ignored, as in MineMeld.
        parts: queries, if not one a type.
        limits: one sentence for the table of dialects.
    """

    reader: str
    line: Callable[[Dialect, str], str]
    types: tuple[str, ...] | Callable[[Dialect], tuple[str, ...] | None] | None = None
    frame: Callable[[Dialect, Context], Layout] = no_frame
    media: str = "text/plain; charset=utf-8"
    extension: str = "txt"
    shows: tuple[str, ...] | None = ()
    cidrs: bool = False
    merged: bool = False
    distinct: bool = False
    most: int | None = None
    pages: bool | None = True
    parts: Callable[[Dialect, Context, Rows], Sequence[Part]] | None = None
    limits: str = ""

    def carried(self, dialect: Dialect) -> tuple[str, ...] | None:
        """The types that it carries in a dialect; None: every type."""
        return self.types(dialect) if callable(self.types) else self.types


def whole(pattern: str, text: str, longest: int = LONGEST) -> str:
    """SQL: `text` if all of a row's value is as a pattern says, and not too long; else null."""
    return f"CASE WHEN length(value) <= {longest} AND regexp_full_match(value, '{pattern}') THEN {text} END"


def address(pattern: str, text: str) -> str:
    """SQL: `text` if a row's value is an address as a pattern says; all real ones have an interval."""
    return f"CASE WHEN lo IS NOT NULL AND regexp_full_match(value, '{pattern}') THEN {text} END"


def level(high: str, medium: str, low: str) -> str:
    """SQL: a row's confidence as one of three words, cut at 75 and 50 as MineMeld's STIX did."""
    return f"CASE WHEN confidence >= 75 THEN '{high}' WHEN confidence >= 50 THEN '{medium}' ELSE '{low}' END"


def simple_name(name: str, longest: int) -> str:
    """A list's name as a name in the syntax of others: letters, digits and underscores, a letter first."""
    text = "".join(c if c.isascii() and c.isalnum() else "_" for c in name)[:longest]
    return text if text[:1].isalpha() else f"l{text}"[:longest]


def one_line(text: str) -> str:
    """SQL: `text` if its value has nothing that ends a line, else null."""
    return f"CASE WHEN NOT regexp_matches(value, '[{CONTROL}]') THEN {text} END"
