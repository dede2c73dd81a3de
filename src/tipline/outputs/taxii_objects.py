"""The objects of a TAXII collection as STIX 2.1 and 2.0: indicators, the TLP markings and who made them.

Facts: STIX 2.1 sections 3.2 (common properties, revoked), 4.7 (indicator), 7.2.1.4 (TLP markings); STIX 2.0
part 2 section 2.5; the extension definition of TLP 2.0. Pure functions; times are naive UTC.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Literal, NamedTuple

from tipline.microsoft.stix import NAMESPACE, StixIndicator, indicator_object, pattern_for, rfc3339
from tipline.model.tlp import AMBER, AMBER_STRICT, MARKINGS
from tipline.outputs.stixmarkings import MARKED, marking
from tipline.outputs.taxii import TaxiiKind

Spec = Literal["2.1", "2.0"]
_NO_PART_OF_2_0 = ("spec_version", "pattern_type", "pattern_version", "indicator_types", "confidence")


class Row(NamedTuple):
    """An object as the store has it."""

    seq: int
    stamp: datetime
    id: uuid.UUID
    type: str
    value: str
    since: datetime
    removed: bool
    confidence: int | None
    tlp: int | None
    threat_types: list[str] | None
    tags: list[str] | None
    description: str | None
    refs: list[str] | None
    valid_until: datetime | None


@dataclass(frozen=True)
class Maker:
    """Makes the objects of one collection.

    Attributes:
        output: the collection.
        instance: the installation's name; the identity object carries it.
    """

    output: TaxiiKind
    instance: str

    def indicator(self, row: Row, spec: Spec) -> dict[str, Any]:
        """An indicator; one that was removed is revoked, and otherwise as it was."""
        settings = self.output.settings
        until = row.valid_until
        if until is None and settings.lifetime is not None:
            until = row.stamp + settings.lifetime
        types = tuple(row.threat_types or settings.indicator_types)
        made = StixIndicator(
            id=f"indicator--{row.id}",
            pattern=pattern_for(row.type, row.value) or "",
            created=row.since,
            modified=row.stamp,
            valid_from=row.since,
            valid_until=until,
            name=row.value,
            description=row.description or "",
            confidence=row.confidence,
            tlp=row.tlp,
            labels=tuple(row.tags or ()),
            indicator_types=types,
            references=tuple(row.refs or ()),
            revoked=row.removed,
        )
        content = {**indicator_object(made), "created_by_ref": self.identity_id}
        return content if spec == "2.1" else _as_2_0(content, types, row.tlp)

    @cached_property
    def identity_id(self) -> str:
        """Who made the objects."""
        return f"identity--{uuid.uuid5(NAMESPACE, json.dumps(['identity', self.instance]))}"

    def fixed(self, spec: Spec) -> list[dict[str, Any]]:
        """What indicators refer to: the identity, and the markings up to the collection's highest TLP."""
        identity = {
            "type": "identity",
            "spec_version": "2.1",
            "id": self.identity_id,
            "created": MARKED,
            "modified": MARKED,
            "name": self.instance,
            "identity_class": "system",
        }
        levels = range(self.output.settings.max_tlp + 1)
        made = [identity, *(marking(level) for level in levels if spec == "2.1" or level != AMBER_STRICT)]
        if spec == "2.0":
            made = [{name: each for name, each in item.items() if name != "spec_version"} for item in made]
            made[0]["id"] = _id_2_0(self.identity_id)
            for item in made[1:]:
                del item["name"]
        return made


def stored_id(identifier: str, spec: Spec) -> uuid.UUID | None:
    """The UUID under which the store has an indicator; None of what is no indicator's identifier."""
    kind, _, rest = identifier.partition("--")
    try:
        found = uuid.UUID(rest)
    except ValueError:
        return None
    if kind != "indicator":
        return None
    return found if spec == "2.1" else uuid.UUID(int=found.int, version=5)


def _id_2_0(identifier: str) -> str:
    """STIX 2.0 allows UUIDs of version 4 only (part 1, section 2.7): the same one, marked so."""
    kind, _, rest = identifier.partition("--")
    return f"{kind}--{rest[:14]}4{rest[15:]}"


def version_of(content: Mapping[str, Any]) -> str:
    """The version of an object: `modified`, or `created` of what is never modified."""
    return str(content.get("modified") or content["created"])


def date_added(moment: datetime) -> str:
    """A moment as TAXII writes it."""
    return rfc3339(moment)


def _as_2_0(content: dict[str, Any], types: tuple[str, ...], tlp: int | None) -> dict[str, Any]:
    """STIX 2.0 has no confidence, and kinds of indicators are labels; amber+strict is amber there."""
    kept = {name: each for name, each in content.items() if name not in _NO_PART_OF_2_0}
    labels = list(dict.fromkeys([*types, *content.get("labels", [])]))
    changed: dict[str, Any] = {name: _id_2_0(content[name]) for name in ("id", "created_by_ref")}
    if tlp == AMBER_STRICT:
        changed["object_marking_refs"] = [MARKINGS[AMBER]]
    return {**kept, **changed, "labels": labels}
