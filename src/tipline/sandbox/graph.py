"""Graph's retired tiIndicators API (section 4): submit, update, list, delete; each app sees its own only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from .times import parse, stamp
from .tokens import GRAPH, Who, bearer
from .world import Answer, Call, RefusalError, Route, World, guid, route

MOST = 100
_BASE = "/beta/security/tiIndicators"
_ROLE = "ThreatIndicators.ReadWrite.OwnedBy"
_PRODUCTS = ("Azure Sentinel", "Microsoft Defender ATP")
_WORDS: dict[str, tuple[str, ...]] = {
    "action": ("unknown", "allow", "block", "alert"),
    "threatType": ("Botnet", "C2", "CryptoMining", "Darknet", "DDoS", "MaliciousUrl", "Malware", "Phishing", "Proxy",
                   "PUA", "WatchList"),
    "tlpLevel": ("unknown", "white", "green", "amber", "red"),
    "targetProduct": _PRODUCTS,
    "fileHashType": ("unknown", "sha1", "sha256", "md5", "authenticodeHash256", "lsHash", "ctph"),
}  # fmt: skip
_REQUIRED = {
    "Azure Sentinel": ("action", "description", "expirationDateTime", "targetProduct", "threatType", "tlpLevel"),
    "Microsoft Defender ATP": ("action",),
}
_OBSERVABLES = {
    "domainName", "url", "fileHashValue", "networkIPv4", "networkIPv6", "networkDestinationIPv4",
    "networkDestinationIPv6", "networkSourceIPv4", "networkSourceIPv6", "networkCidrBlock", "emailSenderAddress",
    "fileName", "filePath", "userAgent",
}  # fmt: skip
_DEFENDER = {"domainName", "url", "fileHashValue", "networkDestinationIPv4", "networkDestinationIPv6"}
_LONGEST = 100
_SEVERITY = 5


def _error(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> Answer:
    inner = {"request-id": guid()}
    return Answer(status, {"error": {"code": code, "message": message, "innerError": inner}}, headers or {})


def throttled(seconds: int) -> Answer:
    """429 with Retry-After."""
    return _error(429, "TooManyRequests", "Too many requests.", {"Retry-After": str(seconds)})


def broken() -> Answer:
    """500."""
    return _error(500, "UnknownError", "")


def _enter(world: World, call: Call, operation: str) -> Who:
    """Authenticate, authorise and count.

    Raises:
        RefusalError: 401, 403 or 429.
    """
    who = bearer(world, call, GRAPH)
    if isinstance(who, str):
        raise RefusalError(_error(401, "InvalidAuthenticationToken", f"Access token is {who}."))
    if _ROLE not in who.roles:
        raise RefusalError(_error(403, "Forbidden", f"The application lacks {_ROLE}."))
    if wait := world.meter.wait(who.client_id, operation, world.now):
        raise RefusalError(throttled(wait))
    return who


def _values(call: Call) -> list[Any]:
    body = call.json()
    found = body.get("value") if isinstance(body, dict) else None
    if not isinstance(found, list):
        raise RefusalError(_error(400, "BadRequest", "The body could not be deserialised: value is missing."))
    if not 1 <= len(found) <= MOST:
        raise RefusalError(_error(400, "BadRequest", f"Between 1 and {MOST} items are taken; there are {len(found)}."))
    return found


def _faults(item: Any) -> Iterator[str]:
    """What is wrong with an indicator."""
    if not isinstance(item, dict):
        yield "an item is no object"
        return
    product = item.get("targetProduct")
    for name, words in _WORDS.items():
        if item.get(name) is not None and item[name] not in words:
            yield f"{name} is not one of {', '.join(words)}"
    for name in _REQUIRED.get(str(product), ("targetProduct",)):
        if not item.get(name):
            yield f"{name} is required"
    yield from _observable_faults(item, {name for name in _OBSERVABLES if item.get(name)})
    if len(str(item.get("description") or "")) > _LONGEST:
        yield f"description is longer than {_LONGEST} characters"
    for name, most in (("confidence", 100), ("severity", _SEVERITY)):
        value = item.get(name)
        if value is not None and not (isinstance(value, int) and 0 <= value <= most):
            yield f"{name} is not between 0 and {most}"
    end = item.get("expirationDateTime")
    if end is not None and parse(end) is None:
        yield "expirationDateTime is no time"


def _observable_faults(item: dict[str, Any], seen: set[str]) -> Iterator[str]:
    if not seen:
        yield "an observable is required"
    if item.get("targetProduct") == _PRODUCTS[1] and not seen & _DEFENDER:
        yield f"{_PRODUCTS[1]} takes {', '.join(sorted(_DEFENDER))}"
    if "fileHashValue" in seen and not item.get("fileHashType"):
        yield "fileHashType goes with fileHashValue"


def _put(world: World, who: Who, item: dict[str, Any]) -> dict[str, Any]:
    """Keep an indicator; one of the app with the same externalId and product is replaced."""
    db, outside = world.store.db, item.get("externalId")
    row = None
    if outside:
        row = db.execute(
            "SELECT id FROM graph_indicators WHERE client_id = ? AND external_id = ? AND product = ?",
            (who.client_id, outside, item["targetProduct"]),
        ).fetchone()
    entity = {**item, "id": row["id"] if row else guid(), "azureTenantId": who.tenant_id, "isActive": True,
              "ingestedDateTime": stamp(world.now)}  # fmt: skip
    end = parse(item["expirationDateTime"]) if item.get("expirationDateTime") else None
    db.execute(
        "INSERT OR REPLACE INTO graph_indicators VALUES (?, ?, ?, ?, ?, ?)",
        (entity["id"], who.client_id, outside, item["targetProduct"], stamp(end) if end else None, json.dumps(entity)),
    )
    return entity


def submit(world: World, call: Call) -> Answer:
    """Up to 100: 200, or 206 with an Error in the items that failed."""
    who = _enter(world, call, "graph.submit")
    made = []
    for item in _values(call):
        fault = world.faults.item_reason("graph.submit", _observable(item)) or next(_faults(item), "")
        if fault:
            inner = json.dumps({"error": {"code": "InvalidInput", "message": fault, "innerError": {}}})
            shown = item if isinstance(item, dict) else {}
            made.append({**shown, "id": "Failed to create, check Error element for reason", "Error": inner})
        else:
            made.append(_put(world, who, item))
    return Answer(206 if any("Error" in each for each in made) else 200, {"value": made})


def _observable(item: Any) -> str:
    return next((str(item[name]) for name in sorted(_OBSERVABLES) if isinstance(item, dict) and item.get(name)), "")


def list_(world: World, call: Call) -> Answer:
    """The app's indicators that have not lapsed, 100 a page."""
    who = _enter(world, call, "graph.list")
    skip = int(call.query.get("$skiptoken", "0"))
    db = world.store.db
    db.execute("DELETE FROM graph_indicators WHERE expires_at <= ?", (stamp(world.now),))
    rows = db.execute(
        "SELECT doc FROM graph_indicators WHERE client_id = ? ORDER BY id LIMIT ? OFFSET ?",
        (who.client_id, MOST + 1, skip),
    ).fetchall()
    page: dict[str, Any] = {"value": [json.loads(row["doc"]) for row in rows[:MOST]]}
    if len(rows) > MOST:
        page["@odata.nextLink"] = f"{call.base}{_BASE}?$skiptoken={skip + MOST}"
    return Answer(200, page)


def delete_many(world: World, call: Call) -> Answer:
    """Delete by id: a result for each."""
    return _delete(world, call, "graph.delete-many", "id")


def delete_by_external(world: World, call: Call) -> Answer:
    """Delete by externalId: a result for each."""
    return _delete(world, call, "graph.delete-external", "external_id")


def _delete(world: World, call: Call, operation: str, column: str) -> Answer:
    who = _enter(world, call, operation)
    results = []
    for name in _values(call):
        done = world.store.db.execute(
            f"DELETE FROM graph_indicators WHERE client_id = ? AND {column} = ?", (who.client_id, str(name))
        ).rowcount
        found = {"code": 200, "message": "", "subCode": ""}
        results.append(found if done else {"code": 404, "message": "Not found", "subCode": "NotFound"})
    return Answer(200, {"value": results})


ROUTES: list[Route] = [
    route("graph.list", "GET", _BASE, list_),
    route("graph.submit", "POST", f"{_BASE}/submitTiIndicators", submit),
    route("graph.delete-many", "POST", f"{_BASE}/deleteTiIndicators", delete_many),
    route("graph.delete-external", "POST", f"{_BASE}/deleteTiIndicatorsByExternalId", delete_by_external),
]
