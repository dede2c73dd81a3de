"""Takes a poll's frames in: normalised, accounted for, de-duplicated, ready to be compared with the claims."""

from __future__ import annotations

from collections.abc import Iterable

import duckdb
import polars as pl

from tipline.engine.ledger import MAX_SAMPLES, Ledger
from tipline.model.normalise import conform
from tipline.model.policy import Policy
from tipline.store.schema import ATTRIBUTES, INDICATOR, columns_sql, digest_sql

INCOMING = {**INDICATOR, "record": "VARCHAR", **ATTRIBUTES, "digest": "UBIGINT"}
_COLUMNS = ", ".join(INCOMING)
_LISTS = ("threat_types", "tags", "refs")
_DIGESTED = list(ATTRIBUTES)


def stage(con: duckdb.DuckDBPyConnection, frames: Iterable[pl.DataFrame], policy: Policy) -> Ledger:
    """Read every frame into the temporary table `incoming`, one row per (key, record).

    Returns:
        The account of the frames: what was read, accepted, duplicate, and dropped with its reason.
    """
    ledger = Ledger()
    con.execute(f"CREATE OR REPLACE TEMP TABLE incoming ({columns_sql(INCOMING)})")
    for frame in frames:
        claims = conform(frame, policy)
        ledger.read += claims.height
        _account_drops(claims, ledger)
        _insert(con, claims.filter(pl.col("drop").is_null()))
    kept = _count(con)
    _remove_duplicates(con)
    ledger.accepted = _count(con)
    ledger.duplicate = kept - ledger.accepted
    return ledger


def _account_drops(claims: pl.DataFrame, ledger: Ledger) -> None:
    dropped = claims.filter(pl.col("drop").is_not_null())
    if dropped.is_empty():
        return
    groups = dropped.group_by("drop").agg(pl.len(), pl.col("raw").head(MAX_SAMPLES)).sort("drop")
    for reason, count, values in groups.iter_rows():
        ledger.drop(reason, count, values)


def _insert(con: duckdb.DuckDBPyConnection, claims: pl.DataFrame) -> None:
    if claims.is_empty():
        return
    con.register("frame", claims.to_arrow())
    attributes = ", ".join(_attribute(name) for name in ATTRIBUTES)
    con.execute(
        f"INSERT INTO incoming ({_COLUMNS})"
        f" SELECT md5(identity)::UUID, md5_number_lower(identity), type, value, lo, up, rhost, record,"
        f" {', '.join(ATTRIBUTES)}, {digest_sql(_DIGESTED)}"
        f" FROM (SELECT type || '|' || value AS identity, type, value, lo::UUID AS lo, up::UUID AS up, rhost, record,"
        f" {attributes} FROM frame)"
    )
    con.unregister("frame")


def _attribute(name: str) -> str:
    source = '"references"' if name == "refs" else name
    if name in _LISTS:
        return f"CASE WHEN {source} IS NOT NULL THEN list_sort(list_distinct({source})) END AS {name}"
    return f"{source} AS {name}"


def _count(con: duckdb.DuckDBPyConnection) -> int:
    row = con.execute("SELECT count(*) FROM incoming").fetchone()
    return int(row[0]) if row else 0


def _remove_duplicates(con: duckdb.DuckDBPyConnection) -> None:
    """Keep one row per (key, record): the most confident, then the latest seen; the feed's order never matters."""
    con.execute(
        "CREATE OR REPLACE TEMP TABLE repeated AS"
        " SELECT key, record FROM incoming GROUP BY key, record HAVING count(*) > 1"
    )
    row = con.execute("SELECT count(*) FROM repeated").fetchone()
    if not row or not row[0]:
        return
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE chosen AS SELECT DISTINCT ON (key, record) {_COLUMNS} FROM incoming"
        " SEMI JOIN repeated USING (key, record)"
        " ORDER BY key, record, confidence DESC NULLS LAST, last_seen DESC NULLS LAST, digest"
    )
    con.execute("DELETE FROM incoming WHERE (key, record) IN (SELECT (key, record) FROM repeated)")
    con.execute(f"INSERT INTO incoming ({_COLUMNS}) SELECT {_COLUMNS} FROM chosen")
