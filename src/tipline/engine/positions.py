"""How far outputs have come with their sources, and where the sources are now."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb

from tipline.engine.graph import Graph

# A source's clock goes with the time, but for one that fails or is held.
_GOES = "failing_since IS NULL AND held_since IS NULL AND (clock IS NULL OR clock < ?)"


@dataclass
class Position:
    """How far an output has come with one source: its commit, and the source's clock at that evaluation."""

    commit: int
    moment: datetime


@dataclass
class State:
    """What the lake knows of an output's last evaluation."""

    cursor: dict[str, Position]
    as_of: datetime | None
    seq: int
    fingerprint: str | None


def current_positions(con: duckdb.DuckDBPyConnection, graph: Graph, at: datetime) -> dict[str, Position]:
    """Where every source is at a moment; nothing is written."""
    rows = con.execute(
        f"SELECT source, commit_no, CASE WHEN {_GOES} THEN ? ELSE clock END FROM source_state", [at, at]
    ).fetchall()
    by_id = {source: Position(commit, clock or at) for source, commit, clock in rows}
    return {name: by_id.get(graph.ids[name], Position(0, at)) for name in graph.sources}


def advance_clocks(con: duckdb.DuckDBPyConnection, at: datetime) -> None:
    """Put down that the sources' clocks have gone on (inside a writing transaction)."""
    con.execute(f"UPDATE source_state SET clock = ? WHERE {_GOES}", [at, at])


def output_states(con: duckdb.DuckDBPyConnection) -> dict[int, State]:
    """What the lake knows of every output, by number."""
    rows = con.execute("SELECT output, cursor, as_of, seq, fingerprint FROM output_state").fetchall()
    return {
        number: State(_positions(json.loads(cursor)) if cursor else {}, as_of, seq or 0, fingerprint)
        for number, cursor, as_of, seq, fingerprint in rows
    }


def positions_json(found: dict[str, Position]) -> str:
    """Positions for storing with an output."""
    return json.dumps({name: {"commit": p.commit, "moment": p.moment.isoformat()} for name, p in found.items()})


def _positions(rows: dict[str, Any]) -> dict[str, Position]:
    return {name: Position(entry["commit"], datetime.fromisoformat(entry["moment"])) for name, entry in rows.items()}
