"""Entry to ARM's API: who calls, which workspace, and the shapes of refusals."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from .armshape import indicator_properties, resource
from .objects import Workspace
from .sentinel import find_workspace, may_write
from .tokens import ARM, Who, bearer
from .world import Answer, Call, RefusalError, World

_TOKEN_CODES = {
    "missing": "AuthenticationFailed", "invalid": "InvalidAuthenticationToken",
    "expired": "ExpiredAuthenticationToken", "audience": "InvalidAuthenticationTokenAudience",
}  # fmt: skip
Place = tuple[Who, Workspace]


def error(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> Answer:
    """A CloudError."""
    return Answer(status, {"error": {"code": code, "message": message}}, headers or {})


def throttled(seconds: int) -> Answer:
    """429 with Retry-After."""
    text = f"The request is being throttled. Retry after {seconds} seconds."
    return error(429, "TooManyRequests", text, {"Retry-After": str(seconds)})


def broken() -> Answer:
    """500."""
    return error(500, "InternalServerError", "Internal server error")


def refuse(status: int, code: str, message: str) -> RefusalError:
    """A CloudError to raise."""
    return RefusalError(error(status, code, message))


def _enter(world: World, call: Call, operation: str, path: dict[str, str]) -> Place:
    """Authenticate, find the workspace, authorise.

    Raises:
        RefusalError: 401, 400, 404, 403 or 429.
    """
    who = bearer(world, call, ARM)
    if isinstance(who, str):
        answer = error(401, _TOKEN_CODES[who], f"The access token is {who} or not for this API.")
        answer.headers["WWW-Authenticate"] = f'Bearer authorization_uri="{call.base}/", error="invalid_token"'
        raise RefusalError(answer)
    if "api-version" not in call.query:
        raise refuse(400, "MissingApiVersionParameter", "The api-version query parameter (?api-version=) is required.")
    where = "lower(subscription_id) = lower(?) AND lower(resource_group) = lower(?) AND lower(name) = lower(?)"
    values = (path["subscription"], path["group"], path["workspace"])
    place = find_workspace(world, who.tenant_id, where, values)
    if not place:
        text = f"The workspace '{path['workspace']}' under resource group '{path['group']}' was not found."
        raise refuse(404, "ResourceNotFound", text)
    if not may_write(world, place, who):
        text = f"The client '{who.client_id}' does not have authorization to perform action over the scope."
        raise refuse(403, "AuthorizationFailed", text)
    if wait := world.meter.wait(who.client_id, operation, world.now):
        raise RefusalError(throttled(wait))
    return who, place


def handler(operation: str, work: Callable[..., Answer]) -> Callable[..., Answer]:
    """Wrap the entry checks around the work on a workspace."""

    def handle(world: World, call: Call, **path: str) -> Answer:
        place = _enter(world, call, operation, path)
        rest = {name: value for name, value in path.items() if name not in ("subscription", "group", "workspace")}
        return work(world, call, place, **rest)

    return handle


def body_of(call: Call) -> dict[str, Any]:
    """The request's JSON object; empty when there is no body."""
    body = call.json() if call.body else {}
    if not isinstance(body, dict):
        raise refuse(400, "BadRequest", "The request body is not a JSON object.")
    return body


def shown(place: Workspace, row: sqlite3.Row) -> dict[str, Any]:
    """An indicator as a resource."""
    return resource(place, row, indicator_properties(row))
