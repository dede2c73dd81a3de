"""STIX objects as ARM resources, and back (section 3.3)."""

from __future__ import annotations

import json
import re
import sqlite3
from datetime import datetime
from typing import Any

from .objects import Workspace
from .stixpattern import comparisons
from .times import stamp, trimmed

#: ARM property -> STIX property
_PAIRS = {
    "displayName": "name", "description": "description", "pattern": "pattern",
    "patternVersion": "pattern_version",
    "threatTypes": "indicator_types", "confidence": "confidence", "validFrom": "valid_from",
    "validUntil": "valid_until", "revoked": "revoked", "killChainPhases": "kill_chain_phases",
    "externalReferences": "external_references", "objectMarkingRefs": "object_marking_refs",
    "language": "lang",
    "granularMarkings": "granular_markings", "extensions": "extensions",
}  # fmt: skip
_NESTED = ("kill_chain_phases", "external_references", "granular_markings")
_NOBODY = {"name": "", "email": "", "objectId": "00000000-0000-0000-0000-000000000000"}


def snake(name: str) -> str:
    """`validUntil` -> `valid_until`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _renamed(value: Any, change: Any) -> Any:
    if not isinstance(value, list):
        return value
    return [{change(k): v for k, v in each.items()} if isinstance(each, dict) else each for each in value]


def to_stix(properties: dict[str, Any], stix_id: str, created: str, now: datetime) -> dict[str, Any]:
    """The STIX indicator that ARM properties describe; unchecked."""
    when = trimmed(stamp(now))
    thing: dict[str, Any] = {"type": "indicator", "spec_version": "2.1", "id": stix_id}
    thing |= {"created": created or when, "modified": when, "pattern_type": "stix", "valid_from": when}
    for name, stix in _PAIRS.items():
        if properties.get(name) is not None:
            thing[stix] = _renamed(properties[name], snake) if stix in _NESTED else properties[name]
    # What is not a list stays as it is, for the check of the whole to refuse.
    tags = [properties[name] for name in ("threatIntelligenceTags", "labels") if properties.get(name)]
    if any(not isinstance(each, list) for each in tags):
        return thing | {"labels": tags[0] if not isinstance(tags[0], list) else tags[1]}
    joined = [each for group in tags for each in group]
    return thing | ({"labels": list(dict.fromkeys(map(str, joined)))} if joined else {})


def _parsed(thing: dict[str, Any]) -> list[dict[str, Any]]:
    found = comparisons(thing.get("pattern", ""))
    return [
        {"patternTypeKey": key.partition(":")[0], "patternTypeValues": [{"valueType": key, "value": value}]}
        for key, value in found
    ]


def indicator_properties(row: sqlite3.Row) -> dict[str, Any]:
    """The properties of `/indicators`, `/createIndicator` and `/queryIndicators`."""
    thing = json.loads(row["data"])
    parsed = _parsed(thing)
    properties = {
        name: _renamed(thing[stix], _camel) if stix in _NESTED else thing[stix]
        for name, stix in _PAIRS.items()
        if thing.get(stix) is not None
    }
    kind = parsed[0]["patternTypeKey"] if parsed else thing.get("pattern_type")
    return properties | {
        "source": row["source"], "patternType": kind, "parsedPattern": parsed, "externalId": thing["id"],
        "threatIntelligenceTags": thing.get("labels") or [], "created": thing["created"],
        "modified": thing["modified"], "createdByRef": thing.get("created_by_ref"),
        "revoked": bool(thing.get("revoked")), "lastUpdatedTimeUtc": trimmed(row["last_ingested"]),
    }  # fmt: skip


def object_properties(row: sqlite3.Row) -> dict[str, Any]:
    """The properties of `/query`: who and when, and the STIX object in `data`."""
    return {
        "createdBy": dict(_NOBODY, objectId=row["actor"]), "data": json.loads(row["data"]),
        "firstIngestedTimeUtc": row["first_ingested"].removesuffix("Z"),
        "ingestionRulesVersion": _NOBODY["objectId"],
        "lastIngestedTimeUtc": row["last_ingested"].removesuffix("Z"), "lastModifiedBy": dict(_NOBODY),
        "lastUpdateMethod": row["method"], "lastUpdatedDateTimeUtc": row["last_ingested"].removesuffix("Z"),
        "relationshipHints": None, "source": row["source"],
    }  # fmt: skip


def resource(place: Workspace, row: sqlite3.Row, properties: dict[str, Any], kind: str = "indicator") -> dict[str, Any]:
    """An ARM resource."""
    provider = "Microsoft.SecurityInsights/threatIntelligence"
    workspace = (
        f"/subscriptions/{place.subscription_id}/resourceGroups/{place.resource_group}"
        f"/providers/Microsoft.OperationalInsights/workspaces/{place.name}"
    )
    return {
        "id": f"{workspace}/providers/{provider}/{row['name']}", "name": row["name"],
        "etag": f'"{row["etag"]:08x}-0000-0800-0000-000000000000"', "type": provider, "kind": kind,
        "properties": properties,
    }  # fmt: skip
