"""What a person does at the Defender portal: adding, editing and deleting indicators, beside the API."""

from __future__ import annotations

import json
from typing import Any

from tipline.errors import TiplineError

from . import defender_store
from .defender_checks import ProblemError, check
from .world import World

PERSON = "analyst@sandbox.onmicrosoft.com"


class PortalError(TiplineError):
    """The portal refuses."""

    code = "portal"


def add(world: World, tenant: str, value: str, kind: str, action: str, **fields: Any) -> str:
    """Add an indicator as a person (createdBySource Portal); its id.

    Raises:
        PortalError: Defender would refuse it.
    """
    base = {"title": value, "description": "Added at the portal", "generateAlert": action == "Audit"}
    body = base | fields | {"indicatorValue": value, "indicatorType": kind, "action": action}
    author = defender_store.Author(tenant, PERSON, PERSON, "Portal")
    try:
        with world.store.transaction():
            room = world.limits.capacity - defender_store.active(world, tenant)
            item = check(body, world.behaviour, world.limits, world.now)
            entity, _ = defender_store.put(world, author, item, room)
    except ProblemError as problem:
        raise PortalError(problem.message, where=value, fix=problem.code) from problem
    return str(entity["id"])


def _entity(world: World, number: str) -> dict[str, Any]:
    row = world.store.db.execute("SELECT doc FROM defender_indicators WHERE id = ?", (number,)).fetchone()
    if not row:
        raise PortalError(f"no indicator {number}", where="portal", fix="use the id of an active indicator")
    entity: dict[str, Any] = json.loads(row["doc"])
    return entity


def edit(world: World, number: str, **changes: Any) -> None:
    """Change fields of an indicator as a person, whoever made it.

    Raises:
        PortalError: there is no such indicator.
    """
    with world.store.transaction():
        entity = _entity(world, number) | changes
        entity |= {
            "id": str(number),
            "lastUpdatedBy": PERSON,
            "lastUpdateTime": defender_store.moment(world, int(number)),
        }
        defender_store.save(world, entity)


def delete(world: World, number: str) -> None:
    """Delete an indicator as a person, whoever made it.

    Raises:
        PortalError: there is no such indicator.
    """
    with world.store.transaction() as db:
        _entity(world, number)
        db.execute("DELETE FROM defender_indicators WHERE id = ?", (number,))
