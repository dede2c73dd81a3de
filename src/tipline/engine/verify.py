"""Proves on live data that the incremental result equals the view evaluated from scratch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tipline.engine.core import Engine
from tipline.engine.positions import output_states
from tipline.engine.publish import compare
from tipline.engine.views import Views
from tipline.store.records import open_hold
from tipline.store.schema import OPS, published_table


@dataclass
class Verified:
    """One output, held against its view."""

    output: str
    published: int
    differences: int
    held: bool
    samples: list[dict[str, str]] = field(default_factory=list)
    ledger: dict[str, Any] = field(default_factory=dict)

    @property
    def equal(self) -> bool:
        """Whether what is published is what the view says."""
        return self.differences == 0


def verify(engine: Engine, outputs: list[str] | None = None) -> list[Verified]:
    """Bring the outputs up to date, then evaluate each in full and compare; nothing is changed by the comparison."""
    graph = engine.graph
    names = [name for name in graph.outputs if outputs is None or name in outputs]
    engine.evaluate(names)
    results = []
    for name in names:
        number = graph.ids[name]
        with engine.lake.reading() as con:
            state = output_states(con)[number]
            moments = {source: position.moment for source, position in state.cursor.items()}
            views = Views(con, graph, graph.audience(name), state.as_of or engine.clock(), moments, sliced=False)
            try:
                compare(
                    con, views.output(name).live, published_table(number), graph.outputs[name].shown(), sliced=False
                )
                wrong = con.execute("SELECT op, type, value FROM difference ORDER BY type, value LIMIT 10").fetchall()
                (count,) = con.execute("SELECT count(*) FROM difference").fetchone() or (0,)
                (held,) = con.execute(f"SELECT count(*) FROM {published_table(number)}").fetchone() or (0,)
                ledger = views.ledgers[name].as_dict()
            finally:
                views.close()
        samples = [{"op": OPS[op], "type": type_, "value": value} for op, type_, value in wrong]
        on_hold = open_hold(engine.control, name) is not None
        results.append(Verified(name, held, count, on_hold, samples, ledger))
    return results
