"""The words of a STIX pattern."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

#: Possessive throughout, so that no text makes it go back.
_TOKEN = re.compile(
    r"""(?:\s++|/\*(?:[^*]|\*(?!/))*+\*/|//[^\n]*+)*+(?:
      (?P<literal>(?P<sort>[thb])?+'(?P<text>(?:[^'\\]|\\.)*+)')
    | (?P<double>"(?:[^"\\]|\\.)*+")
    | (?P<number>[+-]?+(?:\d++(?:\.\d++)?+|\.\d++)(?![\w-]))
    | (?P<word>[^\W\d][\w-]*+|\d[\w-]*+)
    | (?P<mark>==|!=|<>|<=|>=|[=<>\[\]().,:*])
    | (?P<end>\Z)
    )""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(['\\])")
_TIME = re.compile(
    r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])T(?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)(?:\.\d+)?Z"
)
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2})*")


class PatternError(ValueError):
    """The text is not a STIX pattern."""


@dataclass(slots=True)
class Token:
    """One word.

    Attributes:
        kind: `string`, `time`, `hex`, `binary`, `double`, `number`, `word`, `mark` or `end`.
        text: what it stands for, escapes undone.
        start: where it begins in the pattern.
        end: where it ends.
    """

    kind: str
    text: str
    start: int
    end: int


def tokens(pattern: str) -> list[Token]:
    """All words, the last of kind `end`.

    Raises:
        PatternError: something that is no word, or a time, hexadecimal or binary literal that is none.
    """
    found, at = [], 0
    while True:
        match = _TOKEN.match(pattern, at)
        if match is None:
            raise PatternError(f"column {at + 1}")
        kind = match.lastgroup or "end"
        token = _literal(match) if kind == "literal" else _plain(match, kind)
        found.append(token)
        if kind == "end":
            return found
        at = match.end()


def _plain(match: re.Match[str], kind: str) -> Token:
    text = match[kind]
    return Token(kind, text[1:-1] if kind == "double" else text, match.start(kind), match.end())


def _literal(match: re.Match[str]) -> Token:
    # A backslash before anything but a quote or a backslash is itself: feeds forget to double them in paths.
    text = match["text"]
    if "\\" in text:
        text = _ESCAPE.sub(r"\1", text)
    kind = {None: "string", "t": "time", "h": "hex", "b": "binary"}[match["sort"]]
    if not _is_sound(kind, text):
        raise PatternError(f"not a {kind}: {text[:50]}")
    return Token(kind, text, match.start("literal"), match.end())


def _is_sound(kind: str, text: str) -> bool:
    if kind == "time":
        return _TIME.fullmatch(text) is not None
    if kind == "hex":
        return _HEX.fullmatch(text) is not None
    if kind == "binary":
        try:
            return bool(base64.b64decode(text, validate=True)) or not text
        except (binascii.Error, ValueError):
            return False
    return True
