"""Text to tokens, each with its column, and the errors that point at one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from tipline.errors import ConfigError

MAX_LENGTH = 10_000

Sort = Literal["number", "duration", "text", "name", "operator", "end"]

_FORMS = re.compile(
    r"""\s*(?:
      (?P<duration>\d+[smhdw](?![\w.]))
    | (?P<number>-?\d+(?:\.\d+)?(?![\w.]))
    | (?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*")
    | (?P<name>amber\+strict(?!\w)|[A-Za-z_][\w-]*(?:\.[A-Za-z_][\w-]*)*)
    | (?P<operator>==|!=|<>|<=|>=|[=<>(),])
    | (?P<end>\Z)
    )""",
    re.VERBOSE | re.ASCII,
)


@dataclass(frozen=True)
class Token:
    """One word of an expression; `at` is its column, counted from 1."""

    sort: Sort
    text: str
    at: int

    @property
    def word(self) -> str:
        """A keyword in lower case, or an operator; empty for literals."""
        return self.text.lower() if self.sort in ("name", "operator") else ""


class Place:
    """Where an expression stands, to make errors that point into it."""

    def __init__(self, where: str) -> None:
        self._where = where

    def error(self, what: str, at: int, fix: str = "") -> ConfigError:
        """An error at a column of the expression."""
        place = f"{self._where}, column {at}" if self._where else f"filter, column {at}"
        return ConfigError(what, where=place, fix=fix)

    def unknown(self, sort: str, name: str, known: list[str], at: int) -> ConfigError:
        """An error about a name that does not exist, with the nearest ones that do."""
        near = get_close_matches(name.lower(), known, n=1, cutoff=0.6)
        fix = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        return self.error(f"no {sort} is named {name!r}", at, fix)


def tokenise(text: str, place: Place) -> list[Token]:
    """The tokens of an expression, the last of which is `end`.

    Raises:
        ConfigError: a character or a literal that no expression has.
    """
    if len(text) > MAX_LENGTH:
        raise place.error(
            f"the expression is longer than {MAX_LENGTH} characters", MAX_LENGTH, "split it over two filters"
        )
    for at, char in enumerate(text, 1):
        if "\ud800" <= char <= "\udfff" or (char < " " and char not in "\t\r\n"):
            raise place.error(f"the character {char!r} has no place in an expression", at)
    tokens: list[Token] = []
    pos = 0
    while not tokens or tokens[-1].sort != "end":
        match = _FORMS.match(text, pos)
        if not match:
            raise _bad(text, pos, place)
        sort: Sort = match.lastgroup  # type: ignore[assignment]  # every alternative is a named group
        tokens.append(Token(sort, match[sort], match.start(sort) + 1))
        pos = match.end()
    return tokens


def _bad(text: str, pos: int, place: Place) -> ConfigError:
    rest = text[pos:].lstrip() or text[pos:]
    at = len(text) - len(rest) + 1
    if rest[0] in "'\"":
        return place.error("the text that starts here has no closing quote", at, f"end it with {rest[0]}")
    word = re.match(r"[\w.]+|.", rest, re.ASCII | re.DOTALL)
    bad = word[0] if word else rest[0]
    if bad[0].isdigit():
        return place.error(f"{bad!r} is neither a number nor a duration", at, "durations are 90s, 15m, 12h, 30d or 2w")
    return place.error(f"{bad!r} is not part of the filter language", at)
