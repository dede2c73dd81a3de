"""Sentinel's objects and the append-only rows that the tables show of them."""

from __future__ import annotations

import base64
import json
import sqlite3
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from .stixpattern import Comparison, comparisons
from .times import parse, stamp
from .world import World

# LastUpdateMethod of what came over the upload API.
UPLOADED = "Upload API"
#: marking-definition ids -> TLPLevel; TLP 1 of STIX 2.0/2.1, the green of Microsoft's sample, and TLP 2.0
_TLP = {
    "613f2e26-407d-48c7-9eca-b8e91df99dc9": "white", "34098fce-860f-48ae-8e50-ebd3cc5e41da": "green",
    "089a6ecb-cc15-43cc-9494-767639779123": "green", "f88d31f6-486f-44da-b317-01333bde0b82": "amber",
    "5e57c739-391a-4eb3-b6be-7d15ca92d5ed": "red", "94868c89-83c2-464b-929b-a1a8aa3c8487": "white",
    "bab4a63c-aed9-4cf5-a766-dfca5abac2bb": "green", "55d920b0-5e8b-4f79-9ee9-91f868d9b421": "amber",
    "939a9414-2ddd-4d32-a0cd-375ea402b003": "amber", "e828b379-4e03-4974-9ac4-e53a884c97c1": "red",
}  # fmt: skip
_RANK = ("white", "green", "amber", "red")
_LEGACY = {
    "ipv4-addr:value": "NetworkIP", "ipv6-addr:value": "NetworkIP", "domain-name:value": "DomainName",
    "network-traffic:src_ref.value": "NetworkSourceIP",
    "network-traffic:dst_ref.value": "NetworkDestinationIP",
    "url:value": "Url", "email-addr:value": "EmailSenderAddress", "file:name": "FileName",
}  # fmt: skip
_HASHES = {"MD5": "MD5", "SHA-1": "SHA1", "SHA-256": "SHA256"}


@dataclass(frozen=True)
class Workspace:
    """A registered workspace."""

    workspace_id: str
    tenant_id: str
    subscription_id: str
    resource_group: str
    name: str


def composite(source: str, stix_id: str) -> str:
    """The id of tables and ARM: base64(source)---STIX id."""
    return f"{base64.b64encode(source.encode()).decode()}---{stix_id}"


def tlp(thing: dict[str, Any]) -> dict[str, str]:
    """AdditionalFields: the strictest TLP level among the markings."""
    ids = (str(each).removeprefix("marking-definition--") for each in thing.get("object_marking_refs") or ())
    levels = [_TLP[each] for each in ids if each in _TLP]
    return {"TLPLevel": max(levels, key=_RANK.index)} if levels else {}


def legacy_columns(found: list[Comparison]) -> dict[str, str]:
    """The observables of a pattern in the legacy table's columns; the first of a kind wins."""
    columns: dict[str, str] = {}
    for each in found:
        if each.key.startswith("file:hashes") and "FileHashValue" not in columns:
            kind = next((name for mark, name in _HASHES.items() if mark in each.key.upper()), "")
            columns |= {"FileHashType": kind, "FileHashValue": each.value}
        elif each.key in _LEGACY:
            columns.setdefault(_LEGACY[each.key], each.value)
    return columns


def get(world: World, place: Workspace, key: str, *, column: str = "id") -> sqlite3.Row | None:
    """An object by its composite id (or by `column`: name, stix_id), deleted ones too."""
    row: sqlite3.Row | None = world.store.db.execute(
        f"SELECT * FROM sentinel_objects WHERE workspace_id = ? AND {column} = ? ORDER BY deleted LIMIT 1",
        (place.workspace_id, key),
    ).fetchone()
    return row


def store(
    world: World, place: Workspace, source: str, thing: dict[str, Any],
    *, method: str, actor: str, always: bool = False, name: str = "",
) -> bool:  # fmt: skip
    """Take an object in, and append its rows.

    Args:
        world: the stand-in.
        place: where.
        source: the source system.
        thing: a checked STIX object.
        method: LastUpdateMethod.
        actor: the app that did it.
        always: take it whatever the behaviours say of stale or revoked objects (ARM, the portal).
        name: ARM's name, where it is not the composite id.

    Returns:
        False when the behaviours say that nothing changes.
    """
    key, text = composite(source, thing["id"]), json.dumps(thing, separators=(",", ":"))
    before = get(world, place, key)
    if not always and before and not before["deleted"] and _unchanged(world, before, thing, text):
        return False
    _write(world, place, source, thing, text, name=name or key, method=method, actor=actor)
    return True


def _unchanged(world: World, before: sqlite3.Row, thing: dict[str, Any], text: str) -> bool:
    if before["revoked"] and world.behaviour.after_revocation == "ignored" and not thing.get("revoked"):
        return True
    if _time(thing, "modified") < before["modified"] and world.behaviour.stale_modified == "ignored":
        return True
    return bool(before["data"] == text and world.behaviour.identical_upload == "ignored")


def _time(thing: dict[str, Any], name: str) -> str:
    moment = parse(thing.get(name))
    return stamp(moment) if moment else ""


def _write(
    world: World,
    place: Workspace,
    source: str,
    thing: dict[str, Any],
    text: str,
    *,
    name: str,
    method: str,
    actor: str,
) -> None:
    now = stamp(world.now)
    world.store.db.execute(
        "INSERT INTO sentinel_objects VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) "
        "ON CONFLICT (workspace_id, id) DO UPDATE SET modified = excluded.modified, "
        "valid_until = excluded.valid_until, revoked = excluded.revoked, deleted = 0, "
        "first_ingested = iif(deleted, excluded.first_ingested, first_ingested), data = excluded.data, "
        "last_ingested = excluded.last_ingested, published = excluded.published, method = excluded.method, "
        "actor = excluded.actor, etag = excluded.etag",
        (place.workspace_id, composite(source, thing["id"]), name, source, thing["id"], thing["type"],
         _time(thing, "modified"), _time(thing, "valid_until") or None,
         int(bool(thing.get("revoked"))), 0, text,
         now, now, now,
         method, actor, world.store.next_number("etag")),
    )  # fmt: skip
    publish(world, place, source, thing, text, deleted=False, method=method)


def remove(world: World, place: Workspace, row: sqlite3.Row, *, method: str) -> None:
    """Delete an object: its last rows say IsDeleted."""
    world.store.db.execute(
        "UPDATE sentinel_objects SET deleted = 1 WHERE workspace_id = ? AND id = ?",
        (place.workspace_id, row["id"]),
    )
    publish(world, place, row["source"], json.loads(row["data"]), row["data"], deleted=True, method=method)


def publish(
    world: World, place: Workspace, source: str, thing: dict[str, Any], text: str,
    *, deleted: bool, method: str, shown_source: str | None = None,
) -> None:  # fmt: skip
    """Append the rows of one state of an object: one a comparison of its pattern, or an empty one."""
    now, indicator = world.now, thing["type"] == "indicator"
    found = comparisons(thing["pattern"]) if indicator and thing["pattern_type"] == "stix" else []
    delay = timedelta(seconds=world.behaviour.row_delay_seconds)
    head = (
        thing["type"],
        composite(source, thing["id"]),
        stamp(now),
        stamp(now + delay),
        shown_source or source,
        source,
    )
    middle = (
        _time(thing, "created"), _time(thing, "modified"), _time(thing, "valid_from") or None,
        _time(thing, "valid_until") or None, thing.get("confidence"),
        int(bool(thing.get("revoked"))), int(deleted),
        thing.get("pattern"),
    )  # fmt: skip
    tail = (
        json.dumps(thing.get("labels") or []), method, text,
        json.dumps(tlp(thing)), json.dumps(legacy_columns(found)),
        place.tenant_id, place.workspace_id,
    )  # fmt: skip
    rows = [(part, *head, *middle, *each, *tail) for part, each in enumerate(found or [Comparison("", "")])]
    marks = ",".join("?" * len(rows[0]))
    world.store.db.executemany(f"INSERT INTO sentinel_rows VALUES (NULL,{marks})", rows)


def republish(world: World, *, due_only: bool = False) -> int:
    """Append rows of every unexpired object again, as SourceSystem LogARepublisher; how many objects.

    Args:
        world: the stand-in.
        due_only: only objects whose last rows are `republish_days` old.
    """
    days = world.behaviour.republish_days
    if due_only and days <= 0:
        return 0
    now = world.now
    before = stamp(now - timedelta(days=days)) if due_only else "9999"
    rows = world.store.db.execute(
        "SELECT o.*, w.tenant_id, w.subscription_id, w.resource_group, w.name AS workspace "
        "FROM sentinel_objects o JOIN workspaces w USING (workspace_id) WHERE NOT deleted AND published <= ? "
        "AND (valid_until IS NULL OR valid_until > ?)",
        (before, stamp(now)),
    ).fetchall()
    for row in rows:
        place = Workspace(
            row["workspace_id"],
            row["tenant_id"],
            row["subscription_id"],
            row["resource_group"],
            row["workspace"],
        )
        publish(world, place, row["source"], json.loads(row["data"]), row["data"], deleted=False,
                method="LogARepublisher", shown_source="LogARepublisher")  # fmt: skip
    world.store.db.executemany(
        "UPDATE sentinel_objects SET published = ? WHERE workspace_id = ? AND id = ?",
        [(stamp(now), row["workspace_id"], row["id"]) for row in rows],
    )
    return len(rows)
