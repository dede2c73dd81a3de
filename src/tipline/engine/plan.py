"""What a changed configuration would add to and remove from every output, before it is put to work."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tipline.config.schema import Configuration
from tipline.engine.core import Engine
from tipline.engine.evaluate import compare, current_positions
from tipline.engine.graph import Graph
from tipline.engine.views import Views
from tipline.errors import ConfigError
from tipline.store.records import record_config
from tipline.store.schema import ADDED, CHANGED, OPS, REMOVED, published_table

_SAMPLES = 10


@dataclass
class OutputPlan:
    """What would happen to one output."""

    output: str
    state: str  # same, changed, new, gone
    published: int = 0
    added: int = 0
    changed: int = 0
    removed: int = 0
    samples: list[dict[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass
class Plan:
    """What a configuration would change; nothing is done until it is approved and put to work."""

    outputs: list[OutputPlan]
    new_sources: list[str]
    gone: list[str]

    @property
    def changes(self) -> bool:
        """Whether any output would gain or lose anything."""
        return any(o.added or o.changed or o.removed or o.state in {"new", "gone"} for o in self.outputs)


class _Undo(Exception):  # noqa: N818 - not an error: it ends the trial transaction
    """Ends the trial, so that nothing of it stays."""


def plan(engine: Engine, candidate: Configuration) -> Plan:
    """Try a candidate configuration on the claims as they are.

    Raises:
        ConfigError: a node changes its kind.
    """
    found: Plan | None = None
    try:
        with engine.lake.writing() as con:
            known = engine.lake.nodes(con)
            ids: dict[str, int] = {}
            for name, node in candidate.nodes().items():
                before = known.get((node.sort, name))
                if before and before[1] != node.kind:
                    raise ConfigError(f"{name} was a {before[1]} and would be a {node.kind}", fix="give it another name")
                ids[name] = engine.lake.node_id(con, name, node.sort, node.kind, engine.clock())
            graph = Graph(candidate, ids)
            now = engine.clock()
            moments = {name: p.moment for name, p in current_positions(con, graph, now).items()}
            outputs = [_output(con, engine, graph, name, now, moments) for name in graph.outputs]
            outputs += [_gone(con, engine, name) for name in engine.graph.outputs if name not in graph.outputs]
            new = [name for name in graph.sources if name not in engine.graph.sources]
            gone = [name for name in engine.configuration.nodes() if name not in candidate.nodes()]
            found = Plan(outputs, new, gone)
            raise _Undo
    except _Undo:
        pass
    if found is None:
        raise ConfigError("the plan could not be made")
    return found


def approve(engine: Engine, candidate: Configuration, actor: str) -> None:
    """Approve what a candidate changes: the guards let exactly this configuration's first evaluation through."""
    with engine.lake.reading() as con:
        ids = {name: node for (_, name), (node, _) in engine.lake.nodes(con).items()}
    graph = Graph(candidate, ids)
    fingerprints = {name: graph.fingerprint(name) for name in graph.outputs}
    record_config(engine.control, engine.clock(), actor, "", fingerprints)


def _output(con: Any, engine: Engine, graph: Graph, name: str, now: Any, moments: dict[str, Any]) -> OutputPlan:
    table = published_table(graph.ids[name])
    if name not in engine.graph.outputs:
        state = "new"
    else:
        state = "same" if engine.graph.fingerprint(name) == graph.fingerprint(name) else "changed"
    (held,) = con.execute(f"SELECT count(*) FROM {table}").fetchone() or (0,)
    result = OutputPlan(name, state, published=held)
    views = Views(con, graph, graph.audience(name), now, moments, sliced=False)
    try:
        compare(con, views.output(name).live, table, graph.outputs[name].shown(), sliced=False)
    finally:
        views.close()
    counts = dict(con.execute("SELECT op, count(*) FROM difference WHERE op <> 2 OR loud GROUP BY op").fetchall())
    result.added, result.changed, result.removed = (counts.get(op, 0) for op in (ADDED, CHANGED, REMOVED))
    rows = con.execute(
        f"SELECT op, type, value FROM difference WHERE op <> 2 OR loud ORDER BY op, type, value LIMIT {_SAMPLES}"
    ).fetchall()
    result.samples = [{"op": OPS[op], "type": type_, "value": value} for op, type_, value in rows]
    result.notes = _notes(engine, graph, name)
    return result


def _notes(engine: Engine, graph: Graph, name: str) -> list[str]:
    """What the far side itself would see: copies under another id, for instance."""
    before = engine.graph.outputs.get(name)
    compare_far_side = getattr(graph.outputs[name], "plan_notes", None)
    if before is None or compare_far_side is None:
        return []
    notes: list[str] = compare_far_side(before)
    return notes


def _gone(con: Any, engine: Engine, name: str) -> OutputPlan:
    table = published_table(engine.graph.ids[name])
    (held,) = con.execute(f"SELECT count(*) FROM {table}").fetchone() or (0,)
    note = "what it delivered stays at its far side until it expires there: empty it first (where: 'false') to withdraw"
    return OutputPlan(name, "gone", published=held, removed=held, notes=[note] if held else [])
