"""Rows of queries as people and programs read them."""

from __future__ import annotations

from typing import Any

import duckdb

from tipline.engine.times import iso


def dicts(con: duckdb.DuckDBPyConnection, query: str, parameters: list[Any] | None = None) -> list[dict[str, Any]]:
    """Rows of a query as dicts, moments as ISO text."""
    cursor = con.execute(query, parameters or [])
    names = [column[0] for column in cursor.description or []]
    return [
        {n: iso(v) if hasattr(v, "isoformat") else v for n, v in zip(names, row, strict=True)}
        for row in cursor.fetchall()
    ]
