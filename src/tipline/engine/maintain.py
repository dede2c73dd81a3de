"""Upkeep: expired claims leave, stale sources are withdrawn, logs are pruned, published tables are kept sorted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import duckdb
import structlog

from tipline.engine.claims import expired_sql, withdraw
from tipline.engine.graph import Graph
from tipline.engine.moments import EVER, Moments
from tipline.engine.objects import paged_outputs
from tipline.engine.times import literal
from tipline.sources.ageing import expiries
from tipline.sources.base import Source
from tipline.store import delivery_counts, overrides
from tipline.store.control import DELIVERIES, Control
from tipline.store.lake import Lake
from tipline.store.receipts import copies, forget_output
from tipline.store.receipts import prune as prune_receipts
from tipline.store.records import prune, rows
from tipline.store.schema import PUBLISHED, log_table, objects_table, published_table

log = structlog.get_logger()
# A published table whose unsorted tail is larger than this share is sorted again.
RESORT_SHARE = 0.2


def age(lake: Lake, graph: Graph, moments: Moments, at: datetime) -> None:
    """What time alone does to claims: expired ones leave for good, and a source that failed too long is withdrawn."""
    with lake.reading() as con:
        rows = con.execute("SELECT source, commit_no, clock, failing_since, held_since FROM source_state").fetchall()
        states = {row[0]: _State(*row[1:]) for row in rows}
        due = [
            (number, condition)
            for name, number in _numbers(graph)
            if (condition := _expired(con, graph.sources[name], number, states[number], moments, at))
        ]
    for number, condition in due:
        with lake.writing() as con:
            withdraw(con, number, at, condition)
    for name, number in _numbers(graph):
        _withdraw_stale(lake, graph.sources[name], number, states[number].failing_since, at)


@dataclass(frozen=True)
class _State:
    """How a source is."""

    commit_no: int
    clock: datetime | None
    failing_since: datetime | None
    held_since: datetime | None


def _numbers(graph: Graph) -> Iterator[tuple[str, int]]:
    return ((name, graph.ids[name]) for name in graph.sources)


def _expired(
    con: duckdb.DuckDBPyConnection, source: Source, number: int, state: _State, moments: Moments, at: datetime
) -> str:
    """SQL: which claims have expired for good, if any may have (those still in a snapshot feed stay, inactive)."""
    rules = expiries(source.settings.expire)
    # A source that fails or is held does not age.
    stands = state.clock if state.failing_since or state.held_since else None
    clock = stands or at
    among = "TRUE" if source.settings.mode == "append" else "left_at IS NOT NULL"
    ends = ((["valid_until"], at), ([rule.moment_sql() for rule in rules], clock))
    if not any(moments.passed(con, number, state.commit_no, every, EVER, until, among) for every, until in ends):
        return ""
    return f"{expired_sql(rules, literal(at), literal(clock))} AND {among}"


def _withdraw_stale(lake: Lake, source: Source, number: int, failing_since: datetime | None, at: datetime) -> None:
    """Withdraw a source that has failed for longer than it may."""
    limit = source.settings.stale_after
    if limit is None or failing_since is None or at - failing_since < limit:
        return
    with lake.writing() as con:
        removed = withdraw(con, number, at, "TRUE", approved=True)
        # The next good poll must bring everything again.
        con.execute("UPDATE source_state SET cursor = NULL WHERE source = ?", [number])
    if removed:
        log.warning("stale source withdrawn", source=source.name, indicators=removed, failing_since=str(failing_since))


def prune_history(lake: Lake, control: Control, graph: Graph, at: datetime, retention: timedelta) -> None:
    """Drop logs and history from before the retention; what an output or delivery has yet to read is kept."""
    before = at - retention
    cursors = {row["output"]: row["cursor"] for row in rows(control, DELIVERIES)}
    with lake.writing() as con:
        con.execute("DELETE FROM claim_log WHERE stamp < ?", [before])
        con.execute("DELETE FROM commits WHERE stamp < ?", [before])
        for name in graph.outputs:
            read = cursors.get(name)
            limit = f" AND seq <= {int(read)}" if read is not None else ""
            con.execute(f"DELETE FROM {log_table(graph.ids[name])} WHERE stamp < ?{limit}", [before])
        for number in paged_outputs(graph):
            con.execute(f"DELETE FROM {objects_table(number)} WHERE removed AND stamp < ?", [before])
        found = con.execute("SELECT sort, id, name FROM nodes WHERE retired < ?", [before]).fetchall()
        # What far sides still hold is not forgotten: a person decides what becomes of it.
        retired = [row for row in found if row[0] != "output" or not copies(control, row[2], at)]
        for sort, node, _ in retired:
            lake.forget_node(con, sort, node)
    with control.transaction() as writing:
        for sort, _, name in retired:
            if sort == "output":
                forget_output(writing, name)
                overrides.forget_output(writing, name)
                delivery_counts.forget_output(writing, name)
    prune(control, before)
    prune_receipts(control, before)
    delivery_counts.prune(control, before)


def sort_published(lake: Lake, graph: Graph, name: str) -> bool:
    """Sort a published table again by its look-up hash if much of it came in later runs; returns whether it did."""
    table = published_table(graph.ids[name])
    with lake.writing() as con:
        row = con.execute(
            "SELECT count(*), count(*) - coalesce(min(place) FILTER (kh < before), count(*)) FROM (SELECT kh,"
            " row_number() OVER (ORDER BY rowid) - 1 AS place, lag(kh) OVER (ORDER BY rowid) AS before"
            f" FROM {table})"
        ).fetchone()
        total, tail = row or (0, 0)
        if tail <= RESORT_SHARE * total:
            return False
        con.execute(f"CREATE TEMP TABLE resorted AS SELECT * FROM {table} ORDER BY kh")
        con.execute(f"DELETE FROM {table}")
        con.execute(f"INSERT INTO {table} SELECT {', '.join(PUBLISHED)} FROM resorted ORDER BY kh")
        con.execute("DROP TABLE resorted")
    return True
