"""Tokens to a tree: operator precedence is or < and < not < comparison."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal as Choice

from tipline.durations import parse_duration
from tipline.processors.expression.tokens import Place, Token, tokenise

MAX_DEPTH = 50
COMPARISONS = {"==": "=", "=": "=", "!=": "<>", "<>": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_KEYWORDS = {"and", "or", "not", "in"}


@dataclass(frozen=True)
class Literal:
    """A value as written: int, float, text, True, False, None or a timedelta."""

    value: object
    at: int


@dataclass(frozen=True)
class Name:
    """A field, or a word that a field is compared with."""

    name: str
    at: int


@dataclass(frozen=True)
class Call:
    """A function and its arguments."""

    name: str
    args: tuple[Node, ...]
    at: int


@dataclass(frozen=True)
class Compare:
    """`left op right`; op as SQL writes it."""

    op: str
    left: Node
    right: Node
    at: int


@dataclass(frozen=True)
class Within:
    """`left in (…)` (a tuple of literals) or `left in list_field`."""

    left: Node
    right: Node | tuple[Node, ...]
    negated: bool
    at: int


@dataclass(frozen=True)
class Logic:
    """`and` or `or` of two or more parts, or `not` of one."""

    op: Choice["and", "or", "not"]
    parts: tuple[Node, ...]
    at: int


Node = Literal | Name | Call | Compare | Within | Logic


def parse(text: str, place: Place) -> Node:
    """The tree of an expression.

    Raises:
        ConfigError: with the column at which the text stops being an expression.
    """
    return _Parser(tokenise(text, place), place).whole()


class _Parser:
    def __init__(self, tokens: list[Token], place: Place) -> None:
        self._tokens = tokens
        self._place = place
        self._pos = 0
        self._depth = 0

    def whole(self) -> Node:
        if len(self._tokens) == 1:
            raise self._place.error("the expression is empty", 1, "write a condition such as confidence >= 75")
        node = self._any()
        if self._now.sort != "end":
            raise self._place.error(
                f"{self._now.text!r} was not expected here", self._now.at, "join conditions by and / or"
            )
        return node

    @property
    def _now(self) -> Token:
        return self._tokens[self._pos]

    def _take(self, *words: str) -> Token | None:
        if self._now.word not in words:
            return None
        self._pos += 1
        return self._tokens[self._pos - 1]

    def _need(self, word: str, why: str) -> None:
        if not self._take(word):
            raise self._place.error(f"{word!r} is missing", self._now.at, why)

    def _any(self) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._place.error(f"more than {MAX_DEPTH} levels of parentheses and not", self._now.at)
        node = self._chain("or", lambda: self._chain("and", self._negation))
        self._depth -= 1
        return node

    def _chain(self, op: Choice["and", "or"], part: Callable[[], Node]) -> Node:
        at = self._now.at
        parts = [part()]
        while self._take(op):
            parts.append(part())
        return parts[0] if len(parts) == 1 else Logic(op, tuple(parts), at)

    def _negation(self) -> Node:
        token = self._take("not")
        if not token:
            return self._comparison()
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._place.error(f"more than {MAX_DEPTH} levels of parentheses and not", token.at)
        node = Logic("not", (self._negation(),), token.at)
        self._depth -= 1
        return node

    def _comparison(self) -> Node:
        left = self._operand()
        token = self._now
        if self._take(*COMPARISONS):
            node: Node = Compare(COMPARISONS[token.word], left, self._operand(), token.at)
        elif self._take("in"):
            node = Within(left, self._choices(), negated=False, at=token.at)
        elif self._take("not"):
            self._need("in", "write: not in")
            node = Within(left, self._choices(), negated=True, at=token.at)
        else:
            return left
        if self._now.word in COMPARISONS or self._now.word in ("in", "not"):
            raise self._place.error("comparisons do not chain", self._now.at, "write: a < b and b < c")
        return node

    def _choices(self) -> Node | tuple[Node, ...]:
        if not self._take("("):
            return self._operand()
        items = self._list()
        if not items:
            raise self._place.error("the list is empty", self._now.at, "write: in ('a', 'b')")
        return items

    def _list(self) -> tuple[Node, ...]:
        """Operands up to the closing parenthesis."""
        items: list[Node] = []
        while self._now.word != ")":
            items.append(self._operand())
            if not self._take(","):
                break
        self._need(")", "close the parenthesis")
        return tuple(items)

    def _operand(self) -> Node:
        token = self._now
        self._pos += 1
        match token.sort:
            case "number":
                return Literal(self._number(token), token.at)
            case "duration":
                return Literal(self._duration(token), token.at)
            case "text":
                quote = token.text[0]
                return Literal(token.text[1:-1].replace(quote * 2, quote), token.at)
            case "name" if token.word not in _KEYWORDS:
                return self._named(token)
            case "operator" if token.text == "(":
                node = self._any()
                self._need(")", f"close the parenthesis of column {token.at}")
                return node
        what = "the expression ends too early" if token.sort == "end" else f"{token.text!r} was not expected here"
        raise self._place.error(what, token.at, "a field, a literal or a condition belongs here")

    def _named(self, token: Token) -> Node:
        constants = {"true": True, "false": False, "null": None}
        if token.word in constants:
            return Literal(constants[token.word], token.at)
        if self._take("("):
            return Call(token.text, self._list(), token.at)
        return Name(token.text, token.at)

    def _number(self, token: Token) -> int | float:
        if len(token.text) > 15:
            raise self._place.error("the number has more than 15 characters", token.at)
        return float(token.text) if "." in token.text else int(token.text)

    def _duration(self, token: Token) -> object:
        if len(token.text) > 7:
            raise self._place.error("the duration has more than 6 digits", token.at)
        return parse_duration(token.text)
