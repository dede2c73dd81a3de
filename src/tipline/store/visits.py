"""When people looked last: what they are told as new is what happened since."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Column, DateTime, String, Table, delete, insert, select

from tipline.store.control import METADATA, Control

_PAUSE = timedelta(minutes=30)  # whoever comes back later begins another visit
_ROUGHLY = timedelta(minutes=1)  # a look is not written down more often than this
VISITS = Table(
    "visits",
    METADATA,
    Column("user", String(100), primary_key=True),
    Column("last", DateTime, nullable=False),  # when they last looked
    Column("before", DateTime),  # when they last looked in the visit before this one
)
_C = VISITS.c


def look(control: Control, user: str, now: datetime) -> datetime | None:
    """Note that somebody looks; returns when they looked last before this visit, None if they never did."""
    with control.transaction() as con:
        row = con.execute(select(VISITS).where(_C.user == user)).first()
        if row is not None and timedelta() <= now - row.last < _ROUGHLY:
            return _before(row)
        before: datetime | None = None if row is None else row.last if now - row.last >= _PAUSE else row.before
        con.execute(delete(VISITS).where(_C.user == user))
        con.execute(insert(VISITS).values(user=user, last=now, before=before))
        return before


def since(control: Control, user: str) -> datetime | None:
    """When somebody looked last before the visit that they are in."""
    with control.reading() as con:
        row = con.execute(select(_C.before).where(_C.user == user)).first()
    return _before(row) if row else None


def _before(row: Any) -> datetime | None:
    found: datetime | None = row.before
    return found
