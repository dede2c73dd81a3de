"""What columns hold, told by their names and their cells."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from tipline.model import conform, type_of_word
from tipline.model.times import parse
from tipline.model.tlp import level

# Attribute to the names that its columns have, the most telling first.
_NAMES: dict[str, tuple[str, ...]] = {
    "type": (r"(?:ioc|indicator|entity|attribute|observable|threat)?[ _-]?type|kind",),
    "first_seen": (
        r"first[ _-]?seen.*",
        r"date[ _-]?(?:added|created)?|created.*|added|listing[ _-]?date|timestamp|submission[ _-]?time",
    ),
    "last_seen": (r"last[ _-]?(?:seen|online|updated).*|updated.*|modified.*",),
    "valid_until": (r"valid[ _-]?until|expir\w*(?:[ _-]?(?:date)?time)?|unban\w*|unblock[ _-]?date",),
    "confidence": (r"confidence(?:[ _-]?(?:level|score))?|score",),
    "tlp": (r"tlp(?:[ _-]?level)?",),
    "tags": (r"tags?|labels?",),
    "description": (
        r"description|comments?|notes?",
        r"malware.*|threat(?:[ _-]?name)?|(?:listing[ _-]?)?reason|context|title",
    ),
    "references": (r"refs?|references?|links?|sources?|report|.*_link|phish_detail_url",),
}
_VALUE = re.compile(
    r"(?:ioc|indicator|observable|artifact|value|artefact)s?(?:[ _-]?value)?"
    r"|(?:ip|dst|src|c2|bad)?[ _-]?(?:ip|ipv4|ipv6)(?:[ _-]?addr(?:ess)?)?(?:es)?|(?:ip[ _-]?)?range"
    r"|domains?(?:[ _-]?name)?|host(?:name)?s?|fqdn|urls?|c2(?:[ _-]?server)?|cidr|network|email|cve(?:[ _-]?id)?"
    r"|(?:file)?[ _-]?(?:hash|md5|sha-?1|sha-?256|sha-?512)(?:[ _-]?hash)?",
    re.IGNORECASE,
)
_SHAPELESS = frozenset(("user-agent", "mutex", "file-name", "file-path", "registry-key", "command-line"))
_WEAK = 0.3
_STRONG = 0.6


@dataclass(frozen=True)
class Column:
    """A column's cells, and what they look like.

    Attributes:
        place: from 1.
        name: in the header; empty if there is none.
        cells: of some rows, without empty ones.
        share: of cells that are indicators by themselves.
        types: of these.
    """

    place: int
    name: str
    cells: list[str]
    share: float
    types: frozenset[str]

    @property
    def is_named_value(self) -> bool:
        """Whether its name says that it holds indicators."""
        return names_values(self.name)


def names_values(name: str) -> bool:
    """Whether a column's name says that it holds indicators."""
    return _VALUE.fullmatch(name.strip()) is not None


def columns_of(rows: Sequence[Sequence[str]], names: Sequence[str]) -> list[Column]:
    """The columns of some rows of cells."""
    width = max((len(row) for row in rows), default=0)
    found = []
    for place in range(width):
        cells = [row[place].strip() for row in rows if place < len(row) and row[place].strip()]
        share, types = _looks(cells)
        name = names[place] if place < len(names) else ""
        found.append(Column(place + 1, name, cells, share, types))
    return found


def _looks(cells: list[str]) -> tuple[float, frozenset[str]]:
    if not cells:
        return 0.0, frozenset()
    claims = conform(pl.DataFrame({"value": cells}))
    # A private address is an address; that it is dropped says nothing of the column.
    good = claims.filter(pl.col("drop").is_null() | pl.col("drop").is_in(["not-routable", "several-values"]))
    return good.height / claims.height, frozenset(good["type"].drop_nulls())


def roles(columns: list[Column]) -> dict[str, Column]:
    """The columns of attributes: by name, and types and TLP also by their cells."""
    found: dict[str, Column] = {}
    for attribute, patterns in _NAMES.items():
        named = [column for pattern in patterns for column in columns if _named(column, pattern)]
        fitting = [c for c in named if c not in found.values() and _plausible(attribute, c)]
        if fitting:
            found[attribute] = fitting[0]
    for attribute in ("type", "tlp", "first_seen"):
        free = [c for c in columns if c.cells and c not in found.values() and (attribute != "first_seen" or not c.name)]
        told = [c for c in free if _told(attribute, c)]
        if told and attribute not in found:
            found[attribute] = told[0]
    return found


def _named(column: Column, pattern: str) -> bool:
    return bool(column.cells) and re.fullmatch(pattern, column.name.strip(), re.IGNORECASE) is not None


def _plausible(attribute: str, column: Column) -> bool:
    """Whether a column may hold what its name says."""
    if attribute == "type":
        return any(type_of_word(cell) is not None for cell in column.cells)
    if attribute == "tlp":
        return _told("tlp", column)
    if attribute == "confidence":
        return all(re.fullmatch(r"\d{1,3}(?:\.\d+)?|[A-Za-z ]+", cell) for cell in column.cells)
    return True


def _told(attribute: str, column: Column) -> bool:
    """Whether the cells alone say that a column holds types, TLPs or times."""
    if attribute == "first_seen":
        dated = [cell for cell in column.cells if re.search(r"\d[-/ ]", cell)]
        good = pl.Series(dated, dtype=pl.String)
        return bool(dated) and len(dated) - parse(good).null_count() >= _STRONG * len(column.cells)
    reads = type_of_word if attribute == "type" else level
    return sum(reads(cell) is not None for cell in column.cells) >= _STRONG * len(column.cells)


def values(columns: list[Column], taken: dict[str, Column]) -> list[Column]:
    """The columns of indicators: those whose name says so, else the first that mostly holds some."""
    free = [c for c in columns if c not in taken.values() and c.cells]
    typed = "type" in taken
    named = [c for c in free if c.is_named_value and (c.share >= _WEAK or typed)]
    generic = [c for c in named if re.match(r"(?i)(?:ioc|indicator|observable|value|artifact)", c.name.strip())]
    if generic:
        return generic[:1]
    if named:
        return named[:1] if typed else named
    strong = sorted((c for c in free if c.share >= _WEAK), key=lambda c: (-round(c.share, 1), c.place))
    return strong[:1]


def shapeless(columns: list[Column]) -> tuple[list[Column], str | None]:
    """The column that is named after a type whose values cannot be known by their looks, and the type."""
    for column in columns:
        word = type_of_word(column.name) if column.name and column.cells else None
        if word in _SHAPELESS:
            return [column], word
    return [], None
