"""MineMeld's filters (first match wins, missing is null) as expressions of tipline's."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tipline.model import tlp
from tipline.model.types import NARROWED, type_of_word

_CONDITION = re.compile(
    r"\s*(?:contains\(\s*(\w+)\s*,\s*('[^']*'|\"[^\"]*\")\s*\)|([A-Za-z_]\w*))\s*(<=|>=|==|!=|<|>)\s*(.+?)\s*"
)
_FIELDS = {"confidence": "confidence", "direction": "direction", "__indicator": "value"}
_FALSE, _TRUE = "false", "true"
Say = Callable[[str, str], None]


@dataclass(frozen=True)
class Names:
    """What filters name, and what became of it.

    Attributes:
        sources: our sources by the name that MineMeld kept in `sources` (`source_name`).
        extra: our names in `extra` by the names of attributes.
        tagged: attributes of templates, which are tags: `name:value`.
    """

    sources: Mapping[str, list[str]] = field(default_factory=dict)
    extra: Mapping[str, str] = field(default_factory=dict)
    tagged: frozenset[str] = frozenset()


def expression(rules: Any, say: Say, names: Names) -> str | None:
    """The updates that rules accept; None: all of them.

    Args:
        rules: `infilters` or `outfilters`.
        say: takes an outcome and a sentence.
        names: what they may name.
    """
    accepted = _TRUE
    for rule in reversed(_rules(rules)):
        condition, drops = _condition(rule, say, names)
        accepted = _and(_not(condition), accepted) if drops else _or(condition, accepted)
    if accepted == _FALSE:
        say("changed", "nothing passes: no rule accepts anything that can be here")
        return "confidence < 0"
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


def _condition(rule: Mapping[str, Any], say: Say, names: Names) -> tuple[str, bool]:
    drops = _drops(rule)
    found = _TRUE
    for text in _texts(rule):
        one = _one(text, say, names)
        if one is None:
            say("lost", f"{text!r} cannot be said: the rule {'drops' if drops else 'accepts'} nothing now")
            one = _FALSE
        found = _and(found, one)
    return found, drops


def _one(text: str, say: Say, names: Names) -> str | None:
    match = _CONDITION.fullmatch(text)
    if match is None:
        return None
    if match[1]:
        return _contains(match, say, names)
    name, operator, value = match[3], match[4], _literal(match[5])
    if value is None:
        return None
    special = _SPECIAL.get(name)
    return special(operator, value, say) if special is not None else _attribute(name, operator, value, say, names)


def _attribute(name: str, operator: str, value: str, say: Say, names: Names) -> str | None:
    if (name, operator, value) == ("confidence", ">", "75"):
        say("changed", "confidence > 75 became >= 75: exactly 75 was in no feed")
        operator = ">="
    if name == "sources":
        return _negated(_source(value, say, names), operator) if operator in {"==", "!="} else None
    if name in names.tagged:
        tag = f"'{name}:{value.strip(chr(39))}' in tags"
        return _negated(tag, operator) if operator in {"==", "!="} and value != "null" else None
    return _compare(_FIELDS.get(name) or _extra(name, say, names), operator, value)


def _contains(match: re.Match[str], say: Say, names: Names) -> str | None:
    wanted = {("==", "true"): True, ("!=", "true"): False, ("==", "false"): False}.get((match[4], match[5]))
    if wanted is None:
        return None
    literal = _quoted(match[2][1:-1])
    if match[1] == "sources":
        one = _source(literal, say, names)
    else:
        one = f"contains({_extra(match[1], say, names)}, {literal})"
    return _negated(one, "==" if wanted else "!=")


def _source(literal: str, say: Say, names: Names) -> str:
    """Whether a source told of it; MineMeld knew it by its `source_name`, which several nodes may share."""
    told = names.sources.get(literal[1:-1].replace("''", "'"))
    if told is None:
        say("lost", f"no source is called {literal}: what asks for it matches nothing")
    return " or ".join(f"{_quoted(name)} in sources" for name in told or []) or f"{literal} in sources"


def _extra(name: str, say: Say, names: Names) -> str:
    if name not in names.extra:
        say("lost", f"no source is known to give {name}: what asks for it matches nothing until one keeps it in extra")
    return f"extra.{names.extra.get(name, name)}"


def _negated(text: str, operator: str) -> str:
    return text if operator == "==" else _not(text)


def _literal(text: str) -> str | None:
    if text in {"true", "false", "null"} or re.fullmatch(r"-?\d+", text):
        return text
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" and text[0] not in text[1:-1]:
        return _quoted(text[1:-1])
    return None


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _type(operator: str, value: str, say: Say) -> str | None:
    if operator not in {"==", "!="}:
        return None
    ours = type_of_word(value.strip("'"))
    if ours is None:
        say("lost", f"there is no type {value} here: {operator} it is {'never' if operator == '==' else 'always'} so")
        return _FALSE if operator == "==" else _TRUE
    if ours in NARROWED:
        return _negated(" or ".join(f"type == '{each}'" for each in NARROWED[ours]), operator)
    return f"type {operator} '{ours}'"


def _method(operator: str, value: str, _: Say) -> str:
    return _TRUE if (value == "'update'") == (operator == "==") else _FALSE


def _share(operator: str, value: str, say: Say) -> str | None:
    level = tlp.level(value.strip("'"))
    if operator not in {"==", "!="} or (level is None and value != "null"):
        return None
    if level is None:
        say("changed", f"share_level {operator} null is {'never' if operator == '==' else 'always'} so: all have a TLP")
        return _FALSE if operator == "==" else _TRUE
    return f"tlp {operator} {tlp.name(level)}"


def _compare(field: str, operator: str, value: str) -> str:
    """With what a missing attribute gives in MineMeld: less than any number, unequal to everything but null."""
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


_SPECIAL: dict[str, Callable[[str, str, Say], str | None]] = {"__method": _method, "type": _type, "share_level": _share}
