"""Looks values up in what is published: exact, covered by a network, or below a domain."""

from __future__ import annotations

from typing import Any

import duckdb
import polars as pl

from tipline.engine.core import Engine
from tipline.engine.paths import dicts
from tipline.model.normalise import conform
from tipline.model.policy import Policy
from tipline.store.schema import published_table

_EVERYTHING = Policy.allow_list()
_MAX_LABELS = 12


def lookup(engine: Engine, values: list[str], outputs: list[str] | None = None) -> list[dict[str, Any]]:
    """Look up values, in any spelling.

    Args:
        engine: the engine.
        values: what to look for; thousands at once are one query an output.
        outputs: where to look; all outputs unless given.

    Returns:
        One entry a value, in order: value as given, its canonical form (or the reason it has none), and hits.
    """
    asked = conform(pl.DataFrame({"value": values}, schema={"value": pl.String}), _EVERYTHING)
    names = [name for name in engine.graph.outputs if outputs is None or name in outputs]
    hits: dict[int, list[dict[str, Any]]] = {}
    with engine.lake.reading() as con:
        _ask(con, asked)
        for name in names:
            for row in dicts(con, _query(published_table(engine.graph.ids[name]), len(values))):
                hits.setdefault(row.pop("n"), []).append({"output": name, **row})
    return [
        {
            "asked": value,
            "type": row["type"],
            "value": row["value"] if row["drop"] is None else None,
            "problem": row["drop"],
            "hits": hits.get(number, []),
        }
        for number, (value, row) in enumerate(zip(values, asked.iter_rows(named=True), strict=True))
    ]


def _ask(con: duckdb.DuckDBPyConnection, asked: pl.DataFrame) -> None:
    con.register("asked_frame", asked.with_row_index("n").filter(pl.col("drop").is_null()).to_arrow())
    con.execute(
        "CREATE OR REPLACE TEMP TABLE asked AS SELECT n, type, value, lo::UUID AS lo, up::UUID AS up, rhost,"
        " md5_number_lower(type || '|' || value) AS kh, md5(type || '|' || value)::UUID AS key FROM asked_frame"
    )
    con.unregister("asked_frame")
    # Every parent of a host name is asked for too, as the domain it would be listed under.
    con.execute(
        "CREATE OR REPLACE TEMP TABLE parents AS SELECT n, md5_number_lower('domain|' || name) AS kh,"
        " md5('domain|' || name)::UUID AS key FROM (SELECT n, array_to_string(list_reverse(labels[:k]), '.') AS name"
        " FROM (SELECT n, labels, unnest(range(2, len(labels) + (type <> 'domain')::INT)) AS k FROM"
        f" (SELECT n, type, string_split(rtrim(rhost, '.'), '.')[:{_MAX_LABELS}] AS labels FROM asked"
        " WHERE rhost IS NOT NULL)))"
    )


def _query(published: str, asked: int) -> str:
    columns = "p.type, p.value, p.confidence, p.sources, p.since"
    # A single value is bound as a constant, so that zone maps on `kh` are used.
    narrow = " AND p.kh = (SELECT kh FROM asked)" if asked == 1 else ""
    return (
        f"SELECT a.n, 'exact' AS how, {columns} FROM {published} p JOIN asked a ON p.kh = a.kh AND p.key = a.key"
        f" WHERE TRUE{narrow}"
        f" UNION ALL SELECT a.n, 'parent', {columns} FROM {published} p JOIN parents a ON p.kh = a.kh AND p.key = a.key"
        f" UNION ALL SELECT a.n, 'network', {columns} FROM {published} p"
        " JOIN asked a ON a.type = p.type AND a.lo IS NOT NULL AND p.lo <= a.lo AND p.up >= a.up AND p.key <> a.key"
        " WHERE p.type IN ('ipv4', 'ipv6') AND (contains(p.value, '/') OR contains(p.value, '-'))"
        " ORDER BY 1, 2, 3, 4"
    )
