"""Local indicators of files: what a file holds, what is appended to it, and what takes its place."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from tipline.api.minemeld.calls import Call, Route
from tipline.api.minemeld.localdb import append, read_records, replace, rows, source_of
from tipline.api.minemeld.status import poll
from tipline.engine.people import RequestError

_YAML, _LOCALDB = "yaml", "localdb"


def read(call: Call) -> list[dict[str, Any]]:
    """The local indicators of a file; ?t=localdb or yaml."""
    _kind(call)
    return rows(call.operations, source_of(call.operations, call.part("file")))


def add(call: Call) -> str:
    """Add local indicators, or take them back with a ttl of -1."""
    source = source_of(call.operations, call.part("file"))
    append(call.operations, source, read_records(call.body, typed=_kind(call) == _LOCALDB))
    return _polled(call, source)


def put(call: Call) -> str:
    """Put indicators in the place of all that a file holds."""
    source = source_of(call.operations, call.part("file"))
    replace(call.operations, source, read_records(call.body, typed=_kind(call) == _LOCALDB))
    return _polled(call, source)


def _kind(call: Call) -> str:
    kind = call.given("t", _YAML)
    if kind not in {_YAML, _LOCALDB}:
        raise RequestError("t must be localdb or yaml; certificates and keys are secrets of the configuration")
    return kind


def _polled(call: Call, source: str) -> str:
    """Poll the source that h= names, as MineMeld did; what was changed itself is in force already."""
    wanted = call.given("h", source)
    if wanted != source and call.principal.may("holds"):
        with suppress(RequestError):  # the change is made: a name that is no source's was never an error
            poll(call.operations, wanted)
    return "ok"


ROUTES = (
    Route("/config/data/{file}", "read", read),
    Route("/config/data/{file}", "indicators", put, ("PUT",)),
    Route("/config/data/{file}/append", "indicators", add, ("POST",)),
)
