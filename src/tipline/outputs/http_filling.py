"""Structures with `{expression}` in their texts, filled with an indicator's fields.

What is filled is the structure, never its text: a value of a feed can become a member's value, and nothing
else. An expression is JMESPath, which reads and computes and has no way to do anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError

Fill = Callable[[Mapping[str, Any]], Any]
_PIECE = re.compile(r"\{\{|\}\}|\{((?:`[^`]*`|'[^']*'|[^{}`'])*)\}|[{}]")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ROOTED = {
    "subexpression", "index_expression", "projection", "value_projection", "filter_projection", "flatten", "pipe",
    "slice",
}  # fmt: skip


def expression(text: str, names: Collection[str] | None = None) -> Fill:
    """A JMESPath as a function of what it is applied to.

    Args:
        text: the expression.
        names: what it may start from; None: anything.

    Raises:
        ValueError: it is none, or starts from something that does not exist.
    """
    try:
        compiled = jmespath.compile(text)
    except JMESPathError as error:
        raise ValueError(f"{text!r} is no JMESPath: {str(error).splitlines()[0]}") from None
    for name in _roots(compiled.parsed):
        if names is not None and name not in names:
            raise ValueError(f"there is no {{{name}}}; there are {', '.join(sorted(names))}")
    if _NAME.fullmatch(text):
        # Most are a mere name, for which JMESPath is slow.
        return lambda data: data.get(text) if isinstance(data, Mapping) else None
    return lambda data: _searched(compiled, data)


def filling(structure: Any, names: Collection[str]) -> Fill:
    """A structure as a function of the fields that fill it.

    A text that is one expression and nothing else becomes what that yields (a number, a list); within a longer
    text it is written out. Members that come to nothing (null, or an empty list or object) are left out.

    Raises:
        ValueError: an expression in it is wrong.
    """
    if isinstance(structure, str):
        return _text(structure, names)
    if isinstance(structure, Mapping):
        members = {str(name): filling(part, names) for name, part in structure.items()}
        return lambda fields: {
            name: value for name, part in members.items() if not _nothing(value := part(fields))
        }  # fmt: skip
    if isinstance(structure, list):
        parts = [filling(part, names) for part in structure]
        return lambda fields: [value for part in parts if not _nothing(value := part(fields))]
    return lambda _: structure


def pieces(text: str, names: Collection[str]) -> list[str | Fill]:
    """A text apart at its expressions, so that each can be written out by itself.

    Raises:
        ValueError: an expression in it is wrong, or a brace is single.
    """
    parts: list[str | Fill] = []
    at = 0
    for found in _PIECE.finditer(text):
        parts.append(text[at : found.start()])
        at = found.end()
        if found[1] is not None:
            parts.append(expression(found[1], names))
        elif found[0] in {"{{", "}}"}:
            parts.append(found[0][0])
        else:
            raise ValueError(f"{text!r} has a single {found[0]}; write a brace of your own twice")
    return [part for part in (*parts, text[at:]) if part != ""]


def written(value: Any) -> str:
    """A value within a text."""
    if isinstance(value, list):
        return ", ".join(map(written, value))
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _text(text: str, names: Collection[str]) -> Fill:
    parts = pieces(text, names)
    if len(parts) == 1 and callable(whole := parts[0]):
        return whole
    if not any(callable(part) for part in parts):
        fixed = "".join(map(str, parts))
        return lambda _: fixed
    return lambda fields: "".join(part if isinstance(part, str) else written(part(fields)) for part in parts)


def _roots(node: Mapping[str, Any]) -> Iterator[str]:
    """The names that an expression starts from."""
    kind, children = node["type"], node.get("children", [])
    if kind == "field":
        yield node["value"]
    elif kind == "expref":
        return
    else:
        for child in children[:1] if kind in _ROOTED else children:
            yield from _roots(child)


def _searched(compiled: Any, data: Any) -> Any:
    try:
        return compiled.search(data)
    except JMESPathError:
        return None  # a function of something that has no such thing


def _nothing(value: Any) -> bool:
    return value is None or value in ({}, [])
