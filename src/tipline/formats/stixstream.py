"""The objects of a STIX bundle or TAXII envelope, one at a time: memory holds one block of text.

Read are a document with a list `objects` anywhere among its members, a list of objects or bundles, an object
a line, and a single object.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import orjson

from tipline.errors import FormatError
from tipline.formats.base import MAX_LINE_BYTES, Context, TextSettings, cut, line_blocks, open_text
from tipline.formats.json_blocks import ndjson_blocks
from tipline.formats.json_rows import Unreadable

#: Members of a document besides its objects.
Members = dict[str, Any]

_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[\]{}:,]|[^\s"\[\]{}:,]++', re.DOTALL)
_HEAD = 1 << 16
_OPEN, _CLOSE = (b"{", b"["), (b"}", b"]")


class Objects:
    """The objects of one file; `members` holds the rest of the document once all have been read.

    Args:
        path: UTF-8 text, with or without a byte-order mark.
        ctx: feed's name, for messages.
    """

    def __init__(self, path: Path, ctx: Context) -> None:
        self._path = path
        self._ctx = ctx
        self.members: Members = {}

    def __iter__(self) -> Iterator[dict[str, Any] | Unreadable]:
        """Each object, those of bundles within a list among them.

        Raises:
            FormatError: not JSON, cut off, or a web page.
        """
        with open_text(self._path, TextSettings(), self._ctx) as stream:
            start = stream.tell()
            first = stream.read(4096).lstrip()[:1]
            stream.seek(start)
            if not first:
                return
            if first == b"[":
                yield from self._array(stream, b"", bytearray())
                return
            if first != b"{":
                raise self._refusal("the body is not JSON")
            head = _objects_at(stream)
            if head is None:
                stream.seek(start)
                yield from self._documents(stream)
                return
            stream.seek(start + len(head))
            yield from self._array(stream, head, bytearray())

    def _array(self, stream: BinaryIO, head: bytes, tail: bytearray) -> Iterator[dict[str, Any] | Unreadable]:
        count = 0
        for block in ndjson_blocks(stream, tail=tail):
            if block is None:
                raise self._refusal(f"the list of objects is broken, or cut off, after {count} of them")
            for line in block.text.split(b"\n"):
                if line and not line.isspace():
                    count += 1
                    yield from _flat(_loaded(line))
        rest = _loaded(head + b"null" + bytes(tail)) if head else {}
        if isinstance(rest, Unreadable) or (not head and tail.strip()):
            raise self._refusal("the text behind the list of objects is not JSON")
        self.members = rest

    def _documents(self, stream: BinaryIO) -> Iterator[dict[str, Any] | Unreadable]:
        """One object over several lines, or one a line."""
        text = stream.read(MAX_LINE_BYTES + 1)
        whole = _loaded(text) if len(text) <= MAX_LINE_BYTES else Unreadable("")
        if not isinstance(whole, Unreadable):
            if whole and not {"type", "objects", "more"} & set(whole):
                raise self._refusal("the body is JSON, but no STIX object, bundle or TAXII envelope")
            self.members = whole
            if "type" in whole:
                yield from _flat(whole)
            return
        stream.seek(-len(text), 1)
        count = 0
        for block in line_blocks(stream, self._ctx):
            for line in block.split(b"\n"):
                if line and not line.isspace():
                    found = _loaded(line)
                    if not count and isinstance(found, Unreadable):
                        raise self._refusal("the body is not JSON")
                    count += 1
                    yield from _flat(found)

    def _refusal(self, what: str) -> FormatError:
        return FormatError(what, where=self._ctx.feed, fix="look at the body; is it STIX 2 in JSON?")


def _objects_at(stream: BinaryIO) -> bytes | None:
    """The text before the bracket of the member `objects`; None if there is none within 16 MiB."""
    text, size = b"", _HEAD
    while True:
        more = stream.read(size)
        text += more
        end = _scan(text)
        if end is not None:
            return text[:end]
        if not more or len(text) > MAX_LINE_BYTES:
            return None
        size = len(text)


def _scan(text: bytes) -> int | None:
    depth, before, last = 0, b"", b""
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token == b"[" and depth == 1 and last == b":" and before == b'"objects"':
            return match.start()
        if token in _OPEN:
            depth += 1
        elif token in _CLOSE:
            depth -= 1
            if not depth:
                return None
        before, last = last, token
    return None


def _loaded(text: bytes) -> dict[str, Any] | Unreadable:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        found = _loaded_slowly(text)
    return found if isinstance(found, dict) else Unreadable(cut(text.decode("utf-8", "replace").strip()))


def _loaded_slowly(text: bytes) -> Any:
    """What orjson refuses and JSON allows: halves of surrogate pairs, which become question marks."""
    try:
        value = json.loads(text.decode("utf-8", "replace"))
        return orjson.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None


def _flat(found: dict[str, Any] | Unreadable) -> Iterator[dict[str, Any] | Unreadable]:
    if isinstance(found, dict) and found.get("type") == "bundle":
        objects = found.get("objects")
        for each in objects if isinstance(objects, list) else []:
            yield cast("dict[str, Any]", each) if isinstance(each, dict) else Unreadable(cut(str(each)))
        return
    yield found
