"""Activity: who did what and from where, and what the server has written to its log."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response

from tipline.engine.logbook import LEVELS
from tipline.engine.people import RequestError
from tipline.web.page import Viewer
from tipline.web.site import Nav

router = APIRouter()
NAV = Nav("Activity", "/activity", key="a", order=80, icon="activity")
_PAGE = 50


@router.get("/activity")
def activity(
    page: Viewer, actor: str = "", action: str = "", text: str = "", address: str = "", since: str = "",
    until: str = "", before: int | None = None,
) -> Response:  # fmt: skip
    """The newest entries of the audit log, or those before one."""
    asked = {"actor": actor, "action": action, "text": text, "address": address, "since": since, "until": until}
    wanted = {name: value for name, value in asked.items() if value}
    entries = page.operations.call("audit", {"limit": _PAGE + 1, "before": before, **wanted})["entries"]
    view = {
        "entries": entries[:_PAGE],
        **asked,
        "before": before,
        "actions": page.operations.call("audit_actions", {})["actions"],
        "next": entries[_PAGE - 1]["id"] if len(entries) > _PAGE else None,
        "here": "audit",
    }
    return page.show("activity/index.html", view, title="Activity")


@router.get("/activity/logs")
def logs(
    page: Viewer, level: str = "", node: str = "", text: str = "", since: str = "", until: str = "",
    before: int | None = None,
) -> Response:  # fmt: skip
    """The newest events of the server's log, or those before one."""
    if level and level not in LEVELS:
        raise RequestError("there is no such level", fix=f"there are: {', '.join(LEVELS)}")
    asked = {"level": level, "node": node, "text": text, "since": since, "until": until}
    wanted = {name: value for name, value in asked.items() if value}
    found = page.operations.call("logs", {"limit": _PAGE, "before": before, **wanted})
    known = ("id", "timestamp", "level", "event", "exception")
    events = [
        {**{word: each.get(word, "") for word in known}, "rest": {k: v for k, v in each.items() if k not in known}}
        for each in found["events"]
    ]
    view = {"events": events, **asked, "before": before, "next": found["next"], "levels": LEVELS[1:], "here": "logs"}
    return page.show("activity/logs.html", view, title="Logs")
