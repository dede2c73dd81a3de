"""Compares a poll with a source's claims and writes the difference, with its log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Self

import duckdb

from tipline.engine.times import literal
from tipline.sources.ageing import Expiry
from tipline.store.schema import ADDED, ATTRIBUTES, CHANGED, CLAIM, INDICATOR, REMOVED, claims_table

# From this share of a source on, a commit is logged as one `bulk` mark and its outputs are evaluated in full.
BULK_SHARE = 0.3
BULK_LEAST = 20_000
_LOG_COLUMNS = "source, commit_no, stamp, op, key, type, value, lo, up, rhost"


@dataclass
class Difference:
    """What a poll would change, as counts; the rows are in the temporary tables `change` and `missing`."""

    present: int
    added: int
    changed: int
    missing: int


def compare(
    con: duckdb.DuckDBPyConnection,
    source: int,
    *,
    snapshot: bool,
    refresh: bool,
    by_line: bool = False,
    by_record: bool = False,
) -> Difference:
    """Compare `incoming` with the claims: fills `change` (key, record, op) and `missing` (key, record).

    Args:
        con: the poll's own connection.
        source: the source's number.
        snapshot: whether absence means anything.
        refresh: whether an unchanged row must still be touched (its expiry counts from its last delivery).
        by_line: whether `incoming` leaves out the claims of known lines, but for those in `gone_lines`.
        by_record: whether absence means something for the records in `named_records`.
    """
    claims = claims_table(source)
    unchanged = "false" if refresh else "c.digest = i.digest AND c.left_at IS NULL"
    con.execute(
        "CREATE OR REPLACE TEMP TABLE change AS SELECT i.key, i.record,"
        f" CASE WHEN c.key IS NULL THEN {ADDED} ELSE {CHANGED} END AS op, c.added,"
        " (c.digest IS DISTINCT FROM i.digest OR c.left_at IS NOT NULL) AS loud"
        f" FROM incoming i LEFT JOIN {claims} c ON c.key = i.key AND c.record = i.record"
        f" WHERE c.key IS NULL OR NOT ({unchanged})"
    )
    missing = "TRUE" if snapshot else "c.record IN (SELECT record FROM named_records)" if by_record else "FALSE"
    if by_line:
        missing += " AND (c.line IS NULL OR c.line IN (SELECT line FROM gone_lines))"
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE missing AS SELECT c.key, c.record FROM {claims} c"
        f" WHERE {missing} AND c.left_at IS NULL"
        " AND NOT EXISTS (SELECT 1 FROM incoming i WHERE i.key = c.key AND i.record = c.record)"
    )
    counts = con.execute(
        f"SELECT (SELECT count(*) FROM {claims} WHERE left_at IS NULL),"
        f" (SELECT count(*) FROM change WHERE op = {ADDED}),"
        f" (SELECT count(*) FROM change WHERE op = {CHANGED} AND loud), (SELECT count(*) FROM missing)"
    ).fetchone()
    return Difference(*(int(n) for n in counts or (0, 0, 0, 0)))


def compare_withdrawn(con: duckdb.DuckDBPyConnection, source: int, prefix: str) -> Difference:
    """Take `incoming` for a list of what is taken back: `missing` gets its claims, and `change` stays empty.

    Args:
        con: the poll's own connection.
        source: the source's number.
        prefix: what the records of the claims begin with.
    """
    con.execute("CREATE OR REPLACE TEMP TABLE named_keys AS SELECT DISTINCT key FROM incoming")
    con.execute("DELETE FROM incoming")
    found = compare(con, source, snapshot=False, refresh=False)
    con.execute(
        f"INSERT INTO missing SELECT key, record FROM {claims_table(source)} SEMI JOIN named_keys USING (key)"
        " WHERE starts_with(record, ?) AND left_at IS NULL",
        [prefix],
    )
    row = con.execute("SELECT count(*) FROM missing").fetchone()
    return Difference(found.present, 0, 0, int(row[0]) if row else 0)


def write_changes(
    con: duckdb.DuckDBPyConnection,
    source: int,
    at: datetime,
    rules: list[Expiry],
    *,
    approved: bool = False,
    append: bool = False,
) -> dict[str, int]:
    """Write `change` and `missing` as one commit (inside a writing transaction); returns counts by what happened.

    What an append source misses was taken back by name, and is gone at once, whatever the rules say.
    """
    claims = claims_table(source)
    rows = _Rows.of(con)
    number = next_commit(con, source)
    stay, gone = _leaving(con, claims, "TRUE" if append else _gone_sql(rules, at)) if rows.missing else (0, 0)
    counts = {"added": rows.added, "changed": rows.loud + stay, "removed": gone}
    bulk = _is_bulk(con, claims, sum(counts.values()))
    there = [f"SELECT key, record, {REMOVED} AS op FROM leaving WHERE gone"] if gone else []
    if not bulk:
        there += [f"SELECT key, record, {CHANGED} AS op FROM leaving WHERE NOT gone"] if stay else []
        there += [f"SELECT key, record, op FROM change WHERE op = {CHANGED} AND loud"] if rows.loud else []
    touched = [f"({' UNION ALL '.join(there)}) t JOIN {claims} c USING (key, record)"] if there else []
    if rows.added and not bulk:
        touched.append(f"change t JOIN incoming c USING (key, record) WHERE t.op = {ADDED}")
    if touched:
        _log(con, touched, source, number, at)
    if gone:
        con.execute(f"DELETE FROM {claims} WHERE (key, record) IN (SELECT (key, record) FROM leaving WHERE gone)")
    if stay:
        staying = "SELECT (key, record) FROM leaving WHERE NOT gone"
        con.execute(f"UPDATE {claims} SET left_at = ? WHERE (key, record) IN ({staying})", [at])
    _take(con, claims, rows, at, append=append)
    con.execute(
        "INSERT INTO commits VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [source, number, at, counts["added"], counts["changed"], counts["removed"], bulk, approved],
    )
    return counts


@dataclass(frozen=True)
class _Rows:
    """How many rows there are in the temporary tables.

    Of `change` they are told apart: new ones, those that say something else, and those to be written again at all.
    """

    incoming: int
    added: int
    loud: int
    again: int
    missing: int

    @classmethod
    def of(cls, con: duckdb.DuckDBPyConnection) -> Self:
        """Those of the temporary tables as they are."""
        tests = (f"op = {ADDED}", f"op = {CHANGED} AND loud", f"op = {CHANGED}")
        changes = ", ".join(f"count(*) FILTER ({test})" for test in tests)
        row = con.execute(
            f"SELECT (SELECT count(*) FROM incoming), {changes}, (SELECT count(*) FROM missing) FROM change"
        ).fetchone()
        return cls(*(int(number) for number in row or (0, 0, 0, 0, 0)))


def _leaving(con: duckdb.DuckDBPyConnection, claims: str, gone: str) -> tuple[int, int]:
    """Fill `leaving` with the claims that are missing; returns how many stay for a while, and how many are gone."""
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE leaving AS SELECT c.key, c.record, {gone} AS gone"
        f" FROM {claims} c SEMI JOIN missing USING (key, record)"
    )
    row = con.execute("SELECT count(*) FILTER (NOT gone), count(*) FILTER (gone) FROM leaving").fetchone()
    stay, left = row or (0, 0)
    return int(stay), int(left)


def withdraw(con: duckdb.DuckDBPyConnection, source: int, at: datetime, where: str, *, approved: bool = False) -> int:
    """Take out the claims that match a condition, as one commit; returns how many."""
    claims = claims_table(source)
    row = con.execute(
        f"CREATE OR REPLACE TEMP TABLE touched AS SELECT key, record, {REMOVED} AS op FROM {claims} WHERE {where}"
    ).fetchone()
    removed = int(row[0]) if row else 0
    if not removed:
        return 0
    number = next_commit(con, source)
    bulk = _is_bulk(con, claims, removed)
    _log(con, [f"touched t JOIN {claims} c USING (key, record)"], source, number, at)
    con.execute(f"DELETE FROM {claims} WHERE (key, record) IN (SELECT (key, record) FROM touched)")
    con.execute("INSERT INTO commits VALUES (?, ?, ?, 0, 0, ?, ?, ?)", [source, number, at, removed, bulk, approved])
    return removed


def next_commit(con: duckdb.DuckDBPyConnection, source: int) -> int:
    """The number of the source's next commit, taken."""
    taken = "UPDATE source_state SET commit_no = commit_no + 1 WHERE source = ? RETURNING commit_no"
    row = con.execute(taken, [source]).fetchone()
    return int(row[0]) if row else 1


def expired_sql(rules: list[Expiry], at: str, moment: str) -> str:
    """Whether a claim has expired: its own `valid_until` at `at`, or a rule at the source's clock `moment`."""
    tests = [f"coalesce(valid_until <= {at}, FALSE)"]
    tests += [f"coalesce({rule.moment_sql()} <= {moment}, FALSE)" for rule in rules]
    return "(" + " OR ".join(tests) + ")"


def _gone_sql(rules: list[Expiry], at: datetime) -> str:
    """Whether a claim that leaves at `at` is gone at once."""
    now = literal(at)
    tests = [f"coalesce({r.moment_sql().replace('left_at', now)} <= {now}, FALSE)" for r in rules]
    return "(" + " OR ".join([*tests, "FALSE"]) + ")"


def _is_bulk(con: duckdb.DuckDBPyConnection, claims: str, touched: int) -> bool:
    if touched < BULK_LEAST:
        return False
    row = con.execute(f"SELECT count(*) FROM {claims}").fetchone()
    return touched >= BULK_SHARE * max(int(row[0]) if row else 0, 1)


def _log(con: duckdb.DuckDBPyConnection, touched: list[str], source: int, number: int, at: datetime) -> None:
    """Log rows `t.op` and `c` (the claims), from wherever they are."""
    every = " UNION ALL ".join(f"SELECT t.op, c.key, c.type, c.value, c.lo, c.up, c.rhost FROM {t}" for t in touched)
    con.execute(f"INSERT INTO claim_log ({_LOG_COLUMNS}) SELECT ?, ?, ?, * FROM ({every})", [source, number, at])


def _take(con: duckdb.DuckDBPyConnection, claims: str, rows: _Rows, at: datetime, *, append: bool) -> None:
    """Write what came, in the place of what it changes."""
    if rows.again:
        changed = f"SELECT (key, record) FROM change WHERE op = {CHANGED}"
        con.execute(f"DELETE FROM {claims} WHERE (key, record) IN ({changed})")
    names = ", ".join([*INDICATOR, "record", *ATTRIBUTES, "digest", "line"])
    into, refreshed = f"INSERT INTO {claims} ({', '.join(CLAIM)}) SELECT {names}", at if append else None
    if rows.added == rows.incoming:  # then nothing has to be looked up, row by row
        if rows.incoming:
            con.execute(f"{into}, ?, ?, NULL FROM incoming", [at, refreshed])
        return
    if rows.added or rows.again:
        changes = "incoming i JOIN change ch USING (key, record)"
        con.execute(f"{into}, coalesce(ch.added, ?), ?, NULL FROM {changes}", [at, refreshed])
    _note_lines(con, claims)


def _note_lines(con: duckdb.DuckDBPyConnection, claims: str) -> None:
    """Give claims that stayed as they are the line that said so, where that is another one (or judged otherwise)."""
    con.execute(
        "CREATE OR REPLACE TEMP TABLE same AS SELECT i.key, i.record, i.line"
        " FROM (FROM incoming ANTI JOIN change USING (key, record)) i"
        f" JOIN {claims} c ON c.key = i.key AND c.record = i.record AND c.digest = i.digest"
        " WHERE c.line IS DISTINCT FROM i.line"
    )
    con.execute(f"UPDATE {claims} c SET line = s.line FROM same s WHERE c.key = s.key AND c.record = s.record")
