"""Defender's indicators as they are stored: slots, keys, creation and update (section 2.4)."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from typing import Any

from .defender_checks import ENTITY, FullError, ProblemError, identity
from .times import parse, stamp, trimmed
from .world import World


@dataclass(frozen=True)
class Author:
    """Who an indicator is by: an app, or a person at the portal."""

    tenant_id: str
    by: str
    display: str
    source: str = "PublicApi"


def purge(world: World) -> None:
    """Lapsed indicators are gone, and their slots with them."""
    world.store.db.execute("DELETE FROM defender_indicators WHERE expires_at <= ?", (stamp(world.now),))


def active(world: World, tenant: str) -> int:
    """Slots in use."""
    purge(world)
    row = world.store.db.execute("SELECT count(*) FROM defender_indicators WHERE tenant_id = ?", (tenant,)).fetchone()
    return int(row[0])


def room(world: World, tenant: str) -> int:
    """Free slots of a tenant."""
    quota = world.faults.quota()
    return (world.limits.capacity if quota is None else quota) - active(world, tenant)


def moment(world: World, salt: int) -> str:
    """Now with a seventh digit, so that answers have six or seven as the real ones do."""
    return trimmed(f"{stamp(world.now)[:-2]}{salt % 10}Z")


def put(world: World, author: Author, item: dict[str, Any], room: int) -> tuple[dict[str, Any], bool]:
    """Create or update one checked indicator; the entity, and whether it took a slot.

    Raises:
        ProblemError: no room, or the same key is somebody else's and the behaviour refuses that.
    """
    key = identity(item)
    rows = world.store.db.execute(
        "SELECT id, created_by, doc FROM defender_indicators WHERE tenant_id = ? AND key = ? ORDER BY id",
        (author.tenant_id, key),
    ).fetchall()
    own = [row for row in rows if row["created_by"] == author.by]
    if rows and not own and world.behaviour.foreign_upsert == "refused":
        raise ProblemError("InvalidInput", "An indicator with this value and action was made by another author.")
    if own or (rows and world.behaviour.foreign_upsert == "updates"):
        return _update(world, author, item, (own or rows)[0]), False
    if room <= 0:
        raise FullError(world.behaviour.quota_code, world.behaviour.quota_text)
    return _create(world, author, item, key), True


def _create(world: World, author: Author, item: dict[str, Any], key: str) -> dict[str, Any]:
    number = world.store.next_number("defender")
    when = moment(world, number)
    entity = ENTITY | item | {
        "id": str(number), "createdBy": author.by, "lastUpdatedBy": author.by,
        "createdByDisplayName": author.display,
        "createdBySource": author.source, "creationTimeDateTimeUtc": when, "lastUpdateTime": when,
    }  # fmt: skip
    world.store.db.execute(
        "INSERT INTO defender_indicators VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (number, author.tenant_id, key, item["indicatorValue"], item["indicatorType"], item["action"],
         author.by,
         stamp(world.now), _end(entity), json.dumps(entity)),
    )  # fmt: skip
    return entity


def _update(world: World, author: Author, item: dict[str, Any], row: sqlite3.Row) -> dict[str, Any]:
    before = json.loads(row["doc"])
    kept = (
        "id",
        "application",
        "createdBy",
        "createdByDisplayName",
        "createdBySource",
        "creationTimeDateTimeUtc",
    )
    entity = ENTITY | item | {name: before[name] for name in kept}
    entity |= {"lastUpdatedBy": author.by, "lastUpdateTime": moment(world, row["id"])}
    save(world, entity)
    return entity


def save(world: World, entity: dict[str, Any]) -> None:
    """Write a changed entity over the stored one."""
    world.store.db.execute(
        "UPDATE defender_indicators SET key = ?, value = ?, type = ?, action = ?, expires_at = ?, doc = ? "
        "WHERE id = ?",
        (identity(entity), entity["indicatorValue"], entity["indicatorType"], entity["action"], _end(entity),
         json.dumps(entity), int(entity["id"])),
    )  # fmt: skip


def _end(entity: dict[str, Any]) -> str | None:
    moment = parse(entity["expirationTime"])
    return stamp(moment) if moment else None
