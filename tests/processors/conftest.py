"""Small view relations in DuckDB, for tests of the SQL that processors are made of."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import duckdb
import pytest

from tipline.model import key, kh
from tipline.model.addresses import Interval, bounds, interval, spell

COLUMNS = {
    "key": "UUID", "kh": "UBIGINT", "type": "VARCHAR", "value": "VARCHAR", "lo": "UUID", "up": "UUID",
    "rhost": "VARCHAR", "sources": "VARCHAR[]", "confidence": "UTINYINT", "actionable": "BOOLEAN",
    "tlp": "UTINYINT", "direction": "VARCHAR", "threat_types": "VARCHAR[]", "tags": "VARCHAR[]",
    "description": "VARCHAR", "refs": "VARCHAR[]", "extra": "VARCHAR", "first_seen": "TIMESTAMP",
    "last_seen": "TIMESTAMP", "valid_until": "TIMESTAMP", "added": "TIMESTAMP",
}  # fmt: skip
NO_JOIN = re.compile(r"NESTED_LOOP|BLOCKWISE|PIECEWISE|IE_JOIN|CROSS_PRODUCT")


class Views:
    """A database of view relations."""

    def __init__(self) -> None:
        self.con = duckdb.connect(config={"threads": 1})
        self.con.execute("SET asof_loop_join_threshold = 0")
        self.con.execute("SET TimeZone = 'UTC'")

    def table(self, name: str, rows: list[dict[str, Any]]) -> str:
        columns = ", ".join(f"{column} {sort}" for column, sort in COLUMNS.items())
        self.con.execute(f"CREATE OR REPLACE TABLE {name} ({columns})")
        if rows:
            marks = ", ".join("(" + ", ".join("?" for _ in COLUMNS) + ")" for _ in rows)
            cells = [row[column] for row in rows for column in COLUMNS]
            self.con.execute(f"INSERT INTO {name} VALUES {marks}", cells)
        return name

    def rows(self, sql: str) -> list[dict[str, Any]]:
        result = self.con.execute(sql)
        names = [column[0] for column in result.description]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    def assert_fast_joins(self, sql: str) -> None:
        plan = self.con.execute(f"EXPLAIN {sql}").fetchall()[0][1]
        assert not NO_JOIN.search(plan), plan


def span(text: str) -> Interval:
    """The interval that an address text means."""
    found = interval(text)
    assert not isinstance(found, str), found
    return found


def make_row(type_: str, text: str, source: str = "m1", **more: Any) -> dict[str, Any]:
    """A view row of a canonical or an address text."""
    value, lo, up, rhost = text, None, None, None
    if type_ in ("ipv4", "ipv6"):
        lo, up = bounds(span(text))
        value = spell(span(text))
    elif type_ in ("domain", "url"):
        found = re.match(r"(?:[a-z]+://)?([^/:?#]+)", text)
        assert found
        host = found[1]
        if re.fullmatch(r"[\d.]+", host):
            lo, up = bounds(span(host))
        else:
            rhost = ".".join(reversed(host.split("."))) + "."
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    row |= {
        "key": key(type_, value), "kh": kh(type_, value), "type": type_, "value": value, "lo": lo, "up": up,
        "rhost": rhost, "sources": [source], "confidence": 50, "actionable": True, "tlp": 2,
        "added": datetime.fromisoformat("2024-01-01"),
    }  # fmt: skip
    return row | more


@pytest.fixture(scope="session")
def views() -> Iterator[Views]:
    made = Views()
    yield made
    made.con.close()


@pytest.fixture(scope="session")
def row() -> Callable[..., dict[str, Any]]:
    return make_row
