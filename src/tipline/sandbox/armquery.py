"""Conditions of ARM's `/query`, `/count` and `/queryIndicators`, as predicates over stored objects."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from typing import Any

from .armshape import object_properties, snake
from .times import parse, stamp

Predicate = Callable[[sqlite3.Row], bool]


class ConditionError(ValueError):
    """A condition is not understood."""


def comparable(value: Any) -> Any:
    """Values that sort: times as stamps, numbers as they are, all else as lower-case text."""
    moment = parse(value) or parse(f"{value}Z")
    if moment:
        return stamp(moment)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else str(value).lower()


def sort_key(value: Any) -> tuple[int, float, str]:
    """Sorts numbers by size, before texts."""
    shown = comparable(value)
    return (1, 0.0, shown) if isinstance(shown, str) else (0, float(shown), "")


def _ordered(test: Callable[[Any, Any], bool]) -> Callable[[Any, list[Any]], bool]:
    def compare(actual: Any, values: list[Any]) -> bool:
        if actual is None or not values:
            return False
        left, right = comparable(actual), comparable(values[0])
        if isinstance(left, str) != isinstance(right, str):
            try:
                left, right = float(left), float(right)
            except ValueError:
                return False
        return test(left, right)

    return compare


def _text(test: Callable[[str, str], bool]) -> Callable[[Any, list[Any]], bool]:
    return lambda actual, values: any(test(str(actual or "").lower(), str(each).lower()) for each in values)


def _not(test: Callable[[Any, list[Any]], bool]) -> Callable[[Any, list[Any]], bool]:
    return lambda actual, values: not test(actual, values)


def _in_list(actual: Any, values: list[Any]) -> bool:
    return isinstance(actual, list) and any(each in actual for each in values)


def _equals(actual: Any, values: list[Any]) -> bool:
    # `id` has two spellings (STIX and composite), hence lists of alternatives.
    alternatives = actual if isinstance(actual, list) else [actual]
    return any(comparable(a) == comparable(b) for a in alternatives if a is not None for b in values)


_AFTER, _BEFORE = _ordered(lambda a, b: a >= b), _ordered(lambda a, b: a <= b)
_CONTAINS = _text(lambda a, b: b in a)
_STARTS, _ENDS = _text(str.startswith), _text(str.endswith)
_OPERATORS: dict[str, Callable[[Any, list[Any]], bool]] = {
    "Equals": _equals, "NotEquals": _not(_equals), "LessThan": _ordered(lambda a, b: a < b),
    "LessThanEqual": _BEFORE, "GreaterThan": _ordered(lambda a, b: a > b), "GreaterThanEqual": _AFTER,
    "StringContains": _CONTAINS, "StringNotContains": _not(_CONTAINS), "StringStartsWith": _STARTS,
    "StringNotStartsWith": _not(_STARTS), "StringEndsWith": _ENDS, "StringNotEndsWith": _not(_ENDS),
    "StringIsEmpty": lambda actual, _: not actual, "IsNull": lambda actual, _: actual is None,
    "IsTrue": lambda actual, _: actual is True, "IsFalse": lambda actual, _: actual is False,
    "ArrayContains": _in_list, "ArrayNotContains": _not(_in_list), "OnOrAfterAbsolute": _AFTER,
    "OnOrBeforeAbsolute": _BEFORE,
}  # fmt: skip


def lookup(row: sqlite3.Row, field: str) -> Any:
    """The value of a field of `/query`: of the record, else of the STIX object."""
    if field == "id":
        return [row["stix_id"], row["id"], row["name"]]
    properties = object_properties(row)
    if field == "lastUpdatedTimeUtc":
        field = "lastUpdatedDateTimeUtc"
    if field in properties and field != "data":
        return properties[field]
    data = properties["data"]
    return data.get(field, data.get(snake(field)))


def clauses(condition: Any) -> Predicate:
    """The predicate of a `/query` condition.

    Raises:
        ConditionError: an unknown operator or a malformed clause.
    """
    if condition is None:
        return lambda _: True
    if not isinstance(condition, dict) or not isinstance(condition.get("clauses") or [], list):
        raise ConditionError("condition must hold a list of clauses")
    tests = [_clause(each) for each in condition.get("clauses") or []]
    kind = condition.get("stixObjectType")
    joined = any if str(condition.get("conditionConnective")).lower() == "or" and tests else all
    return lambda row: (not kind or row["stix_type"] == kind) and joined(test(row) for test in tests)


def _clause(clause: Any) -> Predicate:
    if not isinstance(clause, dict) or not isinstance(clause.get("field"), str):
        raise ConditionError("a clause needs field, operator and values")
    test = _OPERATORS.get(str(clause.get("operator")))
    values = clause.get("values") or []
    if test is None or not isinstance(values, list):
        raise ConditionError(f"operator '{clause.get('operator')}' is not supported")
    return lambda row: test(lookup(row, clause["field"]), values)


def wanted_ids(condition: Any) -> list[str]:
    """Ids that an And-condition demands, so that the look-up can use an index."""
    listed = condition.get("clauses") or [] if isinstance(condition, dict) else []
    if isinstance(condition, dict) and str(condition.get("conditionConnective")).lower() == "or" and len(listed) > 1:
        return []
    for each in listed if isinstance(listed, list) else []:
        if isinstance(each, dict) and each.get("field") == "id" and each.get("operator") == "Equals":
            return [str(value) for value in each.get("values") or []]
    return []


_LISTS = ("sources", "threatTypes", "ids", "patternTypes", "keywords")


def criteria(body: dict[str, Any], now: str) -> Predicate:
    """The predicate of a `/queryIndicators` body.

    Raises:
        ConditionError: a list is expected, and something else is there.
    """
    for name in _LISTS:
        if not isinstance(body.get(name) or [], list):
            raise ConditionError(f"{name}: a list is expected")
    sort = body.get("sortBy") or []
    if not isinstance(sort, list) or not all(isinstance(each, dict) for each in sort):
        raise ConditionError("sortBy: a list of itemKey and sortOrder is expected")

    def passes(row: sqlite3.Row) -> bool:
        thing = json.loads(row["data"])
        disabled = row["revoked"] or (row["valid_until"] and row["valid_until"] <= now)
        return (
            (bool(body.get("includeDisabled")) or not disabled)
            and _among(body, "sources", [row["source"]])
            and _among(body, "threatTypes", thing.get("indicator_types") or [])
            and _among(body, "ids", [row["stix_id"], row["id"], row["name"]])
            and _between(body, "Confidence", thing.get("confidence"))
            and _between(body, "ValidUntil", thing.get("valid_until"))
            and _pattern_type(body, thing)
            and all(str(word).lower() in row["data"].lower() for word in body.get("keywords") or [])
        )

    return passes


def _among(body: dict[str, Any], name: str, actual: list[str]) -> bool:
    return not body.get(name) or any(each in body[name] for each in actual)


def _between(body: dict[str, Any], name: str, actual: Any) -> bool:
    low, high = body.get(f"min{name}"), body.get(f"max{name}")
    return (low is None or _AFTER(actual, [low])) and (high is None or _BEFORE(actual, [high]))


def _pattern_type(body: dict[str, Any], thing: dict[str, Any]) -> bool:
    wanted = body.get("patternTypes")
    return not wanted or any(f"[{each}:" in str(thing.get("pattern")) for each in wanted)
