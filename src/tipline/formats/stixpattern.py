"""STIX patterns: which values a pattern says are bad, and why it says no more.

The language is that of STIX 2.0 and 2.1 (section 9), read by recursive descent in linear time and to a
bounded depth. A value is taken where the pattern means *this value is bad*: an equality, an `IN`, an
`ISSUBSET` of a network, alternatives of such (`OR`). Of conditions on one file that all must hold, its hashes
say it all. Of everything else (`AND`, `FOLLOWEDBY`, `REPEATS`, `NOT`, `LIKE`, ...) no value is bad by itself:
dropped, with a reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from tipline.formats.base import cut
from tipline.formats.stixpaths import HASHES, word_of
from tipline.formats.stixtokens import PatternError, Token, tokens

_DEEPEST = 40
_PRIMITIVES = ("string", "number", "time", "hex", "binary")
_ORDER = ("=", "==", "!=", "<>", "<", "<=", ">", ">=")
_WORD_OPERATORS = ("IN", "LIKE", "MATCHES", "ISSUBSET", "ISSUPERSET")
_REFUSED = {"MATCHES": "regular-expression"} | dict.fromkeys(("<", "<=", ">", ">=", "ISSUPERSET"), "composite-pattern")
# What nearly every pattern is: one equality.
_SIMPLE = re.compile(r"\[\s*([A-Za-z0-9-]+):([a-z_]+|hashes\.'?[A-Za-z0-9-]+'?)\s*=\s*'([^'\\]*)'\s*\]")


class Found(NamedTuple):
    """One value of a pattern: its type word (None: to be detected), and a reason if it is dropped."""

    word: str | None
    value: str
    drop: str | None = None


@dataclass(slots=True)
class _Part:
    """What a part of a pattern says.

    Attributes:
        found: its values, and what it gives no value for.
        file: whether it speaks of files only.
        hashes: whether it is alternatives of file hashes only.
        neutral: whether it only names the type of what is compared beside it.
        negated: whether a negation is in it.
    """

    found: list[Found] = field(default_factory=list)
    file: bool = False
    hashes: bool = False
    neutral: bool = False
    negated: bool = False


def read_pattern(pattern: str) -> list[Found]:
    """What a pattern says: bad values, and rows with a reason for all else; never empty, never raises."""
    simple = _SIMPLE.fullmatch(pattern.strip())
    if simple is not None:
        steps = tuple(simple[2].replace("'", "").split("."))
        word = word_of(simple[1], steps)
        return [Found(word, simple[3], None if word else "unsupported-type")]
    try:
        found = _Parser(pattern).pattern()
    except PatternError:
        return [Found(None, cut(pattern), "bad-pattern")]
    return list(dict.fromkeys(found)) or [Found(None, cut(pattern), "composite-pattern")]


class _Parser:
    """Reads one pattern."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._tokens = tokens(pattern)
        self._at = 0
        self._depth = 0

    def pattern(self) -> list[Found]:
        """The whole pattern."""
        part = self._sequence()
        self._expect("end")
        return part.found

    def _peek(self) -> Token:
        return self._tokens[self._at]

    def _next(self) -> Token:
        token = self._tokens[self._at]
        self._at += token.kind != "end"
        return token

    def _is(self, *texts: str) -> bool:
        token = self._peek()
        return token.kind in ("word", "mark") and token.text in texts

    def _take(self, *texts: str) -> bool:
        if self._is(*texts):
            self._at += 1
            return True
        return False

    def _expect(self, what: str) -> Token:
        token = self._next()
        if what not in (token.kind, token.text if token.kind in ("word", "mark") else ""):
            raise PatternError(f"column {token.start + 1}: expected {what}, found {token.text[:50]}")
        return token

    def _chain(self, word: str, one: Callable[[], _Part], join: Callable[[list[_Part], int], _Part]) -> _Part:
        start = self._peek().start
        parts = [one()]
        while self._take(word):
            parts.append(one())
        return parts[0] if len(parts) == 1 else join(parts, start)

    def _deeper(self, inner: Callable[[], _Part]) -> _Part:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise PatternError("nested too deep")
        part = inner()
        self._expect(")")
        self._depth -= 1
        return part

    # Observations: FOLLOWEDBY binds weakest, then OR, then AND, then qualifiers.

    def _sequence(self) -> _Part:
        return self._chain("FOLLOWEDBY", self._alternatives, self._composite)

    def _alternatives(self) -> _Part:
        return self._chain("OR", self._together, self._either)

    def _together(self) -> _Part:
        return self._chain("AND", self._qualified, self._composite)

    def _qualified(self) -> _Part:
        start = self._peek().start
        inner = self._take("(")
        if inner:
            part = self._deeper(self._sequence)
        else:
            self._expect("[")
            part = self._comparisons()
            self._expect("]")
        narrowed, seen = False, set()
        while self._is("WITHIN", "REPEATS", "START"):
            word = self._next().text
            if word in seen and not inner:
                raise PatternError(f"{word} twice")
            seen.add(word)
            narrowed |= self._qualifier(word)
        return self._composite([part], start) if narrowed else part

    def _qualifier(self, word: str) -> bool:
        """Read what follows a qualifier's word; returns whether one observation is then not enough."""
        if word == "START":
            self._moment()
            self._expect("STOP")
            self._moment()
            return True
        number = self._expect("number").text
        if number.startswith("-") or (word == "REPEATS" and not number.isdigit()):
            raise PatternError(f"{word} {number}")
        self._expect("TIMES" if word == "REPEATS" else "SECONDS")
        return word == "REPEATS" and int(number[:9]) != 1

    def _moment(self) -> None:
        token = self._next()
        if token.kind not in ("time", "string"):
            raise PatternError(f"column {token.start + 1}: expected a time")

    # Comparisons: OR binds weaker than AND.

    def _comparisons(self) -> _Part:
        return self._chain("OR", self._conditions, self._either)

    def _conditions(self) -> _Part:
        return self._chain("AND", self._comparison, self._all)

    def _comparison(self) -> _Part:
        if self._take("("):
            return self._deeper(self._comparisons)
        start = self._peek().start
        negated = self._take("NOT")
        if self._take("EXISTS"):
            self._path()
            return self._composite([], start)
        kind, steps = self._path()
        negated |= self._take("NOT")
        token = self._next()
        if token.kind == "mark" and token.text in _ORDER:
            values, operator = [self._value()], token.text
            negated |= operator in ("!=", "<>")
        elif token.kind == "word" and token.text in _WORD_OPERATORS:
            values, operator = (
                self._list() if token.text == "IN" else [self._expect("string").text],
                token.text,
            )
        else:
            raise PatternError(f"column {token.start + 1}: expected a comparison")
        return self._compared(kind, steps, operator, values, negated=negated, start=start)

    def _path(self) -> tuple[str, tuple[str, ...]]:
        kind = self._expect("word").text
        self._expect(":")
        steps = [self._step()]
        while self._is(".", "["):
            if self._take("."):
                steps.append(self._step())
                continue
            self._expect("[")
            index = self._next()
            if index.text != "*" and not (index.kind == "number" and index.text.lstrip("-").isdigit()):
                raise PatternError(f"column {index.start + 1}: expected a number or *")
            self._expect("]")
            if steps[-1] == "hashes":
                steps.append("*")
        return kind, tuple(steps)

    def _step(self) -> str:
        token = self._next()
        if token.kind not in ("word", "string", "double"):
            raise PatternError(f"column {token.start + 1}: expected a property")
        return token.text

    def _value(self) -> str:
        token = self._next()
        if token.kind not in _PRIMITIVES and token.text not in ("true", "false"):
            raise PatternError(f"column {token.start + 1}: expected a value, found {token.text[:50]}")
        return token.text

    def _list(self) -> list[str]:
        self._expect("(")
        values = [self._value()]
        while self._take(","):
            values.append(self._value())
        self._expect(")")
        return values

    def _said(self, start: int) -> str:
        return cut(self._pattern[start : self._tokens[max(self._at - 1, 0)].end])

    def _compared(
        self,
        kind: str,
        steps: tuple[str, ...],
        operator: str,
        values: list[str],
        *,
        negated: bool,
        start: int,
    ) -> _Part:
        word = word_of(kind, steps)
        neutral = operator in ("=", "==") and steps[-1] == "type" and not negated
        found = [_judged(word, operator, value, negated=negated) for value in values]
        if word is None or negated:
            found = [Found(word, self._said(start), found[0].drop)]
        plain = all(one.drop is None for one in found)
        is_file = kind.lower() == "file"
        return _Part(found, is_file, is_file and plain and word in HASHES, neutral, negated)

    def _either(self, parts: list[_Part], _start: int) -> _Part:
        return _Part(
            [found for part in parts for found in part.found],
            file=all(part.file for part in parts),
            hashes=all(part.hashes for part in parts),
            negated=any(part.negated for part in parts),
        )

    def _all(self, parts: list[_Part], start: int) -> _Part:
        """Conditions that must all hold: of one thing that is named, or of one file by its hashes."""
        told = [part for part in parts if not part.neutral]
        if len(told) == 1:
            return told[0]
        hashes = [part for part in told if part.hashes]
        if hashes and all(part.file and not part.negated for part in told):
            sure = [part for part in hashes if len(part.found) == 1] or hashes
            return _Part([found for part in sure for found in part.found], file=True, hashes=True)
        return self._composite(parts, start)

    def _composite(self, parts: list[_Part], start: int) -> _Part:
        negated = any(part.negated for part in parts)
        reason = "negated-pattern" if negated else "composite-pattern"
        return _Part([Found(None, self._said(start), reason)], negated=negated)


def _judged(word: str | None, operator: str, value: str, *, negated: bool) -> Found:
    """One comparison with one value."""
    if word in ("ip-src", "ip-dst") and value[-1:].isalpha() and ":" not in value:
        word = "domain"
    if negated:
        return Found(word, value, "negated-pattern")
    if operator == "LIKE" and re.search("[%_]", value):
        return _like(word, value)
    if operator in _REFUSED:
        return Found(word, value, _REFUSED[operator])
    return Found(word, value, None if word else "unsupported-type")


def _like(word: str | None, value: str) -> Found:
    """A LIKE with wildcards; of `%.example.com` the source decides, by `allow_wildcards`, what it means."""
    if word == "domain" and value.startswith("%.") and not re.search("[%_]", value[2:]):
        return Found(word, "*" + value[1:])
    return Found(word, value, "wildcard-pattern")
