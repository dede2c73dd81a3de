"""A Sentinel workspace's indicators: counted and listed, by our receipts and as the workspace shows them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from tipline.web import places
from tipline.web.page import Viewer
from tipline.web.pages.deliveries import ENDS, one

router = APIRouter()
_SHOWN = 50


@router.get("/deliveries/{name}/sentinel")
def sentinel(
    page: Viewer, name: str, whose: str = "ours", type: str = "", source: str = "", confidence: str = "",
    expires: str = "", text: str = "", after: str = "",
) -> Response:  # fmt: skip
    """What a workspace has: numbers by type, source, confidence and end, and the objects, the last received first."""
    state = one(page, name)
    asked = {"whose": whose, "type": type, "source": source, "confidence": confidence, "expires": expires, "text": text}
    wanted = {word: value for word, value in asked.items() if value}
    place = places.read(after, 2)
    found = page.operations.call("sentinel_items", {"output": name, "wanted": wanted, "limit": _SHOWN, "after": place})
    has = page.operations.call("far_side", {"output": name})
    settings = page.engine.configuration.outputs[name].settings
    workspace = {word: getattr(settings, word, "") for word in ("workspace_id", "workspace_name", "source_system")}
    view = {
        "delivery": state, "has": has, "place": workspace, "total": sum(has["types"].values()),
        "items": [{**each, "found": _found(each, found["read"])} for each in found["items"]],
        "reported": found["reported"], "read": found["read"], "next": places.written(found["next"]), "after": after,
        **asked, "ends": ENDS, "managed": getattr(settings, "managed", False), "here": "sentinel",
    }  # fmt: skip
    return page.show("deliveries/sentinel.html", view, title=f"Sentinel: {name}")


def _found(item: dict[str, Any], read: str | None) -> str:
    """In a word: how the workspace showed an object, against what it accepted."""
    there = item["there"]
    if there is None:
        return "not shown" if read and item["received"] and item["received"] <= read else "not read since"
    if there["revoked"] or there["ended"]:
        return "revoked" if there["revoked"] else "ended"
    same = all(there[name] == item[ours] for name, ours in (("confidence", "confidence"), ("valid_until", "expires")))
    return "as sent" if same else "differs"
