"""Takes over what an earlier tool left at a far side: shown first, done only when a person says so."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import duckdb
import polars as pl

from tipline.engine import far_listing
from tipline.engine.deliver import Deliverer
from tipline.engine.delivery_plan import rows_of
from tipline.errors import TiplineError
from tipline.outputs.delivery import FarItem
from tipline.store.receipts import ACCEPTED, NO, YES, Receipt, by_keys, note, put

KEEP, REPLACE, RETIRE, LEAVE = "keep", "replace", "retire", "leave"


@dataclass(frozen=True)
class Found:
    """One item an earlier tool left: what is to become of it, and why."""

    far_id: str
    type: str
    value: str
    by: str
    what: str
    why: str


@dataclass
class AdoptPlan:
    """What adopting would do, or did.

    Attributes:
        items: every item found, with `what`: keep (becomes ours in place), replace (deleted, and sent anew),
            retire (no source lists it: deleted if retiring was asked for), leave (never touched).
        applied: whether it was done.
        deleted: items that were deleted.
        failed: what could not be deleted, by value.
    """

    output: str
    items: list[Found] = field(default_factory=list)
    applied: bool = False
    deleted: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    message: str = ""

    def of(self, what: str) -> list[Found]:
        """The items with one fate."""
        return [item for item in self.items if item.what == what]

    def as_dict(self) -> dict[str, Any]:
        """For JSON, with counts."""
        return asdict(self) | {"counts": {what: len(self.of(what)) for what in (KEEP, REPLACE, RETIRE, LEAVE)}}


def adopt(deliverer: Deliverer, *, source: str | None = None, apply: bool = False, retire: bool = False) -> AdoptPlan:
    """Match what an earlier tool left with what is wanted, by value.

    Args:
        deliverer: the output.
        source: which tool's: for Defender the creator's id or name, or how its titles begin (None: everything
            that is not ours); for Sentinel its source system, which must be named.
        apply: do it; otherwise it is only shown.
        retire: with `apply`, delete what no source lists as well; the tool must be named.

    Raises:
        TiplineError: the far side cannot be read, or the output is in shadow mode.
        FarSideError: the far side refused or did not answer.
    """
    missing = deliverer.kind.missing()
    if missing:
        raise TiplineError(f"{deliverer.name} needs credentials", where=deliverer.name, fix=f"set {', '.join(missing)}")
    if retire and source is None:
        raise TiplineError("retiring deletes what others made, so it wants a name", fix="name the earlier tool")
    if apply and deliverer.kind.settings.mode == "shadow":
        raise TiplineError(f"{deliverer.name} is in shadow mode, which writes nothing", fix="set mode: live")
    with deliverer.lock, closing(deliverer.lake.connection()) as con:
        found = deliverer.far.earlier(source, deliverer.clock())
        if found is None:
            raise TiplineError(
                f"what is at the far side of {deliverer.name} cannot be read",
                fix="name the earlier tool's source system, and set what reading back needs",
            )
        items = list(found)
        deliverer.plan_in_full(con)
        wanted = _wanted(con, items)
        plan = AdoptPlan(deliverer.name, [_fate(deliverer, item, wanted) for item in items])
        if apply:
            _apply(deliverer, con, plan, {item.far_id: item for item in items}, wanted, retire=retire)
        return plan


# (type, value) -> key, and what is to tell the indicator apart at the far side.
_Wanted = dict[tuple[str, str], tuple[str, str]]


def _wanted(con: duckdb.DuckDBPyConnection, items: list[FarItem]) -> _Wanted:
    """The wanted indicators that have the value of an item."""
    pairs = [(item.type, item.value) for item in items]
    con.register("asked", pl.DataFrame(pairs, schema={"type": pl.String, "value": pl.String}, orient="row").to_arrow())
    rows = con.execute(
        "SELECT type, value, replace(key::VARCHAR, '-', ''), identity FROM shown_rows JOIN chosen USING (key)"
        " SEMI JOIN asked USING (type, value) WHERE waiting IS NULL OR waiting = 'no-slot'"
    ).fetchall()
    con.unregister("asked")
    return {(type_, value): (key, identity) for type_, value, key, identity in rows}


def _fate(deliverer: Deliverer, item: FarItem, wanted: _Wanted) -> Found:
    what, why = _decide(deliverer, item, wanted)
    return Found(item.far_id, item.type, item.value, item.by, what, why)


def _decide(deliverer: Deliverer, item: FarItem, wanted: _Wanted) -> tuple[str, str]:
    if item.allowed:
        return LEAVE, "it lets its value through, which is somebody's decision"
    if (item.type, item.value) not in wanted:
        return RETIRE, "no source of this output lists it" if item.type else "what it matches is no plain value"
    key, identity = wanted[item.type, item.value]
    if not item.own_app:
        return REPLACE, "another app made it, so it cannot carry our identifier"
    if item.identity != identity:
        return REPLACE, f"it is {item.identity or 'of another sort'}, and is to be {identity}"
    taken = by_keys(deliverer.control, deliverer.name, [key]).get(key)
    if taken is not None and taken.holds != NO and taken.far_id != item.far_id:
        return REPLACE, "ours is there already"
    return KEEP, "the same value and action, made by this app"


def _apply(
    deliverer: Deliverer,
    con: duckdb.DuckDBPyConnection,
    plan: AdoptPlan,
    items: dict[str, FarItem],
    wanted: _Wanted,
    *,
    retire: bool,
) -> None:
    """Receipts for what is kept, then deletions; the next cycle sends what was replaced, and the rest."""
    kept = {wanted[found.type, found.value][0]: items[found.far_id] for found in plan.of(KEEP)}
    rows = rows_of(con, list(kept))
    receipts = {
        key: Receipt(
            key,
            item.type,
            item.value,
            ACCEPTED,
            holds=YES,
            identity=item.identity,
            far_id=item.far_id,
        )
        for key, item in kept.items()
        if key in rows
    }
    with deliverer.control.transaction() as control:
        note(control, deliverer.name, resync=1)
        put(control, deliverer.name, receipts.values())
    doomed = [items[found.far_id] for found in [*plan.of(REPLACE), *(plan.of(RETIRE) if retire else [])]]
    if doomed:
        outcomes = deliverer.far.erase(doomed)
        plan.deleted = sum(outcome.ok for outcome in outcomes)
        deleted = {item.far_id for item, outcome in zip(doomed, outcomes, strict=True) if outcome.ok}
        _forget(
            deliverer,
            [wanted[item.type, item.value][0] for item in doomed if (item.type, item.value) in wanted],
            deleted,
        )
        plan.failed = {
            item.value: outcome.reason for item, outcome in zip(doomed, outcomes, strict=True) if not outcome.ok
        }
    plan.applied = True
    plan.message = "the next delivery sends what was replaced"


def _forget(deliverer: Deliverer, keys: list[str], deleted: set[str]) -> None:
    """What we had sent over somebody else's items went with them: the next cycle sends it again."""
    gone = [
        replace(receipt, holds=NO, far_id=None, sent="", detail={})
        for receipt in by_keys(deliverer.control, deliverer.name, keys).values()
        if receipt.far_id in deleted
    ]
    with deliverer.control.transaction() as con:
        put(con, deliverer.name, gone)
    far_listing.forget(deliverer, deleted)
