"""All deliveries of an engine: one thread each in a running server, or drained one after the other."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import duckdb
import structlog

from tipline.engine.adopt import AdoptPlan, adopt
from tipline.engine.core import Engine
from tipline.engine.deliver import PENDING, CycleReport, Deliverer
from tipline.engine.reconcile import ReconcileReport, reconcile
from tipline.errors import FarSideError, TiplineError
from tipline.outputs.delivery import Delivered
from tipline.sources.local import Local
from tipline.store.receipts import delivery

log = structlog.get_logger()
_IDLE = 15.0  # seconds between looks when nothing changed: refreshes and parked items come due
_RETRY = 60.0  # seconds after a far side failed
_RECONCILE = timedelta(days=1)
_COUNTS = ("sent", "accepted", "errors", "deleted")


class Deliveries:
    """The delivered outputs of one engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._seen: set[str] = set()
        self._wakes: dict[str, threading.Event] = {}
        lists = engine.configuration.allow_lists
        pinned = [name for name, kind in engine.graph.sources.items() if isinstance(kind, Local) and name not in lists]
        self._deliverers = {
            name: Deliverer(
                engine.lake, engine.control, engine.graph, name, clock=engine.clock, stop=self._stop, pinned=pinned
            )
            for name, kind in engine.graph.outputs.items()
            if isinstance(kind, Delivered)
        }

    def start(self) -> None:
        """Deliver in the background until `stop`."""
        for name in self._deliverers:
            self._wakes[name] = threading.Event()
            thread = threading.Thread(target=self._run, args=(name,), name=f"deliver-{name}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """Stop at the next safe point and close the connections."""
        self._stop.set()
        for wake in self._wakes.values():
            wake.set()
        for thread in self._threads:
            thread.join()
        for deliverer in self._deliverers.values():
            deliverer.close()

    def wake(self, outputs: Iterable[str]) -> None:
        """Look at these outputs now."""
        for name in outputs:
            if name in self._wakes:
                self._wakes[name].set()

    def drain(self) -> dict[str, dict[str, Any]]:
        """Deliver until nothing is left that can be done now; returns what each output's cycles did together."""
        return {name: self._drain(deliverer) for name, deliverer in self._deliverers.items()}

    def summary(self, output: str) -> dict[str, int]:
        """What an output has sent in all: sent, accepted, errors, deleted."""
        row = delivery(self.engine.control, output)
        return {name: int(getattr(row, name)) for name in _COUNTS}

    def reconcile(self, output: str, *, fix: bool = False) -> ReconcileReport:
        """Hold a far side against what it should hold."""
        return reconcile(self._deliverers[output], fix=fix)

    def adopt(self, output: str, *, source: str | None = None, apply: bool = False, retire: bool = False) -> AdoptPlan:
        """Match what an earlier tool left there with what is wanted."""
        return adopt(self._deliverers[output], source=source, apply=apply, retire=retire)

    def why_waiting(self, output: str, key: UUID) -> str | None:
        """Why a published indicator is not at its far side (no-slot, covered by a domain, ...); None if it is."""
        return self._deliverers[output].why_waiting(key.hex) if output in self._deliverers else None

    def _drain(self, deliverer: Deliverer) -> dict[str, Any]:
        total = CycleReport(deliverer.name)
        while not self._stop.is_set():
            report = deliverer.cycle()
            for name in ("sent", "accepted", "deleted"):
                setattr(total, name, getattr(total, name) + getattr(report, name))
            total.errors.update(report.errors)
            total.state, total.message, total.pending = report.state, report.message, report.pending
            total.waiting = report.waiting
            if report.state != PENDING:
                break
        return total.as_dict()

    def _run(self, name: str) -> None:
        deliverer, wake = self._deliverers[name], self._wakes[name]
        while not self._stop.is_set():
            wait = _IDLE
            try:
                self._reconcile_daily(deliverer)
                report = deliverer.cycle()
                if report.state == PENDING:
                    wait = 0.0
                elif report.state == "failing":
                    wait = _RETRY
            except FarSideError as exc:
                wait = _RETRY
                log.warning("delivery", output=name, error=str(exc))
            except (TiplineError, duckdb.Error) as exc:
                wait = _RETRY
                log.error("delivery", output=name, error=str(exc))
            wake.wait(wait)
            wake.clear()

    def _reconcile_daily(self, deliverer: Deliverer) -> None:
        """At every start and then once a day, the far side is compared and set right."""
        last: datetime | None = delivery(self.engine.control, deliverer.name).last_reconcile
        if last is None or self.engine.clock() - last >= _RECONCILE or deliverer.name not in self._seen:
            self._seen.add(deliverer.name)
            reconcile(deliverer, fix=True)
