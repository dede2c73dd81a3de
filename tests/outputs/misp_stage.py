"""A MISP server that is written to, with the shapes and quirks of the real one (2.5).

Numbers are strings and booleans are not; an event without tags has no `Tag`; an edit takes the attributes it is
given by their identifiers, leaves the others, makes the event unpublished, and says nothing of attributes that it
does not take; tags are added by an edit and never removed; deleting is soft.
"""

from __future__ import annotations

import json
from typing import Any

from pymisp import MISPEvent

from outputs.delivering import Asked, Said, Server

KEY = "k" * 40
_TYPES = MISPEvent().describe_types


class Misp(Server):
    """Events by uuid."""

    def __init__(self) -> None:
        super().__init__()
        self.events: dict[str, dict[str, Any]] = {}
        self.clock = 1_700_000_000
        self.published: list[str] = []
        self.may_publish = True

    def answer(self, asked: Asked) -> Said:  # noqa: C901 - one case for each address
        if asked.headers.get("authorization") != KEY:
            return Said(403, {"name": "Authentication failed.", "message": "Authentication failed.", "url": asked.path})
        parts = asked.path.strip("/").removesuffix(".json").split("/")
        body = json.loads(asked.body) if asked.body else {}
        match parts[:2]:
            case ["servers", "getVersion"]:
                return Said(200, {"version": "2.5.34", "pymisp_recommended_version": "2.5.34", "perm_sync": True,
                                  "perm_sighting": True, "perm_galaxy_editor": True, "request_encoding": ["gzip"],
                                  "filter_sightings": True})  # fmt: skip
            case ["users", "view"]:
                role = {"id": "4", "name": "Publisher", "perm_add": True, "perm_publish": self.may_publish}
                user = {"id": "2", "org_id": "1", "email": "tip@example.org", "role_id": "4"}
                return Said(200, {"User": user, "Role": role, "UserSetting": []})
            case ["attributes", "describeTypes"]:
                return Said(200, {"result": _TYPES})
            case ["events", "restSearch"]:
                found = [{"Event": {**each, "Attribute": []}} for each in self.events.values() if _meant(each, body)]
                return Said(200, {"response": found})
            case ["attributes", "restSearch"]:
                return Said(200, {"response": {"Attribute": self._attributes(body)}})
            case ["events", "add"]:
                return self._add(body)
            case ["events", "edit"]:
                return self._edit(parts[2], body.get("Event", body))
            case ["events", "view"]:
                event = self.events.get(parts[2])
                return Said(200, {"Event": event}) if event else Said(404, {"name": "Invalid event"})
            case ["events", "publish"]:
                self.events[parts[2]]["published"] = True
                self.published.append(parts[2])
                return Said(200, {"saved": True, "success": True, "message": "Job queued", "name": "Job queued"})
            case ["tags", "removeTagFromObject"]:
                for event in self.events.values():
                    for attribute in event["Attribute"]:
                        if attribute["uuid"] == body["uuid"]:
                            attribute["Tag"] = [tag for tag in attribute["Tag"] if tag["name"] != body["tag"]]
                return Said(200, {"saved": True, "success": True, "message": "removed"})
        return Said(404, {"name": "Not Found", "message": "Not Found", "url": asked.path})

    def live(self, event: int = 0) -> dict[str, dict[str, Any]]:
        """The attributes of an event that are not deleted, by value."""
        found = [*self.events.values()][event]["Attribute"] if self.events else []
        return {each["value"]: each for each in found if not each["deleted"]}

    def _attributes(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        wanted = body.get("deleted", 0)
        deleted = wanted if isinstance(wanted, list) else [wanted]
        events = [e for e in self.events.values() if body.get("eventid") in (None, e["uuid"], e["id"])]
        found = [a for e in events for a in e["Attribute"]
                 if int(a["deleted"]) in deleted and ("uuid" not in body or a["uuid"] in body["uuid"])]  # fmt: skip
        start = (int(body.get("page", 1)) - 1) * int(body["limit"])
        return found[start : start + int(body["limit"])]

    def _add(self, body: dict[str, Any]) -> Said:
        if body["uuid"] in self.events:
            return Said(403, {"saved": False, "name": "Could not add Event", "message": "Event already exists."})
        made = {
            "id": str(len(self.events) + 1), "orgc_id": "1", "org_id": "1", "date": "2026-01-01", "info": body["info"],
            "threat_level_id": str(body["threat_level_id"]), "analysis": str(body["analysis"]), "published": False,
            "uuid": body["uuid"], "timestamp": self._now(), "distribution": str(body["distribution"]),
            "publish_timestamp": "0", "sharing_group_id": "0", "Attribute": [], "Object": [],
        }  # fmt: skip
        if body.get("Tag"):
            made["Tag"] = [_tag(tag) for tag in body["Tag"]]
        self.events[body["uuid"]] = made
        return Said(200, {"Event": {**made, "Attribute": []}})

    def _edit(self, name: str, body: dict[str, Any]) -> Said:
        event = self.events.get(name)
        if event is None:
            return Said(404, {"name": "Invalid event", "message": "Invalid event"})
        event |= {"published": False, "timestamp": self._now()}
        for given in body.get("Attribute", []):
            self._attribute(event, given)
        return Said(200, {"Event": {**event, "Attribute": []}})

    def _attribute(self, event: dict[str, Any], given: dict[str, Any]) -> None:
        known = next((a for a in event["Attribute"] if a["uuid"] == given["uuid"]), None)
        if known is None:
            same = any((a["type"], a["value"]) == (given["type"], given["value"]) and not a["deleted"]
                       for a in event["Attribute"])  # fmt: skip
            if given["type"] not in _TYPES["types"] or same or given.get("deleted"):
                return
            known = {"id": "7", "event_id": event["id"], "category": given["category"], "uuid": given["uuid"],
                     "object_id": "0", "sharing_group_id": "0", "deleted": False, "Tag": [], "comment": ""}  # fmt: skip
            event["Attribute"].append(known)
        for field in ("type", "value", "to_ids", "comment", "deleted"):
            known[field] = given.get(field, known.get(field))
        known |= {"distribution": str(given.get("distribution", 5)), "timestamp": self._now()}
        names = {tag["name"] for tag in known["Tag"]}
        known["Tag"] += [_tag(tag) for tag in given.get("Tag", []) if tag["name"] not in names]

    def _now(self) -> str:
        self.clock += 1
        return str(self.clock)


def _meant(event: dict[str, Any], body: dict[str, Any]) -> bool:
    begin, like, _ = body.get("eventinfo", "%").partition("%")
    return (
        event["uuid"] in body.get("uuid", [event["uuid"]])
        and event["published"] == body.get("published", event["published"])
        and (event["info"].startswith(begin) if like else event["info"] == begin)
    )


def _tag(given: dict[str, Any]) -> dict[str, Any]:
    return {"id": "1", "name": given["name"], "colour": "#fff", "exportable": True, "local": False}
