"""How much nodes held, gained and lost over time, from the accounts of their runs, as MineMeld's metrics."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from tipline.api.minemeld.calls import Call, MissingError, Route
from tipline.engine.people import RequestError
from tipline.engine.trends import trend

_COUNTER, _DELTA = "minemeld_counter", "minemeld_delta"
_METRICS = {"length": _COUNTER, "added": _DELTA, "removed": _DELTA, "aged_out": _DELTA}
# In the words of its last versions, and of its first.
_SORTS = {
    "miners": "source", "processors": "processor", "outputs": "output", "sources": "source", "transits": "processor"
}  # fmt: skip
_FUNCTIONS = ("MAX", "MIN", "AVERAGE")
_LONGEST, _MOST_POINTS = timedelta(days=400), 5000


def names(call: Call) -> list[str]:
    """The names of the series."""
    groups = [f"minemeld.{word}" for word in list(_SORTS)[:3]]
    return [f"{name}.{metric}" for name in ["minemeld", *groups, *_held(call)] for metric in _METRICS]


def everything(call: Call) -> list[dict[str, Any]]:
    """What all sources hold, gained and lost; ?dt= seconds back, in steps of ?r= seconds."""
    return _series(call, _of_sort(call, "source"))


def group(call: Call) -> list[dict[str, Any]]:
    """The same of all miners, processors or outputs."""
    sort = _SORTS.get(call.part("group"))
    if sort is None:
        raise MissingError("Unknown metric")
    return _series(call, _of_sort(call, sort))


def node(call: Call) -> list[dict[str, Any]]:
    """The same of one node."""
    return _series(call, [_known(call)])


def one(call: Call) -> list[list[int]]:
    """One series of one node; ?t= its type."""
    metric = call.part("metric")
    if metric not in _METRICS:
        raise MissingError("Unknown metric")
    if call.given("t", _COUNTER) != _METRICS[metric]:
        raise RequestError("Unknown metric type")
    found: list[list[int]] = next(each["values"] for each in _series(call, [_known(call)]) if each["metric"] == metric)
    return found


def _series(call: Call, nodes: Iterable[str]) -> list[dict[str, Any]]:
    """The series of some nodes together: each a list of [seconds, value]."""
    if call.given("cf", "MAX").upper() not in _FUNCTIONS:
        raise RequestError("Unknown function")
    span = min(timedelta(seconds=_seconds(call, "dt", 86_400, "Invalid delta")), _LONGEST)
    step = timedelta(seconds=_seconds(call, "r", 1800, "Invalid resolution"))
    chosen = list(nodes)
    held = _held(call)
    found = trend(call.operations.engine, call.operations.asker, chosen, span, max(step, span / _MOST_POINTS))
    length = found.held(sum(held[name] or 0 for name in chosen))
    by_metric = {"length": length, "added": found.added, "removed": found.removed, "aged_out": found.expired}
    wanted = call.given("t", "")
    return [
        {"metric": metric, "values": [list(point) for point in zip(found.at, values, strict=True)]}
        for metric, values in by_metric.items()
        if wanted in {"", _METRICS[metric]}
    ]


def _seconds(call: Call, name: str, default: int, wrong: str) -> int:
    text = call.given(name, str(default))
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise RequestError(wrong)
    return int(text)


def _held(call: Call) -> dict[str, int | None]:
    return {each["name"]: each["indicators"] for each in call.operations.call("status", {})["nodes"]}


def _of_sort(call: Call, sort: str) -> list[str]:
    return [each["name"] for each in call.operations.call("status", {})["nodes"] if each["sort"] == sort]


def _known(call: Call) -> str:
    name = call.part("node")
    if name not in _held(call):
        raise MissingError("Unknown metric")
    return name


ROUTES = (
    Route("/metrics/", "read", names),
    Route("/metrics/minemeld", "read", everything),
    Route("/metrics/minemeld/{group}", "read", group),
    Route("/metrics/{node}", "read", node),
    Route("/metrics/{node}/{metric}", "read", one),
)
