"""What Sentinel's upload accepts in one STIX object; messages follow Microsoft's documented sentence."""

from __future__ import annotations

import re
from typing import Any

from .behaviours import Behaviour
from .times import parse

TYPES = ("indicator", "attack-pattern", "threat-actor", "identity", "relationship")
_COMMON = ("id", "type", "created", "modified")
_NEEDS = {
    "indicator": ("pattern", "pattern_type", "valid_from"),
    "attack-pattern": ("name",),
    "threat-actor": ("name",),
    "identity": ("name",),
    "relationship": ("relationship_type", "source_ref", "target_ref"),
}
_STRINGS = ("name", "description", "pattern", "pattern_type", "pattern_version", "lang", "created_by_ref")
_TIMES = ("created", "modified", "valid_from", "valid_until")
_LISTS = ("labels", "object_marking_refs", "indicator_types")
_ID = re.compile(r"([a-z0-9-]+)--[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")


def _shown(value: Any) -> str:
    return "NULL" if value is None else str(value)[:200]


def _error(name: str, problem: str, value: Any) -> str:
    return f"Error for Property={name}: {problem}. Actual value: {_shown(value)}."


def problems(thing: Any, behaviour: Behaviour) -> list[str]:
    """What is wrong with an object of `stixobjects`; empty when it is accepted."""
    if not isinstance(thing, dict):
        return [_error("stixobject", "Object expected", thing)]
    kind = thing.get("type")
    needed = (*_COMMON, *_NEEDS.get(kind if isinstance(kind, str) else "", ()))
    found = [_error(name, "Required property is missing", None) for name in needed if thing.get(name) is None]
    found += _kind(thing, behaviour)
    found += [_error(n, "String expected", thing[n]) for n in _STRINGS if not isinstance(thing.get(n, ""), str | None)]
    found += [_error(n, "Timestamp expected", thing[n]) for n in _TIMES if _bad_time(thing.get(n))]
    found += [_error(n, "List of strings expected", thing[n]) for n in _LISTS if _bad_list(thing.get(n))]
    return found + _values(thing)


def _kind(thing: dict[str, Any], behaviour: Behaviour) -> list[str]:
    kind, name = thing.get("type"), thing.get("id")
    found = []
    if kind is not None and kind not in TYPES and (behaviour.other_types == "refused" or not isinstance(kind, str)):
        found.append(_error("type", f"Type must be one of {', '.join(TYPES)}", kind))
    if name is not None:
        match = _ID.fullmatch(name) if isinstance(name, str) else None
        if not match or match[1] != kind:
            found.append(_error("id", "Identifier must be type--UUID", name))
    return found


def _bad_time(value: Any) -> bool:
    return value is not None and parse(value) is None


def _bad_list(value: Any) -> bool:
    return value is not None and not (isinstance(value, list) and all(isinstance(each, str) for each in value))


def _values(thing: dict[str, Any]) -> list[str]:
    found = []
    confidence = thing.get("confidence")
    whole = isinstance(confidence, int) and not isinstance(confidence, bool)
    if confidence is not None and not (whole and 0 <= confidence <= 100):
        found.append(_error("confidence", "Integer from 0 to 100 expected", confidence))
    if not isinstance(thing.get("revoked", False), bool | None):
        found.append(_error("revoked", "Boolean expected", thing["revoked"]))
    if thing.get("spec_version", "2.1") not in ("2.0", "2.1"):
        found.append(_error("spec_version", "Version 2.0 or 2.1 expected", thing["spec_version"]))
    start, end = parse(thing.get("valid_from")), parse(thing.get("valid_until"))
    if start and end and end <= start:
        found.append(_error("valid_until", "Must be later than valid_from", thing["valid_until"]))
    if thing.get("pattern") == "":
        found.append(_error("pattern", "Required property is missing", None))
    return found
