"""Evaluates outputs incrementally or in full, guards the result, and writes it with its numbered log."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import duckdb
import structlog

from tipline.engine import guard
from tipline.engine.graph import Audience, Graph
from tipline.engine.ledger import Ledger
from tipline.engine.moments import Moments
from tipline.engine.objects import line_up, namespace
from tipline.engine.positions import Position, State, advance_clocks, current_positions, output_states, positions_json
from tipline.engine.publish import FEED_ADDED, FEED_REMOVED, Counts, compare, explain, write
from tipline.engine.touch import Span, Touched, touch
from tipline.engine.views import Views
from tipline.engine.warnings import POSITION, Warnings
from tipline.store.control import Control
from tipline.store.lake import Lake
from tipline.store.records import approved_fingerprints, end_hold, open_hold, open_holds, record_runs, set_hold
from tipline.store.schema import published_table

log = structlog.get_logger()


@dataclass
class Evaluated:
    """What an evaluation did to one output."""

    output: str
    full: bool
    added: int = 0
    changed: int = 0
    removed: int = 0
    held: int = 0
    hold_started: bool = False
    message: str = ""
    ledger: Ledger = field(default_factory=Ledger)

    @property
    def committed(self) -> bool:
        """Whether what is published changed."""
        return bool(self.added or self.changed or self.removed)


@dataclass
class Evaluator:
    """Brings outputs up to date with the claims of their sources."""

    lake: Lake
    control: Control
    graph: Graph
    moments: Moments
    warnings: Warnings

    def evaluate(self, outputs: list[str], at: datetime, *, approved: bool = False) -> list[Evaluated]:
        """Evaluate outputs as of a moment, all in one transaction.

        Args:
            outputs: their names.
            at: the moment; never before that of the last evaluation.
            approved: a person has seen what will change, so the guards stand aside.
        """
        results: list[Evaluated] = []
        holds: list[tuple[str, Trip | None]] = []
        self._processed: dict[str, Ledger] = {}
        with self.lake.writing() as con:
            # Another configuration may have taken its place while this waited for the lane.
            there = [name for name in outputs if name in self.graph.outputs]
            advance_clocks(con, at)
            now = current_positions(con, self.graph, at)
            now[POSITION] = Position(self.warnings.bring_up(con, self.graph, at), at)
            states = output_states(con)
            for (audience, incremental), names in self._groups(there, states, at).items():
                mine = {name: states[self.graph.ids[name]] for name in names}
                for result, trip in self._group(con, audience, mine, at, now, approved, incremental=incremental):
                    results.append(result)
                    holds.append((result.output, trip))
        held = {hold["node"] for hold in open_holds(self.control)}
        for result, (name, trip) in zip(results, holds, strict=True):
            if trip or name in held:
                result.hold_started = self._note_hold(name, trip, at)
        self._note(results, at)
        return results

    def _groups(
        self, outputs: list[str], states: dict[int, State], at: datetime
    ) -> dict[tuple[Audience, bool], list[str]]:
        groups: dict[tuple[Audience, bool], list[str]] = defaultdict(list)
        for name in outputs:
            state = states[self.graph.ids[name]]
            known = self._followed(name) <= set(state.cursor)
            same = state.fingerprint == self.graph.fingerprint(name)
            incremental = bool(state.as_of and state.as_of <= at and known and same)
            groups[self.graph.audience(name), incremental].append(name)
        return groups

    def _group(
        self,
        con: duckdb.DuckDBPyConnection,
        audience: Audience,
        states: dict[str, State],
        at: datetime,
        now: dict[str, Position],
        approved: bool,
        *,
        incremental: bool,
    ) -> list[tuple[Evaluated, Trip | None]]:
        span = self._span(states, at, now) if incremental else Span({}, now, at, at, expired_only=False)
        touched = touch(con, self.graph, list(states), span, self.moments) if incremental else Touched(whole=True)
        sliced = not touched.whole
        if sliced and not touched.keys:
            for name, state in states.items():
                # Where nothing moved, not even the cursor has to.
                if touched.moved:
                    self._advance(con, name, state.seq, at, now, held=False)
            return [(Evaluated(name, full=False), None) for name in states]
        views = Views(con, self.graph, audience, at, {name: p.moment for name, p in now.items()}, sliced=sliced)
        configured = approved_fingerprints(self.control)
        done = []
        try:
            for name, state in states.items():
                reconfigured = configured.get(name) == self.graph.fingerprint(name) != state.fingerprint
                free = approved or reconfigured or span.approved or (sliced and span.expired_only)
                done.append(self._one(con, views, name, state, at, now, free=free))
        finally:
            views.close()
        accounts = {name: ledger for name, ledger in views.ledgers.items() if name in self.graph.processors}
        self._processed.update(accounts)
        return done

    def _span(self, states: dict[str, State], at: datetime, now: dict[str, Position]) -> Span:
        before: dict[str, Position] = {}
        for name, state in states.items():
            for source in self._followed(name):
                mine, other = state.cursor[source], before.get(source)
                before[source] = (
                    mine if other is None else Position(min(mine.commit, other.commit), min(mine.moment, other.moment))
                )
        clocks = [clock for name in states for clock in self.graph.clocks(name)]
        before_at = min(state.as_of or at for state in states.values())
        return Span(before, now, before_at, at, clocks=list(dict.fromkeys(clocks)))

    def _one(
        self,
        con: duckdb.DuckDBPyConnection,
        views: Views,
        name: str,
        state: State,
        at: datetime,
        now: dict[str, Position],
        *,
        free: bool,
    ) -> tuple[Evaluated, Trip | None]:
        number = self.graph.ids[name]
        published = published_table(number)
        result = Evaluated(name, full=not views.sliced)
        rows = views.output(name)
        result.ledger = views.ledgers[name]
        counts = compare(con, rows.live, published, self.graph.outputs[name].shown(), sliced=views.sliced)
        if not counts.all:
            self._advance(con, name, state.seq, at, now, held=False)
            return result, None
        before = dict.fromkeys([*self.graph.outputs[name].settings.inputs, *self.graph.upstream(name)])
        decided = [*(views.node(other).name for other in before), *views.steps[name]]
        if counts.removed:
            explain(con, dict.fromkeys(decided), self.graph.configuration.team_allow(views.audience.team))
        trip = None if free else self._trip(con, name, published, counts)
        if trip:
            con.execute(f"DELETE FROM difference WHERE {trip.held}")
            result.held, result.message = trip.count, trip.reason
            counts = Counts.of(con)
        write(con, number, state.seq, at, counts)
        if self.graph.outputs[name].paged:
            line_up(con, number, namespace(self.graph.configuration.settings.instance, name), state.seq)
        result.added, result.changed, result.removed = counts.added, counts.changed, counts.removed
        self._advance(con, name, state.seq + counts.logged, at, now, held=trip is not None)
        return result, trip

    def _trip(self, con: duckdb.DuckDBPyConnection, name: str, published: str, counts: Counts) -> Trip | None:
        """What the guard holds back; what a person took out by allowing it is never held."""
        settings = self.graph.outputs[name].settings.guard
        if not guard.may_trip(settings, counts.added, counts.removed):
            return None
        removed = _count(con, f"difference WHERE {FEED_REMOVED}") if counts.removed else 0
        found = guard.check_evaluation(settings, _count(con, published), counts.added, removed)
        if found is None:
            return None
        hold = open_hold(self.control, name)
        if hold is not None and hold.approved_at:
            return None
        held, count = (FEED_REMOVED, removed) if found[0] == guard.REMOVALS else (FEED_ADDED, counts.added)
        samples = con.execute(f"SELECT value FROM difference WHERE {held} ORDER BY value LIMIT 5").fetchall()
        return Trip(*found, count, [value for (value,) in samples], held)

    def _advance(
        self,
        con: duckdb.DuckDBPyConnection,
        name: str,
        seq: int,
        at: datetime,
        now: dict[str, Position],
        *,
        held: bool,
    ) -> None:
        """Move the output's cursor on; a held output keeps it, so that what is held is looked at again."""
        number = self.graph.ids[name]
        if held:
            con.execute("UPDATE output_state SET seq = ? WHERE output = ?", [seq, number])
            return
        own = {source: now[source] for source in self._followed(name)}
        con.execute(
            "UPDATE output_state SET seq = ?, cursor = ?, as_of = ?, fingerprint = ? WHERE output = ?",
            [seq, positions_json(own), at, self.graph.fingerprint(name), number],
        )

    def _followed(self, name: str) -> set[str]:
        """What an output keeps its positions of: sources, and the warning lists."""
        return {*self.graph.feeds(name), *self.graph.allows(name), POSITION}

    def _note_hold(self, name: str, trip: Trip | None, at: datetime) -> bool:
        if trip is None:
            end_hold(self.control, name, at, "the evaluation went through")
            return False
        values = {"what": trip.what, "reason": trip.reason, "count": trip.count, "samples": trip.samples, "seen": at}
        return set_hold(self.control, name, "output", values, restart=False)

    def _note(self, results: list[Evaluated], at: datetime) -> None:
        """Put down the accounts of what changed, all in one transaction."""
        told = [result for result in results if result.committed or result.held or result.full]
        runs = [
            _run(
                result.output, "output", at, result.ledger, state="held" if result.held else "ok",
                message=result.message, added=result.added, changed=result.changed, removed=result.removed,
                held=result.held,
            )
            for result in told
        ]  # fmt: skip
        runs += [_run(name, "processor", at, ledger) for name, ledger in self._processed.items() if ledger.read]
        record_runs(self.control, runs)
        for result in told:
            log.info(
                "evaluated",
                output=result.output,
                full=result.full,
                added=result.added,
                changed=result.changed,
                removed=result.removed,
                held=result.held,
            )


def _run(name: str, sort: str, at: datetime, ledger: Ledger, *, state: str = "ok", **more: Any) -> dict[str, Any]:
    """The account of a node, for the table of runs."""
    values = {"node": name, "sort": sort, "started": at, "finished": at, "state": state, "message": ""}
    return {**values, **ledger.as_dict(), **more}


@dataclass(frozen=True)
class Trip:
    """Why an evaluation is held back, and what of it."""

    what: str
    reason: str
    count: int
    samples: list[str]
    held: str  # the condition on `difference` of what stays back


def _count(con: duckdb.DuckDBPyConnection, relation: str) -> int:
    row = con.execute(f"SELECT count(*) FROM {relation}").fetchone()
    return int(row[0]) if row else 0
