"""Adding by hand: one value, a list, or a whole report, always looked through before it is added."""

from __future__ import annotations

from typing import Any

import polars as pl
from fastapi import APIRouter
from fastapi.responses import Response

from tipline.engine.people import RequestError
from tipline.formats.freetext import extract
from tipline.model.normalise import conform
from tipline.model.reasons import meaning
from tipline.model.tlp import NAMES
from tipline.model.types import TYPES
from tipline.sources.local import Local
from tipline.web.page import Analyst, Form, Page
from tipline.web.pages.indicator import TTLS

router = APIRouter()
_MOST = 5000  # findings that a person looks through


@router.get("/indicators/add")
def add(page: Analyst, text: str = "") -> Response:
    """Where one types, pastes, or drops a file."""
    view = {"text": text, "types": sorted(TYPES), "sources": _sources(page)}
    return page.show("indicators/add.html", view, title="Add indicators")


@router.post("/indicators/review")
def review(page: Analyst, form: Form) -> Response:
    """What was found in it: what can be added, and what is refused and why."""
    findings = _findings(form.file or form["text"], form["type"])
    taken = [each for each in findings if not each["drop"]]
    if len(taken) > _MOST:
        raise RequestError(
            f"{len(taken):,} indicators are too many to look through", fix="make it a source of kind freetext or lines"
        )
    view = {
        "taken": taken,
        "refused": [each for each in findings if each["drop"]][:_MOST],
        "from": form.filename if form.file else "",
        "sources": _sources(page),
        "tlp": list(NAMES),
        "ttls": TTLS,
    }
    return page.show("indicators/review.html", view, title="Look through what was found")


@router.post("/indicators/add")
def added(page: Analyst, form: Form) -> Response:
    """Add what was chosen to a local source."""
    chosen = [each.partition(" ") for each in form.all("pick")]
    if not chosen:
        raise RequestError("nothing was chosen", fix="go back, and tick what is to be added")
    common: dict[str, Any] = {
        "ttl": form["ttl"] or "never",
        "comment": form["comment"] or None,
        "tlp": form["tlp"] or None,
        "tags": [tag for tag in (part.strip() for part in form["tags"].split(",")) if tag],
        "confidence": form["confidence"] or None,
    }
    entries = [{"value": value, "type": type_, **common} for type_, _, value in chosen]
    found = page.operations.call("add", {"entries": entries, "source": form["source"] or None})
    refused = [{**each, "why": meaning(each["reason"])} for each in found["refused"]]
    view = {**found, "refused": refused, "entries": [{"type": t, "value": v} for t, _, v in chosen]}
    return page.show("indicators/added.html", view, title="Added")


def _sources(page: Page) -> list[str]:
    """The local sources that who asks may add to, those of the own team first."""
    built_in = page.engine.configuration.allow_lists
    found = {name: node for name, node in page.nodes().items() if isinstance(node, Local) and name not in built_in}
    return sorted(found, key=lambda name: (found[name].settings.team != page.person.team, name))


def _findings(document: bytes | str, type_: str) -> list[dict[str, Any]]:
    """Each finding once: value, type, found, line, context, drop (with its sentence in why), times."""
    if not document:
        raise RequestError("there is nothing to look through", fix="paste something, or choose a file")
    listed = _as_list(document, type_) if isinstance(document, str) else None
    frame = extract(document) if listed is None else _judged(listed, type_)
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in frame.iter_rows(named=True):
        first = rows.setdefault((row["type"], row["value"], row["drop"]), {**row, "times": 0})
        first["times"] += 1
    return [{**row, "why": meaning(row["drop"]) if row["drop"] else None} for row in rows.values()]


def _as_list(text: str, type_: str) -> list[tuple[int, str]] | None:
    """(line, value) if each line is one word or a type is said, so that no line is passed over; None for prose."""
    lines = [(n, line.strip().rstrip(",;")) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
    return lines if type_ or all(len(line.split()) == 1 for _, line in lines) else None


def _judged(lines: list[tuple[int, str]], type_: str) -> pl.DataFrame:
    """The same columns as of a document, for values that stand alone."""
    words = [word for _, word in lines]
    claims = conform(
        pl.DataFrame(
            {"value": words, "type": [type_ or None] * len(words)}, schema={"value": pl.String, "type": pl.String}
        )
    )
    return pl.DataFrame(
        {
            "value": claims["value"],
            "type": claims["type"],
            "found": pl.Series(words, dtype=pl.String),
            "line": [n for n, _ in lines],
            "context": pl.Series(words, dtype=pl.String),
            "drop": claims["drop"],
        }
    )
