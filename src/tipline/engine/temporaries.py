"""Temporary tables and views of one evaluation: numbered, and dropped together."""

from __future__ import annotations

from contextlib import suppress
from itertools import count

import duckdb


class Temporaries:
    """What one evaluation makes on its own connection."""

    _numbers = count()

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self.con = con
        self._made: list[tuple[str, str]] = []

    def table(self, query: str) -> str:
        """Run a query into a temporary table; returns its name."""
        return self._make("TABLE", f"t_{next(self._numbers)}", query)

    def view(self, query: str) -> str:
        """Give a query a name."""
        return self._make("VIEW", f"v_{next(self._numbers)}", query)

    def close(self) -> None:
        """Drop all of them."""
        with suppress(duckdb.TransactionException):  # what failed is rolled back, and takes its tables along
            for kind, name in reversed(self._made):
                self.con.execute(f"DROP {kind} IF EXISTS {name}")
        self._made.clear()

    def _make(self, kind: str, name: str, query: str) -> str:
        self.con.execute(f"CREATE TEMP {kind} {name} AS {query}")
        self._made.append((kind, name))
        return name
