"""Administration: warning lists, what stands in each and what stands on it; switched, added, fetched, taken out."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from fastapi import APIRouter
from fastapi.responses import Response

from tipline.web.page import Admin, Form, Page, tried
from tipline.web.tables import Column, Table, matching

router = APIRouter()
_HERE = "/administration/warning-lists"
_ENTRIES = 200
_MOST = 1000
_STATES = ("in use", "off", "recommended", "your own")
_COLUMNS = (
    Column("name", "List"),
    Column("entries", "Entries", number=True),
    Column("category", "Category"),
    Column("action", "Does"),
    Column("hits", "Hits", number=True),
    Column("enabled", "Used", sort=False),
)


@router.get(_HERE)
def warning_lists(page: Admin, text: str = "", state: str = "", sort: str = "name") -> Response:
    """Every list, and how many indicators stand on it."""
    return _lists(page, text=text, state=state, sort=sort)


@router.post(_HERE)
def add(page: Admin, form: Form) -> Response:
    """Add a list of one's own."""
    given = {word: form[word] for word in ("name", "url", "every", "action", "category")}
    wanted = {word: value for word, value in given.items() if value}
    done, refused = tried(lambda: page.operations.call("warning_list_add", wanted))
    if refused:
        return _lists(page, given=given, **refused)
    said = f"{form['name']} was added, but: {done['message']}" if done["message"] else f"{form['name']} is in use."
    return page.done(said, _path(form["name"]))


@router.post(f"{_HERE}/settings")
def settings(page: Admin, form: Form) -> Response:
    """What goes for all lists."""
    wanted: dict[str, Any] = {"recommended": form["recommended"] == "yes", "drop": form.all("drop")}
    _, refused = tried(lambda: page.operations.call("warning_lists_set", wanted))
    return _lists(page, **refused) if refused else page.done("The warning lists were changed.", _HERE)


@router.get(f"{_HERE}/{{name}}")
def warning_list(page: Admin, name: str, text: str = "", start: int = 0) -> Response:
    """One list: its hits by source, and its entries."""
    return _list(page, name, text=text, start=max(0, start))


@router.post(f"{_HERE}/{{name}}")
def change(page: Admin, form: Form, name: str) -> Response:
    """Switch a list, or have it do something else."""
    wanted: dict[str, Any] = {"name": name}
    if form["enabled"]:
        wanted["enabled"] = form["enabled"] == "yes"
    wanted |= {word: form[word] for word in ("action", "category") if form[word]}
    said = f"{name} is {'in use' if wanted['enabled'] else 'off'}." if form["enabled"] else f"{name} was changed."
    _, refused = tried(lambda: page.operations.call("warning_list_change", wanted))
    if refused:
        return _list(page, name, **refused)
    return page.done(said, _HERE if form["back"] else _path(name))


@router.post(f"{_HERE}/{{name}}/refresh")
def refresh(page: Admin, form: Form, name: str) -> Response:
    """Fetch a list of one's own now."""
    arguments = {"name": name, "approve": form["approve"] == "yes"}
    done, refused = tried(lambda: page.operations.call("warning_list_refresh", arguments))
    if refused or done["message"]:
        return _list(page, name, **(refused or {"error": done["message"], "status": 409}))
    return page.done(f"{name} {'has changed' if done['changed'] else 'is as it was'}.", _path(name))


@router.post(f"{_HERE}/{{name}}/remove")
def remove(page: Admin, name: str) -> Response:
    """Take a list of one's own out."""
    _, refused = tried(lambda: page.operations.call("warning_list_remove", {"name": name}))
    return _list(page, name, **refused) if refused else page.done(f"{name} was removed.", _HERE)


def _path(name: str) -> str:
    return f"{_HERE}/{quote(name, safe='')}"


def _lists(
    page: Page, *, text: str = "", state: str = "", sort: str = "name", error: str = "", fix: str = "",
    given: dict[str, str] | None = None, status: int = 200,
) -> Response:  # fmt: skip
    found = page.operations.call("warning_lists", {})
    wanted = [each for each in found["lists"] if not state or _is(each, state)]
    rows = matching(wanted, text, ("name", "title", "description", "category"))
    view = {
        "table": Table(_COLUMNS, rows, sort=sort, size=_MOST), "text": text, "state": state, "states": _STATES,
        "used": sum(each["enabled"] for each in found["lists"]), "recommended": found["recommended"],
        "drop": found["drop"], "error": error, "fix": fix, "here": "warning-lists",
        "given": given or {"name": "", "url": "", "every": "", "action": "", "category": ""},
    }  # fmt: skip
    return page.show("administration/warning_lists.html", view, title="Warning lists", status=status)


def _is(each: dict[str, Any], state: str) -> bool:
    ways = {
        "in use": each["enabled"], "off": not each["enabled"], "recommended": each["recommended"],
        "your own": each["own"],
    }  # fmt: skip
    return bool(ways.get(state, True))


def _list(
    page: Page, name: str, *, text: str = "", start: int = 0, error: str = "", fix: str = "", status: int = 200
) -> Response:
    found = page.operations.call("warning_list", {"name": name})
    asked = {"name": name, "text": text, "limit": _ENTRIES, "offset": start}
    entries = page.operations.call("warning_entries", asked)
    view = {
        "list": found, **entries, "text": text, "start": start, "before": max(0, start - _ENTRIES) if start else None,
        "error": error, "fix": fix, "here": "warning-lists",
    }  # fmt: skip
    return page.show("administration/warning_list.html", view, title=name, status=status)
