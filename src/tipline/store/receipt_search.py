"""Receipts as people look for them: a page at a time by filters, counts, and another try for what was refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, or_, select, update

from tipline.store.control import RECEIPTS, Control
from tipline.store.receipts import NO, PARKED, WITHDRAWING

# What an end is counted under: the label, and how soon it is at most.
ENDS = (("within a day", 1), ("within 7 days", 7), ("within 30 days", 30))
LATER, UNKNOWN = "later", "no end"
_C = RECEIPTS.c
_confidence = _C.detail["confidence"].as_integer()
_band = case((_confidence.is_(None), -1), else_=_confidence - _confidence % 25)


@dataclass(frozen=True)
class Wanted:
    """Which receipts of an output; what is empty does not matter.

    Attributes:
        state: of the receipt.
        types: of the indicator.
        text: a part of the value.
        reason: the far side's words, in full.
        key: of the one indicator that is wanted.
        band: the least of the band of 25 that its confidence lies in; -1: unknown.
        before: when it ends at the latest.
    """

    state: str = ""
    types: tuple[str, ...] = ()
    text: str = ""
    reason: str = ""
    key: str = ""
    band: int | None = None
    before: datetime | None = None

    def conditions(self, output: str) -> list[ColumnElement[bool]]:
        """As SQL."""
        found: list[ColumnElement[bool]] = [_C.output == output]
        if self.state:
            found.append(_C.state == self.state)
        if self.types:
            found.append(_C.type.in_(self.types))
        if self.text:
            found.append(_C.value.icontains(self.text, autoescape=True))
        if self.reason:
            found.append(_C.reason == self.reason)
        if self.key:
            found.append(_C.key == self.key)
        if self.band is not None:
            found.append(_band == self.band)
        if self.before is not None:
            found.append(_C.expires <= self.before)
        return found


def receipts_of(control: Control, output: str, limit: int, *, after: str, wanted: Wanted) -> list[dict[str, Any]]:
    """Receipts of an output in the order of their keys, from behind one key on."""
    where = [*wanted.conditions(output), _C.key > after]
    query = select(RECEIPTS).where(*where).order_by(_C.key).limit(limit)
    with control.reading() as con:
        rows = [dict(row) for row in con.execute(query).mappings()]
    return [{word: value for word, value in row.items() if word != "sent"} for row in rows]


def received(
    control: Control, output: str, limit: int, *, after: tuple[datetime, str] | None, wanted: Wanted
) -> list[dict[str, Any]]:
    """Copies that a far side has of an output, the last received first, from behind one (moment, key) on."""
    at = _C.accepted_at
    where = [*wanted.conditions(output), _C.holds != NO, at.is_not(None)]
    if after is not None:
        where.append(or_(at < after[0], and_(at == after[0], _C.key > after[1])))
    columns = (_C.key, _C.type, _C.value, _C.state, _C.far_id, _C.reason, _C.accepted_at, _C.expires, _C.detail)
    query = select(*columns).where(*where).order_by(at.desc(), _C.key).limit(limit)
    with control.reading() as con:
        return [dict(row) for row in con.execute(query).mappings()]


def there(control: Control, output: str) -> Sequence[dict[str, Any]]:
    """Every copy that a far side has of an output; for far sides that hold few."""
    columns = (
        _C.key,
        _C.type,
        _C.value,
        _C.state,
        _C.holds,
        _C.identity,
        _C.far_id,
        _C.reason,
        _C.last_sent,
        _C.expires,
    )
    query = select(*columns, _C.detail).where(_C.output == output, _C.holds != NO)
    with control.reading() as con:
        return [dict(row) for row in con.execute(query).mappings()]


def counts(control: Control, output: str, now: datetime) -> tuple[dict[str, dict[str, int]], datetime | None]:
    """What a far side has of an output, by type, by confidence (where the receipt knows it) and by end.

    Returns:
        types, ends and confidence (the least of each band of 25; -1: unknown), each with numbers; and when the
        newest was accepted.
    """
    end = case(
        (_C.expires.is_(None), UNKNOWN),
        *[(_C.expires <= now + timedelta(days=days), label) for label, days in ENDS],
        else_=LATER,
    )
    columns = {"types": _C.type, "ends": end, "confidence": _band}
    newest = func.max(_C.accepted_at).label("newest")
    query = select(*[column.label(name) for name, column in columns.items()], func.count().label("n"), newest)
    query = query.where(_C.output == output, _C.holds != NO).group_by(*columns)
    found: dict[str, dict[str, int]] = {name: {} for name in columns}
    with control.reading() as con:
        rows = con.execute(query).mappings().all()
    for row in rows:
        for name in columns:
            label = str(row[name])
            found[name][label] = found[name].get(label, 0) + row["n"]
    return found, max((row["newest"] for row in rows if row["newest"]), default=None)


def retry(control: Control, output: str, reason: str | None, now: datetime) -> int:
    """Have the next cycle try again what was refused or could not be taken back (for one reason); returns how many.

    What was sent is forgotten with it: what the far side refused for good counts as never tried.
    """
    where = [_C.output == output]
    if reason is not None:
        where.append(_C.reason == reason)
    with control.transaction() as con:
        parked = con.execute(update(RECEIPTS).where(*where, _C.state == PARKED).values(due=now, sent=""))
        stuck = (_C.state == WITHDRAWING) & _C.due.is_not(None)
        back = con.execute(update(RECEIPTS).where(*where, stuck).values(due=now))
    return int(parked.rowcount + back.rowcount)
