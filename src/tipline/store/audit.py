"""Reads the audit log, newest first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, String, cast, func, or_, select

from tipline.store.control import AUDIT, Control

_C = AUDIT.c


@dataclass(frozen=True)
class AuditFilter:
    """Which entries; what is not given does not matter.

    Attributes:
        before: only those older than this number.
        actor, action, team, address: only what was done by, as, for and from these.
        text: a part of the subject or of the detail.
        since, until: naive UTC.
    """

    before: int | None = None
    actor: str | None = None
    action: str | None = None
    team: str | None = None
    address: str = ""
    text: str = ""
    since: datetime | None = None
    until: datetime | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """As SQL."""
        exact = ((_C.actor, self.actor), (_C.action, self.action), (_C.address, self.address or None))
        found: list[ColumnElement[bool]] = [column == wanted for column, wanted in exact if wanted is not None]
        if self.team is not None:
            found.append(_C.team == self.team)
        if self.before is not None:
            found.append(_C.id < self.before)
        if self.text:
            columns = (_C.subject, cast(_C.detail, String))
            found.append(or_(*(column.icontains(self.text, autoescape=True) for column in columns)))
        if self.since is not None:
            found.append(_C.at >= self.since)
        if self.until is not None:
            found.append(_C.at < self.until)
        return found


def audit_entries(control: Control, limit: int, wanted: AuditFilter) -> list[dict[str, Any]]:
    """Entries of the audit log that fulfil a filter, the newest first."""
    query = select(AUDIT).where(*wanted.conditions()).order_by(_C.id.desc()).limit(limit)
    with control.reading() as con:
        return [dict(row) for row in con.execute(query).mappings()]


def audit_actions(control: Control, team: str | None) -> dict[str, int]:
    """How often each action stands in the audit log (of a team, or of all)."""
    query = select(_C.action, func.count()).where(*AuditFilter(team=team).conditions()).group_by(_C.action)
    with control.reading() as con:
        return {row[0]: row[1] for row in con.execute(query.order_by(_C.action))}
