"""Operations on what was written down: the audit log, and the server's own log."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import Field

from tipline.engine import logbook
from tipline.engine.operation import Base, operation
from tipline.engine.people import RequestError
from tipline.store.audit import AuditFilter, audit_actions, audit_entries

_MOST = 1000
Level = Literal["", "debug", "info", "warning", "error", "critical"]


class LogOperations(Base):
    """What people look up in logs."""

    @operation
    def audit(
        self,
        limit: int = Field(default=100, ge=1, le=_MOST),
        before: int | None = None,
        actor: str | None = None,
        action: str | None = None,
        text: str = "",
        address: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> dict[str, Any]:
        """Who did what, newest first; without every team, what was done for the asker's own.

        Args:
            limit: how many at most.
            before: entries older than the one with this number.
            actor: who did it.
            action: what was done.
            text: a part of what it was done on, or of its detail.
            address: where it was asked from.
            since: from this moment on (UTC).
            until: before this moment.
        """
        team = None if self.asker.everywhere else self.asker.team
        wanted = AuditFilter(
            before=before, actor=actor, action=action, team=team, text=text, address=address,
            since=naive(since), until=naive(until),
        )  # fmt: skip
        return {"entries": audit_entries(self.engine.control, limit, wanted)}

    @operation
    def audit_actions(self) -> dict[str, Any]:
        """The actions that the asker's part of the audit log has, with their numbers."""
        team = None if self.asker.everywhere else self.asker.team
        return {"actions": audit_actions(self.engine.control, team)}

    @operation
    def logs(
        self,
        level: Level = "",
        node: str = "",
        text: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
        before: int | None = None,
        limit: int = Field(default=100, ge=1, le=_MOST),
    ) -> dict[str, Any]:
        """The server's log, newest first; without every team, what concerns the asker's own nodes.

        Args:
            level: the least level: debug, info, warning, error or critical.
            node: the node that an event is about.
            text: words that all stand in the event.
            since: from this moment on (UTC).
            until: before this moment.
            before: events older than the one with this number.
            limit: how many at most.

        Returns:
            events (id, timestamp, level, event, and what each has besides), and next: what to go on before.
        """
        theirs = None if self.asker.everywhere else self._owned()
        wanted = logbook.Wanted(level, node, text, naive(since), naive(until), before, theirs)
        found = logbook.search(self.engine.file(logbook.FOLDER), wanted, limit + 1)
        return {"events": found[:limit], "next": found[limit - 1]["id"] if len(found) > limit else None}


def naive(moment: datetime | None) -> datetime | None:
    """A moment as the store keeps it.

    Raises:
        RequestError: it is out of range.
    """
    if moment is None or moment.tzinfo is None:
        return moment
    try:
        return moment.astimezone(UTC).replace(tzinfo=None)
    except OverflowError:
        raise RequestError("the moment is out of range", fix="write one such as 2026-03-31T18:00Z") from None
