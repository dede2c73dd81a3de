"""The elements of a JSON array, one at a time: memory holds one block of text and one element."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from tipline.errors import FormatError
from tipline.formats.base import BLOCK_BYTES, MAX_LINE_BYTES, Context

_BEHIND = frozenset(" \t\r\n,]")
_SPACE = re.compile(r"[ \t\r\n]*")


class _Text:
    """A window on the stream's text."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.text = ""
        self.at = 0
        self._lines = 1
        self._column = 0
        self.ended = False

    def more(self) -> None:
        """Forget what was read, and append a block."""
        gone = self.text[: self.at]
        self._lines += gone.count("\n")
        self._column = len(gone) - gone.rfind("\n") - 1 if "\n" in gone else self._column + len(gone)
        data = self._stream.read(max(BLOCK_BYTES, len(self.text) - self.at))
        self.ended = not data
        self.text = self.text[self.at :] + self._decoder.decode(data, final=self.ended)
        self.at = 0

    def peek(self) -> str:
        """The next character that is not white space; empty at the end."""
        while True:
            match = _SPACE.match(self.text, self.at)
            self.at = match.end() if match else self.at
            if self.at < len(self.text) or self.ended:
                return self.text[self.at : self.at + 1]
            self.more()

    def place(self, position: int) -> str:
        """Line and column of a position of the window, both from 1."""
        before = self.text[:position]
        lines = before.count("\n")
        column = len(before) - before.rfind("\n") if lines else self._column + len(before) + 1
        return f"line {self._lines + lines}, column {column}"


def elements(stream: BinaryIO, ctx: Context) -> Iterator[Any]:
    """The elements of the array that is the rest of the stream.

    Raises:
        FormatError: it is not JSON (with the place), an element is nested too deep or longer than 16 MiB.
    """
    text = _Text(stream)
    _expect(text, "[", ctx)
    if text.peek() == "]":
        text.at += 1
    else:
        while True:
            text.peek()
            yield _element(text, ctx)
            if _expect(text, ",]", ctx) == "]":
                break
    if text.peek():
        raise _refusal("more text behind the array", text, text.at, ctx)


def _expect(text: _Text, characters: str, ctx: Context) -> str:
    found = text.peek()
    if not found or found not in characters:
        wanted = " or ".join(characters)
        raise _refusal(f"expected {wanted}, found {found or 'the end'}", text, text.at, ctx)
    text.at += 1
    return found


def _element(text: _Text, ctx: Context) -> Any:
    decoder = json.JSONDecoder()
    while True:
        try:
            value, end = decoder.raw_decode(text.text, text.at)
            # A number near the window's end may go on behind it (`0` of `0.5`).
            if text.text[end : end + 1] in _BEHIND or text.ended:
                text.at = end
                return value
        except json.JSONDecodeError as error:
            if text.ended:
                raise _refusal(error.msg, text, error.pos, ctx) from error
        except RecursionError as error:
            raise FormatError("the JSON is nested too deep", where=ctx.feed, fix="look at the body") from error
        except ValueError as error:
            raise _refusal(str(error), text, text.at, ctx) from error
        if len(text.text) - text.at > MAX_LINE_BYTES + BLOCK_BYTES:
            # Whatever is wrong, it is not that too little was read.
            raise _refusal("an element is broken, or longer than 16 MiB", text, text.at, ctx)
        text.more()


def _refusal(reason: str, text: _Text, position: int, ctx: Context) -> FormatError:
    return FormatError(
        f"the body is not JSON at {text.place(position)}: {reason}",
        where=ctx.feed,
        fix="look at the body; is it another format?",
    )
