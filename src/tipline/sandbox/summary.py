"""What the stand-in holds and has seen, for assertions."""

from __future__ import annotations

import json
from typing import Any

from . import defender_store
from .times import stamp
from .world import World


def _calls(world: World) -> dict[str, Any]:
    """By operation: total, refused (4xx, 5xx), dropped, and the count of each result."""
    shown = {}
    for operation, results in world.calls.items():
        if operation == "sandbox.control":
            continue
        refused = sum(count for result, count in results.items() if result[0] in "45")
        dropped = sum(count for result, count in results.items() if result.startswith("dropped"))
        shown[operation] = {
            "total": sum(results.values()), "refused": refused, "dropped": dropped,
            "by_result": dict(results),
        }  # fmt: skip
    return shown


def _defender(world: World, *, contents: bool) -> dict[str, Any]:
    defender_store.purge(world)
    rows = world.store.db.execute("SELECT type, action, doc FROM defender_indicators ORDER BY id").fetchall()
    by_type: dict[str, int] = {}
    for row in rows:
        by_type[row["type"]] = by_type.get(row["type"], 0) + 1
    shown: dict[str, Any] = {"active": len(rows), "by_type": by_type}
    return shown | ({"indicators": [json.loads(row["doc"]) for row in rows]} if contents else {})


def _sentinel(world: World, *, contents: bool) -> dict[str, Any]:
    now = stamp(world.now)
    rows = world.store.db.execute("SELECT * FROM sentinel_objects WHERE NOT deleted ORDER BY rowid").fetchall()
    active = [not row["revoked"] and (row["valid_until"] is None or row["valid_until"] > now) for row in rows]
    appended = world.store.db.execute("SELECT count(*) FROM sentinel_rows").fetchone()[0]
    shown: dict[str, Any] = {"objects_count": len(rows), "active": sum(active), "rows": appended}
    listed = [
        {"id": row["id"], "source": row["source"], "workspace_id": row["workspace_id"], "active": alive,
         "data": json.loads(row["data"])}
        for row, alive in zip(rows, active, strict=True)
    ]  # fmt: skip
    return shown | ({"objects": listed} if contents else {})


def summary(world: World, *, contents: bool) -> dict[str, Any]:
    """The answer of GET /sandbox/state."""
    return {
        "calls": _calls(world),
        "faults": world.faults.as_dict(),
        "defender": _defender(world, contents=contents),
        "sentinel": _sentinel(world, contents=contents),
    }
