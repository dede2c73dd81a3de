"""Delivers an output to its far side: plan, withdraw, send, receipts, cursor. One cycle at a time."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from threading import RLock
from typing import Any

import duckdb
import structlog

from tipline.engine import delivery_plan, overriding, settle
from tipline.engine.delivery_plan import Ask, Plan, log_position, make_plan
from tipline.engine.graph import Graph
from tipline.engine.times import Clock, utc_now
from tipline.errors import ConfigError, FarSideError
from tipline.outputs.delivery import Delivered, FarSide, Outcome, Parcel, Refused
from tipline.store.allowance import WRITING
from tipline.store.control import Control
from tipline.store.lake import Lake
from tipline.store.overrides import Override
from tipline.store.receipts import (
    ACCEPTED,
    WITHDRAWING,
    Delivery,
    Receipt,
    by_keys,
    count,
    delivery,
    drop,
    hand_over,
    held_keys,
    note,
    put,
    restless,
    spent_keys,
)

log = structlog.get_logger()
OK, PENDING, FAILING, SHADOW, NEEDS, STOPPED = (
    "ok",
    "pending",
    "failing",
    "shadow",
    "needs credentials",
    "stopped",
)
# A cycle that nothing new interrupts sends so many times its limit: planning is not free.
BACKLOG = 20


@dataclass
class CycleReport:
    """What one cycle did.

    Attributes:
        state: ok, pending (more to send in the next cycle), failing, shadow, needs credentials or stopped.
        planned, withdrawals: indicators to send and to take back, as planned.
        sent, accepted, deleted: what was done of it.
        errors: refused indicators by the far side's reason.
        waiting: published indicators that are not sent now, by reason (no-slot, covered, ended, refused).
        pending: planned indicators left for the next cycle.
    """

    output: str
    state: str = OK
    message: str = ""
    full: bool = False
    planned: int = 0
    withdrawals: int = 0
    sent: int = 0
    accepted: int = 0
    deleted: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    waiting: dict[str, int] = field(default_factory=dict)
    pending: int = 0

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


class Deliverer:
    """One delivered output.

    Args:
        lake: published sets and logs.
        control: deliveries and receipts.
        graph: the configured nodes.
        output: the output's name.
        clock: naive UTC.
        stop: set at shutdown; waits end at once and the cycle is left where it is.
        pinned: sources whose indicators come first when room is short (those added to by hand).
        retiring: the output is gone: all that its far side has of it is taken back.
        lock: of another one that writes the same items.
        predecessors: outputs that are gone and wrote the same items: what this one publishes becomes its own.
    """

    def __init__(
        self,
        lake: Lake,
        control: Control,
        graph: Graph,
        output: str,
        *,
        clock: Clock = utc_now,
        stop: threading.Event | None = None,
        pinned: Sequence[str] = (),
        retiring: bool = False,
        lock: RLock | None = None,
        predecessors: Sequence[str] = (),
    ) -> None:
        kind = graph.outputs[output]
        if not isinstance(kind, Delivered):
            raise TypeError(f"{output} is no delivered output")
        self.lake = lake
        self.control = control
        self.graph = graph
        self.kind: Delivered = kind
        self.name = output
        self.number = graph.ids[output]
        self.instance = graph.configuration.settings.instance
        self.clock = clock
        self.stop = stop or threading.Event()
        self.pinned = tuple(pinned)
        self.retiring = retiring
        self.predecessors = tuple(predecessors)
        self.lock = lock or threading.RLock()  # a cycle, a reconciliation and an adoption never run together
        self._far: FarSide | None = None

    def does_what(self, other: Deliverer) -> bool:
        """Whether another one would do the very same."""
        mine, theirs = (
            (each.number, each.kind.settings, each.instance, each.pinned, each.retiring, each.predecessors)
            for each in (self, other)
        )
        return mine == theirs and (not self.retiring or self.lock is other.lock)

    @property
    def far(self) -> FarSide:
        """The far side, opened on first use and kept, with its tokens and limits."""
        if self._far is None:
            self._far = self.kind.open(self.instance, self.stop)
        return self._far

    def close(self) -> None:
        """Close the connections."""
        if self._far is not None:
            self._far.close()
            self._far = None

    def cycle(self) -> CycleReport:
        """Bring the far side nearer to what is published; never raises what a far side does."""
        with self.lock, closing(self.lake.connection()) as con:
            for name in self.predecessors:
                self._take_over(con, name)
            before = delivery(self.control, self.name)
            report = CycleReport(self.name)
            missing = self.kind.missing()
            if missing:
                report.state, report.message = NEEDS, f"set {', '.join(missing)}"
            what = f"plan of {self.name}"
            plan = self.lake.memory.tried(WRITING, what, lambda: self._plan(con, before))
            if plan is not None:
                plan.settled()
                report.full, report.planned, report.withdrawals = plan.full, plan.sends, plan.withdrawals
                report.waiting, report.pending = plan.waiting, plan.sends + plan.withdrawals
                if not missing:
                    self._carry_out(plan, report)
            self._finish(before, plan, report)
            return report

    def _take_over(self, con: duckdb.DuckDBPyConnection, name: str) -> None:
        """Make the receipts of an output that is gone this one's: of what it publishes, and of what counts on."""
        keys = [*delivery_plan.published_among(con, self.number, held_keys(self.control, name)),
                *spent_keys(self.control, name)]  # fmt: skip
        if not keys:
            return
        foreign = int(delivery(self.control, self.name).detail.get("foreign", 0))
        with self.control.transaction() as writing:
            moved = hand_over(writing, name, self.name, keys, again=self.kind.signed_items)
            note(writing, self.name, resync=1, detail={"foreign": max(0, foreign - moved)})
        log.info("copies taken over", output=self.name, earlier=name, count=moved)

    def why_waiting(self, key: str) -> str | None:
        """Why a published indicator is not sent (no-slot, covered: by ..., ended, refused); None if it is.

        Args:
            key: 32 hex digits.
        """
        with self.lock, closing(self.lake.connection()) as con:
            self.plan_in_full(con)
            return delivery_plan.waiting_for(con, key)

    def preview(self, limit: int) -> dict[str, Any]:
        """The requests that would be made for the first published indicators; none is made.

        Args:
            limit: how many indicators.

        Returns:
            published (how many there are), requests, refused (value -> reason), and withdrawals: the requests
            that would take the first of them back.
        """
        with self.lock, closing(self.lake.connection()) as con:
            self.plan_in_full(con)
            rows, published = delivery_plan.first_rows(con, limit)
            now, far = self.clock(), self.far
            packed = [far.pack(row, None, now) for row in rows]
            pairs = zip(rows, packed, strict=True)
            refused = {row.value: made.reason for row, made in pairs if isinstance(made, Refused)}
            parcels = [made for made in packed if isinstance(made, Parcel)]
            back = []
            for parcel in parcels[:1]:
                held = settle.sending(None, parcel, "", now)
                back.append(far.pack_withdrawal(replace(held, state=ACCEPTED), now, false_positive=False))
            return {
                "output": self.name,
                "published": published,
                "requests": far.preview(parcels) if parcels else [],
                "refused": refused,
                "withdrawals": far.preview_withdrawal(back) if back else [],
            }

    def plan_in_full(self, con: duckdb.DuckDBPyConnection) -> Plan:
        """Compare everything, for reconciling; the rows are in temporary tables of `con`."""
        ask = self._ask(delivery(self.control, self.name), self._overrides(con), full=True)
        return make_plan(con, self.control, self.kind, self.number, ask)

    def _overrides(self, con: duckdb.DuckDBPyConnection) -> list[Override]:
        if self.retiring:
            return []
        return overriding.counting(con, self.control, self.graph, self.name, self.clock())

    def _ask(self, before: Delivery, overrides: Sequence[Override], *, full: bool, keys: Sequence[str] = ()) -> Ask:
        return Ask(
            now=self.clock(),
            instance=self.instance,
            cursor=before.cursor,
            full=full,
            restless=tuple(keys),
            slots_taken=int(before.detail.get("foreign", 0)),
            pinned=self.pinned,
            retiring=self.retiring,
            overrides=tuple(overrides),
        )

    def _plan(self, con: duckdb.DuckDBPyConnection, before: Delivery) -> Plan | None:
        """The plan, or None when nothing can have changed since the last cycle."""
        if self.retiring:
            return self.plan_in_full(con)
        position = log_position(con, self.number, before.cursor)
        keys = restless(self.control, self.name, self.clock())
        overrides = self._overrides(con)
        basis = self._basis(overrides)
        full = bool(before.resync) or position.gap or before.detail.get("settings") != basis
        begun = bool(before.detail.get("begun"))
        seen = before.detail.get("planned") == [position.last, basis]
        looked = before.state in {SHADOW, NEEDS} and before.state == self._idle_state() and seen
        if looked or not (full or begun or keys or position.last != before.cursor):
            return None
        ask = self._ask(before, overrides, full=full, keys=keys)
        plan = make_plan(con, self.control, self.kind, self.number, ask)
        plan.basis = basis
        return plan

    def _idle_state(self) -> str:
        if self.kind.missing():
            return NEEDS
        return SHADOW if self.kind.settings.mode == "shadow" else ""

    def _basis(self, overrides: Sequence[Override]) -> str:
        """What makes a full comparison necessary when it changes."""
        chosen = (getattr(self.kind.settings, name, None) for name in ("capacity", "margin"))
        parts = (
            self.kind.settings_digest(self.instance),
            self.kind.identity("", self.instance),
            *chosen,
            *self.pinned,
            overriding.digest(overrides),
        )
        return "/".join(map(str, parts))

    def _carry_out(self, plan: Plan, report: CycleReport) -> None:
        if self.kind.settings.mode == "shadow":
            report.state = SHADOW
            report.message = f"would send {plan.sends} and withdraw {plan.withdrawals}; nothing was written"
            return
        try:
            self._begin(plan)
            self._withdraw(plan, report)
            self._send(plan, report)
            if published := self.far.finished():
                log.info("delivery published", output=self.name, count=published)
        except (FarSideError, ConfigError) as error:
            stopped = error.code == "stopped"
            report.state, report.message = (
                (STOPPED, "stopped; goes on at the next start") if stopped else (FAILING, str(error))
            )
            log.warning("delivery interrupted", output=self.name, reason=str(error))

    def _begin(self, plan: Plan) -> None:
        """Forget what lapsed, and note that the far side is written to until a cycle has ended well."""
        lapsed = by_keys(self.control, self.name, plan.forgotten())
        kept = [left for receipt in lapsed.values() if (left := settle.forgotten(receipt)) is not None]
        with self.control.transaction() as con:
            note(con, self.name, detail={"begun": True})
            drop(con, self.name, lapsed)
            put(con, self.name, kept)

    def _withdraw(self, plan: Plan, report: CycleReport) -> None:
        for batch in plan.to_withdraw(self.far.withdraw_batch):
            now = self.clock()
            receipts = by_keys(self.control, self.name, [key for key, _ in batch])
            parcels = [
                self.far.pack_withdrawal(receipts[key], now, false_positive=false_positive)
                for key, false_positive in batch
            ]
            intents = [settle.withdrawing(receipts[parcel.key], parcel, now) for parcel in parcels]
            with self.control.transaction() as con:
                put(con, self.name, intents)
            outcomes = self.far.withdraw(parcels)
            self._note_withdrawn(intents, parcels, outcomes, report)

    def _note_withdrawn(
        self, intents: list[Receipt], parcels: list[Parcel], outcomes: list[Outcome], report: CycleReport
    ) -> None:
        now = self.clock()
        after = [settle.withdrawn(*each, now) for each in zip(intents, parcels, outcomes, strict=True)]
        done = sum(outcome.ok for outcome in outcomes)
        with self.control.transaction() as con:
            drop(
                con,
                self.name,
                [parcel.key for parcel, left in zip(parcels, after, strict=True) if left is None],
            )
            put(con, self.name, [left for left in after if left is not None])
            count(con, self.name, now, deleted=done, errors=len(outcomes) - done)
        report.deleted += done
        report.pending -= done
        report.errors.update(outcome.reason for outcome in outcomes if not outcome.ok)

    def _send(self, plan: Plan, report: CycleReport) -> None:
        for batch in plan.to_send(self.far.send_batch, self.far.cycle_limit * BACKLOG):
            if plan.handled >= self.far.cycle_limit and self._moved(plan):
                return
            plan.handled += len(batch)
            now = self.clock()
            receipts = by_keys(self.control, self.name, [row.key for row, _ in batch])
            intents: list[tuple[Receipt | None, Receipt, Parcel]] = []
            refused: list[Receipt] = []
            for row, digest in batch:
                receipt = receipts.get(row.key)
                if receipt is not None and receipt.state == WITHDRAWING:
                    continue  # its old copy could not be taken back: the new one waits for that
                parcel = self.far.pack(row, receipt, now)
                if isinstance(parcel, Refused):
                    refused.append(settle.refused(receipt, row, digest, parcel, now))
                else:
                    intents.append((receipt, settle.sending(receipt, parcel, digest, now), parcel))
            with self.control.transaction() as con:
                put(con, self.name, [*(intent for _, intent, _ in intents), *refused])
                count(con, self.name, now, errors=len(refused))
            report.errors.update(receipt.reason for receipt in refused)
            report.pending -= len(refused)
            if intents:
                outcomes = self.far.send([parcel for _, _, parcel in intents])
                self._note_sent(intents, outcomes, report)

    def _moved(self, plan: Plan) -> bool:
        """Whether something changed since the plan was made: withdrawals do not wait for a backlog."""
        with self.lake.reading() as con:
            return log_position(con, self.number, plan.last).last != plan.last

    def _note_sent(
        self,
        intents: list[tuple[Receipt | None, Receipt, Parcel]],
        outcomes: list[Outcome],
        report: CycleReport,
    ) -> None:
        now = self.clock()
        after = [
            settle.answered(before, intent, parcel, outcome, now)
            for (before, intent, parcel), outcome in zip(intents, outcomes, strict=True)
        ]
        accepted = sum(outcome.ok for outcome in outcomes)
        with self.control.transaction() as con:
            put(con, self.name, after)
            count(con, self.name, now, sent=len(outcomes), accepted=accepted, errors=len(outcomes) - accepted)
        report.sent += len(outcomes)
        report.accepted += accepted
        report.pending -= len(outcomes)
        report.errors.update(outcome.reason for outcome in outcomes if not outcome.ok)

    def _finish(self, before: Delivery, plan: Plan | None, report: CycleReport) -> None:
        """Note the state; when all of a plan was dealt with, move the cursor past it.

        A process that dies before this moves nothing: the next plan finds every receipt as it should be.
        """
        now = self.clock()
        detail: dict[str, Any] = {}
        values: dict[str, Any] = {"last_cycle": now}
        if report.state == OK:
            left = plan.sends - plan.handled if plan is not None else 0
            if left > 0:
                report.state, report.message = PENDING, f"{left} more to send"
            else:
                values["last_success"] = now
        if plan is not None:
            detail |= {
                "waiting": plan.waiting,
                "pending": max(report.pending, 0),
                "planned": [plan.last, plan.basis],
            }
            if report.state == OK:
                # One that is gone may come back: all is compared then.
                values |= {"cursor": plan.last, "resync": int(self.retiring)}
                detail |= {"settings": plan.basis, "begun": False}
        elif report.state == NEEDS or before.state == SHADOW == self._idle_state():
            report.state = self._idle_state()
            report.message = report.message or before.message
            report.pending = int(before.detail.get("pending", 0))
        if report.state != STOPPED:
            values |= {"state": report.state, "message": report.message}
        with self.control.transaction() as con:
            note(con, self.name, **values, detail=detail)
