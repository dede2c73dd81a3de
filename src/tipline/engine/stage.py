"""Takes a poll's frames in: normalised, accounted for, de-duplicated, ready to be compared with the claims."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import duckdb
import polars as pl

from tipline.engine.ledger import MAX_SAMPLES, Ledger
from tipline.engine.lines import Lines
from tipline.model.normalise import conform
from tipline.model.policy import Policy
from tipline.sources.base import EVERY_GROUP
from tipline.store.schema import ATTRIBUTES, INDICATOR, claims_table, columns_sql, digest_sql

INCOMING = {**INDICATOR, "record": "VARCHAR", **ATTRIBUTES, "digest": "UBIGINT", "line": "UBIGINT"}
_COLUMNS = ", ".join(INCOMING)
_LISTS = ("threat_types", "tags", "refs")
_DIGESTED = list(ATTRIBUTES)
# Rows that are judged at once where memory counts.
_ROWS = 25_000
# So many rows are staged at least before duplicates among them are taken out; they are again at each doubling.
_MANY = 4_000_000
# Which of several rows on one (key, record) counts: the greatest of these.
_RANK = (
    "{'confidence': coalesce(confidence, -1), 'seen': coalesce(last_seen, '-infinity'::TIMESTAMP),"
    " 'digest': 18446744073709551615 - digest, 'line': 18446744073709551615 - coalesce(line, 0)}"
)


def small(frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Frames of few rows: judging a row takes many times the memory that the row does, and few take a tenth longer."""
    for frame in frames:
        yield from frame.iter_slices(_ROWS)


def stage(
    con: duckdb.DuckDBPyConnection,
    frames: Iterable[pl.DataFrame],
    policy: Policy,
    lines: Lines | None = None,
    *,
    records: bool = False,
) -> Ledger:
    """Read every frame into the temporary table `incoming`, one row per (key, record).

    Args:
        con: the poll's own connection.
        frames: raw frames.
        policy: how their rows are judged.
        lines: the lines that the source's claims came from; rows that are among them are counted and not
            staged, and those that the frames did not bring are put into the temporary table `gone_lines`.
        records: whether the records that the frames name, also in dropped rows, are put into the temporary
            table `named_records`.

    Returns:
        The account of the frames: what was read, accepted, duplicate, and dropped with its reason.
    """
    ledger, staged, gone, judged = Ledger(), 0, 0, 0
    con.execute(f"CREATE OR REPLACE TEMP TABLE incoming ({columns_sql(INCOMING)})")
    if records:
        con.execute("CREATE OR REPLACE TEMP TABLE named_records (record VARCHAR)")
    for frame in frames:
        ledger.read += frame.height
        if records and "record" in frame.columns:
            _note_records(con, frame)
        new, line = lines.unseen(frame) if lines else (frame, pl.lit(None, pl.UInt64).alias("line"))
        if new.is_empty():
            continue
        claims = conform(new, policy).with_columns(line)
        _account_drops(claims, ledger)
        staged += _insert(con, claims.filter(pl.col("drop").is_null()))
        if staged - judged >= max(_MANY, judged - gone):
            # A feed may say the same again and again: what is staged stays about as large as what it says.
            gone += _without_duplicates(con, staged - gone)
            judged = staged
    kept, seen, again = staged, 0, 0
    if lines:
        kept, seen = kept + lines.seen + lines.repeats, lines.seen
        again = _seen_again(con, lines, staged)
    gone += _without_duplicates(con, staged - gone + again)
    ledger.accepted = staged + seen - gone
    ledger.duplicate = kept - ledger.accepted
    return ledger


def _seen_again(con: duckdb.DuckDBPyConnection, lines: Lines, staged: int) -> int:
    """Put claims of seen lines beside staged rows on the same (key, record), to be chosen among; returns how many."""
    con.register("gone_frame", lines.gone().to_arrow())
    con.execute("CREATE OR REPLACE TEMP TABLE gone_lines AS SELECT line FROM gone_frame")
    con.unregister("gone_frame")
    if not lines.seen or not staged:
        return 0
    return _written(
        con,
        f"INSERT INTO incoming ({_COLUMNS}) SELECT {_COLUMNS} FROM {claims_table(lines.source)}"
        " SEMI JOIN incoming USING (key, record) ANTI JOIN gone_lines USING (line)"
        " WHERE line IS NOT NULL AND left_at IS NULL",
    )


def _note_records(con: duckdb.DuckDBPyConnection, frame: pl.DataFrame) -> None:
    named = frame.select(pl.col("record").cast(pl.String)).filter(pl.col("record") != "").unique()
    con.register("frame", named.to_arrow())
    con.execute("INSERT INTO named_records SELECT record FROM frame")
    con.unregister("frame")


def name_groups(con: duckdb.DuckDBPyConnection, source: int, groups: list[str], kept: list[str]) -> None:
    """Add the records that the source's claims have in groups (`<group>/<rest>`) to the table `named_records`.

    Args:
        con: the poll's own connection.
        source: the source's number.
        groups: names, of single records, too; or `EVERY_GROUP` for all but `kept`.
        kept: names of groups.
    """
    everything = EVERY_GROUP in groups
    named = pl.DataFrame({"name": kept if everything else groups}, schema={"name": pl.String})
    con.register("frame", named.to_arrow())
    con.execute("CREATE OR REPLACE TEMP TABLE named_groups AS SELECT DISTINCT name FROM frame")
    con.unregister("frame")
    of_group = "split_part(record, '/', 1) IN (SELECT name FROM named_groups)"
    chosen = f"NOT {of_group}" if everything else f"{of_group} OR record IN (SELECT name FROM named_groups)"
    con.execute(f"INSERT INTO named_records SELECT DISTINCT record FROM {claims_table(source)} WHERE {chosen}")


def _account_drops(claims: pl.DataFrame, ledger: Ledger) -> None:
    dropped = claims.filter(pl.col("drop").is_not_null())
    if dropped.is_empty():
        return
    groups = dropped.group_by("drop").agg(pl.len(), pl.col("raw").head(MAX_SAMPLES)).sort("drop")
    for reason, count, values in groups.iter_rows():
        ledger.drop(reason, count, values)


def _insert(con: duckdb.DuckDBPyConnection, claims: pl.DataFrame) -> int:
    if claims.is_empty():
        return 0
    con.register("frame", claims.to_arrow())
    attributes = ", ".join(_attribute(name) for name in ATTRIBUTES)
    con.execute(
        f"INSERT INTO incoming ({_COLUMNS})"
        f" SELECT md5(identity)::UUID, md5_number_lower(identity), type, value, lo, up, rhost, record,"
        f" {', '.join(ATTRIBUTES)}, {digest_sql(_DIGESTED)}, line"
        f" FROM (SELECT type || '|' || value AS identity, type, value, lo::UUID AS lo, up::UUID AS up, rhost, record,"
        f" {attributes}, line FROM frame)"
    )
    con.unregister("frame")
    return claims.height


def _attribute(name: str) -> str:
    source = '"references"' if name == "refs" else name
    if name in _LISTS:
        # Most lists hold one item, and sorting those would cost as much as all the rest.
        return f"CASE WHEN len({source}) > 1 THEN list_sort(list_distinct({source})) ELSE {source} END AS {name}"
    return f"{source} AS {name}"


def _written(con: duckdb.DuckDBPyConnection, statement: str) -> int:
    """Run a statement that writes; returns how many rows it wrote or deleted."""
    row = con.execute(statement).fetchone()
    return int(row[0]) if row else 0


def _without_duplicates(con: duckdb.DuckDBPyConnection, rows: int) -> int:
    """Keep one of `rows` rows per (key, record): the most confident, then the latest seen; order never matters.

    However often a row is repeated, what the database has to hold of it is small.

    Returns:
        How many had to go.
    """
    several = "SELECT key, record FROM incoming GROUP BY key, record HAVING count(*) > 1"
    if rows < 2 or not _written(con, f"CREATE OR REPLACE TEMP TABLE repeated AS {several}"):
        return 0
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE chosen AS SELECT arg_max(incoming.rowid, {_RANK}) AS number"
        " FROM incoming SEMI JOIN repeated USING (key, record) GROUP BY key, record"
    )
    if rows < _MANY:
        return _written(
            con,
            "DELETE FROM incoming WHERE (key, record) IN (SELECT (key, record) FROM repeated)"
            " AND rowid NOT IN (SELECT number FROM chosen)",
        )
    # Deleted rows would go on to take room.
    left = _written(
        con,
        f"CREATE OR REPLACE TEMP TABLE single AS SELECT {_COLUMNS} FROM incoming ANTI JOIN repeated USING (key, record)"
        f" UNION ALL SELECT {_COLUMNS} FROM incoming WHERE rowid IN (SELECT number FROM chosen)",
    )
    con.execute("DROP TABLE incoming")
    con.execute("ALTER TABLE single RENAME TO incoming")
    return rows - left
