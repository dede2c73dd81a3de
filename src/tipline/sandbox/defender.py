"""The Defender for Endpoint indicators API (section 2 and rows 6 to 20 of section 9)."""

from __future__ import annotations

import json
import sqlite3
from typing import Any
from urllib.parse import quote

from .defender_checks import FullError, ProblemError, check
from .defender_store import Author, purge, put, room
from .odata import Field, ODataError, compile_filter
from .tokens import DEFENDER, Who, bearer
from .world import Answer, Call, RefusalError, Route, World, guid, route

ODATA_TYPE = "application/json; odata.metadata=minimal; odata.streaming=true; charset=utf-8"
_STATUS = {
    "Unauthorized": 401,
    "Forbidden": 403,
    "ResourceNotFound": 404,
    "TooManyRequests": 429,
    "InternalServerError": 500,
}
_ALL = "Ti.ReadWrite.All"


def _field(name: str, kind: Any = "text") -> Field:
    return Field(f"json_extract(doc, '$.{name}')", kind)


#: filterable properties (2.6); `externalId` and `lastUpdateTime` are not among them
FIELDS = {
    "application": _field("application"), "createdByDisplayName": _field("createdByDisplayName"),
    "title": _field("title"), "severity": _field("severity"),
    "generateAlert": _field("generateAlert", "bool"),
    "rbacGroupNames": _field("rbacGroupNames", "list"), "rbacGroupIds": _field("rbacGroupIds", "list"),
    "indicatorValue": Field("value"), "indicatorType": Field("type"), "action": Field("action"),
    "createdBy": Field("created_by"), "creationTimeDateTimeUtc": Field("created_at", "time"),
    "expirationTime": Field("expires_at", "time"),
}  # fmt: skip


def error(code: str, message: str, headers: dict[str, str] | None = None) -> Answer:
    """The body of D7; `target` is a correlation id."""
    body = {"error": {"code": code, "message": message, "target": guid()}}
    return Answer(_STATUS.get(code, 400), body, headers or {})


def throttled(seconds: int) -> Answer:
    """429 with Retry-After."""
    return error("TooManyRequests", f"Too many requests. Retry after {seconds} seconds.", {"Retry-After": str(seconds)})


def broken() -> Answer:
    """500 without a message."""
    return error("InternalServerError", "")


def _refuse(code: str, message: str) -> RefusalError:
    return RefusalError(error(code, message))


def _enter(world: World, call: Call, operation: str) -> Who:
    """Authenticate, authorise and count the call.

    Raises:
        RefusalError: 401, 403 or 429.
    """
    who = bearer(world, call, DEFENDER)
    if isinstance(who, str):
        answer = error("Unauthorized", f"Unauthorized: the token is {who} or not for this API.")
        answer.headers["WWW-Authenticate"] = "Bearer"
        if world.behaviour.defender_refusal_body == "empty":
            answer.body = None
        raise RefusalError(answer)
    if not who.roles & {"Ti.ReadWrite", _ALL}:
        text = "The application has none of the required permissions (Ti.ReadWrite, Ti.ReadWrite.All)."
        raise _refuse("Forbidden", text)
    if wait := world.meter.wait(who.client_id, operation, world.now):
        raise RefusalError(throttled(wait))
    return who


# ---- operations ------------------------------------------------------------------------------------------


def _accept(world: World, who: Who, body: Any, slots: int, operation: str) -> tuple[dict[str, Any], bool]:
    item = check(body, world.behaviour, world.limits, world.now)
    if reason := world.faults.item_reason(operation, item["indicatorValue"]):
        raise ProblemError("InvalidInput", reason)
    return put(world, Author(who.tenant_id, who.client_id, who.name), item, slots)


def post(world: World, call: Call) -> Answer:
    """Submit or update one."""
    who = _enter(world, call, "defender.post")
    try:
        entity, _ = _accept(world, who, call.json(), room(world, who.tenant_id), "defender.post")
    except ProblemError as problem:
        raise _refuse(problem.code, problem.message) from problem
    context = {"@odata.context": f"{call.base}/api/$metadata#Indicators/$entity"}
    return Answer(200, context | entity, _odata())


def _odata() -> dict[str, str]:
    return {"Content-Type": ODATA_TYPE, "OData-Version": "4.0"}


def _batch(call: Call, name: str, most: int) -> list[Any]:
    body = call.json()
    items = body.get(name) if isinstance(body, dict) else None
    if not isinstance(items, list):
        raise _refuse("InvalidRequestBody", f"Request body is incorrect: {name} is missing.")
    if len(items) > most:
        raise _refuse(
            "MaximumBatchSizeExceeded",
            f"Maximum batch size exceeded. Received: {len(items)}, allowed: {most}.",
        )
    return items


def import_(world: World, call: Call) -> Answer:
    """Submit or update up to 500; one result an item, in order."""
    who = _enter(world, call, "defender.import")
    items = _batch(call, "Indicators", world.limits.import_max)
    if not items and world.behaviour.import_empty == "refused":
        raise _refuse("InvalidRequestBody", "Request body is incorrect: no indicators.")
    left, results = room(world, who.tenant_id), []
    for body in items:
        try:
            entity, fresh = _accept(world, who, body, left, "defender.import")
        except ProblemError as problem:
            if isinstance(problem, FullError) and world.behaviour.quota_import == "whole-call":
                raise _refuse(problem.code, problem.message) from problem
            results.append(_failed(world, body, problem))
            continue
        left -= fresh
        results.append(
            {
                "id": entity["id"],
                "indicator": entity["indicatorValue"],
                "isFailed": False,
                "failureReason": None,
            }
        )
    return Answer(200, {"value": results}, {"Content-Type": "application/json; charset=utf-8"})


def _failed(world: World, body: Any, problem: ProblemError) -> dict[str, Any]:
    reason = problem.message
    if world.behaviour.failure_reason == "code-and-text":
        reason = f"{problem.code}: {reason}"
    shown = {"id": "" if world.behaviour.import_failed_id == "empty" else None}
    if world.behaviour.import_failed_id == "omitted":
        shown = {}
    value = body.get("indicatorValue") if isinstance(body, dict) else None
    return shown | {"indicator": value, "isFailed": True, "failureReason": reason}


def list_(world: World, call: Call) -> Answer:
    """Active indicators the app may see, in the order of their ids."""
    who = _enter(world, call, "defender.list")
    purge(world)
    if unknown := [name for name in call.query if name.startswith("$") and name not in ("$filter", "$top", "$skip")]:
        raise _refuse("ODataError", f"The query parameter '{unknown[0]}' is not supported.")
    top, skip = _number(call, "$top", world.limits.list_max), _number(call, "$skip", None)
    sql, params = "tenant_id = ?", [who.tenant_id]
    if _ALL not in who.roles:
        sql, params = f"{sql} AND created_by = ?", [*params, who.client_id]
    if "$filter" in call.query:
        more, values = _condition(call.query["$filter"])
        sql, params = f"{sql} AND ({more})", [*params, *values]
    size = min(world.limits.list_page if top is None else top, world.limits.list_page)
    rows = world.store.db.execute(
        f"SELECT doc FROM defender_indicators WHERE {sql} ORDER BY id LIMIT ? OFFSET ?",
        [*params, size + 1, skip or 0],
    ).fetchall()
    link = _next_link(call, top, size, skip or 0) if len(rows) > size and (top is None or top > size) else ""
    # The stored documents are JSON already: joining them spares a parse and a print of every indicator.
    docs = ",".join(row["doc"] for row in rows[:size])
    context = f'"@odata.context":{json.dumps(f"{call.base}/api/$metadata#Indicators")}'
    tail = f',"@odata.nextLink":{json.dumps(link)}' if link else ""
    return Answer(200, f'{{{context},"value":[{docs}]{tail}}}', _odata())


def _condition(text: str) -> tuple[str, list[Any]]:
    try:
        return compile_filter(text, FIELDS)
    except ODataError as problem:
        raise _refuse("ODataError", str(problem)) from problem


def _number(call: Call, name: str, most: int | None) -> int | None:
    text = call.query.get(name)
    if text is None:
        return None
    if not text.isdecimal() or len(text) > 12 or (most is not None and int(text) > most):
        limit = f" up to {most}" if most else ""
        raise _refuse("ODataError", f"Invalid value '{text}' for {name}: a whole number{limit} is expected.")
    return int(text)


def _next_link(call: Call, top: int | None, size: int, skip: int) -> str:
    parts = {
        "$filter": call.query.get("$filter"),
        "$top": None if top is None else top - size,
        "$skip": skip + size,
    }
    query = "&".join(f"{name}={quote(str(value))}" for name, value in parts.items() if value is not None)
    return f"{call.base}/api/indicators?{query}"


def _find(world: World, who: Who, number: str) -> sqlite3.Row | None:
    """The indicator as this app sees it; raises 403 when it is seen but not its to delete."""
    if not number.isdecimal() or len(number) > 18:
        return None
    row: sqlite3.Row | None = world.store.db.execute(
        "SELECT id, created_by, doc FROM defender_indicators WHERE tenant_id = ? AND id = ?",
        (who.tenant_id, int(number)),
    ).fetchone()
    if row and _ALL not in who.roles and row["created_by"] != who.client_id:
        if world.behaviour.foreign_delete == "forbidden":
            raise _refuse("Forbidden", "The indicator was made by another author.")
        return None
    if row and who.device_groups is not None:
        groups = set(json.loads(row["doc"])["rbacGroupNames"])
        if not groups or not groups <= who.device_groups:
            raise _refuse("Forbidden", "The requester is not exposed to the device groups of the indicator.")
    return row


def delete(world: World, call: Call, number: str) -> Answer:
    """Delete one: 204, or 404."""
    who = _enter(world, call, "defender.delete")
    purge(world)
    row = _find(world, who, number)
    if not row:
        raise _refuse("ResourceNotFound", f"Indicator {number} was not found")
    world.store.db.execute("DELETE FROM defender_indicators WHERE id = ?", (row["id"],))
    return Answer(204)


def batch_delete(world: World, call: Call) -> Answer:
    """Delete up to 500: 204 only if every one existed."""
    who = _enter(world, call, "defender.batch-delete")
    ids = _batch(call, "IndicatorIds", world.limits.batch_delete_max)
    if not ids:
        raise _refuse("InvalidInput", "The list of indicator ids is empty.")
    for each in ids:
        if not isinstance(each, str) or not each.isdecimal():
            raise _refuse("InvalidInput", f"Invalid indicator id: {each}.")
    purge(world)
    rows = [_find(world, who, each) for each in dict.fromkeys(ids)]
    found = [row["id"] for row in rows if row]
    whole = len(found) == len(rows)
    if whole or world.behaviour.batch_delete_404 == "others-deleted":
        world.store.db.executemany("DELETE FROM defender_indicators WHERE id = ?", [(each,) for each in found])
    return Answer(204) if whole else error("ResourceNotFound", "One or more indicators were not found.")


ROUTES: list[Route] = [
    route("defender.list", "GET", "/api/indicators", list_),
    route("defender.post", "POST", "/api/indicators", post),
    route("defender.import", "POST", "/api/indicators/import", import_),
    route("defender.batch-delete", "POST", "/api/indicators/BatchDelete", batch_delete),
    route("defender.delete", "DELETE", "/api/indicators/{number}", delete),
]
