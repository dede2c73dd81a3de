"""The overview: what needs somebody first, then how much is held, came and went, and how deliveries do."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter
from fastapi.responses import RedirectResponse, Response

from tipline.engine.trends import trend
from tipline.web import charts
from tipline.web.page import Page, Reader
from tipline.web.site import PREFIX, Nav
from tipline.web.spans import SPANS, span

router = APIRouter()
NAV = Nav("Overview", "/overview", key="o", order=10, icon="overview")
_TROUBLE = {"failing", "failed", "held", "stale", "drift", "needs credentials"}

_TOLD = {"failing", "held", "refused", "drift"}  # alerts that repeat a node's state


@router.get("/overview")
def overview(page: Reader, period: str = "") -> Response:
    """Trouble, figures, charts, deliveries and what people did last; feed readers see their lists instead."""
    if not page.person.may("viewer"):
        return RedirectResponse(f"{PREFIX}/lists", HTTPStatus.SEE_OTHER)
    word, length = span(period)
    status = page.operations.call("status", {})
    nodes: list[dict[str, Any]] = status["nodes"]
    sources = [each for each in nodes if each["sort"] == "source" and each["kind"] != "never-block"]
    found = trend(page.engine, page.operations.asker, [each["name"] for each in sources], length)
    held = sum(each["indicators"] or 0 for each in sources)
    trouble = _trouble(nodes, status["holds"])
    delivered = {each["output"]: each for each in page.operations.call("deliveries", {})["deliveries"]}
    view = {
        "period": word,
        "periods": list(SPANS),
        "running": status["running"],
        "trouble": trouble,
        "alerts": _alerts(status["alerts"], {each["name"] for each in trouble}, page),
        "figures": {
            "held": held,
            "added": sum(found.added),
            "removed": sum(found.removed),
            "expired": sum(found.expired),
            "published": sum(each["indicators"] or 0 for each in nodes if each["sort"] == "output"),
        },
        "flow": charts.flow(found),
        "held": charts.held(found, held),
        "outputs": [
            {**each, "delivery": delivered.get(each["name"]), "room": _room(page, delivered.get(each["name"]))}
            for each in nodes
            if each["sort"] == "output"
        ],
        "entries": _last_entries(page),
        "start": page.operations.call("start", {}) if page.person.may("admin") else None,
        # A page that fetches itself again is nobody looking.
        "news": page.operations.call("news", {"look": "hx-request" not in page.request.headers}),
    }
    return page.show("overview/index.html", view, title="Overview")


def _room(page: Page, delivery: dict[str, Any] | None) -> dict[str, int] | None:
    """How much of its far side's room is taken, ours and others', of what the output may use; None without a limit."""
    settings = page.engine.configuration.outputs[delivery["output"]].settings if delivery else None
    capacity = getattr(settings, "capacity", None)
    if delivery is None or capacity is None:
        return None
    foreign = int(delivery["detail"].get("foreign") or 0)
    return {"taken": int(delivery["items"].get("held", 0)) + foreign, "capacity": int(capacity)}


def _trouble(nodes: list[dict[str, Any]], holds: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Nodes in trouble, and those whose newest poll read something and took nothing of it."""
    counts = {each["node"]: each["count"] for each in holds}
    found = []
    for node in nodes:
        silent = node["sort"] == "source" and node["read"] > 0 and not node["accepted"] and not node["duplicate"]
        if node["state"] in _TROUBLE or silent:
            message = node["message"] or ("its last poll gave no indicator" if silent else "")
            state = "silent" if silent and node["state"] not in _TROUBLE else node["state"]
            found.append({**node, "state": state, "message": message, "held": counts.get(node["name"], 0)})
    return found


def _alerts(alerts: list[dict[str, Any]], trouble: set[str], page: Page) -> list[dict[str, Any]]:
    """The alerts that say more than the state of a node which is told already; `node`: what each is about."""
    found = []
    for alert in alerts:
        node, _, word = alert["name"].partition(" ")[2].partition(" ")
        if node not in trouble or word not in _TOLD:
            found.append({**alert, "node": node if page.sees(node) else None})
    return found


def _last_entries(page: Page) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = page.operations.call("audit", {"limit": 8})["entries"]
    return entries
