"""All deliveries of an engine: one thread each in a running server, or drained side by side."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import duckdb
import structlog

from tipline.engine.adopt import AdoptPlan, adopt
from tipline.engine.core import Engine
from tipline.engine.deliver import PENDING, CycleReport, Deliverer
from tipline.engine.leaving import heir, last_graph, look, predecessors, released
from tipline.engine.reconcile import FAILED, ReconcileReport, reconcile
from tipline.engine.slots import slots
from tipline.errors import FarSideError, TiplineError
from tipline.outputs.delivery import Delivered
from tipline.sources.local import Local
from tipline.store.receipts import delivery

log = structlog.get_logger()
_IDLE = 15.0  # seconds between looks when nothing changed: refreshes and parked items come due
_RETRY = 60.0  # seconds after a far side failed
_RECONCILE = timedelta(days=1)
_SIDE_BY_SIDE = 8  # outputs drained at a time: one dead far side keeps no other waiting
_COUNTS = ("sent", "accepted", "errors", "deleted")


class Deliveries:
    """The delivered outputs of one engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._running = False
        self._threads: dict[str, threading.Thread] = {}
        self._seen: set[str] = set()
        self._wakes: dict[str, threading.Event] = {}
        self._deliverers: dict[str, Deliverer] = {}
        self._refreshing = threading.Lock()
        self.refresh()

    def start(self) -> None:
        """Deliver in the background until `stop`."""
        self._running = True
        for name in self._deliverers:
            self._launch(name)

    def stop(self) -> None:
        """Stop at the next safe point and close the connections."""
        with self._refreshing:
            self._running = False
            self._end(list(self._deliverers))

    def refresh(self) -> None:
        """Follow the engine's configuration: whose settings stay the same goes on; the others end at a safe point."""
        with self._refreshing:
            before = self._deliverers
            found: dict[str, Deliverer] = {}
            for new in self._wanted():
                found[new.name] = before[new.name] if new.name in before and new.does_what(before[new.name]) else new
            for new in self._retiring(found):
                found[new.name] = before[new.name] if new.name in before and new.does_what(before[new.name]) else new
            self._end([name for name, old in before.items() if found.get(name) is not old])
            self._deliverers = found
            for name in [name for name in found if name not in self._threads] if self._running else ():
                self._launch(name)

    def _wanted(self) -> Iterator[Deliverer]:
        """A deliverer for each output of the configuration that has a far side."""
        graph, control = self.engine.graph, self.engine.control
        lists = graph.configuration.allow_lists
        pinned = [name for name, kind in graph.sources.items() if isinstance(kind, Local) and name not in lists]
        earlier = predecessors(self.engine)
        for name, kind in graph.outputs.items():
            if isinstance(kind, Delivered):
                yield Deliverer(
                    self.engine.lake, control, graph, name, clock=self.engine.clock, pinned=pinned,
                    predecessors=earlier.get(name, ()),
                )  # fmt: skip

    def _retiring(self, there: Mapping[str, Deliverer]) -> Iterator[Deliverer]:
        """A deliverer for each output that is gone and whose copies somebody lets be withdrawn."""
        found = look(self.engine)
        let_go = released(self.engine.control)
        for gone in found:
            if gone.kind is None or gone.output not in let_go:
                continue
            new = heir(gone.kind, [each.kind for each in there.values()])
            yield Deliverer(
                self.engine.lake, self.engine.control, last_graph(self.engine, gone), gone.output,
                clock=self.engine.clock, retiring=True, lock=there[new.name].lock if new else None,
            )  # fmt: skip

    def _launch(self, name: str) -> None:
        self._wakes[name] = threading.Event()
        thread = threading.Thread(target=self._run, args=(name,), name=f"deliver-{name}", daemon=True)
        self._threads[name] = thread
        thread.start()

    def _end(self, names: list[str]) -> None:
        ending = {name: self._deliverers[name] for name in names}
        for name, deliverer in ending.items():
            deliverer.stop.set()
            if name in self._wakes:
                self._wakes.pop(name).set()
        for name, deliverer in ending.items():
            if name in self._threads:
                self._threads.pop(name).join()
            deliverer.close()
            self._seen.discard(name)  # whatever comes in its place looks at the far side first

    def wake(self, outputs: Iterable[str]) -> None:
        """Look at these outputs now."""
        for name in outputs:
            wake = self._wakes.get(name)
            if wake is not None:
                wake.set()

    def drain(self, outputs: Iterable[str] | None = None) -> dict[str, dict[str, Any]]:
        """Deliver until nothing is left that can be done now, to these outputs or to all.

        Returns:
            what each output's cycles did together.
        """
        names = [name for name in self._deliverers if outputs is None or name in outputs]
        with ThreadPoolExecutor(_SIDE_BY_SIDE, thread_name_prefix="deliver") as pool:
            return dict(zip(names, pool.map(lambda name: self._drain(self._deliverers[name]), names), strict=True))

    def summary(self, output: str) -> dict[str, int]:
        """What an output has sent in all: sent, accepted, errors, deleted."""
        row = delivery(self.engine.control, output)
        return {name: int(getattr(row, name)) for name in _COUNTS}

    def preview(self, output: str, limit: int) -> dict[str, Any]:
        """The requests that an output would make; none is made."""
        return self._deliverers[output].preview(limit)

    def slots(
        self, output: str, limit: int, *, waiting: str = "", text: str = "", after: tuple[int, str] | None = None
    ) -> list[dict[str, Any]]:
        """Which published indicators are to be at a far side, and which wait and why."""
        return slots(self._deliverers[output], limit, waiting=waiting, text=text, after=after)

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
        while not deliverer.stop.is_set():
            report = self._compared(deliverer) or deliverer.cycle()
            for name in ("sent", "accepted", "deleted"):
                setattr(total, name, getattr(total, name) + getattr(report, name))
            total.errors.update(report.errors)
            total.state, total.message, total.pending = report.state, report.message, report.pending
            total.waiting = report.waiting
            if report.state != PENDING:
                break
        if deliverer.retiring:
            look(self.engine)
        return total.as_dict()

    def _run(self, name: str) -> None:
        deliverer, wake = self._deliverers[name], self._wakes[name]
        while not deliverer.stop.is_set():
            wait = _IDLE
            try:
                if not deliverer.retiring:
                    self._reconcile_daily(deliverer)
                report = self._compared(deliverer) or deliverer.cycle()
                if deliverer.retiring and deliverer.name not in {each.output for each in look(self.engine)}:
                    return  # nothing of it is there any more
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

    def _compared(self, deliverer: Deliverer) -> CycleReport | None:
        """Compare a far side that may be ahead of us (after a restore) before anything is written there.

        Returns:
            None once that is done, or cannot be; else why nothing is written yet.
        """
        row = delivery(self.engine.control, deliverer.name)
        if deliverer.retiring or not row.resync or not row.cursor or row.last_reconcile is not None:
            return None
        found = reconcile(deliverer, fix=True)
        if found.state != FAILED:
            return None
        return CycleReport(deliverer.name, state="failing", message=found.message)

    def _reconcile_daily(self, deliverer: Deliverer) -> None:
        """At every start and then once a day, the far side is compared and set right."""
        last: datetime | None = delivery(self.engine.control, deliverer.name).last_reconcile
        if last is None or self.engine.clock() - last >= _RECONCILE or deliverer.name not in self._seen:
            self._seen.add(deliverer.name)
            reconcile(deliverer, fix=True)
