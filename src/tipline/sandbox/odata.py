"""A small OData `$filter` to SQL: comparisons, and, or, not, parentheses, startswith, endswith, contains."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from .times import parse, stamp

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<text>'(?:[^']|'')*')
    | (?P<time>\d{4}-\d\d-\d\dT[0-9:.]+(?:Z|[+-]\d\d:\d\d))
    | (?P<number>-?\d+(?:\.\d+)?)
    | (?P<word>[A-Za-z_][\w/]*)
    | (?P<mark>[(),])
    )""",
    re.VERBOSE,
)
_COMPARE = {"eq": "=", "ne": "<>", "gt": ">", "ge": ">=", "lt": "<", "le": "<="}
_FUNCTIONS = {
    "contains": "instr({0}, ?) > 0",
    "startswith": "substr({0}, 1, length(?)) = ?",
    "endswith": "(length(?) = 0 OR substr({0}, -length(?)) = ?)",
}
_DEEPEST = 64


class ODataError(ValueError):
    """The filter is not understood; the message says why, as the far side would."""


@dataclass(frozen=True)
class Field:
    """A filterable property: its SQL expression (never from a caller) and its kind."""

    sql: str
    kind: Literal["text", "time", "bool", "number", "list"] = "text"


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    at, text = 0, text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if not match or match.lastgroup is None:
            if text[at:].lstrip().startswith("'"):
                raise ODataError(f"There is an unterminated string literal at position {len(text)} in '{text}'.")
            raise ODataError(f"Syntax error: character '{text[at:].lstrip()[0]}' is not valid at position {at}.")
        found.append(_Token(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)))
        at = match.end()
    return found


class _Compiler:
    def __init__(self, text: str, fields: Mapping[str, Field]) -> None:
        self.tokens = _tokens(text)
        self.fields = fields
        self.at = 0
        self.depth = 0
        self.params: list[Any] = []

    def whole(self) -> str:
        sql = self.either()
        if self.at < len(self.tokens):
            raise ODataError(f"Syntax error at position {self.tokens[self.at].at}.")
        return sql

    def next(self) -> _Token:
        if self.at >= len(self.tokens):
            raise ODataError("Syntax error: the expression ends too early.")
        self.at += 1
        return self.tokens[self.at - 1]

    def take(self, text: str) -> bool:
        if self.at < len(self.tokens) and self.tokens[self.at].text == text and self.tokens[self.at].kind != "text":
            self.at += 1
            return True
        return False

    def need(self, text: str) -> None:
        if not self.take(text):
            raise ODataError(f"Syntax error: '{text}' expected.")

    def either(self) -> str:
        parts = [self.both()]
        while self.take("or"):
            parts.append(self.both())
        return parts[0] if len(parts) == 1 else f"({' OR '.join(parts)})"

    def both(self) -> str:
        parts = [self.unary()]
        while self.take("and"):
            parts.append(self.unary())
        return parts[0] if len(parts) == 1 else f"({' AND '.join(parts)})"

    def unary(self) -> str:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise ODataError("The filter is too deep.")
        if self.take("not"):
            sql = f"NOT coalesce({self.unary()}, 0)"
        elif self.take("("):
            sql = self.either()
            self.need(")")
        else:
            sql = self.test()
        self.depth -= 1
        return sql

    def test(self) -> str:
        token = self.next()
        if token.kind != "word":
            raise ODataError(f"Syntax error: a property name is expected at position {token.at}.")
        if token.text in _FUNCTIONS:
            return self.function(token.text)
        field, op = self.field(token), self.next().text
        if op not in _COMPARE:
            raise ODataError(f"Syntax error: '{op}' is not an operator.")
        return self.compare(field, op)

    def field(self, token: _Token) -> Field:
        if token.kind != "word" or token.text not in self.fields:
            raise ODataError(f"Could not find a property named '{token.text}' that can be filtered on.")
        return self.fields[token.text]

    def compare(self, field: Field, op: str) -> str:
        token = self.next()
        if token.kind == "word" and token.text == "null":
            if op not in ("eq", "ne"):
                raise ODataError("null can only be compared by eq and ne.")
            return f"{field.sql} IS {'' if op == 'eq' else 'NOT '}NULL"
        self.params.append(self.value(token, field))
        if field.kind == "list":
            if op not in ("eq", "ne"):
                raise ODataError("A collection can only be compared by eq and ne.")
            test = f"EXISTS (SELECT 1 FROM json_each({field.sql}) WHERE value = ?)"
            return test if op == "eq" else f"NOT {test}"
        return f"{field.sql} IS NOT ?" if op == "ne" else f"{field.sql} {_COMPARE[op]} ?"

    def value(self, token: _Token, field: Field) -> Any:
        kind = "text" if field.kind == "list" else field.kind
        if kind == "bool" and token.text in ("true", "false"):
            return int(token.text == "true")
        if token.kind != kind:
            raise ODataError(f"A value of the wrong kind at position {token.at}: {token.text}.")
        if kind == "text":
            return token.text[1:-1].replace("''", "'")
        if kind == "number":
            return float(token.text)
        moment = parse(token.text)
        if moment is None:
            raise ODataError(f"Not a DateTimeOffset at position {token.at}: {token.text}.")
        return stamp(moment)

    def function(self, name: str) -> str:
        self.need("(")
        field = self.field(self.next())
        self.need(",")
        token = self.next()
        if token.kind != "text" or field.kind not in ("text", "list"):
            raise ODataError(f"{name} takes a string property and a string.")
        self.need(")")
        if self.take("eq"):
            self.need("true")
        sql = _FUNCTIONS[name].format(field.sql)
        self.params += [token.text[1:-1].replace("''", "'")] * sql.count("?")
        return sql


def compile_filter(text: str, fields: Mapping[str, Field]) -> tuple[str, list[Any]]:
    """SQL condition and its parameters for an OData filter.

    Raises:
        ODataError: a syntax error, an unknown property, or a value of the wrong kind.
    """
    compiler = _Compiler(text, fields)
    return compiler.whole(), compiler.params
