"""One of a Defender tenant's indicators, how people want it to be, and every indicator that they want otherwise."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from tipline.engine.people import RequestError
from tipline.microsoft.defender_body import ACTIONS, SEVERITIES, type_name
from tipline.web import places
from tipline.web.page import Analyst, Fields, Form, Page, Viewer, tried
from tipline.web.pages.deliveries import one

router = APIRouter()
ENDINGS = {"": "until somebody ends it", "1d": "for 1 day", "7d": "for 7 days", "30d": "for 30 days"}
_SHOWN = 50
_FIELDS = ("action", "severity", "title", "expires")


@router.get("/deliveries/{name}/defender/{far_id}")
def item(page: Viewer, name: str, far_id: str) -> Response:
    """One of a tenant's indicators, by Defender's id or our key."""
    return _item(page, name, far_id)


@router.post("/deliveries/{name}/defender/{far_id}")
def override(page: Analyst, form: Form, name: str, far_id: str) -> Response:
    """Set how the indicator is to be."""
    found = _found(page, name, far_id)
    if not found["key"]:
        raise RequestError(f"the item on {found['value']} is somebody else's", fix="adopt it first")
    changed = _changed(page, name, found, form["seen"])
    arguments = {
        "output": name, "value": found["value"], "type": found["type"],
        "changes": {word: form[word] or None for word in _FIELDS},
        "reason": form["reason"], "until": form["until"] or None, "confirmed": form["confirmed"] == "yes",
    }  # fmt: skip
    _, refused = (None, changed) if changed else tried(lambda: page.operations.call("override", arguments))
    if refused:
        return _item(page, name, far_id, sent=form, **refused)
    return page.done(f"{found['value']} is overridden.", f"/deliveries/{name}/defender/{found['key']}")


@router.post("/deliveries/{name}/defender/{far_id}/remove")
def remove(page: Analyst, name: str, far_id: str) -> Response:
    """Take the override back."""
    found = _found(page, name, far_id)
    page.operations.call("override_remove", {"output": name, "value": found["value"], "type": found["type"]})
    said = f"{found['value']} is as the output says again."
    return page.done(said, f"/deliveries/{name}/defender/{found['key']}")


@router.get("/deliveries/{name}/overrides")
def overrides(page: Viewer, name: str, text: str = "", after: str = "") -> Response:
    """Every indicator of an output that people want otherwise."""
    state = one(page, name)
    arguments = {"output": name, "text": text, "limit": _SHOWN, "after": places.read(after, 2)}
    found = page.operations.call("overrides", arguments)
    view = {
        "delivery": state, "overrides": found["overrides"], "next": places.written(found["next"]),
        "text": text, "after": after, "here": "overrides",
    }  # fmt: skip
    return page.show("deliveries/overrides.html", view, title=f"Overrides of {name}")


def _item(page: Page, name: str, far_id: str, *, sent: Fields | None = None, **refused: Any) -> Response:
    found = _found(page, name, far_id)
    state, override_, own = one(page, name), None, {}
    if found["key"]:
        asked = {"output": name, "value": found["value"], "type": found["type"]}
        override_ = page.operations.call("override_of", asked)["override"]
        settings = page.engine.configuration.outputs[name].settings
        own = {"action": getattr(settings, "action_for", lambda _: "")(found["type"])}
    shown = {word: sent[word] if sent else (override_ or {}).get(word) or "" for word in (*_FIELDS, "until", "reason")}
    kind = type_name(found["type"])
    view = {
        "delivery": state, "item": found, "override": override_, "read": state["last_reconcile"], "here": "defender",
        "own": own, "form": shown, "seen": (override_ or {}).get("at") or "", "endings": _endings(shown["until"]),
        "actions": list(ACTIONS[kind]) if kind else [], "severities": list(SEVERITIES),
        "error": refused.get("error", ""), "fix": refused.get("fix", ""),
    }  # fmt: skip
    status = int(refused.get("status", 200))
    return page.show("deliveries/defender_item.html", view, title="Defender indicator", status=status)


def _found(page: Page, name: str, far_id: str) -> dict[str, Any]:
    one(page, name)
    wanted = {"output": name, "wanted": {"id": far_id[:200]}, "limit": 1}
    items: list[dict[str, Any]] = page.operations.call("defender_items", wanted)["items"]
    if not items:
        raise RequestError("there is no such indicator", fix="read the tenant again with Reconcile")
    return items[0]


def _changed(page: Page, name: str, found: dict[str, Any], seen: str) -> dict[str, Any]:
    """What a form says that shows what somebody has changed since."""
    asked = {"output": name, "value": found["value"], "type": found["type"]}
    now = page.operations.call("override_of", asked)["override"] or {}
    if (now.get("at") or "") == seen:
        return {}
    who = f"{now['by']} has overridden it" if now else "the override was taken back"
    return {
        "error": f"{who} since you opened this page",
        "fix": "look at what is set now, and try again",
        "status": 409,
    }


def _endings(until: str) -> dict[str, str]:
    return ENDINGS if until in ENDINGS else {**ENDINGS, until: f"until {until}"}
