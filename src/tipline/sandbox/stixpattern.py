"""STIX patterns -> the key and value pairs that Sentinel's tables show (one a comparison)."""

from __future__ import annotations

import re
from typing import NamedTuple

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<literal>(?:[thb])?'(?:[^'\\]|\\.)*'|[+-]?\d+(?:\.\d+)?(?![\w:])|(?:true|false)\b)
    | (?P<path>[A-Za-z][A-Za-z0-9-]*:(?:[A-Za-z0-9_-]|\.'(?:[^'\\]|\\.)*'|\.(?=[A-Za-z0-9_])|\[(?:\d+|\*)\])+)
    | (?P<op>==|!=|<>|<=|>=|=|<|>)
    | (?P<mark>[()\[\],])
    | (?P<word>[A-Za-z]+)
    )""",
    re.VERBOSE,
)
_WORD_OPS = ("IN", "LIKE", "MATCHES", "ISSUBSET", "ISSUPERSET")
_DEEPEST = 64


class Token(NamedTuple):
    """One word of a pattern."""

    kind: str
    text: str


class Comparison(NamedTuple):
    """One equality: the whole left side as written, and the unescaped right side."""

    key: str
    value: str


class _BadPatternError(ValueError):
    """The text is not a STIX pattern."""


def _tokens(text: str) -> list[Token]:
    found: list[Token] = []
    at, text = 0, text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if not match or match.lastgroup is None:
            raise _BadPatternError(f"unexpected text at {at}")
        found.append(Token(match.lastgroup, match[match.lastgroup]))
        at = match.end()
    return found


def _plain(literal: str) -> str:
    """The value of a literal: quotes and prefix off, backslash escapes resolved."""
    if not literal.endswith("'"):
        return literal
    inner = literal[literal.index("'") + 1 : -1]
    return re.sub(r"\\(.)", r"\1", inner, flags=re.DOTALL)


class _Parser:
    """Recursive descent over the grammar of STIX 2.1, part 9; collects equalities on the way."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.at = 0
        self.depth = 0
        self.found: list[Comparison] = []

    def peek(self, *texts: str) -> bool:
        """Whether the next token is one of these words or marks."""
        if self.at >= len(self.tokens):
            return False
        token = self.tokens[self.at]
        return token.kind != "literal" and token.text.upper() in texts

    def take(self, *texts: str) -> bool:
        """Go past the next token if it is one of these."""
        if self.peek(*texts):
            self.at += 1
            return True
        return False

    def need(self, text: str) -> None:
        """The next token must be this one."""
        if not self.take(text):
            raise _BadPatternError(f"expected {text}")

    def kind(self, kind: str) -> str:
        """The text of the next token, which must be of this kind."""
        if self.at >= len(self.tokens) or self.tokens[self.at].kind != kind:
            raise _BadPatternError(f"expected a {kind}")
        self.at += 1
        return self.tokens[self.at - 1].text

    def nested(self) -> None:
        """Refuse depths that no honest pattern has."""
        self.depth += 1
        if self.depth > _DEEPEST:
            raise _BadPatternError("too deep")

    def pattern(self) -> list[Comparison]:
        """The whole text."""
        self.observations()
        if self.at != len(self.tokens):
            raise _BadPatternError("text after the pattern")
        return self.found

    def observations(self) -> None:
        """`[...] AND [...]`, OR, FOLLOWEDBY, with qualifiers."""
        self.observation()
        while self.take("AND", "OR", "FOLLOWEDBY"):
            self.observation()

    def observation(self) -> None:
        """`[comparisons]` or `(observations)`, then its qualifiers."""
        self.nested()
        if self.take("("):
            self.observations()
            self.need(")")
        else:
            self.need("[")
            self.comparisons()
            self.need("]")
        while self.qualifier():
            pass
        self.depth -= 1

    def qualifier(self) -> bool:
        """WITHIN n SECONDS, REPEATS n TIMES, START t STOP t."""
        if self.take("WITHIN"):
            self.kind("literal")
            self.need("SECONDS")
        elif self.take("REPEATS"):
            self.kind("literal")
            self.need("TIMES")
        elif self.take("START"):
            self.kind("literal")
            self.need("STOP")
            self.kind("literal")
        else:
            return False
        return True

    def comparisons(self) -> None:
        """`a = 'b' AND (c = 'd' OR ...)`."""
        self.comparison()
        while self.take("AND", "OR"):
            self.comparison()

    def comparison(self) -> None:
        """One test; only equalities that are not negated are kept."""
        self.nested()
        if self.take("("):
            self.comparisons()
            self.need(")")
        elif self.take("EXISTS"):
            self.kind("path")
        else:
            self.test(self.kind("path"))
        self.depth -= 1

    def test(self, path: str) -> None:
        """Operator and right side of one comparison."""
        negated = self.take("NOT")
        if self.take("IN"):
            self.need("(")
            values = [self.kind("literal")]
            while self.take(","):
                values.append(self.kind("literal"))
            self.need(")")
            equal = True
        elif self.take(*_WORD_OPS):
            values, equal = [self.kind("literal")], False
        else:
            equal = self.kind("op") in ("=", "==")
            values = [self.kind("literal")]
        if equal and not negated:
            self.found += [Comparison(path, _plain(value)) for value in values]


def comparisons(pattern: str) -> list[Comparison]:
    """The equalities of a STIX pattern in order; empty when it cannot be parsed or has none.

    `x IN ('a', 'b')` counts as two equalities; negations, LIKE, MATCHES and the like give nothing.
    """
    try:
        return _Parser(_tokens(pattern)).pattern()
    except _BadPatternError:
        return []
