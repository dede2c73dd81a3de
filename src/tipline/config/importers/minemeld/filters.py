"""MineMeld's filters (first match wins, missing is null) as expressions of tipline's."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tipline.model import tlp
from tipline.model.types import type_of_word

_CONDITION = re.compile(
    r"\s*(?:contains\(\s*(\w+)\s*,\s*('[^']*'|\"[^\"]*\")\s*\)|([A-Za-z_]\w*))\s*(<=|>=|==|!=|<|>)\s*(.+?)\s*"
)
_FIELDS = {"confidence": "confidence", "direction": "direction", "sources": "sources", "__indicator": "value"}
_FALSE, _TRUE = "false", "true"
Say = Callable[[str, str], None]


def expression(rules: Any, say: Say) -> str | None:
    """The updates that rules accept; None: all of them.

    Args:
        rules: `infilters` or `outfilters`.
        say: takes an outcome and a sentence.
    """
    accepted = _TRUE
    for rule in reversed(_rules(rules)):
        condition, drops = _condition(rule, say)
        accepted = _and(_not(condition), accepted) if drops else _or(condition, accepted)
    if accepted == _FALSE:
        return "confidence < 0"  # nothing passes
    return None if accepted == _TRUE else accepted


def most_shared(rules: Any) -> int:
    """The highest TLP that rules may accept, whatever else is asked for."""
    for level in range(tlp.RED, tlp.CLEAR, -1):
        for rule in _rules(rules):
            asked = [_shares(text, level) for text in _texts(rule)]
            if False in asked:
                continue
            if _drops(rule):
                if all(each is True for each in asked):
                    break
                continue
            return level
        else:
            return level
    return tlp.CLEAR


def _rules(rules: Any) -> list[Mapping[str, Any]]:
    return [rule for rule in rules if isinstance(rule, dict)] if isinstance(rules, list) else []


def _texts(rule: Mapping[str, Any]) -> list[str]:
    found = rule.get("conditions")
    return [str(each) for each in found] if isinstance(found, list) else []


def _drops(rule: Mapping[str, Any]) -> bool:
    actions = rule.get("actions")
    return isinstance(actions, list) and actions[:1] == ["drop"]


def _shares(text: str, level: int) -> bool | None:
    """Whether a condition holds for a TLP; None if it asks for something else."""
    if "__method" in text:
        return ("withdraw" in text) != ("==" in text)
    found = re.fullmatch(r"\s*share_level\s*(==|!=)\s*['\"](\w+)['\"]\s*", text)
    return None if found is None else (tlp.level(found[2]) == level) == (found[1] == "==")


def _condition(rule: Mapping[str, Any], say: Say) -> tuple[str, bool]:
    drops = _drops(rule)
    found = _TRUE
    for text in _texts(rule):
        one = _one(text, say)
        if one is None:
            say("lost", f"{text!r} cannot be said: the rule {'drops' if drops else 'accepts'} nothing now")
            one = _FALSE
        found = _and(found, one)
    return found, drops


def _one(text: str, say: Say) -> str | None:
    match = _CONDITION.fullmatch(text)
    if match is None:
        return None
    if match[1]:
        return _contains(match)
    name, operator, value = match[3], match[4], _literal(match[5])
    if value is None:
        return None
    special = _SPECIAL.get(name)
    if special is not None:
        return special(operator, value)
    if (name, operator, value) == ("confidence", ">", "75"):
        say("changed", "confidence > 75 became >= 75: exactly 75 was in no feed")
        operator = ">="
    return _compare(_FIELDS.get(name, f"extra.{name}"), operator, value)


def _contains(match: re.Match[str]) -> str | None:
    wanted = {("==", "true"): True, ("!=", "true"): False, ("==", "false"): False}.get((match[4], match[5]))
    if wanted is None:
        return None
    literal = _quoted(match[2][1:-1])
    one = f"{literal} in sources" if match[1] == "sources" else f"contains(extra.{match[1]}, {literal})"
    return one if wanted else _not(one)


def _literal(text: str) -> str | None:
    if text in {"true", "false", "null"} or re.fullmatch(r"-?\d+", text):
        return text
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" and text[0] not in text[1:-1]:
        return _quoted(text[1:-1])
    return None


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _type(operator: str, value: str) -> str | None:
    if operator not in {"==", "!="}:
        return None
    ours = type_of_word(value.strip("'"))
    if ours is None:
        return _FALSE if operator == "==" else _TRUE
    return f"type {operator} '{ours}'"


def _method(operator: str, value: str) -> str:
    return _TRUE if (value == "'update'") == (operator == "==") else _FALSE


def _share(operator: str, value: str) -> str | None:
    level = tlp.level(value.strip("'"))
    if operator not in {"==", "!="} or (level is None and value != "null"):
        return None
    if level is None:  # nothing is without a TLP here
        return _FALSE if operator == "==" else _TRUE
    return f"tlp {operator} {tlp.name(level)}"


def _compare(field: str, operator: str, value: str) -> str:
    """With what a missing attribute gives in MineMeld: less than any number, unequal to everything but null."""
    if field == "sources":
        inside = f"{value} in sources"
        return inside if operator == "==" else _not(inside)
    plain = f"{field} {operator} {value}"
    missing = value != "null" and operator in {"!=", "<", "<="} and field not in {"value", "confidence"}
    return f"({field} == null or {plain})" if missing else plain


def _and(left: str, right: str) -> str:
    return _joined("and", _TRUE, _FALSE, left, right)


def _or(left: str, right: str) -> str:
    return _joined("or", _FALSE, _TRUE, left, right)


def _joined(word: str, neutral: str, strong: str, left: str, right: str) -> str:
    if strong in {left, right}:
        return strong
    kept = [each for each in (left, right) if each != neutral]
    if len(kept) < 2:
        return kept[0] if kept else neutral
    other = "or" if word == "and" else "and"
    bracketed: Iterable[str] = (f"({each})" if f" {other} " in each and not _closed(each) else each for each in kept)
    return f" {word} ".join(bracketed)


def _closed(text: str) -> bool:
    """Whether one pair of brackets is around all of a text."""
    depth = 0
    for index, each in enumerate(text):
        depth += (each == "(") - (each == ")")
        if depth == 0 and index < len(text) - 1:
            return False
    return text.startswith("(")


def _not(text: str) -> str:
    return {_TRUE: _FALSE, _FALSE: _TRUE}.get(text, f"not ({text})")


_SPECIAL: dict[str, Callable[[str, str], str | None]] = {"__method": _method, "type": _type, "share_level": _share}
