"""The audit log: who did what, from where, and what it was before and after."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response

from tipline.web.page import Viewer
from tipline.web.site import Nav

router = APIRouter()
NAV = Nav("Activity", "/activity", key="a", order=80, icon="activity")
_PAGE = 50


@router.get("/activity")
def activity(page: Viewer, actor: str = "", action: str = "", before: int | None = None) -> Response:
    """The newest entries, or those before one."""
    asked = {"limit": _PAGE + 1, "before": before, "actor": actor or None, "action": action or None}
    entries = page.operations.call("audit", asked)["entries"]
    view = {
        "entries": entries[:_PAGE],
        "actor": actor,
        "action": action,
        "next": entries[_PAGE - 1]["id"] if len(entries) > _PAGE else None,
    }
    return page.show("activity/index.html", view, title="Activity")
