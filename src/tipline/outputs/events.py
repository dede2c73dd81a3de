"""Indicators as events (add, change, remove), for far sides that are told and keep the state themselves.

An event keeps its number until the far side has answered, so that a repetition after a lost answer, or after a
process that died, can be told from a second event.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from tipline.model import tlp
from tipline.outputs.delivery import Row
from tipline.store.receipts import NO, PARKED, SENDING, WITHDRAWING, Receipt

ADD, CHANGE, REMOVE, REPEAT = "add", "change", "remove", "repeat"
#: The columns that events show: never `first_seen`, which feeds change without meaning.
SHOWN = ["confidence", "description", "direction", "refs", "sources", "tags", "threat_types", "tlp", "valid_until"]


@dataclass(frozen=True)
class Event:
    """One event.

    Attributes:
        id: its number, a UUID.
        event: add, change, remove or repeat.
        content: the indicator's fields, by their names in JSON.
    """

    id: str
    event: str
    content: Mapping[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"id": self.id, "event": self.event, "indicator": dict(self.content)}


def moment(value: datetime | None) -> str | None:
    """ISO 8601 in UTC, to the second."""
    return value.replace(tzinfo=UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if value else None


def fields_of(row: Row) -> dict[str, Any]:
    """An indicator's fields; those without a value are left out."""
    found = {
        "key": row.key,
        "type": row.type,
        "value": row.value,
        "confidence": row.confidence,
        "tlp": tlp.name(row.tlp),
        "direction": row.direction,
        "threat_types": sorted(row.threat_types or ()),
        "tags": sorted(row.tags or ()),
        "sources": sorted(row.sources or ()),
        "description": row.description,
        "references": sorted(row.refs or ()),
        "valid_until": moment(row.valid_until),
    }
    return {name: value for name, value in found.items() if value not in (None, [])}


def told(row: Row, receipt: Receipt | None) -> tuple[Event, dict[str, Any]]:
    """The event for an indicator that is published, and what its receipt has to remember.

    Args:
        row: the indicator.
        receipt: of the copy that is or was told of.
    """
    content = fields_of(row)
    digest = hashlib.sha256(orjson.dumps(content)).hexdigest()[:16]
    before = _unanswered(receipt, {SENDING, PARKED})
    if before.get("digest") == digest:
        name, word = str(before["id"]), str(before["event"])
    else:
        name, word = str(uuid.uuid4()), str(before.get("event") or _word(receipt, digest))
    return Event(name, word, content), {"id": name, "event": word, "digest": digest}


def taken_back(receipt: Receipt, *, false_positive: bool) -> tuple[Event, dict[str, Any]]:
    """The event for an indicator that left, and what its receipt has to remember."""
    before = _unanswered(receipt, {WITHDRAWING})
    number = str(before.get("id") if before.get("event") == REMOVE else uuid.uuid4())
    reason = str(before.get("reason") or ("allowed" if false_positive else "no longer listed"))
    content = {"key": receipt.key, "type": receipt.type, "value": receipt.value, "reason": reason}
    return Event(number, REMOVE, content), {"id": number, "event": REMOVE, "reason": reason}


def _unanswered(receipt: Receipt | None, states: set[str]) -> Mapping[str, Any]:
    return receipt.detail if receipt is not None and receipt.state in states and "id" in receipt.detail else {}


def _word(receipt: Receipt | None, digest: str) -> str:
    if receipt is None or receipt.holds == NO:
        return ADD
    return REPEAT if receipt.detail.get("digest") == digest else CHANGE
