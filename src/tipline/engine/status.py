"""The state of every node, for `tipline status`, `/api` and `/metrics`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import duckdb

from tipline.engine.asker import LOCAL, Asker
from tipline.engine.core import Engine
from tipline.engine.graph import Graph
from tipline.engine.times import iso
from tipline.engine.visible import claims_seen, published_seen
from tipline.outputs.base import Output
from tipline.outputs.delivery import Delivered
from tipline.sources.base import Source
from tipline.store.control import DELIVERIES
from tipline.store.records import last_runs, open_holds, rows


@dataclass
class NodeStatus:
    """One node's state."""

    name: str
    sort: str
    kind: str
    team: str
    state: str
    message: str = ""
    indicators: int | None = None
    added: int = 0
    removed: int = 0
    expired: int = 0
    read: int = 0
    accepted: int = 0
    duplicate: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    last_run: str | None = None
    next_run: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def status(engine: Engine, asker: Asker = LOCAL) -> list[NodeStatus]:
    """Every node that the asker sees, sources first; of another team's, no more than what it holds."""
    runs = last_runs(engine.control)
    holds = {hold["node"]: hold for hold in open_holds(engine.control)}
    deliveries = {row["output"]: row for row in rows(engine.control, DELIVERIES)}
    found, graph = [], engine.graph
    with engine.lake.reading() as con:
        states = {
            row[0]: row[1:]
            for row in con.execute(
                "SELECT source, last_poll, last_success, failing_since, message FROM source_state"
            ).fetchall()
        }
        counts = _counts(con, graph, asker)
        for name, node in graph.configuration.nodes().items():
            if not asker.sees(node.settings):
                continue
            entry = NodeStatus(name, node.sort, node.kind, node.settings.team, "new", indicators=counts.get(name))
            if not asker.owns(node.settings):
                entry.state = ""
                found.append(entry)
                continue
            _last_run(entry, runs.get(name))
            if node.sort == "source":
                _source_state(entry, graph.sources[name], states.get(graph.ids[name]))
            elif node.sort == "output":
                _output_state(entry, node, deliveries.get(name))
            else:
                entry.state = "ok"
            if name in holds:
                entry.state, entry.message = "held", holds[name]["reason"]
            found.append(entry)
    return found


def _last_run(entry: NodeStatus, run: dict[str, Any] | None) -> None:
    if run is None:
        return
    entry.state = "ok" if run["state"] == "unchanged" else run["state"]
    entry.message = run["message"]
    entry.added, entry.removed = run["added"], run["removed"]
    entry.read, entry.accepted, entry.duplicate = run["read"], run["accepted"], run["duplicate"]
    entry.dropped = run["dropped"]
    entry.expired = run["dropped"].get("expired", 0)
    entry.last_run = iso(run["started"])


def _source_state(entry: NodeStatus, source: Source, state: tuple[Any, ...] | None) -> None:
    if not source.settings.enabled:
        entry.state = "disabled"
        return
    if source.kind == "local":
        entry.state = "ok"
        return
    if state is None:
        return
    last_poll, last_success, failing_since, message = state
    if failing_since is not None:
        entry.state, entry.message = "failing", f"since {iso(failing_since)}: {message}"
    if last_poll is not None:
        entry.last_run = iso(last_poll)
        entry.next_run = iso(last_poll + source.settings.every)
    if failing_since is not None and last_success is None:
        entry.message = message


def _output_state(entry: NodeStatus, node: Any, delivery: dict[str, Any] | None) -> None:
    if isinstance(node, Output) and entry.state == "new":
        entry.state = "ok"
    missing: list[str] = node.missing() if isinstance(node, Delivered) else []
    if missing:
        entry.state, entry.message = "needs credentials", f"missing: {', '.join(missing)}"
    elif delivery is not None and delivery["state"] not in {"ok", "new"}:
        entry.state, entry.message = delivery["state"], delivery["message"]


def _counts(con: duckdb.DuckDBPyConnection, graph: Graph, asker: Asker) -> dict[str, int]:
    """How many rows the sources and outputs hold that an asker sees; of another team's, without what is red."""
    parts = {name: claims_seen(graph, name, asker) for name, node in graph.sources.items() if asker.sees(node.settings)}
    parts |= {n: published_seen(graph, n, asker) for n, node in graph.outputs.items() if asker.sees(node.settings)}
    if not parts:
        return {}
    every = " UNION ALL ".join(
        f"SELECT {n} AS n, count(*) AS rows FROM {part}" for n, part in enumerate(parts.values())
    )
    names = list(parts)
    return {names[n]: int(rows) for n, rows in con.execute(every).fetchall()}
