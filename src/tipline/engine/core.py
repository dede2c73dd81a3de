"""The engine's parts put together on one data directory."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Self

import structlog

from tipline.config.schema import Configuration
from tipline.engine.evaluate import Evaluated, Evaluator
from tipline.engine.graph import Graph
from tipline.engine.maintain import age
from tipline.engine.moments import Moments
from tipline.engine.poll import Poller, PollResult
from tipline.engine.times import Clock, utc_now
from tipline.engine.warnings import Warnings
from tipline.errors import ConfigError, StoreError
from tipline.store import versions
from tipline.store.allowance import EVALUATION
from tipline.store.control import Control
from tipline.store.lake import Lake
from tipline.store.lock import DirectoryLock

log = structlog.get_logger()

# Settings that a running process keeps: it has opened the data directory and named its copies with them.
KEPT = ("data", "instance", "store")


class Engine:
    """Polls, evaluates and answers on one data directory.

    Args:
        configuration: a checked configuration.
        in_memory: keep nothing on disk.
        trial: do not put the configuration to work (for `plan`): nodes keep their numbers, and none is retired.
        clock: the time, naive UTC.

    Raises:
        StoreError: the data directory is in use, damaged, not writable or of a newer version.
        ConfigError: a node changed its kind.
    """

    def __init__(
        self, configuration: Configuration, *, in_memory: bool = False, trial: bool = False, clock: Clock = utc_now
    ) -> None:
        self.clock = clock
        self.data = configuration.data
        self._lock = None if in_memory else DirectoryLock(self.data)
        self._source_locks: dict[str, threading.Lock] = {}
        settings = configuration.settings.store
        directory = None if in_memory else self.data
        try:
            self.lake = Lake(directory, memory_limit=settings.memory_limit, threads=settings.threads)
            try:
                self.control = Control(directory)
            except StoreError:
                self.lake.close()
                raise
        except StoreError:
            if self._lock:
                self._lock.release()
            raise
        self.spool = self.data / "spool"
        try:
            self.graph = self._look(configuration) if trial else self._number(configuration)
            if not trial:
                self._note(configuration, "the file", "found at the start")
        except (ConfigError, StoreError):
            self.close()
            raise
        self.poller = Poller(self.lake, self.control, self.spool, configuration.path.parent)
        self.moments = Moments()
        self.warnings = Warnings(self.data)
        self.evaluator = Evaluator(self.lake, self.control, self.graph, self.moments, self.warnings)

    @property
    def configuration(self) -> Configuration:
        """What runs now; `apply` puts another one in its place."""
        return self.graph.configuration

    def close(self) -> None:
        """Let go of the data directory."""
        self.control.close()
        self.lake.close()
        if self._lock:
            self._lock.release()

    def __enter__(self) -> Self:
        """The engine, closed at the end."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def poll(self, name: str) -> PollResult:
        """Poll one source now (one poll of a source at a time)."""
        with self._source_locks.setdefault(name, threading.Lock()):
            graph = self.graph
            if name not in graph.sources:
                raise ConfigError("there is no such source any more", where=name)
            allow_list = name in graph.configuration.allow_lists
            return self.poller.poll(graph.sources[name], graph.ids[name], self.clock(), allow_list=allow_list)

    def evaluate(self, outputs: Iterable[str] | None = None, *, approved: bool = False) -> list[Evaluated]:
        """Bring outputs (all, unless named) up to date with claims and time."""
        names = [name for name in self.graph.outputs if outputs is None or name in set(outputs)]
        if not names:
            return []

        def work() -> list[Evaluated]:
            return self.evaluator.evaluate(names, self.clock(), approved=approved)

        return self.lake.memory.tried(EVALUATION, "evaluation", work)

    def tick(self) -> None:
        """What time alone does to claims: expired ones leave, and a source that failed too long is withdrawn."""
        age(self.lake, self.graph, self.moments, self.clock())

    def apply(self, configuration: Configuration, *, actor: str, message: str = "") -> None:
        """Put another configuration to work, between two evaluations; what runs of the old one ends as it began.

        The data directory, the database's settings and the instance stay as they were at the start.

        Raises:
            ConfigError: a node changed its kind; nothing was changed.
            StoreError: the data directory cannot be written; nothing was changed.
        """
        kept = {name: getattr(self.configuration.settings, name) for name in KEPT}
        configuration.settings = configuration.settings.model_copy(update=kept)
        graph = self._number(configuration)
        with self.lake.writing():  # no evaluation holds the lane, so none sees half of each
            self.graph = self.evaluator.graph = graph
        self._note(configuration, actor, message)

    def check(self, configuration: Configuration) -> None:
        """Check that `apply` would take another configuration.

        Raises:
            ConfigError: a node changed its kind.
        """
        with self.lake.reading() as con:
            self.lake.check_kinds(con, configuration.outline())

    def file(self, *parts: str) -> Path:
        """A path inside the data directory."""
        return self.data.joinpath(*parts)

    def _number(self, configuration: Configuration) -> Graph:
        """Give every node its number and tables; retire those that are gone."""
        nodes, now = configuration.outline(), self.clock()
        with self.lake.writing() as con:
            ids = self.lake.number_nodes(con, nodes, now)
            for (_, name), known in self.lake.nodes(con).items():
                if name not in ids and not known.retired:
                    con.execute("UPDATE nodes SET retired = ? WHERE id = ?", [now, known.number])
        return Graph(configuration, ids)

    def _note(self, configuration: Configuration, actor: str, message: str) -> None:
        if configuration.text:
            versions.note(self.control, self.clock(), actor, message, configuration.text)

    def _look(self, configuration: Configuration) -> Graph:
        """The nodes that the lake knows already; nothing is changed."""
        with self.lake.reading() as con:
            known = self.lake.nodes(con)
        return Graph(configuration, {name: found.number for (_, name), found in known.items()})
