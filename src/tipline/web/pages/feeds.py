"""Feeds: every source with its state, schedule and account; switched, fetched and removed; and their overlap."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path
from fastapi.responses import Response

from tipline.web.page import Analyst, Editor, Form, Page, Viewer
from tipline.web.site import Nav
from tipline.web.tables import Column, Table, matching

router = APIRouter()
NAV = Nav("Feeds", "/feeds", key="f", order=30, icon="feeds")
Name = Annotated[str, Path(max_length=200)]
_COLUMNS = [
    Column("name", "Feed"),
    Column("state", "State"),
    Column("indicators", "Indicators", number=True),
    Column("read", "Read", number=True),
    Column("rejected", "Dropped", number=True),
    Column("added", "Added", number=True),
    Column("removed", "Removed", number=True),
    Column("last_run", "Last run"),
    Column("do", "Actions", sort=False),
]
_TASKS = [
    Column("name", "Feed"),
    Column("every", "Every", sort=False),
    Column("last_run", "Last"),
    Column("next_run", "Next"),
    Column("state", "Result"),
    Column("message", "Message", sort=False),
]
_SEARCHED = ["name", "kind", "note", "team", "url"]
_MOST_COMPARED = 40


@router.get("/feeds")
def feeds(page: Viewer, q: str = "", state: str = "", sort: str = "name", at: int = 1) -> Response:
    """The sources, searched and sorted."""
    rows = _rows(page)
    states = sorted({row["state"] for row in rows})
    chosen = [row for row in matching(rows, q, _SEARCHED) if not state or row["state"] == state]
    table = Table(_COLUMNS, chosen, sort, at)
    return page.show("feeds/index.html", {"table": table, "q": q, "state": state, "states": states}, title="Feeds")


@router.get("/feeds/schedule")
def schedule(page: Viewer, q: str = "", sort: str = "next_run", at: int = 1) -> Response:
    """Scheduled tasks: how often each feed is fetched, when it was and will be, and what came of it."""
    rows = [row for row in matching(_rows(page), q, _SEARCHED) if row["polled"] and row["mine"]]
    return page.show("feeds/schedule.html", {"table": Table(_TASKS, rows, sort, at), "q": q}, title="Scheduled tasks")


@router.post("/feeds/{name}/schedule")
def scheduled(page: Editor, form: Form, name: Name) -> Response:
    """Change how often a feed is fetched."""
    _change(page, name, {"every": form["every"] or None}, f"{name} is fetched every {form['every']}")
    return page.done(f"{name} is now fetched every {form['every'] or '1h, as by default'}.", "/feeds/schedule")


@router.post("/feeds/{name}/switch")
def switch(page: Editor, form: Form, name: Name) -> Response:
    """Switch a feed on, or off: it keeps what it holds."""
    on = form["enabled"] == "yes"
    _change(page, name, {"enabled": None if on else False}, f"{name} switched {'on' if on else 'off'}")
    said = f"{name} is on, and fetched when it is due." if on else f"{name} is off. It keeps what it holds."
    return page.done(said, "/feeds")


@router.post("/feeds/{name}/fetch")
def fetch(page: Analyst, name: Name) -> Response:
    """Fetch a feed now."""
    done = page.operations.call("poll", {"source": name})
    said = f"{name}: {done['message'] or done['state']}; {done['added']:,} added, {done['removed']:,} removed."
    return page.done(said, "/feeds")


@router.post("/feeds/{name}/remove")
def remove(page: Editor, form: Form, name: Name) -> Response:
    """Take a feed out, with what it claims."""
    page.operations.call("feed_remove", {"name": name, "message": form["message"]})
    return page.done(f"{name} is removed, and what only it had is withdrawn.", "/feeds")


@router.get("/feeds/overlap")
def overlap(page: Viewer) -> Response:
    """How much of each feed is in each other one, what only it has, and what it had first."""
    found = page.operations.call("overlap", {})
    names, common = found["sources"], found["common"]
    sizes = [common[n][n] for n in range(len(names))]
    ranked = sorted(range(len(names)), key=lambda n: -sizes[n])[:_MOST_COMPARED]
    known = {each["source"]: each for each in page.operations.call("worth", {})["sources"]}
    view = {
        "sources": [
            {**known[name], "unique": unique}
            for name, unique in zip(names, found["unique"], strict=True)
            if name in known
        ],
        "columns": [names[n] for n in ranked],
        "matrix": [
            {"source": names[a], "cells": [_cell(a == b, sizes[a], common[a][b]) for b in ranked]} for a in ranked
        ],
        "left_out": len(names) - len(ranked),
    }
    return page.show("feeds/overlap.html", view, title="Worth and overlap of feeds")


def _cell(same: bool, size: int, common: int) -> dict[str, Any]:
    """How much of a feed another one has, in per cent, and a shade from 0 to 5."""
    share = 100 * common / size if size else 0.0
    shade = 0 if same or not common else 1 + min(4, int(share // 20))
    return {"same": same, "common": common, "share": share, "shade": shade}


def _rows(page: Page) -> list[dict[str, Any]]:
    found = page.operations.call("feeds", {})["feeds"]
    return [{**each, "rejected": sum(each["dropped"].values())} for each in found if each["kind"] != "never-block"]


def _change(page: Page, name: str, settings: dict[str, Any], message: str) -> None:
    page.operations.call("feed_change", {"name": name, "settings": settings, "message": message})
