"""One indicator: who claims it, why it is where it is, what far sides have of it, and how to get it off."""

from __future__ import annotations

import ipaddress
from typing import Any
from urllib.parse import urlsplit

from fastapi import APIRouter
from fastapi.responses import Response

from tipline.engine.paths import canonical
from tipline.engine.people import RequestError
from tipline.model.reasons import meaning
from tipline.model.suffixes import registrable_domain
from tipline.model.tlp import name as tlp_name
from tipline.sources.local import Local
from tipline.store.receipts import PARKED, WITHDRAWN
from tipline.web.page import Analyst, Form, Page, Viewer
from tipline.web.pages.indicators import address, summary

router = APIRouter()
TTLS = {"": "for good", "1d": "1 day", "7d": "7 days", "30d": "30 days", "90d": "90 days"}
_RELATED = 20
_FIRST_WAIT = 2.0  # seconds that the answer waits for far sides; the page goes on to look
_ROUNDS = 30  # looks at receipts, one every two seconds: a minute
_FOLLOWED = 50
_LONGEST_ADDRESS = 4000
_NETWORK_BITS = {"ipv4": 24, "ipv6": 64}


@router.get("/indicators/detail")
def detail(page: Viewer, value: str, type: str = "") -> Response:
    """Everything about a value in any spelling."""
    return _detail(page, value, type)


@router.get("/indicators/{type}/{value:path}")
def detail_at(page: Viewer, type: str, value: str) -> Response:
    """The same at an address that one can write by hand."""
    return _detail(page, value, type)


@router.get("/indicators/related")
def related(page: Viewer, value: str, type: str = "") -> Response:
    """What else is held on the same host or in the same network."""
    asked = canonical(value, type or None)
    groups = [
        {"label": label, "text": text, "indicators": _others(page, text, asked.value)}
        for label, text in _neighbours(asked.type, asked.value)
    ]
    view = {"indicator": {"type": asked.type, "value": asked.value}, "groups": groups}
    return page.show("indicators/related.html", view, title="Related indicators")


@router.post("/indicators/allow")
def allow(page: Analyst, form: Form) -> Response:
    """Allow a value; answers with what that took out, and what far sides say."""
    if not form["reason"]:
        raise RequestError("allowing needs a reason", fix="say why, such as the ticket's number")
    arguments = {"value": form["value"], "reason": form["reason"], "ttl": form["ttl"] or None, "wait": _FIRST_WAIT}
    found = page.operations.call("allow", arguments)
    view = {
        "asked": form["value"],
        "reason": form["reason"],
        "ttl": TTLS.get(form["ttl"], form["ttl"]),
        "outputs": found["outputs"],
        "held": found["held"],
        "left": found["left"],
        "above": list(dict.fromkeys(each["value"] for each in found["left"])),
        "for_how_long": form["ttl"],
        **_progress(found["receipts"], 0),
    }
    return page.show("indicators/allowed.html", view, title="Allowed")


@router.get("/indicators/receipts")
def receipts(page: Analyst, of: str, round: int = 1) -> Response:
    """The far sides' receipts for what was taken out (`of`: output, type and value; one a line), as they are now."""
    found = []
    for line in of.split("\n")[:_FOLLOWED]:
        output, type_, value = [*line.split(" ", 2), "", ""][:3]
        asked = canonical(value, type_)
        answer = page.operations.call("receipts", {"output": output, "key": asked.key.hex, "limit": 1})["receipts"]
        gone = {"output": output, "type": asked.type, "value": asked.value, "state": WITHDRAWN}
        found.append({"far_id": None, "reason": None, **(answer[0] if answer else gone)})
    return page.show("indicators/receipts.html", _progress(found, round), title="Receipts")


@router.post("/indicators/disallow")
def disallow(page: Analyst, form: Form) -> Response:
    """Take back what was allowed by hand."""
    found = page.operations.call("disallow", {"value": form["value"]})
    what = "is not allowed any more" if found["removed"] else "was not allowed by hand"
    return page.done(f"{form['value']} {what}.", address("/indicators/detail", value=form["value"]))


@router.post("/indicators/remove")
def remove(page: Analyst, form: Form) -> Response:
    """Remove what was added by hand."""
    arguments = {"values": [form["value"]], "source": form["source"], "everyone": form["everyone"] == "yes"}
    found = page.operations.call("remove", arguments)
    left = ", ".join(sorted({entry["by"] for entry in found["left"]}))
    said = f"{found['removed']} removed from {found['source']}." + (
        f" What is left was added by {left}." if left else ""
    )
    return page.done(said, address("/indicators/detail", value=form["value"], type=form["type"]))


def _detail(page: Page, value: str, type_: str) -> Response:
    found = page.operations.call("why", {"value": value, "type": type_ or None})
    indicator, nodes = found["indicator"], page.nodes()
    here = page.engine.configuration.team_allow(page.person.team)
    claims = [
        {**_worded(claim), "by_hand": isinstance(nodes.get(claim["source"]), Local) and not claim["allow_list"]}
        for claim in found["claims"]
    ]
    view = {
        **found,
        "claims": claims,
        "outputs": [{"override": None, "waiting": None, **_worded(held)} for held in found["outputs"]],
        "nodes": [{**step, "why": _why(page, step)} for step in found["nodes"]],
        "timeline": _timeline(found),
        "verdict": _verdict(found),
        "covers": _covers(indicator, claims),
        "allowed_here": any(c["source"] == here and c["value"] == indicator["value"] for c in claims),
        "ttls": TTLS,
    }
    return page.show("indicators/detail.html", view, title=indicator["value"])


def _covers(indicator: dict[str, Any], claims: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What can be allowed: the value, and what sources claim that covers it."""
    found = {indicator["value"]: indicator["type"]}
    found.update({each["value"]: each["type"] for each in claims if not each["allow_list"]})
    return [{"value": value, "type": type_} for value, type_ in found.items()]


def _why(page: Page, step: dict[str, Any]) -> str | None:
    """Why a node dropped it, in words; a filter with what it asks for."""
    reason = step["reason"]
    if reason != "filter":
        return meaning(reason) if reason else None
    settings = page.engine.configuration.nodes()[step["node"]].settings
    return f"{meaning(reason)}: {getattr(settings, 'where', '')}".rstrip(": ")


def _worded(row: dict[str, Any]) -> dict[str, Any]:
    """A row with its TLP as a word."""
    return {**row, "tlp": None if row["tlp"] is None else tlp_name(row["tlp"])}


def _verdict(found: dict[str, Any]) -> str:
    """In a word: published, allowed, kept back, or not known."""
    if found["outputs"]:
        return "published"
    if any(claim["allow_list"] for claim in found["claims"]):
        return "allowed"
    return "not published" if found["claims"] else "not known"


def _timeline(found: dict[str, Any]) -> list[dict[str, Any]]:
    """What happened and will happen, the newest first."""
    words = {
        "first_seen": "first seen",
        "last_seen": "last seen",
        "added": "added",
        "left_at": "left the feed",
        "valid_until": "valid until",
    }
    events = [
        {"at": claim[name], "what": word, "node": claim["source"], "value": claim["value"], "note": ""}
        for claim in found["claims"]
        for name, word in words.items()
        if claim[name]
    ]
    events += [
        {
            "at": entry["moment"],
            "what": {"added": "published", "removed": "taken out"}.get(entry["op"], entry["op"]),
            "node": entry["output"],
            "value": entry["value"],
            "note": entry["reason"] or "",
        }
        for entry in found["log"]
    ]
    events += [
        {"at": each[name], "what": word, "node": each["output"], "value": each["value"], "note": each["far_id"] or ""}
        for each in found["receipts"]
        for name, word in (("accepted_at", "accepted by the far side"), ("expires", "ends at the far side"))
        if each[name]
    ]
    return sorted(events, key=lambda event: event["at"], reverse=True)


def _progress(found: list[dict[str, Any]], round_: int) -> dict[str, Any]:
    """Receipts, and where to look again as long as some are open and the minute is not over."""
    waiting = sum(each["state"] not in {WITHDRAWN, PARKED} for each in found)
    lines = [f"{each['output']} {each['type']} {each['value']}" for each in found[:_FOLLOWED]]
    while len("\n".join(lines)) > _LONGEST_ADDRESS:
        lines.pop()
    return {
        "receipts": found,
        "waiting": waiting,
        "again": {"of": "\n".join(lines), "round": round_ + 1} if waiting and lines and round_ < _ROUNDS else None,
    }


def _neighbours(type_: str, value: str) -> list[tuple[str, str]]:
    """(label, search text) of what is near an indicator."""
    if type_ in _NETWORK_BITS and "-" not in value and "/" not in value:
        network = ipaddress.ip_network(f"{value}/{_NETWORK_BITS[type_]}", strict=False)
        host = f"//[{value}]" if type_ == "ipv6" else f"//{value}"
        return [("In the same network", str(network)), ("URLs on it", host)]
    if type_ == "url":
        host = urlsplit(value).hostname or ""
        written = f"[{host}]" if ":" in host else host
        return [("On the same host", f"//{written}"), ("Its host", host)] if host else []
    host = value.rpartition("@")[2] if type_ == "email" else value if type_ == "domain" else ""
    return [("In the same domain", registrable_domain(host) or host)] if host else []


def _others(page: Page, text: str, value: str) -> list[dict[str, Any]]:
    found = page.operations.call("find", {"wanted": {"text": text}, "limit": _RELATED + 1})["indicators"]
    return [summary(each) for each in found if each["value"] != value][:_RELATED]
