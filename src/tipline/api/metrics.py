"""Prometheus metrics, collected from the store when they are asked for.

Counters of runs count since the process started; those of deliveries are kept by the store over restarts.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import func, select

from tipline import __version__
from tipline.engine.core import Engine
from tipline.engine.journeys import deliveries
from tipline.engine.status import status
from tipline.store.control import RUNS
from tipline.store.records import open_holds

Family = type[GaugeMetricFamily] | type[CounterMetricFamily]
# Every metric's name, kind, help and labels: the reference page is made from this.
METRICS: dict[str, tuple[Family, str, tuple[str, ...]]] = {
    "tipline_build": (GaugeMetricFamily, "The running version; always 1.", ("version",)),
    "tipline_indicators": (GaugeMetricFamily, "Indicators that a node holds.", ("node", "sort", "kind")),
    "tipline_runs": (CounterMetricFamily, "Runs of a node, by how they ended.", ("node", "state")),
    "tipline_records_read": (CounterMetricFamily, "Records that runs of a node read.", ("node",)),
    "tipline_records_accepted": (CounterMetricFamily, "Records that were accepted.", ("node",)),
    "tipline_records_duplicate": (CounterMetricFamily, "Records that repeated another.", ("node",)),
    "tipline_records_dropped": (CounterMetricFamily, "Records dropped, by reason.", ("node", "reason")),
    "tipline_held": (GaugeMetricFamily, "Indicators that a guard keeps back.", ("node", "what")),
    "tipline_last_success_age_seconds": (GaugeMetricFamily, "Time since the last good poll.", ("node",)),
    "tipline_delivery_lag": (GaugeMetricFamily, "Changes that a delivery has not read yet.", ("output",)),
    "tipline_delivery_sent": (CounterMetricFamily, "Items sent to a far side.", ("output",)),
    "tipline_delivery_accepted": (CounterMetricFamily, "Items that the far side accepted.", ("output",)),
    "tipline_delivery_errors": (CounterMetricFamily, "Items that the far side refused.", ("output",)),
    "tipline_delivery_deleted": (CounterMetricFamily, "Items withdrawn from the far side.", ("output",)),
    "tipline_delivery_parked": (GaugeMetricFamily, "Items put aside after a refusal.", ("output",)),
    "tipline_delivery_state": (GaugeMetricFamily, "State of a delivery; always 1.", ("output", "state")),
}
Sample = tuple[str, tuple[str, ...], float]


class Metrics(Collector):
    """The metrics of one engine, in a registry of its own."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.registry = CollectorRegistry(auto_describe=False)
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, tuple[str, ...]]] = Counter()
        self._read_to = _newest_run(engine)
        self.registry.register(self)

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self.registry)

    def describe(self) -> list[Metric]:
        """Nothing beforehand: names are only known with their labels."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Every metric with its samples."""
        with self._lock:
            families = {name: _family(name) for name in METRICS}
            for name, labels, value in [*self._nodes(), *self._runs(), *self._deliveries()]:
                families[name].add_metric(labels, value)
            yield from families.values()

    def _nodes(self) -> Iterator[Sample]:
        yield "tipline_build", (__version__,), 1
        for node in status(self.engine):
            if node.indicators is not None:
                yield "tipline_indicators", (node.name, node.sort, node.kind), node.indicators
        for hold in open_holds(self.engine.control):
            yield "tipline_held", (hold["node"], hold["what"]), hold["count"]
        names = {number: name for name, number in self.engine.graph.ids.items()}
        with self.engine.lake.reading() as con:
            found = con.execute("SELECT source, last_success FROM source_state").fetchall()
        now = self.engine.clock()
        for source, last in found:
            if source in names and isinstance(last, datetime):
                age = max(0.0, (now - last).total_seconds())
                yield "tipline_last_success_age_seconds", (names[source],), age

    def _runs(self) -> Iterator[Sample]:
        """Counts of the runs since this process started: those that are new since the last look are added."""
        query = select(RUNS).where(RUNS.c.id > self._read_to).order_by(RUNS.c.id)
        with self.engine.control.reading() as con:
            for run in con.execute(query).mappings():
                self._read_to = run["id"]
                self._count(dict(run))
        for (name, labels), value in self._counts.items():
            yield name, labels, value

    def _count(self, run: dict[str, Any]) -> None:
        node = run["node"]
        self._counts["tipline_runs", (node, run["state"])] += 1
        for word in ("read", "accepted", "duplicate"):
            self._counts[f"tipline_records_{word}", (node,)] += run[word]
        for reason, number in run["dropped"].items():
            self._counts["tipline_records_dropped", (node, reason)] += number

    def _deliveries(self) -> Iterator[Sample]:
        for entry in deliveries(self.engine):
            labels = (entry["output"],)
            yield "tipline_delivery_lag", labels, entry["lag"]
            for word in ("sent", "accepted", "errors", "deleted"):
                yield f"tipline_delivery_{word}", labels, entry[word]
            yield "tipline_delivery_parked", labels, entry["items"].get("parked", 0)
            yield "tipline_delivery_state", (entry["output"], entry["state"]), 1


def _family(name: str) -> GaugeMetricFamily | CounterMetricFamily:
    kind, text, labels = METRICS[name]
    return kind(name, text, labels=labels)


def _newest_run(engine: Engine) -> int:
    with engine.control.reading() as con:
        return int(con.execute(select(func.max(RUNS.c.id))).scalar() or 0)
