"""The misp format: event JSON as MISP exports, publishes and answers it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import Field

from tipline.errors import FormatError
from tipline.formats.base import Context, TextSettings, open_text
from tipline.formats.misp_events import Rows

__all__ = ["MispSettings", "attributes_in", "events_in", "load", "read"]

#: Keys of which an event has at least one, and an attribute search's answer none.
_EVENT_KEYS = frozenset({"Object", "info", "date", "threat_level_id", "Orgc"})


class MispSettings(TextSettings):
    """Settings of MISP's events."""

    local_tags: bool = Field(
        default=True, description="Whether tags count that are local to the MISP server they come from."
    )
    max_document: int = Field(
        default=1 << 28,
        ge=1,
        description="Largest JSON document to read, in bytes; memory is some four times that.",
    )


def read(
    path: Path, settings: MispSettings, ctx: Context, *, confidence: Mapping[str, int] | None = None
) -> Iterator[pl.DataFrame]:
    """Raw frames of a file: one event, a list of events, or what a MISP server answered.

    Args:
        path: UTF-8 text.
        settings: of the source.
        ctx: feed's name, and where warnings go.
        confidence: tag to confidence, besides MISP's own taxonomy.

    Raises:
        FormatError: not JSON (with the place), too large, or neither events nor attributes.
    """
    rows = Rows(confidence or {}, settings.local_tags)
    document = load(path, settings, ctx)
    events, attributes = list(events_in(document)), attributes_in(document)
    if not events and not attributes and not _is_empty(document):
        raise FormatError(
            "the JSON is neither a MISP event nor a list of them",
            where=ctx.feed,
            fix="the body must be what MISP exports or answers; for other JSON use kind: json",
        )
    del document
    while events:
        yield from rows.event(events.pop(0))
    yield from rows.attributes(attributes)
    if len(rows):
        yield rows.take()


def load(path: Path, settings: MispSettings, ctx: Context) -> Any:
    """The JSON of a file.

    Raises:
        FormatError: not JSON (with the place), nested too deep, or larger than `max_document`.
    """
    with open_text(path, settings, ctx) as stream:
        body = stream.read(settings.max_document + 1)
    if len(body) > settings.max_document:
        raise FormatError(
            f"the document is larger than max_document ({settings.max_document >> 20} MiB)",
            where=ctx.feed,
            fix="raise max_document if memory allows",
        )
    written = body.decode("utf-8", "replace")
    del body
    try:
        return json.loads(written)
    except RecursionError as error:
        raise FormatError("the JSON is nested too deep", where=ctx.feed, fix="look at the body") from error
    except ValueError as error:
        place = f" at line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        raise FormatError(
            f"the body is not JSON{place}: {reason}",
            where=ctx.feed,
            fix="tell the publisher; look at the body",
        ) from error


def events_in(document: Any) -> Iterator[Mapping[str, Any]]:
    """The events of a document: `{"Event": ...}`, lists of them, either in `response`, or a bare event."""
    if isinstance(document, list):
        for entry in document:
            yield from events_in(entry)
    elif isinstance(document, Mapping) and "value" not in document:
        wrapped = document.get("response", document.get("Event"))
        if isinstance(wrapped, Mapping | list):
            yield from events_in(wrapped)
        elif _EVENT_KEYS & document.keys():
            yield document


def attributes_in(document: Any) -> list[Mapping[str, Any]]:
    """The attributes of a search: `{"response": {"Attribute": [...]}}`, or the inner part alone."""
    if isinstance(document, Mapping) and "response" in document:
        document = document["response"]
    if isinstance(document, Mapping):
        document = None if _EVENT_KEYS & document.keys() else document.get("Attribute")
    found = [document] if isinstance(document, Mapping) else document
    if not isinstance(found, list):
        return []
    return [entry for entry in found if isinstance(entry, Mapping) and {"type", "value"} <= entry.keys()]


def _is_empty(document: Any) -> bool:
    """Whether the document says that there is nothing: `[]`, `{}`, `{"response": []}`."""
    inner = document.get("response", document) if isinstance(document, Mapping) else document
    if isinstance(inner, Mapping):
        inner = inner.get("Attribute", inner)
    return inner in ([], {})
