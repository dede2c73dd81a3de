"""ARM's threat-intelligence API of a Sentinel workspace (section 3.3, row 31 of section 9)."""

from __future__ import annotations

import base64
import binascii
import json
import re
import sqlite3
import uuid
from collections.abc import Callable
from typing import Any

from . import armlist, objects
from .armentry import Place, body_of, handler, refuse, shown
from .armshape import to_stix
from .objects import Workspace
from .stixcheck import problems
from .times import stamp, trimmed
from .world import Answer, Call, Route, World, route

_BASE = (
    "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.OperationalInsights/workspaces/{workspace}"
    "/providers/Microsoft.SecurityInsights/threatIntelligence/main"
)
_METHOD = "ARM API"


def _existing(world: World, place: Workspace, name: str) -> sqlite3.Row | None:
    row = objects.get(world, place, name, column="name") or objects.get(world, place, name)
    there = row and not row["deleted"] and row["stix_type"] == "indicator" and row["name"] not in world.half_deleted
    return row if there else None


def _need(world: World, place: Workspace, name: str) -> sqlite3.Row:
    row = _existing(world, place, name)
    if not row:
        raise refuse(404, "NotFound", f"Threat intelligence indicator '{name}' was not found.")
    return row


# ---- one indicator ---------------------------------------------------------------------------------------


def _put(
    world: World, at: Place, call: Call, source: str, stix_id: str, *, created: str = "", name: str = ""
) -> dict[str, Any]:
    who, place = at
    properties = body_of(call).get("properties")
    if not isinstance(properties, dict):
        raise refuse(400, "BadRequest", "properties: required property is missing.")
    source = source or properties.get("source") or "Microsoft Sentinel"
    thing = to_stix(properties, stix_id, created, world.now)
    if wrong := problems(thing, world.behaviour):
        raise refuse(400, "BadRequest", wrong[0])
    objects.store(world, place, str(source), thing, method=_METHOD, actor=who.client_id, always=True, name=name)
    row = objects.get(world, place, objects.composite(str(source), stix_id))
    if row is None:
        raise LookupError(stix_id)
    return shown(place, row)


def create(world: World, call: Call, at: Place) -> Answer:
    """POST /createIndicator."""
    shown = _put(world, at, call, "", f"indicator--{uuid.uuid4()}")
    return Answer(int(world.behaviour.arm_create_status), shown)


def get(world: World, _call: Call, at: Place, name: str) -> Answer:
    """GET /indicators/{name}."""
    return Answer(200, shown(at[1], _need(world, at[1], name)))


def put(world: World, call: Call, at: Place, name: str) -> Answer:
    """PUT /indicators/{name}: 201 when it is new."""
    row = _existing(world, at[1], name)
    if row:
        created = json.loads(row["data"])["created"]
        return Answer(200, _put(world, at, call, row["source"], row["stix_id"], created=created, name=row["name"]))
    source, stix_id = _named(name)
    return Answer(201, _put(world, at, call, source, stix_id, name=name))


def _named(name: str) -> tuple[str, str]:
    """Source and STIX id that a new name means: composite, GUID, or anything."""
    head, mark, tail = name.partition("---")
    if mark and re.fullmatch(r"indicator--[0-9a-f-]{36}", tail):
        try:
            return base64.b64decode(head, validate=True).decode(), tail
        except (binascii.Error, UnicodeDecodeError):
            pass
    try:
        return "", f"indicator--{uuid.UUID(name)}"
    except ValueError:
        return "", f"indicator--{uuid.uuid5(uuid.NAMESPACE_URL, name)}"


def delete(world: World, _call: Call, at: Place, name: str) -> Answer:
    """DELETE /indicators/{name}: 200, or 204 when there is none."""
    row = _existing(world, at[1], name)
    if row and row["method"] == objects.UPLOADED and world.behaviour.arm_delete_uploaded == "kept":
        world.half_deleted.add(row["name"])
        return Answer(200)
    if row:
        objects.remove(world, at[1], row, method=_METHOD)
        return Answer(200)
    if world.behaviour.arm_delete_missing == "404":
        raise refuse(404, "NotFound", f"Threat intelligence indicator '{name}' was not found.")
    return Answer(204)


def _tags(world: World, at: Place, row: sqlite3.Row, tags: Any, before: list[str]) -> sqlite3.Row:
    who, place = at
    if not isinstance(tags, list) or not all(isinstance(each, str) for each in tags):
        raise refuse(400, "BadRequest", "threatIntelligenceTags: a list of strings is expected.")
    thing = json.loads(row["data"]) | {
        "labels": list(dict.fromkeys([*before, *tags])), "modified": trimmed(stamp(world.now)),
    }  # fmt: skip
    objects.store(
        world, place, row["source"], thing, method=_METHOD, actor=who.client_id, always=True, name=row["name"]
    )
    return _need(world, place, row["name"])


def append_tags(world: World, call: Call, at: Place, name: str) -> Answer:
    """POST /indicators/{name}/appendTags."""
    row = _need(world, at[1], name)
    _tags(
        world,
        at,
        row,
        body_of(call).get("threatIntelligenceTags"),
        json.loads(row["data"]).get("labels") or [],
    )
    return Answer(200)


def replace_tags(world: World, call: Call, at: Place, name: str) -> Answer:
    """POST /indicators/{name}/replaceTags."""
    row, properties = _need(world, at[1], name), body_of(call).get("properties")
    tags = properties.get("threatIntelligenceTags") if isinstance(properties, dict) else None
    return Answer(200, shown(at[1], _tags(world, at, row, tags, [])))


def _route(name: str, method: str, path: str, work: Callable[..., Answer]) -> Route:
    return route(f"arm.{name}", method, _BASE + path, handler(f"arm.{name}", work))


ROUTES: list[Route] = [
    _route("create", "POST", "/createIndicator", create),
    _route("list", "GET", "/indicators", armlist.list_),
    _route("get", "GET", "/indicators/{name}", get),
    _route("put", "PUT", "/indicators/{name}", put),
    _route("delete", "DELETE", "/indicators/{name}", delete),
    _route("append-tags", "POST", "/indicators/{name}/appendTags", append_tags),
    _route("replace-tags", "POST", "/indicators/{name}/replaceTags", replace_tags),
    _route("query-indicators", "POST", "/queryIndicators", armlist.query_indicators),
    _route("query-indicators", "GET", "/queryIndicators", armlist.query_indicators),
    _route("query", "POST", "/query", armlist.query),
    _route("query", "GET", "/query", armlist.query),
    _route("count", "POST", "/count", armlist.count),
    _route("metrics", "GET", "/metrics", armlist.metrics),
]
