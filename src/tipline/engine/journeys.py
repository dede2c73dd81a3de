"""How far outputs have come towards their far sides: deliveries, receipts, what an evaluation took out."""

from __future__ import annotations

from typing import Any

from tipline.engine.core import Engine
from tipline.engine.leaving import leaving, released
from tipline.engine.rows import dicts
from tipline.engine.times import iso
from tipline.outputs.delivery import Delivered
from tipline.store.control import DELIVERIES, RECEIPTS
from tipline.store.receipts import delivery, reasons, tally
from tipline.store.records import rows
from tipline.store.schema import ADDED, REMOVED, log_table

# What a delivery remembers for itself.
_INTERNAL = frozenset({"planned", "settings"})
_LISTED = 200


def deliveries(engine: Engine) -> list[dict[str, Any]]:
    """Every output that has a far side: state, lag (log rows not yet read), counts, refusals by reason."""
    known = {row["output"]: row for row in rows(engine.control, DELIVERIES)}
    graph = engine.graph
    ends = log_positions(engine, list(graph.outputs))
    found = []
    for name, output in graph.outputs.items():
        if not isinstance(output, Delivered):
            continue
        absent = output.missing()
        row = known.get(name)
        cursor = int(row["cursor"]) if row else 0
        state = "needs credentials" if absent else row["state"] if row else "new"
        found.append(
            {
                "output": name,
                "kind": output.kind,
                "state": state,
                "message": f"missing: {', '.join(absent)}" if absent else row["message"] if row else "",
                "lag": max(0, ends.get(name, 0) - cursor),
                "resync": bool(row["resync"]) if row else True,
                **{key: int(row[key]) if row else 0 for key in ("sent", "accepted", "errors", "deleted")},
                "items": tally(engine.control, name),
                "reasons": reasons(engine.control, name),
                **{key: iso(row[key]) if row else None for key in ("last_cycle", "last_success", "last_reconcile")},
                "detail": {k: v for k, v in row["detail"].items() if k not in _INTERNAL} if row else {},
            }
        )
    return found


def departures(engine: Engine) -> list[dict[str, Any]]:
    """Outputs that are in no configuration any more, with what their far sides may hold, and what becomes of it."""
    let_go = released(engine.control)
    found = []
    for each in leaving(engine):
        row = delivery(engine.control, each.output)
        found.append(
            {
                "output": each.output,
                "kind": each.kind.kind if each.kind else None,
                "team": each.team,
                "copies": each.copies,
                "state": row.state if each.output in let_go else "held",
                "message": row.message if each.output in let_go else each.held(),
                "deleted": row.deleted,
                "reasons": reasons(engine.control, each.output),
            }
        )
    return found


def log_positions(engine: Engine, outputs: list[str]) -> dict[str, int]:
    """The newest number of each output's change log."""
    with engine.lake.reading() as con:
        found = dict(con.execute("SELECT output, seq FROM output_state").fetchall())
    ids = engine.graph.ids
    return {name: int(found.get(ids[name]) or 0) for name in outputs if name in ids}


def changes_since(engine: Engine, positions: dict[str, int], limit: int = _LISTED) -> list[dict[str, Any]]:
    """What left and joined each output since its log stood at a position.

    Returns:
        For each output that changed: output, removed and added (numbers), and samples (op, type, value,
        reason, key).
    """
    found = []
    with engine.lake.reading() as con:
        for name, seq in positions.items():
            table = log_table(engine.graph.ids[name])
            query = f"SELECT op, count(*) FROM {table} WHERE seq > {seq} GROUP BY op"
            counts = dict(con.execute(query).fetchall())
            if not counts:
                continue
            query = (
                f"SELECT CASE op WHEN {REMOVED} THEN 'removed' WHEN {ADDED} THEN 'added' ELSE 'changed' END"
                f" AS op, type, value, reason, key::VARCHAR AS key FROM {table} WHERE seq > {seq}"
                f" ORDER BY op, value LIMIT {limit}"
            )
            found.append(
                {
                    "output": name,
                    "removed": counts.get(REMOVED, 0),
                    "added": counts.get(ADDED, 0),
                    "samples": dicts(con, query),
                }
            )
    return found


def receipts(engine: Engine, keys: set[str]) -> list[dict[str, Any]]:
    """What far sides answered for indicators, by their keys (hyphens do not matter)."""
    listed = {key.replace("-", "") for key in keys}
    found = rows(engine.control, RECEIPTS, RECEIPTS.c.key.in_(listed)) if listed else []
    fields = (
        "output",
        "type",
        "value",
        "state",
        "holds",
        "far_id",
        "reason",
        "attempts",
        "last_sent",
        "expires",
    )
    return [{f: iso(row[f]) if f in {"last_sent", "expires"} else row[f] for f in fields} for row in found]
