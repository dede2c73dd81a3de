"""Deliveries: how each far side does, its receipts, who has a slot and who waits, and what differs there."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from tipline.engine.defender_items import GROUPS
from tipline.engine.people import RequestError
from tipline.engine.slots import PLACED
from tipline.engine.trends import DeliveryTrend
from tipline.store.receipts import ACCEPTED, PARKED, SENDING, WITHDRAWING, WITHDRAWN
from tipline.web import charts, places
from tipline.web.page import Analyst, Editor, Form, Page, Viewer
from tipline.web.site import Nav
from tipline.web.spans import SPANS, span
from tipline.web.tables import Column, Table, matching

router = APIRouter()
NAV = Nav("Deliveries", "/deliveries", key="d", order=60, icon="send")

STATES = (ACCEPTED, PARKED, SENDING, WITHDRAWING, WITHDRAWN)
ENDS = {"1d": "within a day", "7d": "within 7 days", "30d": "within 30 days"}
TENANT_LIMIT = 15_000
_DEFENDER, _SENTINEL = "microsoft-defender", "microsoft-sentinel"
_SHOWN = 50
_MOST = 1000
_PLAN_SHOWN = 500
_COLUMNS = (
    Column("output", "Output"),
    Column("kind", "Kind"),
    Column("state", "State"),
    Column("held", "There", number=True),
    Column("lag", "Lag", number=True),
    Column("sent", "Sent", number=True),
    Column("accepted", "Accepted", number=True),
    Column("errors", "Errors", number=True),
    Column("deleted", "Deleted", number=True),
    Column("parked", "Parked", number=True),
    Column("last_success", "Last success"),
)


@router.get("/deliveries")
def deliveries(page: Viewer, text: str = "", sort: str = "output", period: str = "") -> Response:
    """Every far side: how far it has come, and what stands in its way."""
    told = page.operations.call("deliveries", {})
    rows = [_row(each) for each in told["deliveries"]]
    found = matching(rows, text, ("output", "kind", "state", "message"))
    table = Table(_COLUMNS, found, sort=sort, size=_MOST)
    sums = {
        name: sum(row[name] for row in rows) for name in ("held", "sent", "accepted", "errors", "deleted", "parked")
    }
    trouble = [row for row in rows if row["message"]]
    view = {
        "table": table, "sums": sums, "trouble": trouble, "text": text, "leaving": told["leaving"],
        **_over_time(page, None, period),
    }  # fmt: skip
    return page.show("deliveries/index.html", view, title="Deliveries")


@router.get("/deliveries/{name}")
def delivery(page: Viewer, name: str, period: str = "") -> Response:
    """One far side: state, over time, queue, errors by reason, what it has, and how the last comparison ended."""
    return _delivery(page, name, period=period)


@router.post("/deliveries/{name}/check")
def check(page: Analyst, name: str) -> Response:
    """Sign in at the far side, and say whether that works."""
    return _delivery(page, name, checked=page.operations.call("doctor", {"output": name}))


@router.post("/deliveries/{name}/reconcile")
def reconcile(page: Analyst, form: Form, name: str) -> Response:
    """Compare the far side with what it should hold; with `fix`, set right what differs."""
    done = page.operations.call("reconcile", {"output": name, "fix": form["fix"] == "yes"})
    return _delivery(page, name, report=done["outputs"][0])


@router.post("/deliveries/{name}/retry")
def retry(page: Analyst, form: Form, name: str) -> Response:
    """Try again what was refused (for one reason)."""
    reasons = form.all("reason")
    done = page.operations.call("retry", {"output": name, "reason": reasons[0] if reasons else None})
    return page.done(f"{done['retried']:,} are tried again.", f"/deliveries/{name}")


@router.get("/deliveries/{name}/receipts")
def receipts(
    page: Viewer,
    name: str,
    state: str = "",
    type: str = "",
    text: str = "",
    reason: str = "",
    after: str = "",
) -> Response:
    """What the far side answered for each indicator."""
    state_of = one(page, name)
    wanted = {"state": state, "types": [type] if type else None, "text": text, "reason": reason}
    place = places.read(after, 1)
    found = page.operations.call(
        "receipts", {"output": name, "limit": _SHOWN, "after": place[0] if place else None, **wanted}
    )
    view = {
        "delivery": state_of, "receipts": found["receipts"],
        "next": places.written([found["next"]] if found["next"] else None),
        "state": state, "type": type, "text": text, "reason": reason, "after": after, "states": STATES,
        "types": sorted(page.operations.call("far_side", {"output": name})["types"]), "here": "receipts",
    }  # fmt: skip
    return page.show("deliveries/receipts.html", view, title=f"Receipts of {name}")


@router.get("/deliveries/{name}/receipts/{key}")
def receipt(page: Viewer, name: str, key: str) -> Response:
    """One receipt, with all that the far side has answered."""
    state = one(page, name)
    found = page.operations.call("receipts", {"output": name, "key": key[:40], "limit": 1})["receipts"]
    if not found:
        raise RequestError("there is no such receipt", fix="it may have been withdrawn since: look for the value")
    row = found[0]
    content: dict[str, Any] = {}
    if state["kind"] == _DEFENDER and row["far_id"]:
        items = page.operations.call("defender_items", {"output": name, "wanted": {"id": row["far_id"]}, "limit": 1})
        content = items["items"][0]["content"] if items["items"] else {}
    view = {"delivery": state, "receipt": row, "content": content, "here": "receipts"}
    return page.show("deliveries/receipt.html", view, title="Receipt")


@router.get("/deliveries/{name}/queue")
def queue(page: Viewer, name: str, waiting: str = "", text: str = "", after: str = "") -> Response:
    """Which published indicators have a place at the far side, and which wait and why."""
    state = one(page, name)
    arguments = {"output": name, "waiting": waiting, "text": text, "limit": _SHOWN, "after": places.read(after, 2)}
    found = page.operations.call("slots", arguments)
    reasons = sorted({*state["detail"].get("waiting", {}), *([waiting] if waiting not in {"", PLACED} else [])})
    view = {
        "delivery": state, "indicators": found["indicators"], "next": places.written(found["next"]), "waiting": waiting,
        "text": text, "after": after, "reasons": [PLACED, *reasons], "here": "queue",
    }  # fmt: skip
    return page.show("deliveries/queue.html", view, title=f"Queue of {name}")


@router.get("/deliveries/{name}/defender")
def defender(
    page: Viewer, name: str, tab: str = "", whose: str = "", action: str = "", severity: str = "", by: str = "",
    expires: str = "", edited: str = "", text: str = "", after: str = "",
) -> Response:  # fmt: skip
    """A tenant's indicators as its portal lists them: ours and others'."""
    state = one(page, name)
    asked = {"whose": whose, "action": action, "severity": severity, "by": by, "expires": expires, "edited": edited}
    wanted = {word: value or None for word, value in asked.items() if value} | {"group": tab or None, "text": text}
    place = places.read(after, 2)
    found = page.operations.call("defender_items", {"output": name, "wanted": wanted, "limit": _SHOWN, "after": place})
    view = {
        "delivery": state, **found, "next": places.written(found["next"]), "tab": tab, "after": after, "text": text,
        **asked,
        "tabs": list(GROUPS), "ends": ENDS, "here": "defender", **_room(page, state),
    }  # fmt: skip
    return page.show("deliveries/defender.html", view, title=f"Defender: {name}")


@router.get("/deliveries/{name}/preview")
def preview(page: Viewer, name: str, limit: int = 3) -> Response:
    """The requests that would be made for the first published indicators; none is made."""
    state = one(page, name)
    shown = max(1, min(limit, 100))
    found = {} if state["missing"] else page.operations.call("try_delivery", {"output": name, "limit": shown})
    view = {"delivery": state, "found": found, "limit": shown, "here": "preview"}
    return page.show("deliveries/preview.html", view, title=f"Preview of {name}")


@router.get("/deliveries/{name}/adopt")
def adopting(page: Editor, name: str) -> Response:
    """Asks whose items are to be taken over."""
    return _adopting(page, name, "", None)


@router.post("/deliveries/{name}/adopt")
def adopt(page: Editor, form: Form, name: str) -> Response:
    """What taking over would do; with `apply`, do it."""
    arguments = {"output": name, "source": form["source"] or None, "apply": form["apply"] == "yes"}
    plan = page.operations.call("adopt", {**arguments, "retire": form["retire"] == "yes"})
    return _adopting(page, name, form["source"], plan)


def _adopting(page: Page, name: str, source: str, plan: dict[str, Any] | None) -> Response:
    state = one(page, name)
    creators: dict[str, int] = {}
    if state["kind"] == _DEFENDER:
        found = page.operations.call("defender_items", {"output": name, "wanted": {"whose": "foreign"}, "limit": 1000})
        for item in found["items"]:
            creators[item["by"]] = creators.get(item["by"], 0) + 1
    if plan is not None:
        plan = {**plan, "shown": min(len(plan["items"]), _PLAN_SHOWN), "items": plan["items"][:_PLAN_SHOWN]}
    view = {"delivery": state, "source": source, "plan": plan, "creators": creators, "here": "adopt"}
    return page.show("deliveries/adopt.html", view, title=f"Adopt into {name}")


def _over_time(page: Page, name: str | None, period: str) -> dict[str, Any]:
    """Charts of what deliveries did within a period."""
    word, length = span(period)
    found = DeliveryTrend(**page.operations.call("delivery_history", {"output": name, "span": length}))
    numbers = {each: sum(getattr(found, each)) for each in ("sent", "accepted", "errors", "deleted")}
    charted = {"delivered": charts.delivered(found), "refused": charts.refused(found)}
    return {"period": word, "periods": list(SPANS), "numbers": numbers, **charted}


def _delivery(page: Page, name: str, *, period: str = "", **more: Any) -> Response:
    state = one(page, name)
    settings = page.engine.configuration.outputs[name].settings
    view = {
        "delivery": state,
        "has": page.operations.call("far_side", {"output": name}),
        "mode": getattr(settings, "mode", "live"),
        **_room(page, state),
        "last_reconcile": state["detail"].get("reconcile"),
        "checked": None,
        "report": None,
        "here": "",
        **_over_time(page, name, period),
        **more,
    }
    return page.show("deliveries/delivery.html", view, title=name)


def _room(page: Page, state: dict[str, Any]) -> dict[str, Any]:
    """The tenant's slots; capacity is None where there are none."""
    settings = page.engine.configuration.outputs[state["output"]].settings
    foreign = int(state["detail"].get("foreign") or 0)
    return {"capacity": getattr(settings, "capacity", None), "foreign": foreign, "limit": TENANT_LIMIT}


def one(page: Page, name: str) -> dict[str, Any]:
    """A delivery by its output's name, with what every page of it shows."""
    found = [each for each in page.operations.call("deliveries", {})["deliveries"] if each["output"] == name]
    if not found:
        raise RequestError(f"there is no delivery {name[:100]}", fix="choose one from Deliveries")
    return _row(found[0])


def _row(each: dict[str, Any]) -> dict[str, Any]:
    items = each["items"]
    return {
        **each,
        "held": items.get("held", 0),
        "parked": items.get(PARKED, 0),
        "open": items.get(SENDING, 0) + items.get(WITHDRAWING, 0),
        "missing": each["state"] == "needs credentials",
        "connected": _connected(each),
        "sides": {"defender": each["kind"] == _DEFENDER, "sentinel": each["kind"] == _SENTINEL},
    }


def _connected(each: dict[str, Any]) -> str:
    """In a word: whether the far side answers."""
    if each["state"] in {"ok", "pending"}:
        return "connected"
    return "not yet tried" if each["state"] == "new" else str(each["state"])
