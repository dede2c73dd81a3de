"""Indicators: find, look up, explain, add, remove, allow."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field

from tipline.api.v1.asking import Body, Cursor, Indicators, Read, cursor, position
from tipline.durations import Duration
from tipline.engine.filters import MOST_VALUES, Search
from tipline.engine.operations import NewEntry

router = APIRouter(prefix="/indicators", tags=["indicators"])
_VALUE = Field(max_length=8000, description="The indicator, in any spelling.", examples=["hxxp://evil[.]example/a"])


class Wanted(Body):
    """A search, and the page of it."""

    filters: Search = Field(default_factory=Search, description="What is looked for.")
    limit: int = Field(default=100, ge=1, le=1000, description="Indicators at most.")
    cursor: str | None = Field(default=None, max_length=20_000, description="`next` of the page before.")


class Lookup(Body):
    """Values to look up in what is published."""

    values: list[Annotated[str, _VALUE]] = Field(max_length=MOST_VALUES, description="At most 10,000.")
    outputs: list[str] | None = Field(default=None, max_length=1000, description="Where to look; all unless given.")


class New(Body):
    """Indicators to add by hand."""

    entries: list[NewEntry] = Field(max_length=MOST_VALUES, description="At most 10,000.")
    source: str | None = Field(default=None, description="The local source; the team's first unless given.")


class Gone(Body):
    """Indicators to remove that were added by hand."""

    values: list[Annotated[str, _VALUE]] = Field(max_length=MOST_VALUES, description="At most 10,000.")
    source: str | None = Field(default=None, description="The local source; the team's first unless given.")
    everyone: bool = Field(default=False, description="Also what others of the team added.")


class Allowed(Body):
    """A value to allow."""

    value: str = _VALUE
    reason: str = Field(min_length=1, max_length=2000, description="Why.")
    ttl: Duration | None = Field(default=None, description="How long, such as 30d; for good unless given.")
    wait: float = Field(default=0, ge=0, le=60, description="Seconds to wait for far sides' answers.")


class Disallowed(Body):
    """A value that was allowed by hand."""

    value: str = _VALUE


@router.get("")
def find(
    asked: Read,
    text: Annotated[str, Query(max_length=2000, description="A value, a part of one, or a network.")] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor_: Cursor = None,
) -> dict[str, Any]:
    """Find indicators by text; `POST /indicators/search` has every filter."""
    return search(asked, Wanted(filters=Search(text=text), limit=limit, cursor=cursor_))


@router.post("/search")
def search(asked: Read, body: Wanted) -> dict[str, Any]:
    """Find indicators, a page at a time, in order of value."""
    after = position(body.cursor, str, str)
    found = asked.call("find", wanted=body.filters, limit=body.limit, after=after)
    return {"indicators": found["indicators"], "next": cursor(found["next"])}


@router.post("/facets")
def facets(asked: Read, body: Search) -> dict[str, Any]:
    """How many claims fulfil filters, by type, source, TLP and tag."""
    return asked.call("facets", wanted=body)


@router.post("/lookup")
def lookup(asked: Read, body: Lookup) -> dict[str, Any]:
    """Which outputs publish values, or what covers them: up to 10,000 at once."""
    return {"results": asked.operations.call("lookup", dict(body))}


@router.get("/why")
def why(
    asked: Read,
    value: Annotated[str, Query(max_length=8000, examples=["192.0.2.1"])],
    type: Annotated[str | None, Query(max_length=40)] = None,
) -> dict[str, Any]:
    """Each claim on a value, what each node did with it, which outputs hold it, its history, and receipts."""
    return asked.call("why", value=value, type=type)


@router.post("")
def add(asked: Indicators, body: New) -> dict[str, Any]:
    """Add indicators by hand; what was refused comes with its reason."""
    return asked.call("add", entries=list(body.entries), source=body.source)


@router.post("/remove")
def remove(asked: Indicators, body: Gone) -> dict[str, Any]:
    """Remove what was added by hand."""
    return asked.call("remove", values=body.values, source=body.source, everyone=body.everyone)


@router.post("/allow")
def allow(asked: Indicators, body: Allowed) -> dict[str, Any]:
    """Allow a value: it leaves every output of the team at once, and far sides before anything else does."""
    return asked.call("allow", **dict(body))


@router.post("/disallow")
def disallow(asked: Indicators, body: Disallowed) -> dict[str, Any]:
    """Take back what was allowed by hand."""
    return asked.call("disallow", value=body.value)
