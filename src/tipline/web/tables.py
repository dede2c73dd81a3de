"""Tables of what is in memory: sorted, searched and cut into pages by the query string."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

PAGE_SIZE = 50


@dataclass(frozen=True)
class Column:
    """A column: the key of its value in a row, its heading, and whether it is a number."""

    key: str
    label: str
    number: bool = False
    sort: bool = True


@dataclass
class Table:
    """One page of rows, and how it came about.

    Args:
        columns: what is shown.
        rows: everything that there is.
        sort: a column's key, with a leading `-` for descending; unknown keys leave the order as it is.
        page: from 1; a page past the end is the last one.
        size: rows a page.
    """

    columns: Sequence[Column]
    rows: Sequence[Mapping[str, Any]]
    sort: str = ""
    page: int = 1
    size: int = PAGE_SIZE
    total: int = field(init=False)
    pages: int = field(init=False)

    def __post_init__(self) -> None:
        """Sort and cut."""
        rows = self._sorted()
        self.total = len(rows)
        self.pages = max(1, -(-self.total // self.size))
        self.page = min(max(1, self.page), self.pages)
        first = (self.page - 1) * self.size
        self.rows = rows[first : first + self.size]

    @property
    def key(self) -> str:
        """The column that it is sorted by."""
        return self.sort.removeprefix("-")

    @property
    def descending(self) -> bool:
        """Whether the largest comes first."""
        return self.sort.startswith("-")

    def next_sort(self, column: Column) -> str:
        """What a click on a heading asks for: numbers begin with the largest."""
        if column.key != self.key:
            return f"-{column.key}" if column.number else column.key
        return column.key if self.descending else f"-{column.key}"

    def as_dict(self) -> dict[str, Any]:
        """For the page's JSON."""
        return {
            "rows": [dict(row) for row in self.rows],
            "total": self.total,
            "page": self.page,
            "pages": self.pages,
            "sort": self.sort,
        }

    def _sorted(self) -> list[Mapping[str, Any]]:
        if self.key not in {column.key for column in self.columns if column.sort}:
            return list(self.rows)
        # What has no value stands last, either way.
        there = [row for row in self.rows if row.get(self.key) is not None]
        absent = [row for row in self.rows if row.get(self.key) is None]
        return sorted(there, key=self._rank, reverse=self.descending) + absent

    def _rank(self, row: Mapping[str, Any]) -> tuple[int, float, str]:
        value = row[self.key]
        if isinstance(value, (int, float)):
            return 0, float(value), ""
        return 1, 0.0, str(value).casefold()


def matching(rows: Sequence[Mapping[str, Any]], words: str, keys: Sequence[str]) -> list[Mapping[str, Any]]:
    """The rows that hold every word in one of some columns, whatever its case."""
    wanted = words.casefold().split()
    return [row for row in rows if all(word in _text(row, keys) for word in wanted)]


def _text(row: Mapping[str, Any], keys: Sequence[str]) -> str:
    return "\n".join(str(row.get(key) or "") for key in keys).casefold()
