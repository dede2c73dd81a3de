"""One node: its state, account, charts, what it holds, its settings and runs; polling and releasing by hand."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Path
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from tipline.config.builtins import reserved
from tipline.engine.leaving import RETIREMENT
from tipline.engine.people import RequestError
from tipline.engine.served import addresses
from tipline.engine.trends import trend
from tipline.kinds import Kind
from tipline.model.tlp import name as tlp_name
from tipline.web import charts
from tipline.web.page import Analyst, Page, Viewer, wants_json
from tipline.web.settings import own_settings
from tipline.web.spans import SPANS, span

router = APIRouter()
Name = Annotated[str, Path(max_length=200)]
_RUNS, _ROWS = 20, 50
_LINES, _WIDE = 20, 300  # of a body, on the page


@router.get("/nodes/{name}")
def node(page: Viewer, name: Name, period: str = "", offset: int = 0) -> Response:
    """The node's page."""
    found = _known(page, name)
    state = next(each for each in page.operations.call("status", {})["nodes"] if each["name"] == name)
    word, length = span(period)
    owned = page.person.asker.owns(found.settings)
    over_time = trend(page.engine, page.operations.asker, [name], length)
    rows = page.operations.call("list", {"node": name, "limit": _ROWS + 1, "offset": max(0, offset)})["rows"]
    view = {
        "node": state,
        "about": type(found).__doc__ or "",
        "owned": owned,
        "editable": owned and page.person.may("editor") and name not in reserved(page.engine.configuration),
        "inputs": [each for each in getattr(found.settings, "inputs", []) if each in page.nodes()],
        "readers": _readers(page, name),
        "period": word,
        "periods": list(SPANS),
        "flow": charts.flow(over_time),
        "held": charts.held(over_time, state["indicators"] or 0),
        "runs": page.operations.call("runs", {"node": name, "limit": _RUNS})["runs"] if owned else [],
        "indicators": [_worded(each) for each in rows[:_ROWS]],
        "offset": max(0, offset),
        "more": len(rows) > _ROWS,
        "size": _ROWS,
        "settings": list(own_settings(found.settings)) if owned else [],
        "addresses": _addresses(page, name),
        "body": _body(page, name) if owned and state["sort"] == "source" else None,
        "delivery": _delivery(page, name) if owned else None,
    }
    return page.show("node/index.html", view, title=name)


@router.get("/nodes/{name}/body")
def body(page: Viewer, name: Name) -> Response:
    """The beginning of what a source fetched last, as a file that no browser runs."""
    found = page.operations.call("last_body", {"source": name})
    if wants_json(page.request):
        return JSONResponse(found)
    if found["body"] is None:
        raise RequestError(f"{name[:200]} has fetched nothing yet", fix="poll it")
    headers = {"content-disposition": f'attachment; filename="{quote(name)}.txt"'}
    return PlainTextResponse(found["body"]["text"], headers=headers)


@router.post("/nodes/{name}/poll")
def poll(page: Analyst, name: Name) -> Response:
    """Poll a source now."""
    done = page.operations.call("poll", {"source": name})
    text = f"{name}: {done['state']}, {done['added']:,} added, {done['removed']:,} removed"
    return page.done(f"{text}. {done['message']}".strip(), f"/nodes/{quote(name)}")


@router.post("/nodes/{name}/approve")
def approve(page: Analyst, name: Name) -> Response:
    """Let through what a guard holds."""
    done = page.operations.call("approve", {"node": name})
    if done["what"] == RETIREMENT:
        return page.done(f"{done['removed']:,} copies of {name} are being withdrawn.", "/deliveries")
    return page.done(f"What was held on {name} has been let through.", f"/nodes/{quote(name)}")


@router.post("/nodes/{name}/keep")
def keep(page: Analyst, name: Name) -> Response:
    """Leave the copies of an output that is gone at its far side."""
    done = page.operations.call("keep", {"node": name})
    return page.done(f"{done['kept']:,} copies of {name} stay at its far side.", "/deliveries")


def _known(page: Page, name: str) -> Kind[Any]:
    found = page.nodes().get(name)
    if found is None:
        raise RequestError(f"there is no node {name[:200]}", fix="look at the pipeline")
    return found


def _body(page: Page, name: str) -> dict[str, Any] | None:
    """The first lines of what a source fetched last."""
    found: dict[str, Any] | None = page.operations.call("last_body", {"source": name})["body"]
    if found is None:
        return None
    lines = found["text"].splitlines()
    shown = [line[:_WIDE] + ("…" if len(line) > _WIDE else "") for line in lines[:_LINES]]
    return {**found, "text": "\n".join(shown), "lines": len(lines), "shown": len(shown)}


def _readers(page: Page, name: str) -> list[str]:
    return [other for other, each in page.nodes().items() if name in _reads(each)]


def _reads(found: Kind[Any]) -> list[str]:
    settings = found.settings
    return [*getattr(settings, "inputs", []), *getattr(settings, "allow", [])]


def _worded(row: dict[str, Any]) -> dict[str, Any]:
    """A row with its TLP as a word."""
    return {**row, "tlp": None if row.get("tlp") is None else tlp_name(row["tlp"])}


def _addresses(page: Page, name: str) -> list[str]:
    """Where a served output is read: the first form is the plain one."""
    return list(addresses(page.engine, name).values())[:1]


def _delivery(page: Page, name: str) -> dict[str, Any] | None:
    deliveries: list[dict[str, Any]] = page.operations.call("deliveries", {})["deliveries"]
    return next((each for each in deliveries if each["output"] == name), None)
