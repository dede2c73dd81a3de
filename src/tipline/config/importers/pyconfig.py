"""Reads settings out of a Python file without running it: literals, names, `os.environ`, text put together."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tipline.errors import FormatError

_MOST_BYTES = 1 << 20
_MOST_NODES = 20_000  # of one value, all its parts counted
_MOST_DEPTH = 60
_MOST_TEXT = 1 << 16


@dataclass(frozen=True)
class Variable:
    """A value that comes from the environment."""

    name: str
    default: Any = None


@dataclass(frozen=True)
class Unknown:
    """A value that only running the file could tell."""

    line: int
    text: str


def settings_of(source: str, where: str) -> dict[str, Any]:
    """The names that a file assigns at its top level, with plain values, `Variable` or `Unknown`.

    Branches (`if`, `try`, `with`) are read one after the other. What can be told is never replaced by what cannot.

    Args:
        source: Python.
        where: for messages.

    Raises:
        FormatError: it is too large, or not Python.
    """
    if len(source) > _MOST_BYTES:
        raise FormatError("the file is too large for a configuration", where=where, fix="give the script's config.py")
    try:
        tree = ast.parse(source, filename=where)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None)
        place = f"{where}:{line}" if line else where
        raise FormatError("it is not Python", where=place, fix="give the script's config.py") from error
    found: dict[str, Any] = {}
    _statements(tree.body, found)
    return found


def _statements(body: list[ast.stmt], found: dict[str, Any]) -> None:
    for statement in body:
        if isinstance(statement, ast.Assign):
            for target in statement.targets:
                _assign(target, statement.value, found)
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            _assign(statement.target, statement.value, found)
        elif isinstance(statement, ast.If | ast.Try | ast.With):
            for part in ("body", "handlers", "orelse", "finalbody"):
                inner = getattr(statement, part, [])
                for each in inner:
                    _statements(each.body if isinstance(each, ast.ExceptHandler) else [each], found)


def _assign(target: ast.expr, value: ast.expr, found: dict[str, Any]) -> None:
    read = _value(value, found)
    if isinstance(target, ast.Name):
        if not (isinstance(read, Unknown) and target.id in found):
            found[target.id] = read
    elif isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name):
        holder, key = found.get(target.value.id), _value(target.slice, found)
        if isinstance(holder, dict) and isinstance(key, str) and not (isinstance(read, Unknown) and holder.get(key)):
            found[target.value.id] = {**holder, key: read}


def _value(node: ast.expr, names: dict[str, Any]) -> Any:
    try:
        value = _read(node, names, 0)
        _weigh(value)
    except (_CannotTellError, RecursionError):
        return Unknown(node.lineno, ast.unparse(node)[:200] if not _is_deep(node) else "...")
    return value


class _CannotTellError(Exception):
    """Only running the file could tell."""


def _is_deep(node: ast.AST) -> bool:
    """Whether writing a node out would go too deep."""
    level: list[ast.AST] = [node]
    for _ in range(_MOST_DEPTH):
        level = [child for each in level for child in ast.iter_child_nodes(each)]
        if not level:
            return False
    return True


def _weigh(value: Any) -> None:
    """Refuse what grew large by naming parts again and again."""
    pending, count = [value], 0
    while pending:
        each = pending.pop()
        count += 1
        if count > _MOST_NODES or (isinstance(each, str) and len(each) > _MOST_TEXT):
            raise _CannotTellError
        if isinstance(each, dict):
            pending += each.values()
        elif isinstance(each, list):
            pending += each


def _read(node: ast.expr, names: dict[str, Any], depth: int) -> Any:
    if depth > _MOST_DEPTH:
        raise _CannotTellError
    reader = _READERS.get(type(node))
    if reader is None:
        raise _CannotTellError
    return reader(node, names, depth + 1)


def _constant(node: Any, _names: dict[str, Any], _depth: int) -> Any:
    if node.value is None or isinstance(node.value, str | bool | int | float):
        return node.value
    raise _CannotTellError


def _name(node: Any, names: dict[str, Any], _depth: int) -> Any:
    if node.id not in names or isinstance(names[node.id], Unknown):
        raise _CannotTellError
    return names[node.id]


def _sequence(node: Any, names: dict[str, Any], depth: int) -> list[Any]:
    return [_read(each, names, depth) for each in node.elts]


def _mapping(node: Any, names: dict[str, Any], depth: int) -> dict[Any, Any]:
    """A dictionary; a value that cannot be told stands in it as such, since the rest may be of use."""
    found = {}
    for key, each in zip(node.keys, node.values, strict=True):
        if key is None:
            raise _CannotTellError
        found[_text_or_number(_read(key, names, depth))] = _value(each, names)
    return found


def _text_or_number(key: Any) -> Any:
    if isinstance(key, str | int):
        return key
    raise _CannotTellError


def _joined(node: Any, names: dict[str, Any], depth: int) -> str:
    """An f-string whose parts are plain."""
    parts = []
    for each in node.values:
        braces = isinstance(each, ast.FormattedValue)
        if braces and (each.conversion != -1 or each.format_spec is not None):
            raise _CannotTellError
        part = _read(each.value if braces else each, names, depth)
        if not isinstance(part, str | int | float):
            raise _CannotTellError
        parts.append(str(part))
    return _short("".join(parts))


def _sum(node: Any, names: dict[str, Any], depth: int) -> Any:
    left, right = _read(node.left, names, depth), _read(node.right, names, depth)
    if isinstance(node.op, ast.Add) and isinstance(left, str) and isinstance(right, str):
        return _short(left + right)
    raise _CannotTellError


def _short(text: str) -> str:
    if len(text) > _MOST_TEXT:
        raise _CannotTellError
    return text


def _negative(node: Any, names: dict[str, Any], depth: int) -> Any:
    value = _read(node.operand, names, depth)
    if isinstance(node.op, ast.USub) and isinstance(value, int | float):
        return -value
    raise _CannotTellError


def _item(node: Any, names: dict[str, Any], depth: int) -> Any:
    """`os.environ['X']`, or a key of a dictionary that was read."""
    key = _read(node.slice, names, depth)
    if ast.unparse(node.value) in {"os.environ", "environ"} and isinstance(key, str):
        return Variable(key)
    holder = _read(node.value, names, depth)
    if isinstance(holder, dict) and isinstance(key, str | int) and key in holder:
        if isinstance(holder[key], Unknown):
            raise _CannotTellError
        return holder[key]
    raise _CannotTellError


def _call(node: Any, names: dict[str, Any], depth: int) -> Any:
    """`os.environ.get('X', default)` and `os.getenv`; nothing else is called."""
    known = {"os.environ.get", "environ.get", "os.getenv", "getenv"}
    if isinstance(node.func, ast.Attribute | ast.Name) and not node.keywords and not _is_deep(node.func):
        given = [_read(each, names, depth) for each in node.args]
        if ast.unparse(node.func) in known and len(given) in {1, 2} and isinstance(given[0], str):
            return Variable(given[0], given[1] if len(given) > 1 else None)
    raise _CannotTellError


_READERS: dict[type[ast.expr], Callable[[Any, dict[str, Any], int], Any]] = {
    ast.Constant: _constant, ast.Name: _name, ast.List: _sequence, ast.Tuple: _sequence, ast.Set: _sequence,
    ast.Dict: _mapping, ast.JoinedStr: _joined, ast.BinOp: _sum, ast.UnaryOp: _negative, ast.Subscript: _item,
    ast.Call: _call,
}  # fmt: skip
