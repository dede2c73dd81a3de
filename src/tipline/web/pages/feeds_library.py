"""The library of ready-made feeds: found, looked at, and added with what each asks for."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path
from fastapi.responses import Response

from tipline.config.library import entries, source_of
from tipline.engine.people import RequestError
from tipline.web.feedform import Draft, draft_of, readers, shown, usual_readers
from tipline.web.page import Editor, Form, Page, Viewer, tried
from tipline.web.tables import Column, Table

router = APIRouter()
Name = Annotated[str, Path(max_length=100)]
_COLUMNS = [
    Column("pick", "", sort=False),
    Column("title", "Feed"),
    Column("provider", "Provider"),
    Column("tlp", "TLP", sort=False),
    Column("terms", "Licence or terms", sort=False),
    Column("status", "State"),
    Column("in_use", "Here", sort=False),
]
# What one may choose by state: what can be fetched is what most people look for.
_STATES = {"": ("live", "needs-key"), "live": ("live",), "needs-key": ("needs-key",), "dead": ("dead",)}


@router.get("/feeds/library")
def library(
    page: Viewer, q: str = "", state: str = "", tlp: str = "", provider: str = "", sort: str = "title", at: int = 1
) -> Response:
    """The entries that can be fetched, or others."""
    found = page.operations.call("library_search", {"words": q})["entries"]
    rows = [_row(each) for each in found if each["status"] in _STATES.get(state, ()) or state == "all"]
    rows = [each for each in rows if tlp in {"", each["tlp"]} and provider in {"", each["provider"]}]
    view = {
        "table": Table(_COLUMNS, rows, sort, at),
        "q": q,
        "state": state,
        "states": {"live": "live", "needs-key": "needs a key", "dead": "dead", "all": "all"},
        "tlp": tlp,
        "tlps": ["clear", "green", "amber", "red"],
        "provider": provider,
        "providers": sorted({each.provider for each in entries().values()}, key=str.casefold),
        "readers": readers(page),
        "chosen": usual_readers(page),
    }
    return page.show("feeds/library.html", view, title="Library")


@router.post("/feeds/library")
def several(page: Editor, form: Form) -> Response:
    """Add the entries that were ticked, as they are."""
    names = form.all("pick")
    if not names:
        raise RequestError("no feed was chosen", fix="tick what is to be added")
    off: dict[str, Any] = {"enabled": False} if form["off"] == "yes" else {}
    feeds = {name: source_of(name, off) for name in names}
    message = form["message"] or f"{len(feeds)} feeds from the library"
    page.operations.call("feeds_add", {"feeds": feeds, "into": form.all("into"), "message": message})
    said = f"{len(feeds)} {'feed is' if len(feeds) == 1 else 'feeds are'} added" + (", switched off." if off else ".")
    return page.done(said, "/feeds")


@router.get("/feeds/library/{name}")
def entry(page: Viewer, name: Name) -> Response:
    """One entry, and the form that adds it."""
    found = page.operations.call("library_show", {"name": name})
    return _entry(page, found, draft_of(source_of(name, {}), name, needs=found.get("needs", [])))


@router.post("/feeds/library/{name}")
def added(page: Editor, form: Form, name: Name) -> Response:
    """Add an entry with the name and settings that were given."""
    found = page.operations.call("library_show", {"name": name})
    draft = draft_of(source_of(name, {}), form["name"], form, needs=found.get("needs", []))
    if draft.wrong:
        return _entry(page, found, draft, error="some settings cannot be used", fix="correct them below", status=422)
    arguments = {"name": form["name"], "text": draft.text, "into": form.all("into")}
    message = form["message"] or f"{name} added from the library"
    _, refused = tried(lambda: page.operations.call("feed_add", {**arguments, "message": message}))
    if refused:
        return _entry(page, found, draft, **refused)
    return page.done(f"{form['name']} is added, and fetched now.", "/feeds")


def _row(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry with what only some have, and what its source would say by default."""
    source = entry["source"]
    usual = {"since": None, "instead": None, "tlp": source.get("tlp", "amber"), "every": source.get("every", "1h")}
    return {**usual, **entry, "url": source.get("url", "")}


def _entry(page: Page, found: dict[str, Any], draft: Draft, *, error: str = "", fix: str = "", status: int = 200) -> (
    Response
):  # fmt: skip
    view = {"entry": _row(found), "error": error, "fix": fix, **shown(page, draft)}
    return page.show("feeds/entry.html", view, title=found["title"], status=status)
