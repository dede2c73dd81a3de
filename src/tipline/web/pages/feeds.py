"""Feeds: every source with its state, schedule and account; and how much they have in common."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from tipline.durations import format_duration
from tipline.model.tlp import name as tlp_name
from tipline.sources.base import Source
from tipline.web.page import Page, Viewer
from tipline.web.site import Nav
from tipline.web.tables import Column, Table, matching

router = APIRouter()
NAV = Nav("Feeds", "/feeds", key="f", order=30, icon="feeds")
_COLUMNS = [
    Column("name", "Feed"),
    Column("kind", "Kind"),
    Column("state", "State"),
    Column("indicators", "Indicators", number=True),
    Column("read", "Read", number=True),
    Column("dropped", "Dropped", number=True),
    Column("added", "Added", number=True),
    Column("removed", "Removed", number=True),
    Column("last_run", "Last run"),
    Column("poll", "Poll", sort=False),
]
_MOST_COMPARED = 40


@router.get("/feeds")
def feeds(page: Viewer, q: str = "", state: str = "", sort: str = "name", at: int = 1) -> Response:
    """The sources, searched and sorted."""
    rows = _rows(page)
    states = sorted({row["state"] for row in rows})
    chosen = [row for row in matching(rows, q, ["name", "kind", "note", "team"]) if not state or row["state"] == state]
    table = Table(_COLUMNS, chosen, sort, at)
    return page.show("feeds/index.html", {"table": table, "q": q, "state": state, "states": states}, title="Feeds")


@router.get("/feeds/overlap")
def overlap(page: Viewer) -> Response:
    """How much of each feed is in each other one, what only it has, and what it had first."""
    found = page.operations.call("overlap", {})
    names, common = found["sources"], found["common"]
    sizes = [common[n][n] for n in range(len(names))]
    ranked = sorted(range(len(names)), key=lambda n: -sizes[n])[:_MOST_COMPARED]
    worth = zip(names, sizes, found["unique"], found["first"], strict=True)
    view = {
        "sources": [{"source": n, "indicators": i, "unique": u, "first": f} for n, i, u, f in worth],
        "columns": [names[n] for n in ranked],
        "matrix": [
            {"source": names[a], "cells": [_cell(a == b, sizes[a], common[a][b]) for b in ranked]} for a in ranked
        ],
        "left_out": len(names) - len(ranked),
    }
    return page.show("feeds/overlap.html", view, title="Overlap of feeds")


def _cell(same: bool, size: int, common: int) -> dict[str, Any]:
    """How much of a feed another one has, in per cent, and a shade from 0 to 5."""
    share = 100 * common / size if size else 0.0
    shade = 0 if same or not common else 1 + min(4, int(share // 20))
    return {"same": same, "common": common, "share": share, "shade": shade}


def _rows(page: Page) -> list[dict[str, Any]]:
    nodes = page.nodes()
    rows = []
    for each in page.operations.call("status", {})["nodes"]:
        node = nodes.get(each["name"])
        if not isinstance(node, Source):
            continue
        settings = node.settings
        rows.append(
            {
                **each,
                "dropped": sum(each["dropped"].values()),
                "note": settings.note,
                "every": format_duration(settings.every) if each["next_run"] else "",
                "mode": settings.mode,
                "tlp": None if settings.tlp is None else tlp_name(settings.tlp),
                "actionable": settings.actionable,
                "distribution": settings.distribution,
                "polled": each["kind"] not in {"local", "never-block", "ingest"},
            }
        )
    return rows
