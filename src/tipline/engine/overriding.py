"""Which overrides count: those that have not ended, and of the blocking ones those that may block."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import duckdb
import polars as pl

from tipline.engine.graph import Graph
from tipline.engine.times import iso
from tipline.engine.views import Views
from tipline.model.normalise import normalise_one
from tipline.model.policy import Policy
from tipline.outputs.delivery import Delivered
from tipline.processors.allowsql import blocked
from tipline.store import overrides
from tipline.store.control import Control
from tipline.store.overrides import Override
from tipline.store.records import audit

_EVERYTHING = Policy.allow_list()
_ROW = ("key", "type", "value", "lo", "up", "rhost")


def counting(
    con: duckdb.DuckDBPyConnection, control: Control, graph: Graph, output: str, now: datetime
) -> list[Override]:
    """An output's overrides as they count now; one that would block what is never blocked leaves the action alone.

    Args:
        con: a connection of its own.
        control: where the overrides are.
        graph: the nodes.
        output: a delivered output.
        now: the moment.
    """
    found = overrides.in_force(control, output, now)
    never = never_blocked(con, graph, output, found, now)
    return [replace(each, action=None) if each.key in never else each for each in found]


def never_blocked(
    con: duckdb.DuckDBPyConnection, graph: Graph, output: str, wanted: Sequence[Override], now: datetime
) -> dict[str, str]:
    """Those of some overrides that would block what no output may block: key -> what forbids it."""
    kind = graph.outputs[output]
    never = graph.configuration.never_block
    if not isinstance(kind, Delivered) or never not in graph.sources:
        return {}
    blocking = [each for each in wanted if kind.drastic(each) == "blocks"]
    if not blocking:
        return {}
    views = Views(con, graph, graph.audience(output), now, {}, sliced=False)
    try:
        listed = views.allow_list(never)
        if listed is None:
            return {}
        asked = views.materialise(_rows(con, blocking))
        found = con.execute(blocked(asked, listed, kind.settings.urls)).fetchall()
    finally:
        views.close()
    return {key.hex: str(reason) for key, reason in found}


def end(control: Control, graph: Graph, now: datetime) -> None:
    """Take away what has ended by itself, and tell the audit log; it has not counted since its end."""
    for output, each in overrides.ended(control, now):
        with control.transaction() as con:
            overrides.drop(con, output, each.key)
        set_ = {name: iso(value) if isinstance(value, datetime) else value for name, value in each.changes.items()}
        detail = {"before": {**set_, "reason": each.reason, "by": each.actor, "until": iso(each.until)}, "after": None}
        team = graph.outputs[output].settings.team if output in graph.outputs else "default"
        audit(control, now, "tipline", team, "override ended", f"{output}: {each.value}", detail)


def digest(found: Sequence[Override]) -> str:
    """16 hex digits over what overrides set; empty for none."""
    text = "\n".join(f"{each.key} {each.mark}" for each in found)
    return hashlib.sha256(text.encode()).hexdigest()[:16] if text else ""


def _rows(con: duckdb.DuckDBPyConnection, wanted: Sequence[Override]) -> str:
    """SQL: the indicators, with what allow-lists look at."""
    judged = [normalise_one(each.value, each.type, _EVERYTHING) for each in wanted]
    rows = [(each.key, each.type, each.value, v.lo, v.up, v.rhost) for each, v in zip(wanted, judged, strict=True)]
    frame = pl.DataFrame(rows, schema=dict.fromkeys(_ROW, pl.String), orient="row")
    con.register("override_indicators", frame.to_arrow())
    return "SELECT * REPLACE (key::UUID AS key, lo::UUID AS lo, up::UUID AS up) FROM override_indicators"
