"""Reads the audit log, newest first."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from tipline.store.control import AUDIT, Control


def audit_entries(
    control: Control,
    limit: int,
    *,
    before: int | None = None,
    actor: str | None = None,
    action: str | None = None,
    team: str | None = None,
) -> list[dict[str, Any]]:
    """Entries of the audit log.

    Args:
        control: where they are.
        limit: how many at most.
        before: only those older than this number.
        actor: only what this user did.
        action: only what was done in this word.
        team: only what was done for this team.
    """
    query = select(AUDIT).order_by(AUDIT.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(AUDIT.c.id < before)
    for column, wanted in ((AUDIT.c.actor, actor), (AUDIT.c.action, action), (AUDIT.c.team, team)):
        if wanted is not None:
            query = query.where(column == wanted)
    with control.reading() as con:
        return [dict(row) for row in con.execute(query).mappings()]
