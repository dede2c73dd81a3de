"""Nodes: their state, runs and indicators; and what guards hold back on them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from tipline.api.v1.asking import Cursor, Holds, Read, cursor, position, tagged
from tipline.engine.people import RequestError

router = APIRouter(tags=["nodes"])
Name = Annotated[str, Path(max_length=200, examples=["spamhaus-drop"])]
Limit = Annotated[int, Query(ge=1, le=1000)]


@router.get("/nodes")
def nodes(asked: Read) -> Response:
    """Every node that the asker sees."""
    return tagged({"nodes": asked.call("status")["nodes"]})


@router.get("/nodes/{name}")
def node(asked: Read, name: Name) -> Response:
    """One node."""
    found = next((each for each in asked.call("status")["nodes"] if each["name"] == name), None)
    if found is None:
        raise RequestError(f"there is no node {name}", fix="see /api/v1/nodes")
    return tagged(found)


@router.get("/nodes/{name}/indicators")
def node_indicators(asked: Read, name: Name, limit: Limit = 100, cursor_: Cursor = None) -> dict[str, Any]:
    """What a node holds, in order of type and value."""
    (start,) = position(cursor_, int) or [0]
    rows = asked.call("list", node=name, limit=limit + 1, offset=max(start, 0))["rows"]
    return {"indicators": rows[:limit], "next": cursor([start + limit]) if len(rows) > limit else None}


@router.get("/nodes/{name}/runs")
def runs(asked: Read, name: Name, limit: Limit = 20) -> dict[str, Any]:
    """The newest runs of a node, each with its account."""
    return asked.call("runs", node=name, limit=limit)


@router.get("/nodes/{name}/body")
def last_body(asked: Read, name: Name) -> dict[str, Any]:
    """The beginning of the last body that a source fetched, as text; null if it fetched none yet."""
    return asked.call("last_body", source=name)


@router.post("/nodes/{name}/poll")
def poll(asked: Holds, name: Name) -> dict[str, Any]:
    """Poll a source now."""
    return asked.call("poll", source=name)


@router.get("/holds")
def holds(asked: Read) -> dict[str, Any]:
    """What guards keep back."""
    return asked.call("holds")


@router.post("/holds/{name}/approve")
def approve(asked: Holds, name: Name) -> dict[str, Any]:
    """Release what a guard keeps back on a node."""
    return asked.call("approve", node=name)


@router.post("/holds/{name}/keep")
def keep(asked: Holds, name: Name) -> dict[str, Any]:
    """Leave at its far side what a removed output put there, and forget it."""
    return asked.call("keep", node=name)
