"""A Defender tenant's indicators as its portal lists them: ours by their receipts, others' by the last listing."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tipline.durations import Duration
from tipline.engine.core import Engine
from tipline.engine.far_listing import last_listing
from tipline.engine.times import iso
from tipline.store.overrides import Override, in_force
from tipline.store.receipt_search import there

# The portal's tabs, with our types.
GROUPS: dict[str, tuple[str, ...]] = {
    "files": ("sha256", "sha1", "md5"),
    "addresses": ("ipv4", "ipv6"),
    "urls": ("url", "domain"),
    "certificates": ("certificate-sha1",),
}
Group = Literal["files", "addresses", "urls", "certificates"]
_Word = Annotated[str, Field(max_length=200)]
_SHOWN = (
    "title", "description", "severity", "action", "createdByDisplayName", "createdBy", "creationTimeDateTimeUtc",
    "lastUpdateTime", "generateAlert", "rbacGroupNames", "application", "recommendedActions", "externalId",
)  # fmt: skip
Row = dict[str, Any]


class ItemFilter(BaseModel):
    """Which of a tenant's indicators; what is not given does not matter."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    group: Group | None = Field(default=None, description="files, addresses, urls or certificates.")
    whose: Literal["ours", "foreign"] | None = Field(default=None, description="ours: sent by this output.")
    action: _Word = Field(default="", description="What Defender does on a match.")
    severity: _Word = Field(default="", description="Of the alert.")
    by: _Word = Field(default="", description="Who made it, as Defender names them.")
    text: _Word = Field(default="", description="A part of the value or the title.")
    expires: Duration | None = Field(default=None, description="Expires within this time from now.")
    edited: bool | None = Field(default=None, description="Whether people have set something for it.")
    id: _Word = Field(default="", description="Defender's id, or our key, of the one that is wanted.")

    def fits(self, row: Row, before: str | None) -> bool:
        """Whether a row is wanted, leaving the group aside; `before`: the latest end that is."""
        same = all(not wanted or row[name] == wanted for name, wanted in (
            ("whose", self.whose), ("action", self.action), ("severity", self.severity), ("by", self.by)))  # fmt: skip
        same = same and (not self.id or self.id in {row["far_id"], row["key"]})
        same = same and (self.edited is None or self.edited == (row["override"] is not None))
        text = self.text.casefold()
        named = not text or text in row["value"].casefold() or text in row["title"].casefold()
        return same and named and (before is None or (row["expires"] is not None and row["expires"] <= before))


def defender_items(
    engine: Engine, output: str, wanted: ItemFilter, limit: int, after: tuple[str, str] | None
) -> dict[str, Any]:
    """A page of a tenant's indicators, with how many there are by tab, action, severity and creator.

    Args:
        engine: the engine.
        output: a Defender output.
        wanted: the filters.
        limit: how many at most.
        after: value and id of the last one of the page before.
    """
    rows = _all(engine, output)
    now = engine.clock()
    latest = iso(now + wanted.expires) if wanted.expires is not None else None
    fitting = [row for row in rows if wanted.fits(row, latest)]
    types = GROUPS[wanted.group] if wanted.group else None
    inside = [row for row in fitting if types is None or row["type"] in types]
    inside.sort(key=_place)
    page = [row for row in inside if after is None or _place(row) > tuple(after)][: limit + 1]
    following = list(_place(page[limit - 1])) if len(page) > limit else None
    return {
        "items": page[:limit],
        "next": following,
        "total": len(inside),
        "groups": {name: sum(row["type"] in types for row in fitting) for name, types in GROUPS.items()},
        "facets": {name: _counted(rows, name) for name in ("whose", "action", "severity", "by")},
        "edited": sum(row["override"] is not None for row in rows),
        "soon": sum(row["expires"] is not None and row["expires"] <= iso(now + timedelta(days=1)) for row in rows),
    }


def _all(engine: Engine, output: str) -> list[Row]:
    shown = {row["far_id"]: row for row in last_listing(engine, output).to_dicts()}
    by_hand = {each.key: each for each in in_force(engine.control, output, engine.clock())}
    ours = [
        {
            **_of_receipt(receipt, shown.pop(receipt["far_id"] or "", None)),
            "override": _of_override(by_hand.get(receipt["key"])),
        }
        for receipt in there(engine.control, output)
    ]
    # What names one of our keys and has no receipt any more was withdrawn since it was listed.
    return [*ours, *(_of_listing(row) for row in shown.values() if row["key"] is None)]


def _of_receipt(receipt: Row, listed: Row | None) -> Row:
    detail, content = receipt["detail"], _content(listed)
    return {
        "far_id": receipt["far_id"] or "", "key": receipt["key"], "type": receipt["type"], "value": receipt["value"],
        "whose": "ours", "by": (listed or {}).get("by") or "tipline",
        "action": receipt["identity"].partition("|")[0],
        "severity": str(detail.get("severity") or content.get("severity") or ""),
        "title": str(detail.get("title") or content.get("title") or ""),
        "expires": _iso(receipt["expires"]), "state": receipt["state"], "reason": receipt["reason"],
        "last_sent": _iso(receipt["last_sent"]), "content": content,
    }  # fmt: skip


def _of_listing(row: Row) -> Row:
    content = _content(row)
    end = str(content.get("expirationTime") or "")
    return {
        "far_id": row["far_id"] or "", "key": None, "type": row["type"], "value": row["value"], "whose": "foreign",
        "by": row["by"] or "", "action": str(content.get("action") or ""),
        "severity": str(content.get("severity") or ""), "title": str(content.get("title") or ""),
        "expires": f"{end[:19]}Z" if end else None, "state": "", "reason": "", "last_sent": None, "content": content,
        "override": None,
    }  # fmt: skip


def _of_override(override: Override | None) -> dict[str, Any] | None:
    if override is None:
        return None
    who = {"reason": override.reason, "by": override.actor, "at": _iso(override.at), "until": _iso(override.until)}
    return {**override.changes, "expires": _iso(override.expires), **who}


def _content(listed: Row | None) -> dict[str, Any]:
    found = json.loads(listed["content"]) if listed else {}
    return {name: found[name] for name in _SHOWN if found.get(name) not in (None, "", [])}


def _iso(moment: datetime | None) -> str | None:
    return iso(moment) if moment else None


def _place(row: Row) -> tuple[str, str]:
    return row["value"], row["far_id"]


def _counted(rows: list[Row], name: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in rows:
        found[row[name]] = found.get(row[name], 0) + 1
    return dict(sorted(found.items(), key=lambda each: (-each[1], each[0]))[:50])
