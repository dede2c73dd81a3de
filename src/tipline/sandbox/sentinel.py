"""Sentinel's upload APIs: STIX objects, and the two legacy routes for indicators (sections 3.1, 3.2)."""

from __future__ import annotations

from typing import Any

from . import objects
from .objects import Workspace
from .stixcheck import problems
from .times import parse
from .tokens import ARM, Who, bearer
from .world import Answer, Call, RefusalError, Route, World, guid, route

_RESERVED = "microsoft sentinel"
_ARM_CODES = {
    400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 413: "RequestEntityTooLarge",
}  # fmt: skip


def gateway(status: int, message: str, **more: Any) -> Answer:
    """The body of the API gateway in front of the service."""
    return Answer(status, {"statusCode": status, "message": message, **more})


def throttled(world: World, seconds: int) -> Answer:
    """429, with the wait in words and, if switched so, in Retry-After."""
    answer = gateway(429, f"Rate limit is exceeded. Try again in {seconds} seconds.")
    if world.behaviour.retry_after == "present":
        answer.headers["Retry-After"] = str(seconds)
    return answer


def broken() -> Answer:
    """500 as seen in the field."""
    return gateway(500, "Internal server error", activityId=guid())


def _refuse(world: World, status: int, message: str) -> RefusalError:
    shape = world.behaviour.sentinel_refusal_body
    answer = gateway(status, message)
    if shape == "arm":
        answer.body = {"error": {"code": _ARM_CODES[status], "message": message}}
    elif shape == "empty":
        answer.body = None
    if status == 401:
        answer.headers["WWW-Authenticate"] = "Bearer"
    return RefusalError(answer)


def find_workspace(world: World, tenant: str, column: str, values: tuple[str, ...]) -> Workspace | None:
    """A workspace of a tenant; `column` is the SQL of what must equal `values`."""
    row = world.store.db.execute(
        f"SELECT workspace_id, tenant_id, subscription_id, resource_group, name FROM workspaces "
        f"WHERE tenant_id = ? AND {column}",
        (tenant, *values),
    ).fetchone()
    return Workspace(*row) if row else None


def may_write(world: World, place: Workspace, who: Who) -> bool:
    """Microsoft Sentinel Contributor on the workspace, once the assignment has propagated."""
    row = world.store.db.execute(
        "SELECT granted_at FROM grants WHERE workspace_id = ? AND client_id = ?",
        (place.workspace_id, who.client_id),
    ).fetchone()
    granted = parse(row["granted_at"]) if row else None
    return granted is not None and (world.now - granted).total_seconds() >= world.behaviour.rbac_delay_seconds


def _enter(world: World, call: Call, workspace: str) -> tuple[Who, Workspace]:
    """Authenticate, authorise and count the call.

    Raises:
        RefusalError: 401, 404, 403, 429 or 400.
    """
    who = bearer(world, call, ARM)
    if isinstance(who, str):
        raise _refuse(world, 401, f"Unauthorized. Access token is {who} or not for this API.")
    place = find_workspace(world, who.tenant_id, "workspace_id = lower(?)", (workspace,))
    if not place:
        raise _refuse(world, 404, f"Workspace {workspace} was not found.")
    if not may_write(world, place, who):
        action = "Microsoft.SecurityInsights/threatintelligence/write"
        raise _refuse(world, 403, f"The client does not have authorization for {action} on the workspace.")
    if wait := world.meter.wait(who.client_id, "sentinel.upload", world.now):
        raise RefusalError(throttled(world, wait))
    if "api-version" not in call.query and world.behaviour.api_version == "required":
        raise _refuse(world, 400, "The api-version query parameter is required.")
    return who, place


def _body(world: World, call: Call, name: str) -> tuple[str, list[Any]]:
    body = call.json()
    if not isinstance(body, dict):
        raise _refuse(world, 400, "The request body is not a JSON object.")
    source, things = body.get("sourcesystem"), body.get(name)
    if not isinstance(source, str) or not source.strip():
        raise _refuse(world, 400, "Error for Property=sourcesystem: Required property is missing. Actual value: NULL.")
    if source.strip().lower() == _RESERVED and world.behaviour.restricted_source == "refused":
        raise _refuse(world, 400, f"Error for Property=sourcesystem: The value '{source}' is restricted.")
    if not isinstance(things, list):
        raise _refuse(world, 400, f"Error for Property={name}: Required property is missing. Actual value: NULL.")
    if len(things) > world.limits.upload_max:
        status = int(world.behaviour.too_many_objects)
        raise _refuse(world, status, f"At most {world.limits.upload_max} objects are allowed. Received: {len(things)}.")
    return source, things


def _take(world: World, who: Who, place: Workspace, source: str, things: list[Any], *, only: str = "") -> Answer:
    errors, accepted = [], 0
    for index, thing in enumerate(things):
        found = problems(thing, world.behaviour)
        if not found and only and thing["type"] != only:
            found = [f"Error for Property=type: Only {only} is allowed. Actual value: {thing['type']}."]
        if not found and (reason := _fault(world, thing)):
            found = [reason]
        if found:
            errors.append({"recordIndex": index, "errorMessages": found})
            continue
        objects.store(world, place, source, thing, method=objects.UPLOADED, actor=who.client_id)
        accepted += 1
    if not accepted and world.behaviour.none_valid == "refused":
        return Answer(400, {"errors": errors})
    return Answer(200, {"errors": errors} if errors else None)


def _fault(world: World, thing: dict[str, Any]) -> str | None:
    return world.faults.item_reason("sentinel.upload", str(thing.get("pattern", "")), thing["id"])


def upload(world: World, call: Call, workspace: str) -> Answer:
    """Upload STIX objects."""
    who, place = _enter(world, call, workspace)
    source, things = _body(world, call, "stixobjects")
    return _take(world, who, place, source, things)


def upload_v2(world: World, call: Call, workspace: str) -> Answer:
    """Legacy: indicators under `indicators`."""
    who, place = _enter(world, call, workspace)
    source, things = _body(world, call, "indicators")
    return _take(world, who, place, source, things, only="indicator")


def upload_v1(world: World, call: Call, workspace: str) -> Answer:
    """Legacy and older: indicators under `value`."""
    who, place = _enter(world, call, workspace)
    source, things = _body(world, call, "value")
    return _take(world, who, place, source, things, only="indicator")


ROUTES: list[Route] = [
    route("sentinel.upload", "POST", "/workspaces/{workspace}/threat-intelligence-stix-objects:upload", upload),
    # Microsoft's template for the government cloud spells the path without the first hyphen.
    route("sentinel.upload", "POST", "/workspaces/{workspace}/threatintelligence-stix-objects:upload", upload),
    route("sentinel.upload-v2", "POST", "/workspaces/{workspace}/threatintelligenceindicators:upload", upload_v2),
    route("sentinel.upload-v1", "POST", "/{workspace}/threatintelligence:upload-indicators", upload_v1),
]
