"""What was written down: the audit log, and the server's own log."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query

from tipline.api.v1.asking import Cursor, Managing, Read, cursor, position
from tipline.engine.log_operations import Level

router = APIRouter(tags=["logs"])
Most = Annotated[int, Query(ge=1, le=1000)]
Text = Annotated[str, Query(max_length=200)]
Since = Annotated[datetime | None, Query(description="From this moment on (ISO 8601, UTC).")]
Until = Annotated[datetime | None, Query(description="Before this moment.")]


@router.get("/audit")
def audit(
    asked: Managing,
    limit: Most = 100,
    actor: Annotated[str | None, Query(max_length=200)] = None,
    action: Annotated[str | None, Query(max_length=60)] = None,
    text: Text = "",
    address: Annotated[str, Query(max_length=60, description="Where it was asked from.")] = "",
    since: Since = None,
    until: Until = None,
    cursor_: Cursor = None,
) -> dict[str, Any]:
    """Who did what, newest first: actor, address, what was before and is after."""
    (before,) = position(cursor_, int) or [None]
    wanted = {"actor": actor, "action": action, "text": text, "address": address, "since": since, "until": until}
    entries = asked.call("audit", limit=limit, before=before, **wanted)["entries"]
    return {"entries": entries, "next": cursor([entries[-1]["id"]]) if len(entries) == limit else None}


@router.get("/news")
def news(asked: Read, since: Since = None) -> dict[str, Any]:
    """What changed since a moment, or since the asker looked at the overview before this visit."""
    return asked.call("news", since=since)


@router.get("/logs")
def logs(
    asked: Read,
    level: Annotated[Level, Query(description="The least level.")] = "",
    node: Text = "",
    text: Annotated[str, Query(max_length=200, description="Words that all stand in the event.")] = "",
    since: Since = None,
    until: Until = None,
    limit: Most = 100,
    cursor_: Cursor = None,
) -> dict[str, Any]:
    """The server's log, newest first; without every team, what concerns the asker's own nodes."""
    (before,) = position(cursor_, int) or [None]
    wanted = {"level": level, "node": node, "text": text, "since": since, "until": until}
    found = asked.call("logs", limit=limit, before=before, **wanted)
    return {"events": found["events"], "next": cursor([found["next"]] if found["next"] else None)}
