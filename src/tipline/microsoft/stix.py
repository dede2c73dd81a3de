"""STIX 2.1 indicators as Sentinel takes them, and patterns as its analytics rules match them; pure functions.

Facts: the page of the upload API (`stix-objects-api.md`), the migration query and parser of the tables, the
52 rules of the Threat Intelligence solution (they join by equality on the value of a comparison), STIX 2.1.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from tipline.model.tlp import MARKINGS
from tipline.model.types import TYPES

# All our identifiers derive from this namespace; it must never change, or every indicator would be sent anew.
NAMESPACE = uuid.UUID("9f6b1d52-3c0e-5a7c-8a51-6a0f5d2c7e11")

# The log side of the rules is lower case for these, and `==` of KQL looks at case.
_LOWER = frozenset({"domain", "email", "md5", "sha1", "sha256", "sha512", "ipv6", "certificate-sha1"})


def pattern_for(type_: str, value: str) -> str | None:
    """The STIX pattern of an indicator; None when STIX cannot say it (ranges, ja3, cve).

    A network becomes `ipv4-addr:value = '198.51.100.0/24'`, which is right STIX but matches no rule: expand
    it first. A file path becomes folder and name, which Sentinel shows as two rows.
    """
    if type_ in {"ipv4", "ipv6"} and "-" in value:
        return None
    if type_ == "file-path":
        return _path_pattern(value)
    if type_ == "asn":
        number = value.upper().removeprefix("AS")
        return f"[autonomous-system:number = {int(number)}]" if number.isdecimal() else None
    row = TYPES.get(type_)
    # STIX allows observables only in a pattern, and a vulnerability is none.
    if row is None or row.stix2 is None or type_ == "cve":
        return None
    return f"[{row.stix2} = {literal(value.lower() if type_ in _LOWER else value)}]"


def _path_pattern(value: str) -> str:
    cut = max(value.rfind("\\"), value.rfind("/"))
    folder, name = value[:cut], value[cut + 1 :]
    parts = []
    if folder:
        parts.append(f"file:parent_directory_ref.path = {literal(folder)}")
    if name:
        parts.append(f"file:name = {literal(name)}")
    return f"[{' AND '.join(parts) or f'file:name = {literal(value)}'}]"


def literal(text: str) -> str:
    """A string constant of a STIX pattern: in single quotes, backslashes and quotes escaped."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def stix_id(instance: str, source_system: str, type_: str, value: str, generation: int = 0) -> str:
    """The identifier of an indicator: the same for ever for the same arguments.

    Args:
        instance: the name of this installation, so that two of them do not overwrite each other.
        source_system: as given to the upload; it is a part of Sentinel's own key.
        type_: our type.
        value: canonical value.
        generation: counted up when an indicator returns after it was revoked, which is for ever in STIX.
    """
    name = json.dumps([instance, source_system, type_, value, generation], ensure_ascii=False)
    return f"indicator--{uuid.uuid5(NAMESPACE, name)}"


@dataclass(frozen=True, slots=True)
class StixIndicator:
    """What a STIX indicator says; times are UTC when naive.

    Args:
        id: as `stix_id` makes it.
        pattern: as `pattern_for` makes it.
        created: when this identifier was first sent.
        modified: must grow with every upload of a change.
        valid_from: from when it counts.
        valid_until: until when; Sentinel's rules never match without it. None leaves it out.
        name: shown in the portal.
        description: free text; empty leaves it out.
        confidence: 0 to 100.
        tlp: level 0 (clear) to 4 (red); None leaves the marking out.
        labels: shown as tags.
        indicator_types: STIX's words, such as malicious-activity.
        references: addresses of reports.
        revoked: withdrawn for ever (a false positive).
    """

    id: str
    pattern: str
    created: datetime
    modified: datetime
    valid_from: datetime
    valid_until: datetime | None
    name: str = ""
    description: str = ""
    confidence: int | None = None
    tlp: int | None = None
    labels: tuple[str, ...] = ()
    indicator_types: tuple[str, ...] = ("malicious-activity",)
    references: tuple[str, ...] = ()
    revoked: bool = False


def indicator_object(indicator: StixIndicator) -> dict[str, Any]:
    """The STIX 2.1 object; equal input gives equal bytes (order of keys, labels sorted).

    `valid_until` is never moved: where it does not lie after `valid_from` (an indicator withdrawn before it
    began to count), `valid_from` is moved before it, since Sentinel refuses the object otherwise.
    """
    until = None if indicator.valid_until is None else _to_ms(indicator.valid_until)
    start = _to_ms(indicator.valid_from)
    if until is not None:
        start = min(start, until - timedelta(milliseconds=1))
    created = _to_ms(indicator.created)
    content: dict[str, Any] = {
        "type": "indicator",
        "spec_version": "2.1",
        "id": indicator.id,
        "created": rfc3339(created),
        "modified": rfc3339(max(created, _to_ms(indicator.modified))),
        "name": indicator.name,
        "description": indicator.description,
        "indicator_types": _unique(indicator.indicator_types),
        "pattern": indicator.pattern,
        "pattern_type": "stix",
        "pattern_version": "2.1",
        "valid_from": rfc3339(start),
        "valid_until": None if until is None else rfc3339(until),
        "revoked": indicator.revoked,
        "labels": sorted(_unique(indicator.labels)),
        "confidence": indicator.confidence,
        "external_references": [external_reference(url) for url in _unique(indicator.references)],
        "object_marking_refs": [] if indicator.tlp is None else [MARKINGS[indicator.tlp]],
    }
    # STIX allows neither empty lists nor null.
    return {name: each for name, each in content.items() if each not in (None, "", [])}


def external_reference(url: str) -> dict[str, str]:
    """A reference to a report: its host names the source; text that is no address becomes a description."""
    try:
        host = urlsplit(url).hostname if "://" in url else None
    except ValueError:
        host = None
    return {"source_name": host, "url": url} if host else {"source_name": "reference", "description": url}


def rfc3339(when: datetime) -> str:
    """A time as STIX writes it, to the millisecond; naive times are UTC."""
    utc = when.astimezone(UTC).replace(tzinfo=None) if when.tzinfo else when
    return utc.isoformat(timespec="milliseconds") + "Z"


def _to_ms(when: datetime) -> datetime:
    utc = when.astimezone(UTC) if when.tzinfo else when.replace(tzinfo=UTC)
    return utc.replace(microsecond=utc.microsecond // 1000 * 1000)


def _unique(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(value for value in values if value))
