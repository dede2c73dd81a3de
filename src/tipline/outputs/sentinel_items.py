"""What Sentinel shows of an indicator by Azure Resource Manager, read back into our words; pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import polars as pl

from tipline.formats.stixpattern import read_pattern
from tipline.microsoft.sentinel_arm import source_of
from tipline.microsoft.stix import rfc3339, stix_id
from tipline.model.keys import key as key_of
from tipline.model.normalise import conform
from tipline.model.policy import Policy
from tipline.model.types import TYPES
from tipline.outputs.delivery import FarItem

# ARM's names of STIX properties, as its older calls show them.
_PROPERTIES = {
    "displayName": "name", "description": "description", "pattern": "pattern", "confidence": "confidence",
    "threatTypes": "indicator_types", "validUntil": "valid_until", "revoked": "revoked", "externalId": "id",
    "threatIntelligenceTags": "labels", "validFrom": "valid_from", "created": "created",
}  # fmt: skip
_COMPARISON = re.compile(r"([\w-]+:[\w.'-]+) = (?:'((?:[^'\\]|\\.)*)'|(\d+))")
_TYPE_OF = {row.stix2: name for name, row in TYPES.items() if row.stix2}
_CHUNK = 1000
# What of an object stays when it is revoked.
_KEPT = ("created", "name", "pattern", "pattern_type", "valid_from")
_GENERATIONS = 8  # so many returns after a revocation are recognised without a receipt


def far_item(resource: Mapping[str, Any], instance: str, now: datetime) -> FarItem:
    """One resource of ARM's threat intelligence.

    Args:
        resource: as ARM shows it, in the new or the old form.
        instance: the installation's name.
        now: naive UTC.
    """
    properties = resource.get("properties") or {}
    thing = properties.get("data") or _stix(properties)
    name = str(resource.get("name"))
    source, identifier = source_of(name) or (str(properties.get("source") or ""), str(thing.get("id") or ""))
    type_, value = observable(str(thing.get("pattern") or ""))
    ours = {stix_id(instance, source, type_, value, number) for number in range(_GENERATIONS)}
    end = moment(thing.get("valid_until"))
    return FarItem(
        far_id=identifier,
        type=type_,
        value=value,
        key=key_of(type_, value).hex if identifier in ours else None,
        by=source,
        spent=bool(thing.get("revoked")),
        ended=bool(thing.get("revoked")) or (end is not None and end <= now),
        content={**thing, "resource": name},
    )


def earlier_items(resources: Iterable[Mapping[str, Any]], instance: str, now: datetime) -> Iterator[FarItem]:
    """What another tool made and still counts, whatever its spelling: values in our canonical form.

    An item whose pattern says no plain value has no type.
    """
    stream = (item for item in (far_item(row, instance, now) for row in resources) if not item.ended)
    while part := list(islice(stream, _CHUNK)):
        said = [read_pattern(str(item.content.get("pattern") or ""))[0] for item in part]
        raw = pl.DataFrame(
            {"value": [each.value for each in said], "type": [each.word for each in said],
             "drop": [each.drop for each in said]},
            schema=dict.fromkeys(("value", "type", "drop"), pl.String),
        )  # fmt: skip
        for item, row in zip(part, conform(raw, Policy.allow_list()).iter_rows(named=True), strict=True):
            plain = row["drop"] is None
            yield replace(item, type=row["type"] if plain else "", value=row["value"] if plain else item.value)


def revocation(item: FarItem, now: datetime) -> dict[str, Any]:
    """The object once more, revoked: what an upload made, only an upload takes back for sure."""
    before = moment(item.content.get("modified"))
    modified = max(now, before + timedelta(milliseconds=1)) if before else now
    kept = {name: item.content[name] for name in _KEPT if item.content.get(name) is not None}
    return {
        "type": "indicator",
        "spec_version": "2.1",
        "id": item.far_id,
        "created": rfc3339(now),
        "valid_from": rfc3339(now),
        "pattern_type": "stix",
        **kept,
        "modified": rfc3339(modified),
        "revoked": True,
    }


def observable(pattern: str) -> tuple[str, str]:
    """Type and value that a pattern of ours (or one as plain) speaks of; ('', '') for any other.

    >>> observable("[domain-name:value = 'a.example']")
    ('domain', 'a.example')
    """
    found = [(path, _plain(text) or number) for path, text, number in _COMPARISON.findall(pattern)]
    parts = dict(found)
    if set(parts) == {"file:parent_directory_ref.path", "file:name"}:
        folder = parts["file:parent_directory_ref.path"]
        slash = "/" if folder.startswith("/") else "\\"
        return "file-path", f"{folder}{slash}{parts['file:name']}"
    if len(found) != 1:
        return "", ""
    path, value = found[0]
    if path == "autonomous-system:number":
        return "asn", f"AS{value}"
    type_ = _TYPE_OF.get(path, "")
    return type_, value if type_ else ""


def moment(text: Any) -> datetime | None:
    """A time without zone (UTC) from ISO text; None when there is none."""
    try:
        return datetime.fromisoformat(str(text)).replace(tzinfo=None) if text else None
    except ValueError:
        return None


def _plain(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def _stix(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {stix: properties[name] for name, stix in _PROPERTIES.items() if properties.get(name) is not None}
