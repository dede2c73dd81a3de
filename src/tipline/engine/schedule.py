"""Runs the engine: sources when they are due, outputs after them, deliveries behind those, upkeep in between."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import duckdb
import structlog

from tipline.config.schema import Configuration
from tipline.engine import overriding, warning_refresh
from tipline.engine.alerts import Alerts
from tipline.engine.conditions import conditions
from tipline.engine.core import Engine
from tipline.engine.deliveries import Deliveries
from tipline.engine.evaluate import Evaluated
from tipline.engine.leaving import look
from tipline.engine.listfiles import write_files
from tipline.engine.maintain import prune_history, sort_published
from tipline.engine.poll import PollResult
from tipline.engine.rawbody import forget_heads
from tipline.engine.signin import SignIn
from tipline.engine.static import publisher
from tipline.errors import TiplineError
from tipline.sources.base import Source
from tipline.sources.local import Local

log = structlog.get_logger()

_STEP = 1.0  # seconds between looks at the clock
_TICK = timedelta(seconds=30)  # how often time alone is looked at
_ALERTS = timedelta(seconds=15)
_LISTS = timedelta(seconds=15)  # how often it is looked which warning lists are due
_UPKEEP = timedelta(hours=1)
_RETRY = timedelta(minutes=5)  # a failing source is tried again after this, or sooner if it is polled more often
_WORKERS = 4


@dataclass
class Round:
    """What one full round did."""

    polls: list[PollResult] = field(default_factory=list)
    evaluated: list[Evaluated] = field(default_factory=list)
    deliveries: dict[str, Any] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """Whether anything went wrong."""
        return any(poll.state == "failed" for poll in self.polls) or any(
            report.get("state") == "failing" for report in self.deliveries.values()
        )


class Scheduler:
    """Drives one engine; `start` runs it in threads, `run_once` does one round and returns."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.deliveries = Deliveries(engine)
        self.publisher = publisher(engine)
        self.alerts = self._alerts()
        self.error: str | None = None
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._reloading = threading.Lock()
        self._asked: set[str] = set()
        self._running: dict[str, Future[None]] = {}
        self._lists: Future[None] | None = None
        self._thread: threading.Thread | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._last: dict[str, datetime] = {}
        self._written: set[str] = set()

    def start(self) -> None:
        """Run until `stop`."""
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="poll")
        self._thread = threading.Thread(target=self._loop, name="schedule", daemon=True)
        self._thread.start()
        self.deliveries.start()
        self.publisher.start()

    def stop(self) -> None:
        """Stop at the next safe point; whatever was not finished goes on at the next start."""
        self._stop.set()
        self._wake.set()
        self.deliveries.stop()
        self.publisher.stop()
        if self._thread:
            self._thread.join()
        if self._pool:
            self._pool.shutdown(wait=True, cancel_futures=True)

    @property
    def alive(self) -> bool:
        """Whether the engine's thread runs."""
        return self._thread is not None and self._thread.is_alive() and self.error is None

    def wake(self, source: str | None = None) -> None:
        """Look again now; a source that is named is polled at once."""
        if source:
            with self._lock:
                self._asked.add(source)
        self._wake.set()

    @property
    def polling(self) -> list[str]:
        """Sources that are being polled, or are about to be because somebody asked."""
        with self._lock:
            asked = set(self._asked)
        return sorted(asked | {name for name, future in [*self._running.items()] if not future.done()})

    def changed(self, outputs: list[str], *, approved: bool = False) -> list[Evaluated]:
        """Evaluate outputs after a change by hand, and get their deliveries going."""
        return self._evaluate(outputs, approved=approved)

    def reload(self, configuration: Configuration, *, actor: str, message: str = "") -> list[Evaluated]:
        """Put another configuration to work without a restart: what it leaves as it was does not notice.

        Raises:
            ConfigError: a node changed its kind; what ran before runs on.
            StoreError: the data directory cannot be written; what ran before runs on.
        """
        with self._reloading:
            self.engine.apply(configuration, actor=actor, message=message)
            self.alerts = self._alerts()
            self.deliveries.refresh()
            evaluated = self._evaluate(list(self.engine.graph.outputs))
        self.wake()
        log.info("configuration put to work", actor=actor, message=message)
        return evaluated

    def run_once(self) -> Round:
        """Poll every source, evaluate every output, deliver until nothing is left to do."""
        result = Round()
        names = [name for name, source in self.engine.graph.sources.items() if polled(source)]
        with ThreadPoolExecutor(_WORKERS, thread_name_prefix="poll") as pool:
            result.polls = [poll for polls in pool.map(lambda name: list(self._polls(name)), names) for poll in polls]
        self.engine.tick()
        warning_refresh.refresh(self.engine, warning_refresh.due(self.engine))
        result.evaluated = self._evaluate(list(self.engine.graph.outputs))
        result.deliveries = self.deliveries.drain()
        self.publisher.cycle()
        self._tell()
        return result

    def _loop(self) -> None:
        try:
            while not self._stop.is_set():
                try:
                    with self._reloading:
                        self._step()
                except (TiplineError, duckdb.Error) as exc:
                    log.error("engine", error=str(exc))
                self._wake.wait(_STEP)
                self._wake.clear()
        except BaseException as exc:
            self.error = f"{type(exc).__name__}: {exc}"
            log.critical("the engine has stopped", error=self.error)
            raise

    def _step(self) -> None:
        now = self.engine.clock()
        self._collect()
        for name in self._due(now):
            if self._pool is not None:
                self._running[name] = self._pool.submit(self._poll, name)
                # Somebody may have asked for it meanwhile.
                self._running[name].add_done_callback(lambda _: self._wake.set())
        if self._every("tick", _TICK, now):
            self.engine.tick()
            self._evaluate(list(self.engine.graph.outputs))
        if self._every("warning lists", _LISTS, now) and (self._lists is None or self._lists.done()) and self._pool:
            self._lists = self._pool.submit(self._refresh_lists)
        if self._every("alerts", _ALERTS, now):
            self._tell()
        if self._every("upkeep", _UPKEEP, now):
            retention = self.engine.configuration.settings.store.retention
            prune_history(self.engine.lake, self.engine.control, self.engine.graph, now, retention)
            SignIn(self.engine.control, self.engine.clock).prune()
            overriding.end(self.engine.control, self.engine.graph, now)
            forget_heads(self.engine.data, set(self.engine.graph.sources))
            warning_refresh.forget_others(self.engine)
            for name in self.engine.graph.outputs:
                sort_published(self.engine.lake, self.engine.graph, name)

    def _alerts(self) -> Alerts:
        settings = self.engine.configuration.settings
        return Alerts(self.engine.control, list(settings.alerts), settings.instance)

    def _every(self, what: str, period: timedelta, now: datetime) -> bool:
        last = self._last.get(what)
        if last is not None and timedelta() <= now - last < period:
            return False
        self._last[what] = now
        return True

    def _collect(self) -> None:
        """Let go of polls that are done; one that broke is told, and costs the others nothing."""
        for name, future in list(self._running.items()):
            if future.done():
                del self._running[name]
                error = future.exception()
                if error is not None:
                    log.error("poll broke", source=name, error=f"{type(error).__name__}: {error}")

    def _due(self, now: datetime) -> list[str]:
        """Sources to poll now; one that is asked for while it is being polled is polled again afterwards."""
        with self._lock:
            asked = self._asked - set(self._running)
            self._asked -= asked
        with self.engine.lake.reading() as con:
            rows = con.execute("SELECT source, last_poll, failing_since FROM source_state").fetchall()
        states = {number: (last, failing) for number, last, failing in rows}
        due, graph = [], self.engine.graph
        for name, source in graph.sources.items():
            last, failing = states.get(graph.ids[name], (None, None))
            period = min(source.settings.every, _RETRY) if failing else source.settings.every
            ready = name in asked or last is None or last + period <= now
            if polled(source) and ready and name not in self._running:
                due.append(name)
        return due

    def _polls(self, name: str) -> Iterator[PollResult]:
        """Poll a source, and again while it has more."""
        more = True
        while more and not self._stop.is_set():
            result = self.engine.poll(name)
            more = result.more
            yield result

    def _poll(self, name: str) -> None:
        try:
            for result in self._polls(name):
                if result.committed or result.held:
                    self._evaluate(self.engine.graph.downstream(name))
        except TiplineError as exc:
            log.error("poll", source=name, error=str(exc))

    def _refresh_lists(self) -> None:
        """Fetch the warning lists that are due; what they say otherwise now changes every output."""
        try:
            done = warning_refresh.refresh(self.engine, warning_refresh.due(self.engine))
            if any(each.changed for each in done):
                self._evaluate(list(self.engine.graph.outputs))
        except (TiplineError, duckdb.Error) as exc:
            log.error("warning lists", error=str(exc))

    def _evaluate(self, outputs: list[str], *, approved: bool = False) -> list[Evaluated]:
        results = self.engine.evaluate(outputs, approved=approved)
        for result in results:
            # At first each is written, changed or not: the process before may have died between commit and file.
            if result.committed or result.full or result.output not in self._written:
                write_files(self.engine, result.output)
                self._written.add(result.output)
                self.publisher.wake()
        self.deliveries.wake([result.output for result in results if result.committed])
        return results

    def _tell(self) -> None:
        look(self.engine)
        self.alerts.update(conditions(self.engine), self.engine.clock())


def polled(source: Source) -> bool:
    """Whether a source is polled at all: one that is added to by hand has nothing to fetch."""
    return source.settings.enabled and not isinstance(source, Local)
