"""Finds indicators among the claims that an asker may see, a page by position at a time."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import duckdb

from tipline.engine.asker import Asker
from tipline.engine.claimed import claimed, on_keys
from tipline.engine.core import Engine
from tipline.engine.filters import Search, confidence_of, matching, quoted, tlp_of
from tipline.engine.rows import dicts
from tipline.model.tlp import NAMES


def search(
    engine: Engine, asker: Asker, wanted: Search, *, limit: int = 100, after: tuple[str, str] | None = None
) -> list[dict[str, Any]]:
    """A page of the indicators found, in order of value and type.

    Args:
        engine: the engine.
        asker: who asks.
        wanted: the filters.
        limit: indicators at most.
        after: (value, type) of the last one of the page before.

    Returns:
        For each: type, value, and claims (source, record, confidence, tlp, tags, added, ...).
    """
    with engine.lake.reading() as con:
        found = matching(con, engine, asker, wanted)
        if not found.parts:
            return []
        union = found.union(dict.fromkeys(found.parts, "value, type, key"))
        page = _first(con, f"SELECT * FROM ({union}){_beyond(*after) if after else ''}", limit)
        claims = _claims(con, engine, asker, [key for _, _, key in page])
    return [{"type": type_, "value": value, "claims": claims.get(key, [])} for value, type_, key in page]


def _beyond(value: str, type_: str) -> str:
    """SQL: only what comes after an indicator; the value alone skips whole blocks."""
    return f" WHERE value >= {quoted(value)} AND (value > {quoted(value)} OR type > {quoted(type_)})"


def _first(con: duckdb.DuckDBPyConnection, query: str, limit: int) -> list[tuple[str, str, UUID]]:
    """The first indicators of claims: each once, though several sources and records may claim it."""
    number = 2 * limit
    while True:
        # To keep the first ones is much cheaper than to group all.
        rows = con.execute(f"SELECT value, type, key FROM ({query}) ORDER BY value, type LIMIT {number}").fetchall()
        once = list(dict.fromkeys(rows))
        if len(once) >= limit or len(rows) < number:
            return once[:limit]
        number *= 4


def _claims(
    con: duckdb.DuckDBPyConnection, engine: Engine, asker: Asker, keys: list[UUID]
) -> dict[UUID, list[dict[str, Any]]]:
    """The claims that an asker sees on some indicators, by key; of each in the order of sources and records."""
    order = {name: n for n, name in enumerate(engine.graph.sources)}

    def selected(name: str) -> str:
        return (
            f"{quoted(name)} AS source, key, record, tags, description, first_seen, last_seen, added, left_at,"
            f" {confidence_of(engine, name)} AS confidence, {tlp_of(engine, name)} AS tlp"
        )

    query = claimed(con, engine.graph, asker, on_keys(keys), "kh", selected) if keys else None
    rows = dicts(con, query) if query else []
    found: dict[UUID, list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda each: (order[each["source"]], each["record"])):
        row["tlp"] = NAMES[row["tlp"]]
        found.setdefault(row.pop("key"), []).append(row)
    return found
