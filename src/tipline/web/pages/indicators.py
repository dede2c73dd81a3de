"""Indicators: found by value and filters with counts, looked up as a list, and exported."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from http import HTTPStatus
from itertools import chain
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends
from fastapi.responses import RedirectResponse, Response, StreamingResponse

from tipline.engine.filters import MOST_VALUES
from tipline.engine.people import RequestError
from tipline.model.normalise import normalise_one
from tipline.model.policy import Policy
from tipline.model.reasons import meaning
from tipline.model.tlp import NAMES
from tipline.model.types import TYPES
from tipline.outputs.base import Output
from tipline.outputs.render.csv import defused
from tipline.sources.base import Source
from tipline.web import places
from tipline.web.page import Form, Page, Viewer
from tipline.web.site import PREFIX, Nav

router = APIRouter()
NAV = Nav("Indicators", "/indicators", key="i", order=25, icon="search")
_SHOWN = 50
_BLOCK = 1000  # indicators of an export that are fetched at once
_MOST_EXPORTED = 100_000
_MOST_SOURCES = 1000
_LONGEST_ADDRESS = 4000  # characters of values that still make an address
_EVERYTHING = Policy.allow_list()
_HEADINGS = ("type", "value", "confidence", "tlp", "sources", "tags", "descriptions", "added")


@dataclass(frozen=True)
class _Filters:
    """What the address asks for; what is empty does not count."""

    text: str = ""
    type: str = ""
    source: str = ""
    output: str = ""
    confidence: str = ""
    tlp: str = ""
    tag: str = ""
    since: str = ""
    until: str = ""

    def search(self, page: Page) -> dict[str, Any]:
        """As the operation takes it.

        Several indicators in the text are a list. Without a text or a source, what allow-lists hold is left out: it is
        no threat, and there is much of it.
        """
        values = values_in(self.text)
        listed = len(values) > 1 and all(_is_indicator(value) for value in values)
        wanted = {
            "values": values if listed else [],
            "text": "" if listed else self.text,
            "types": [self.type] if self.type else [],
            "sources": [self.source] if self.source else [] if self.text else _threats(page),
            "tlp": [self.tlp] if self.tlp else [],
            **{name: getattr(self, name) for name in ("output", "confidence", "tag", "since", "until")},
        }
        return {name: value for name, value in wanted.items() if value}


Filters = Annotated[_Filters, Depends()]


@router.get("/indicators")
def indicators(page: Viewer, filters: Filters, after: str = "") -> Response:
    """A page of what is found, with its counts."""
    wanted = filters.search(page)
    found = page.operations.call("find", {"wanted": wanted, "limit": _SHOWN, "after": places.read(after, 2)})
    nodes = page.nodes()
    view = {
        "indicators": [summary(each) for each in found["indicators"]],
        "next": places.written(found["next"]),
        "after": after,
        "facets": page.operations.call("facets", {"wanted": wanted}),
        "filters": asdict(filters),
        "choices": {
            "types": sorted(TYPES),
            "sources": sorted(name for name, node in nodes.items() if isinstance(node, Source)),
            "outputs": sorted(name for name, node in nodes.items() if isinstance(node, Output)),
            "tlp": list(NAMES),
        },
    }
    return page.show("indicators/index.html", view, title="Indicators")


@router.get("/indicators/find")
def find(value: str = "") -> Response:
    """From a value out of a ticket to why it is where it is; from anything else, to what is found by it."""
    text = value.strip()
    found = normalise_one(text, None, _EVERYTHING)
    wide = found.type in {"ipv4", "ipv6"} and any(sign in (found.value or "") for sign in "/-")
    one = found.value is not None and found.drop is None and not wide
    path = address("/indicators/detail", value=text) if one else address("/indicators", text=text)
    return RedirectResponse(f"{PREFIX}{path}", HTTPStatus.SEE_OTHER)


@router.get("/indicators/export")
def export(page: Viewer, filters: Filters, form: str = "csv") -> Response:
    """Everything that is found, as CSV for spreadsheets (`form=csv`) or as JSON (`form=json`).

    Raises:
        RequestError: more is found than is given out this way, or the form is none.
    """
    if form not in {"csv", "json"}:
        raise RequestError(f"there is no export as {form}", fix="say form=csv or form=json")
    wanted = filters.search(page)
    claims = page.operations.call("facets", {"wanted": wanted})["claims"]
    if claims > _MOST_EXPORTED:
        raise RequestError(
            f"{claims:,} claims are found; at most {_MOST_EXPORTED:,} are exported here",
            fix="narrow the search, or read them from an output such as a list",
        )
    blocks = _blocks(page, wanted)
    # What is wrong with the filters is said before the answer begins.
    blocks = chain([next(blocks)], blocks)
    media = "text/csv; charset=utf-8" if form == "csv" else "application/json"
    head = {"content-disposition": f'attachment; filename="indicators.{form}"'}
    return StreamingResponse(_csv(blocks) if form == "csv" else _json(blocks), media_type=media, headers=head)


@router.get("/indicators/lookup")
def lookup(page: Viewer, values: str = "") -> Response:
    """What is known of each value of a list."""
    return _looked_up(page, values)


@router.post("/indicators/lookup")
def looked_up(page: Viewer, form: Form) -> Response:
    """The same for a list that was pasted; if it is short, at an address that can be shared."""
    text = "\n".join(values_in(form["values"]))
    if len(text) <= _LONGEST_ADDRESS:
        return RedirectResponse(PREFIX + address("/indicators/lookup", values=text), HTTPStatus.SEE_OTHER)
    return _looked_up(page, text)


def address(path: str, **query: str) -> str:
    """A page's address (below `PREFIX`) with a query."""
    return f"{path}?{urlencode(query)}"


def values_in(text: str) -> list[str]:
    """The values of a pasted list: whatever stands between blanks, commas and semicolons, each once."""
    return list(dict.fromkeys(word for word in re.split(r"[\s,;]+", text) if word))


def summary(found: dict[str, Any]) -> dict[str, Any]:
    """An indicator with what its claims say together: the highest confidence, the strictest TLP, the first moment."""
    claims = found["claims"]
    return {
        "type": found["type"],
        "value": found["value"],
        "confidence": max((c["confidence"] for c in claims if c["confidence"] is not None), default=None),
        "tlp": max((c["tlp"] for c in claims), key=NAMES.index, default=None),
        "sources": list(dict.fromkeys(c["source"] for c in claims)),
        "tags": list(dict.fromkeys(tag for c in claims for tag in c["tags"] or [])),
        "descriptions": list(dict.fromkeys(c["description"] for c in claims if c["description"])),
        "added": min((c["added"] for c in claims if c["added"]), default=None),
    }


def _looked_up(page: Page, text: str) -> Response:
    values = values_in(text)
    if len(values) > MOST_VALUES:
        raise RequestError(f"{len(values):,} values are too many", fix=f"send at most {MOST_VALUES:,} at once")
    found = page.operations.call("lookup", {"values": values}) if values else []
    claimed = _claimed(page, [each["asked"] for each in found if not each["problem"]])
    rows = [
        {
            **each,
            "problem": meaning(each["problem"]) if each["problem"] else None,
            "sources": claimed.get((each["type"], each["value"]), []),
            "outputs": list(dict.fromkeys(hit["output"] for hit in each["hits"])),
        }
        for each in found
    ]
    counts = {
        "published": sum(bool(row["hits"]) for row in rows),
        "claimed": sum(bool(row["sources"]) and not row["hits"] for row in rows),
        "refused": sum(bool(row["problem"]) for row in rows),
    }
    view = {"rows": rows, "counts": counts, "values": "\n".join(values)}
    return page.show("indicators/lookup.html", view, title="Look up a list")


def _claimed(page: Page, values: list[str]) -> dict[tuple[str, str], list[str]]:
    """The sources of each value that is claimed, by type and value."""
    found = chain.from_iterable(_blocks(page, {"values": values})) if values else []
    return {(each["type"], each["value"]): summary(each)["sources"] for each in found}


def _threats(page: Page) -> list[str]:
    """The sources that are no allow-lists; none, which stands for all, if they are more than a search takes."""
    left_out = page.engine.configuration.allow_lists
    found = [name for name, node in page.nodes().items() if isinstance(node, Source) and name not in left_out]
    return found if len(found) <= _MOST_SOURCES else []


def _is_indicator(value: str) -> bool:
    verdict = normalise_one(value, None, _EVERYTHING)
    return verdict.drop is None and verdict.type is not None


def _blocks(page: Page, wanted: dict[str, Any]) -> Iterator[list[dict[str, Any]]]:
    """Everything that is found, a block at a time; at least one block."""
    after = None
    while True:
        found = page.operations.call("find", {"wanted": wanted, "limit": _BLOCK, "after": after})
        yield found["indicators"]
        after = found["next"]
        if after is None:
            return


def _csv(blocks: Iterator[list[dict[str, Any]]]) -> Iterator[str]:
    yield ",".join(_HEADINGS) + "\r\n"
    for block in blocks:
        buffer = io.StringIO()
        writer = csv.writer(buffer)
        for each in block:
            row = summary(each)
            writer.writerow(_cell(row[name]) for name in _HEADINGS)
        yield buffer.getvalue()


def _cell(value: Any) -> str:
    """Text that a spreadsheet shows as it is: no formula, no control character, no change of direction."""
    text = "; ".join(value) if isinstance(value, list) else "" if value is None else str(value)
    return defused("".join(c if c.isprintable() else " " for c in text))


def _json(blocks: Iterator[list[dict[str, Any]]]) -> Iterator[str]:
    before = "["
    for block in blocks:
        for each in block:
            yield before + json.dumps(each, ensure_ascii=True)
            before = ",\n"
    yield "]\n" if before != "[" else "[]\n"
