"""ARM's lists, queries, counts and metrics of a workspace's objects."""

from __future__ import annotations

import base64
import json
import sqlite3
from collections import Counter
from typing import Any
from urllib.parse import quote

from .armentry import Place, body_of, refuse, shown
from .armquery import ConditionError, Predicate, clauses, criteria, lookup, sort_key, wanted_ids
from .armshape import indicator_properties, object_properties, resource
from .objects import Workspace
from .odata import Field, ODataError, compile_filter
from .times import stamp, trimmed
from .world import Answer, Call, World

FIELDS = {
    "source": Field("source"), "name": Field("name"), "displayName": Field("json_extract(data, '$.name')"),
    "description": Field("json_extract(data, '$.description')"),
    "pattern": Field("json_extract(data, '$.pattern')"),
    "externalId": Field("stix_id"), "confidence": Field("json_extract(data, '$.confidence')", "number"),
    "revoked": Field("revoked", "bool"), "validUntil": Field("valid_until", "time"),
    "lastUpdatedTimeUtc": Field("last_ingested", "time"),
}  # fmt: skip


def _rows(
    world: World, place: Workspace, condition: str = "1", params: tuple[Any, ...] = (), order: str = "rowid"
) -> list[sqlite3.Row]:
    rows: list[sqlite3.Row] = world.store.db.execute(
        f"SELECT * FROM sentinel_objects WHERE workspace_id = ? AND NOT deleted AND ({condition}) ORDER BY {order}",
        (place.workspace_id, *params),
    ).fetchall()
    return rows


def _token(call: Call, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Offset and query of a continuation; the link carries both, so that GET and POST alike may follow it."""
    text = call.query.get("$skipToken") or body.get("skipToken")
    if not text:
        return 0, body
    try:
        held = json.loads(base64.urlsafe_b64decode(str(text)))
        return int(held["at"]), dict(held["body"])
    except (ValueError, KeyError, TypeError):
        raise refuse(400, "BadRequest", "The skip token is not valid.") from None


def _page(call: Call, shown: list[dict[str, Any]], at: int, size: int, body: dict[str, Any]) -> Answer:
    answer: dict[str, Any] = {"value": shown[at : at + size]}
    if len(shown) > at + size:
        token = base64.urlsafe_b64encode(json.dumps({"at": at + size, "body": body}).encode()).decode()
        version = quote(call.query["api-version"])
        answer["nextLink"] = f"{call.base}{call.path}?api-version={version}&$skipToken={quote(token)}"
    return Answer(200, answer)


def _size(value: Any, most: int) -> int:
    if value is None:
        return most
    text = str(value)
    if not text.isdecimal() or not int(text):
        raise refuse(400, "BadRequest", f"Page size '{text}' is not a positive number.")
    return min(int(text), most)


def list_(world: World, call: Call, at: Place) -> Answer:
    """GET /indicators with $filter, $top, $orderby, $skipToken."""
    given = {name: call.query[name] for name in ("$filter", "$top", "$orderby") if name in call.query}
    start, query = _token(call, given)
    sql, params = "stix_type = 'indicator'", list[Any]()
    try:
        if "$filter" in query:
            more, params = compile_filter(str(query["$filter"]), FIELDS)
            sql = f"{sql} AND ({more})"
        order = _order(str(query.get("$orderby", "")))
    except ODataError as problem:
        raise refuse(400, "BadRequest", str(problem)) from problem
    listed = [shown(at[1], row) for row in _rows(world, at[1], sql, tuple(params), order)]
    return _page(call, listed, start, _size(query.get("$top"), world.limits.arm_page), query)


def _order(text: str) -> str:
    if not text:
        return "rowid"
    name, _, way = text.partition(" ")
    if name not in FIELDS or way.strip().lower() not in ("", "asc", "desc"):
        raise ODataError(f"Cannot order by '{text}'.")
    return f"{FIELDS[name].sql} {'DESC' if way.strip().lower() == 'desc' else 'ASC'}, rowid"


def query_indicators(world: World, call: Call, at: Place) -> Answer:
    """POST /queryIndicators (and GET on its nextLink)."""
    start, body = _token(call, body_of(call))
    try:
        passes = criteria(body, stamp(world.now))
    except ConditionError as problem:
        raise refuse(400, "BadRequest", str(problem)) from problem
    listed = [shown(at[1], row) for row in _rows(world, at[1], "stix_type = 'indicator'") if passes(row)]
    for each in reversed(body.get("sortBy") or []):
        order = str(each.get("sortOrder", "")).lower()
        if order in ("ascending", "descending"):
            key = str(each.get("itemKey", ""))
            listed.sort(key=lambda one: sort_key(one["properties"].get(key, "")), reverse=order == "descending")
    return _page(call, listed, start, _size(body.get("pageSize"), world.limits.arm_page), body)


def _matching(world: World, place: Workspace, condition: Any) -> list[sqlite3.Row]:
    try:
        passes: Predicate = clauses(condition)
    except ConditionError as problem:
        raise refuse(400, "BadRequest", str(problem)) from problem
    ids = wanted_ids(condition)
    if ids:
        marks = ",".join("?" * len(ids))
        rows = _rows(world, place, f"stix_id IN ({marks}) OR id IN ({marks}) OR name IN ({marks})", (*ids, *ids, *ids))
    else:
        rows = _rows(world, place)
    return [row for row in rows if passes(row)]


def query(world: World, call: Call, at: Place) -> Answer:
    """POST /query (and GET on its nextLink): objects of any STIX type."""
    start, body = _token(call, body_of(call))
    rows = _matching(world, at[1], body.get("condition"))
    sort = body.get("sortBy")
    if isinstance(sort, dict) and sort.get("field"):
        down = str(sort.get("direction", "")).upper() == "DESC"
        rows.sort(key=lambda row: sort_key(lookup(row, str(sort["field"]))), reverse=down)
    listed = [
        resource(
            at[1],
            row,
            object_properties(row),
            "".join(part.capitalize() for part in row["stix_type"].split("-")),
        )
        for row in rows
    ]
    return _page(call, listed, start, _size(body.get("maxPageSize"), world.limits.arm_page), body)


def count(world: World, call: Call, at: Place) -> Answer:
    """POST /count."""
    return Answer(200, {"count": len(_matching(world, at[1], body_of(call).get("condition")))})


def metrics(world: World, _call: Call, at: Place) -> Answer:
    """GET /metrics."""
    listed = [indicator_properties(row) for row in _rows(world, at[1], "stix_type = 'indicator'")]
    threats = Counter(each for one in listed for each in one.get("threatTypes") or [])
    kinds, sources = Counter(one["patternType"] for one in listed), Counter(one["source"] for one in listed)
    properties = {
        "lastUpdatedTimeUtc": trimmed(stamp(world.now)), "threatTypeMetrics": _metric(threats),
        "patternTypeMetrics": _metric(kinds), "sourceMetrics": _metric(sources),
    }  # fmt: skip
    return Answer(200, {"value": [{"properties": properties}]})


def _metric(counted: Counter[str]) -> list[dict[str, Any]]:
    return [{"metricName": name, "metricValue": number} for name, number in counted.most_common()]
