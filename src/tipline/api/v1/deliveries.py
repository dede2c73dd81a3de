"""Deliveries: how far each has come, what far sides answered, and whether they are as they should be."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from tipline.api.v1.asking import CHANGED, Body, Configuring, Cursor, Holds, Read, cursor, position, tagged
from tipline.api.v1.nodes import Limit, Name
from tipline.durations import Duration
from tipline.engine.defender_items import Group
from tipline.engine.override_operations import Changes

router = APIRouter(prefix="/deliveries", tags=["deliveries"])
Word = Annotated[str, Query(max_length=200)]
Value = Annotated[str, Query(max_length=8000, description="The indicator, in any spelling.")]
TypeOf = Annotated[str | None, Query(alias="type", max_length=40, description="Its type; detected unless given.")]


class Wish(Body):
    """How one indicator is to be at the far side, and why."""

    changes: Changes = Field(description="What is set; the rest is as the output's settings say.")
    reason: str = Field(min_length=1, max_length=2000, description="Why; kept with it.")
    until: str | None = Field(
        default=None, max_length=40, description="When the override ends, such as 7d or a moment; never unless given."
    )
    confirmed: bool = Field(default=False, description="Needed for an action that blocks or lets through.")


@router.get("")
def deliveries(asked: Read) -> dict[str, Any]:
    """Every delivery: state, lag, counts, and refusals by reason."""
    return asked.call("deliveries")


@router.get("/{name}/history")
def history(
    asked: Read, name: Name, span: Annotated[Duration | None, Query(description="How far back, such as 7d.")] = None
) -> dict[str, Any]:
    """What the delivery did over time: sent, accepted, errors and deleted, in equal parts of the span (24h)."""
    return asked.call("delivery_history", output=name, span=span)


@router.get("/{name}/receipts")
def receipts(
    asked: Read,
    name: Name,
    state: Annotated[str, Query(max_length=20, description="Only those in this state.")] = "",
    type_: Annotated[list[str] | None, Query(alias="type", max_length=100, description="Only these types.")] = None,
    text: Annotated[str, Query(max_length=200, description="A part of the value.")] = "",
    reason: Annotated[str, Query(max_length=2000, description="The far side's words, in full.")] = "",
    limit: Limit = 100,
    cursor_: Cursor = None,
) -> dict[str, Any]:
    """What the far side answered for each indicator."""
    (after,) = position(cursor_, str) or [None]
    wanted = {"state": state, "types": type_, "text": text, "reason": reason}
    found = asked.call("receipts", output=name, limit=limit, after=after, **wanted)
    return {"receipts": found["receipts"], "next": cursor([found["next"]] if found["next"] else None)}


@router.get("/{name}/far-side")
def far_side(asked: Read, name: Name) -> dict[str, Any]:
    """What the far side has, by type, end and confidence; and what is published, by source."""
    return asked.call("far_side", output=name)


@router.get("/{name}/slots")
def slots(
    asked: Read,
    name: Name,
    waiting: Annotated[str, Query(max_length=40, description="no-slot, covered, ended, refused or placed.")] = "",
    text: Annotated[str, Query(max_length=200, description="A part of the value.")] = "",
    limit: Limit = 100,
    cursor_: Cursor = None,
) -> dict[str, Any]:
    """Which published indicators are to be at the far side, and which wait and why; the most confident first."""
    after = position(cursor_, int, str)
    found = asked.call("slots", output=name, waiting=waiting, text=text, limit=limit, after=after)
    return {**found, "next": cursor(found["next"])}


@router.get("/{name}/defender")
def defender_items(
    asked: Read,
    name: Name,
    group: Annotated[Group | None, Query(description="A tab of the portal.")] = None,
    whose: Annotated[str | None, Query(pattern="^(ours|foreign)$", description="ours or foreign.")] = None,
    action: Word = "",
    severity: Word = "",
    by: Annotated[str, Query(max_length=200, description="Who made it.")] = "",
    text: Annotated[str, Query(max_length=200, description="A part of the value or the title.")] = "",
    expires: Annotated[Duration | None, Query(description="Expires within this time, such as 7d.")] = None,
    edited: Annotated[bool | None, Query(description="Whether people have set something for it.")] = None,
    limit: Limit = 100,
    cursor_: Cursor = None,
) -> dict[str, Any]:
    """A Defender tenant's indicators: ours as accepted, others' as last read."""
    words = {"group": group, "whose": whose, "action": action, "severity": severity, "by": by, "text": text}
    wanted: dict[str, Any] = {**words, "expires": expires, "edited": edited}
    after = position(cursor_, str, str)
    found = asked.call("defender_items", output=name, wanted=wanted, limit=limit, after=after)
    return {**found, "next": cursor(found["next"])}


@router.get("/{name}/sentinel")
def sentinel_items(
    asked: Read,
    name: Name,
    whose: Annotated[str, Query(pattern="^(ours|foreign)$", description="ours or foreign.")] = "ours",
    type_: Annotated[str, Query(alias="type", max_length=40, description="Only this type.")] = "",
    source: Annotated[str, Query(max_length=200, description="A source; others': as shown there.")] = "",
    confidence: Annotated[
        int | None, Query(ge=-1, le=100, description="In the same band of 25 (0, 25, 50, 75, 100); -1 for none.")
    ] = None,
    text: Annotated[str, Query(max_length=200, description="A part of the value.")] = "",
    expires: Annotated[Duration | None, Query(description="Ends within this time, such as 7d.")] = None,
    limit: Limit = 100,
    cursor_: Cursor = None,
) -> dict[str, Any]:
    """A Sentinel workspace's indicators, the last received first: by our receipts, and as the workspace shows them."""
    words = {"whose": whose, "type": type_, "source": source, "text": text}
    wanted: dict[str, Any] = {**words, "confidence": confidence, "expires": expires}
    after = position(cursor_, str, str)
    found = asked.call("sentinel_items", output=name, wanted=wanted, limit=limit, after=after)
    return {**found, "next": cursor(found["next"])}


@router.get("/{name}/preview")
def preview(asked: Read, name: Name, limit: Annotated[int, Query(ge=1, le=100)] = 3) -> dict[str, Any]:
    """The requests that a delivery would make for the first published indicators; none is made."""
    return asked.call("try_delivery", output=name, limit=limit)


@router.post("/{name}/check")
def check(asked: Holds, name: Name) -> dict[str, Any]:
    """Sign in at the far side and see that we may write, without writing anything."""
    return asked.call("doctor", output=name)


@router.post("/{name}/retry")
def retry(asked: Holds, name: Name, reason: Annotated[str | None, Query(max_length=2000)] = None) -> dict[str, Any]:
    """Have the next cycle try again what the far side refused (for one reason)."""
    return asked.call("retry", output=name, reason=reason)


@router.post("/{name}/reconcile")
def reconcile(asked: Holds, name: Name, fix: bool = False) -> dict[str, Any]:
    """Compare the far side with what it should hold; with `fix`, set right what differs."""
    return asked.call("reconcile", output=name, fix=fix)


@router.post("/{name}/adopt")
def adopt(
    asked: Configuring,
    name: Name,
    source: Annotated[str | None, Query(max_length=200, description="The earlier tool's name there.")] = None,
    apply: bool = False,
    retire: bool = False,
) -> dict[str, Any]:
    """Match by value what an earlier tool left; with `apply`, make it ours; with `retire`, delete what none lists."""
    return asked.call("adopt", output=name, source=source, apply=apply, retire=retire)


@router.get("/{name}/overrides")
def overrides(
    asked: Read,
    name: Name,
    text: Annotated[str, Query(max_length=200, description="A part of the value, the reason or who set it.")] = "",
    limit: Limit = 100,
    cursor_: Cursor = None,
) -> dict[str, Any]:
    """How people want single indicators to be at the far side, whatever sources and settings say."""
    found = asked.call("overrides", output=name, text=text, limit=limit, after=position(cursor_, str, str))
    return {**found, "next": cursor(found["next"])}


@router.get("/{name}/override")
def override_of(asked: Read, name: Name, value: Value, type_: TypeOf = None) -> Response:
    """How people want one indicator to be; `override` is null if they want nothing."""
    return tagged(asked.call("override_of", output=name, value=value, type=type_))


@router.put("/{name}/override", responses=CHANGED)
def override(asked: Holds, name: Name, value: Value, body: Wish, type_: TypeOf = None) -> Response:
    """Set how one indicator is to be; it takes the place of what was set before."""
    asked.unchanged("override_of", output=name, value=value, type=type_)
    asked.call("override", output=name, value=value, type=type_, **dict(body))
    return tagged(asked.call("override_of", output=name, value=value, type=type_))


@router.delete("/{name}/override", responses=CHANGED)
def override_remove(asked: Holds, name: Name, value: Value, type_: TypeOf = None) -> dict[str, Any]:
    """Take an override back: the indicator is as the output's settings say again."""
    asked.unchanged("override_of", output=name, value=value, type=type_)
    return asked.call("override_remove", output=name, value=value, type=type_)
