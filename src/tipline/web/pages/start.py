"""The guided start: first feeds, Defender and Sentinel, and the first list; left and taken up again at will."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path
from fastapi.responses import Response

from tipline.config.library import entries
from tipline.outputs.list import ListKind
from tipline.web.feedform import Draft, draft_of
from tipline.web.page import Admin, Fields, Form, Page, tried

router = APIRouter()
Far = Annotated[str, Path(pattern="^(defender|sentinel)$")]
# Feeds that need no key and that most people begin with, each of another sort.
_FIRST = (
    "abusech-feodo-ip", "abusech-urlhaus-online", "abusech-threatfox-csv", "spamhaus-drop", "openphish",
    "cert-pl-domains", "et-compromised", "ipsum-5", "tor-exit-addresses", "circl-osint",
)  # fmt: skip
_KINDS = {"defender": "microsoft-defender", "sentinel": "microsoft-sentinel"}
_SIGN_IN = ("credentials.tenant_id", "credentials.client_id", "credentials.client_secret")
_USUAL = {
    "defender": _SIGN_IN,
    "sentinel": (*_SIGN_IN, "workspace_id", "subscription_id", "resource_group", "workspace_name"),
}
_OTHERS = (
    "credentials.cloud", "credentials.secret_expires", "credentials.ca_file", "credentials.login_url",
    "credentials.defender_url", "credentials.sentinel_url", "credentials.arm_url",
)  # fmt: skip
_LINES = 8  # of a list that are shown


@router.get("/start")
def start(page: Admin, step: str = "") -> Response:
    """Every step, the next one open."""
    return _shown(page, step)


@router.post("/start/feeds")
def feeds(page: Admin, form: Form) -> Response:
    """Add the feeds that were ticked."""
    _, refused = tried(lambda: page.operations.call("start_feeds", {"names": form.all("pick")}))
    if refused:
        return _shown(page, "feeds", **refused)
    return page.done("The feeds are added, and fetched now.", "/start")


@router.post("/start/list")
def first_list(page: Admin, form: Form) -> Response:
    """Add a list."""
    arguments = {"name": form["name"], "confidence": form["confidence"] or "0", "max_tlp": form["max_tlp"]}
    _, refused = tried(lambda: page.operations.call("start_list", arguments))
    if refused:
        return _shown(page, "list", **refused)
    return page.done(f"The list {form['name']} is there.", "/start?step=list")


@router.post("/start/aside")
def aside(page: Admin, form: Form) -> Response:
    """Set a step aside, or take it up again."""
    page.operations.call("start_aside", {"step": form["step"], "aside": form["aside"] != "no"})
    return page.done("Set aside: it waits here." if form["aside"] != "no" else "Taken up again.", "/start")


@router.post("/start/end")
def end(page: Admin) -> Response:
    """End it."""
    page.operations.call("start_end", {})
    return page.done("The guided start is over. It stays at /ui/start.", "/overview")


@router.post("/start/{far}/check")
def check(page: Admin, form: Form, far: Far) -> Response:
    """Try the connection with what the form says; nothing is kept."""
    draft = _draft(page, far, form)
    checked, refused = (None, {}) if draft.wrong else tried(lambda: _checked(page, draft))
    if page.request.headers.get("hx-request"):
        refused.pop("status", None)
    return _shown(page, far, drafts={far: draft}, checked=checked, **refused)


@router.post("/start/{far}/add")
def connect(page: Admin, form: Form, far: Far) -> Response:
    """Keep the connection, if it can be used or somebody says so."""
    draft = _draft(page, far, form)
    if draft.wrong:
        return _shown(page, far, drafts={far: draft}, status=422)
    checked, refused = tried(lambda: _checked(page, draft))
    if refused or not (checked["ok"] or form["anyway"] == "yes"):
        return _shown(page, far, drafts={far: draft}, checked=checked, **(refused or {"status": 422}))
    arguments = {"name": draft.name, "text": draft.text, "message": f"{far} connected"}
    _, refused = tried(lambda: page.operations.call("output_add", arguments))
    if refused:
        return _shown(page, far, drafts={far: draft}, checked=checked, **refused)
    how = "It only plans, and writes nothing yet" if form["set.mode"] == "shadow" else "What is merged is sent there"
    return page.done(f"{draft.name} is connected. {how}.", "/start")


def _draft(page: Page, far: str, form: Fields | None) -> Draft:
    inputs = [name for name, node in page.engine.configuration.processors.items() if node.kind == "aggregate"]
    settings = {"kind": _KINDS[far], "inputs": inputs[:1] or ["inbound"], "mode": "shadow"}
    if form is None:
        return draft_of(settings, far, sort="output")
    needs = _USUAL[far][:4] if far == "sentinel" else _USUAL[far]
    return draft_of(settings, far, form, needs=needs, sort="output")


def _checked(page: Page, draft: Draft) -> dict[str, Any]:
    found: dict[str, Any] = page.operations.call("output_check", {"name": draft.name, "text": draft.text})
    return found


def _shown(
    page: Page, step: str = "", *, drafts: dict[str, Draft] | None = None, checked: dict[str, Any] | None = None,
    error: str = "", fix: str = "", status: int = 200,
) -> Response:  # fmt: skip
    state = page.operations.call("start", {})
    known = [each["name"] for each in state["steps"]]
    here = step if step in known else state["next"] or "list"
    made = {far: (drafts or {}).get(far) or _draft(page, far, None) for far in _KINDS}
    view = {
        **state,
        "here": here,
        "error": error,
        "fix": fix,
        "checked": checked,
        "wrong": {far: draft.general for far, draft in made.items()},
        "suggested": [_card(page, name) for name in _FIRST],
        "library": len(entries()),
        "fields": {far: draft.chosen(_USUAL[far]) for far, draft in made.items()},
        "mode": {far: draft.chosen(["mode"])[0].text for far, draft in made.items()},
        "others": {far: draft.chosen(_OTHERS) for far, draft in made.items()},
        "lists": _lists(page),
        "ready": bool(page.engine.configuration.processors),
    }
    return page.show("start/index.html", view, title="First steps", status=status)


def _card(page: Page, name: str) -> dict[str, Any]:
    found = page.operations.call("library_show", {"name": name})
    source = found["source"]
    return {**found, "tlp": source.get("tlp", "amber"), "confidence": source.get("confidence")}


def _lists(page: Page) -> list[dict[str, Any]]:
    """Each list with its address, how much it has, and its first lines."""
    counts = {each["name"]: each["indicators"] for each in page.operations.call("status", {})["nodes"]}
    base = str(page.request.base_url).removesuffix("/").removesuffix("/ui")
    return [
        {
            "name": name,
            "count": counts.get(name) or 0,
            "url": f"{base}/feeds/{name}",
            "open": node.settings.access == "public",
            "rows": page.operations.call("list", {"node": name, "limit": _LINES})["rows"],
        }
        for name, node in page.engine.configuration.outputs.items()
        if isinstance(node, ListKind)
    ]
