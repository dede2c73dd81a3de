"""What an output publishes: fresh rows compared with it, removals explained, the difference written with its log."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Self

import duckdb

from tipline.engine.touch import region
from tipline.store.schema import (
    ADDED,
    CHANGED,
    PUBLISHED,
    REMOVED,
    VIEW,
    VIEW_COLUMNS,
    digest_sql,
    log_table,
    published_table,
)

_DIGESTED = [name for name in VIEW if name not in {"key", "kh", "type", "value", "lo", "up", "rhost"}]
# Conditions on `difference`: what feeds (not a person's allowing) add and remove.
FEED_ADDED = f"op = {ADDED} AND NOT by_hand"
FEED_REMOVED = f"op = {REMOVED} AND NOT by_hand"


@dataclass(frozen=True)
class Counts:
    """How many rows `difference` has: in all, and of those that readers see, by what happens."""

    all: int
    added: int
    changed: int
    removed: int

    @property
    def logged(self) -> int:
        """How many rows the log gets."""
        return self.added + self.changed + self.removed

    @classmethod
    def of(cls, con: duckdb.DuckDBPyConnection) -> Self:
        """Those of `difference` as it is."""
        shown = ", ".join(
            f"count(*) FILTER ({test})" for test in (f"op = {ADDED}", f"op = {CHANGED} AND loud", f"op = {REMOVED}")
        )
        row = con.execute(f"SELECT count(*), {shown} FROM difference").fetchone()
        return cls(*(int(number) for number in row or (0, 0, 0, 0)))


def compare(con: duckdb.DuckDBPyConnection, live: str, published: str, shown: list[str], *, sliced: bool) -> Counts:
    """Compare fresh rows with what is published.

    Fills the view `fresh` (the rows) and the table `difference` (key, type, value, op, loud, since, digest, shown,
    reason, by_hand).
    """
    con.execute(f"CREATE OR REPLACE TEMP VIEW fresh AS SELECT {VIEW_COLUMNS} FROM {live}")
    columns = ["key", "type", "value", "digest", "shown", "since"]
    old = region(con, published, columns) if sliced else f"SELECT {', '.join(columns)} FROM {published}"
    # What a list shows is all there is: then one digest does for both.
    digest = digest_sql(_DIGESTED)
    both = set(_DIGESTED) == set(shown) - {"type", "value"}
    marked = (
        f"SELECT *, {'digest' if both else digest_sql(shown)} AS shown FROM (SELECT *, {digest} AS digest FROM fresh)"
    )
    con.execute(
        "CREATE OR REPLACE TEMP TABLE difference AS SELECT coalesce(f.key, p.key) AS key,"
        " coalesce(f.type, p.type) AS type, coalesce(f.value, p.value) AS value,"
        f" CASE WHEN p.key IS NULL THEN {ADDED} WHEN f.key IS NULL THEN {REMOVED} ELSE {CHANGED} END AS op,"
        " f.shown IS DISTINCT FROM p.shown AS loud, p.since, f.digest, f.shown,"
        " NULL::VARCHAR AS reason, FALSE AS by_hand"
        f" FROM (SELECT key, type, value, digest, shown FROM ({marked})) f FULL JOIN ({old}) p ON f.key = p.key"
        " WHERE f.key IS NULL OR p.key IS NULL OR f.digest <> p.digest"
    )
    return Counts.of(con)


def explain(con: duckdb.DuckDBPyConnection, decided: Iterable[str], allowed: str) -> None:
    """Note in `difference` why rows are removed, and what is so because a person allowed it.

    Args:
        con: where `difference` is.
        decided: relations with `dropped`: what the nodes on the way decided, first to last.
        allowed: the source of what the team allowed by hand.
    """
    given = " UNION ALL ".join(f"SELECT key, dropped FROM {name} WHERE dropped IS NOT NULL" for name in decided)
    by_hand = "starts_with(r.reason, ?) OR starts_with(r.reason, ?)"
    con.execute(
        f"UPDATE difference SET reason = r.reason, by_hand = {by_hand}"
        f" FROM (SELECT key, min(dropped) AS reason FROM ({given})"
        f" SEMI JOIN (SELECT key FROM difference WHERE op = {REMOVED}) USING (key) GROUP BY key) r"
        f" WHERE difference.key = r.key AND difference.op = {REMOVED}",
        [f"allowed by {allowed}: ", f"cut: {allowed}: "],
    )


def write(con: duckdb.DuckDBPyConnection, number: int, seq: int, at: datetime, counts: Counts) -> None:
    """Write `difference` to an output's published table, and its log (removals first) from `seq` on."""
    published = published_table(number)
    if counts.logged:
        # Sorting costs as much as writing, so only what is mixed is sorted.
        order = "ORDER BY op" if 0 < counts.removed < counts.logged else ""
        con.execute(
            f"INSERT INTO {log_table(number)} SELECT ? + row_number() OVER ({order}), ?, op, key, type, value, reason"
            f" FROM difference WHERE op <> {CHANGED} OR loud",
            [seq, at],
        )
    if counts.all > counts.added:
        con.execute(f"DELETE FROM {published} WHERE key IN (SELECT key FROM difference WHERE op <> {ADDED})")
    if counts.all > counts.removed:
        con.execute(
            f"INSERT INTO {published} ({', '.join(PUBLISHED)}) SELECT {VIEW_COLUMNS}, digest, shown,"
            " coalesce(d.since, ?) FROM fresh JOIN (SELECT key, since, digest, shown FROM difference) d USING (key)"
            " ORDER BY kh",
            [at],
        )
