"""Compares a far side with what it should hold: what is missing, too much, changed, or somebody else's.

What it finds is mended through the receipts, so that the next cycle does the sending; only copies that no
receipt speaks of are deleted here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from itertools import islice
from typing import Any

import duckdb
import polars as pl

from tipline.engine.deliver import Deliverer
from tipline.engine.delivery_plan import rows_of
from tipline.engine.far_listing import FarListing
from tipline.errors import ConfigError, FarSideError
from tipline.outputs.delivery import FarItem, Outcome, Parcel, Row
from tipline.store.control import Control
from tipline.store.receipts import ACCEPTED, NO, YES, Receipt, by_keys, note, put, scan

CLEAN, DRIFT, UNVERIFIABLE, FAILED, SKIPPED = "clean", "drift", "unverifiable", "failed", "skipped"
MAX_SHOWN = 20
_CHUNK = 1000


@dataclass
class Finding:
    """One sort of drift: how often, and examples `{value, far_id, why}`."""

    count: int = 0
    samples: list[dict[str, str]] = field(default_factory=list)

    def add(self, value: str, far_id: str | None = None, why: str = "") -> None:
        """Count one, and keep it as an example if there are few."""
        self.count += 1
        if len(self.samples) < MAX_SHOWN:
            self.samples.append({"value": value, "far_id": far_id or "", "why": why})


@dataclass
class ReconcileReport:
    """What a far side holds against what it should hold.

    Attributes:
        state: clean, drift, unverifiable (it cannot be read), failed (no answer), skipped (no credentials).
        checked: items of ours that were looked at.
        missing: accepted, and not there any more.
        extra: ours, and not wanted (or a second copy).
        different: there, but not as it was sent.
        foreign: not ours; they take room and are never touched.
        foreign_allowed: not ours, and letting through a value that we alert on.
        fixed: what was set right, by sort; the next cycle sends.
    """

    output: str
    state: str = CLEAN
    message: str = ""
    checked: int = 0
    missing: Finding = field(default_factory=Finding)
    extra: Finding = field(default_factory=Finding)
    different: Finding = field(default_factory=Finding)
    foreign: Finding = field(default_factory=Finding)
    foreign_allowed: Finding = field(default_factory=Finding)
    foreign_by: Counter[str] = field(default_factory=Counter)
    fixed: dict[str, int] = field(default_factory=dict)

    @property
    def drift(self) -> int:
        """How many things are not as they should be."""
        return self.missing.count + self.extra.count + self.different.count

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def reconcile(deliverer: Deliverer, *, fix: bool = False) -> ReconcileReport:
    """Compare an output's far side with its receipts and published set.

    Args:
        deliverer: the output.
        fix: set right what is found: the next cycle sends again, copies that nobody wants are deleted.
    """
    report = ReconcileReport(deliverer.name)
    if deliverer.kind.missing():
        report.state, report.message = SKIPPED, f"set {', '.join(deliverer.kind.missing())}"
        return report
    with deliverer.lock, closing(deliverer.lake.connection()) as con:
        now = deliverer.clock()
        try:
            items = deliverer.far.listing(now)
            if items is None:
                report.state = UNVERIFIABLE
                report.message = "the far side cannot be read with these settings, so nobody knows what it holds"
            else:
                _Comparison(deliverer, con, report, now, fix=fix and deliverer.kind.settings.mode == "live").run(items)
        except (FarSideError, ConfigError) as error:
            report.state, report.message = FAILED, str(error)
        _remember(deliverer, report, now)
    return report


class _Comparison:
    def __init__(
        self,
        deliverer: Deliverer,
        con: duckdb.DuckDBPyConnection,
        report: ReconcileReport,
        now: datetime,
        *,
        fix: bool,
    ) -> None:
        self.deliverer = deliverer
        self.control: Control = deliverer.control
        self.name = deliverer.name
        self.con = con
        self.report = report
        self.now = now
        self.fix = fix
        self.seen: set[str] = set()
        self.spent: set[str] = set()
        self.mended: list[Receipt] = []
        self.surplus: list[FarItem] = []

    def run(self, items: Iterable[FarItem]) -> None:
        self.deliverer.plan_in_full(self.con)
        stream, listing = iter(items), FarListing(self.deliverer, self.con)
        while part := list(islice(stream, _CHUNK)):
            listing.add(part)
            self._foreign([item for item in part if item.key is None])
            self.spent |= {item.far_id for item in part if item.spent}
            self._ours([item for item in part if item.key is not None and not item.ended])
        listing.save()
        self._missing()
        self.report.state = DRIFT if self.report.drift else CLEAN
        if self.fix:
            self._mend()

    def _foreign(self, items: list[FarItem]) -> None:
        self._taken_over({item.bears: item for item in items if item.bears})
        for item in items:
            self.report.foreign.add(item.value, item.far_id, f"made by {item.by or 'somebody'}")
            self.report.foreign_by[item.by] += 1
        allowed = {(item.type, item.value): item for item in items if item.allowed}
        for type_, value in _published(self.con, list(allowed)):
            item = allowed[type_, value]
            self.report.foreign_allowed.add(
                value, item.far_id, f"allowed by {item.by or 'somebody'}, so no alert comes"
            )

    def _taken_over(self, items: dict[str, FarItem]) -> None:
        """What somebody else made, and our sending changed: it is there, and it is not ours to delete."""
        for key, receipt in by_keys(self.control, self.name, items).items():
            if receipt.holds != NO and receipt.far_id == items[key].far_id:
                self.seen.add(key)
                if not receipt.detail.get("foreign"):
                    marked = replace(receipt, detail={**receipt.detail, "foreign": True})
                    with self.control.transaction() as con:
                        put(con, self.name, [marked])

    def _ours(self, items: list[FarItem]) -> None:
        keys = [str(item.key) for item in items]
        receipts = by_keys(self.control, self.name, keys)
        wanted = rows_of(self.con, keys)
        for item in items:
            self.report.checked += 1
            self._one(item, receipts.get(str(item.key)), wanted.get(str(item.key)))

    def _one(self, item: FarItem, receipt: Receipt | None, row: Row | None) -> None:
        key = str(item.key)
        second = key in self.seen or (receipt is not None and receipt.far_id not in {None, item.far_id})
        if second or (row is None and (receipt is None or receipt.holds == NO)):
            why = "a second copy" if row is not None else "nobody wants it"
            self.report.extra.add(item.value, item.far_id, why)
            self.surplus.append(item)
            return
        self.seen.add(key)
        if row is None:
            return  # a withdrawal that is still to be made
        if receipt is None or receipt.holds == NO:
            self.report.different.add(item.value, item.far_id, "no receipt")
            self.mended.append(_found(item, row, receipt))
            return
        if receipt.state != ACCEPTED:
            return  # being sent or parked: the next cycle knows better
        self._compare(item, receipt, row)

    def _compare(self, item: FarItem, receipt: Receipt, row: Row) -> None:
        parcel = self.deliverer.far.pack(row, receipt, self.now)
        if not isinstance(parcel, Parcel):
            return
        fields = self.deliverer.far.differences(item, receipt, parcel)
        if not fields:
            return
        self.report.different.add(item.value, item.far_id, f"other {', '.join(fields)}")
        if "identity" in fields:
            self.surplus.append(item)
            self.mended.append(replace(receipt, holds=NO, far_id=None, sent=""))
        else:
            self.mended.append(replace(receipt, sent=""))

    def _missing(self) -> None:
        settled = self.now - self.deliverer.far.settle
        for part in scan(self.control, self.name):
            for receipt in part:
                lapsed = receipt.expires is not None and receipt.expires <= self.now
                fresh = receipt.accepted_at is not None and receipt.accepted_at > settled
                if receipt.state == ACCEPTED and receipt.key not in self.seen and not lapsed and not fresh:
                    self.report.missing.add(receipt.value, receipt.far_id, "accepted, and not there")
                    # An identifier that was revoked there counts no more: the next one is used.
                    generation = receipt.generation + (receipt.far_id in self.spent)
                    self.mended.append(replace(receipt, holds=NO, generation=generation, sent=""))

    def _mend(self) -> None:
        """Receipts first: a process that dies before the deletions finds the copies again next time."""
        with self.control.transaction() as con:
            put(con, self.name, {receipt.key: receipt for receipt in self.mended}.values())
            if self.mended or self.surplus:
                note(con, self.name, resync=1)
        outcomes = self.deliverer.far.erase(self.surplus) if self.surplus else []
        deleted = sum(outcome.ok for outcome in outcomes)
        self.report.fixed = {"to send again": len(self.mended), "deleted": deleted}
        failed = next((outcome for outcome in outcomes if not outcome.ok), None)
        if failed is not None:
            self.report.message = f"{len(outcomes) - deleted} could not be deleted: {_words(failed)}"


def _published(con: duckdb.DuckDBPyConnection, pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those of (type, value) that are wanted at the far side."""
    if not pairs:
        return []
    frame = pl.DataFrame(pairs, schema={"type": pl.String, "value": pl.String}, orient="row")
    con.register("asked", frame.to_arrow())
    try:
        return con.execute(
            "SELECT type, value FROM shown_rows JOIN chosen USING (key) SEMI JOIN asked USING (type, value)"
            " WHERE waiting IS NULL"
        ).fetchall()
    finally:
        con.unregister("asked")


def _found(item: FarItem, row: Row, receipt: Receipt | None) -> Receipt:
    """A receipt for a copy of ours that none speaks of; it is sent again, over what is there."""
    old = receipt or Receipt(row.key, row.type, row.value, ACCEPTED)
    return replace(old, state=ACCEPTED, holds=YES, identity=item.identity, far_id=item.far_id, sent="")


def _remember(deliverer: Deliverer, report: ReconcileReport, now: datetime) -> None:
    known = report.state in {CLEAN, DRIFT}
    summary = {
        "state": report.state, "message": report.message,
        "missing": report.missing.count, "extra": report.extra.count,
        "different": report.different.count, "foreign_allowed": report.foreign_allowed.count,
    }  # fmt: skip
    detail: dict[str, Any] = {"reconcile": summary}
    values: dict[str, Any] = {}
    with deliverer.control.transaction() as con:
        if known:
            values["last_reconcile"] = now
            detail["foreign"] = report.foreign.count
        note(con, deliverer.name, **values, detail=detail)


def _words(outcome: Outcome) -> str:
    return outcome.reason or "no reason given"
