"""What a changed configuration would add to and remove from every output, before it is put to work."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import duckdb

from tipline.config.schema import Configuration
from tipline.engine.core import Engine
from tipline.engine.graph import Graph
from tipline.engine.leaving import Leaving, heir, leaving, marks, refuse_moves
from tipline.engine.positions import current_positions, output_states
from tipline.engine.publish import compare
from tipline.engine.views import Views
from tipline.model.types import TYPES
from tipline.outputs.delivery import Delivered
from tipline.store.receipts import other_identities
from tipline.store.records import record_config
from tipline.store.schema import ADDED, CHANGED, OPS, REMOVED, published_table

_SAMPLES = 10


@dataclass
class OutputPlan:
    """What would happen to one output.

    Attributes:
        state: same, changed, new or gone.
        published: how many it publishes now.
        copies: of one that goes: how many its far side may hold.
        added, changed, removed: of what it publishes.
        samples: some of these.
        notes: what else there is to know.
    """

    output: str
    state: str
    published: int = 0
    copies: int = 0
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


def plan(engine: Engine, candidate: Configuration) -> Plan:
    """Try a candidate configuration on the claims as they are; nothing of it stays.

    Raises:
        ConfigError: a node changes its kind, or an output its far side.
    """
    refuse_moves(engine, candidate)
    with engine.lake.trying() as con:
        before = {key: known for key, known in engine.lake.nodes(con).items() if not known.retired}
        ids = engine.lake.number_nodes(con, candidate.outline(), engine.clock())
        graph = Graph(candidate, ids)
        now = engine.clock()
        engine.warnings.bring_up(con, graph, now, noted=False)
        moments = {name: p.moment for name, p in current_positions(con, graph, now).items()}
        outputs = [
            _output(con, engine, graph, name, now, moments, new=("output", name) not in before)
            for name in graph.outputs
        ]
        gone = [name for _, name in before if name not in candidate.nodes()]
        going = {each.output: each for each in leaving(engine, candidate)}
        outputs += [
            _gone(con, graph, name, known.number, going.get(name))
            for (sort, name), known in before.items()
            if sort == "output" and name in gone
        ]
        new = [name for name in graph.sources if ("source", name) not in before]
        return Plan(outputs, new, gone)


def approve(engine: Engine, candidate: Configuration, actor: str) -> None:
    """Approve what a candidate changes: the guards let exactly this configuration's first evaluation through."""
    with engine.lake.reading() as con:
        ids = {name: known.number for (_, name), known in engine.lake.nodes(con).items()}
    graph = Graph(candidate, ids)
    fingerprints = {name: graph.fingerprint(name) for name in graph.outputs} | marks(engine, candidate)
    record_config(engine.control, engine.clock(), actor, "", fingerprints)


def _output(
    con: duckdb.DuckDBPyConnection,
    engine: Engine,
    graph: Graph,
    name: str,
    now: datetime,
    moments: dict[str, datetime],
    *,
    new: bool,
) -> OutputPlan:
    number = graph.ids[name]
    table = published_table(number)
    same = output_states(con)[number].fingerprint == graph.fingerprint(name)
    result = OutputPlan(name, "new" if new else "same" if same else "changed", published=_count(con, table))
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
    """What the far side itself would see: indicators that would be kept there under another id."""
    output = graph.outputs[name]
    if not isinstance(output, Delivered):
        return []
    instance = graph.configuration.settings.instance
    identities = {output.identity(type_, instance) for type_ in TYPES}
    copies = other_identities(engine.control, output.name, identities)
    if not copies:
        return []
    return [f"{copies:,} indicators would get new copies at the far side, and the old ones be taken back"]


def _gone(con: duckdb.DuckDBPyConnection, graph: Graph, name: str, number: int, going: Leaving | None) -> OutputPlan:
    held = _count(con, published_table(number))
    if going is None:
        return OutputPlan(name, "gone", published=held, removed=held)
    there = [each for each in graph.outputs.values() if isinstance(each, Delivered)]
    new = heir(going.kind, there) if going.kind is not None else None
    notes = []
    if new is not None:
        notes.append(f"{new.name} writes to the same place: it takes over the copies of all that it publishes")
    rest = "the others" if new is not None else f"the {going.copies:,} copies at its far side"
    notes.append(
        f"{rest} are withdrawn if this plan is approved; else they are held until"
        f" `tipline holds approve {name}` withdraws them, or `tipline holds keep {name}` leaves them there"
    )
    if going.problem:
        notes.append(f"they cannot be withdrawn as it is: {going.problem}")
    return OutputPlan(name, "gone", published=held, copies=going.copies, removed=held, notes=notes)


def _count(con: duckdb.DuckDBPyConnection, table: str) -> int:
    row = con.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(row[0]) if row else 0
