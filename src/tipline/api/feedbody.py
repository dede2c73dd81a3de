"""Sends parts of an open file, a piece at a time, and answers the conditional headers of RFC 9110."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import BinaryIO

from anyio import to_thread
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

_PIECE = 1 << 18
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


class FileBody(Response):
    """Bytes `first` to `end` of an open file, between `head` and `tail`. The file is closed at the end.

    It was opened before, so that it stays whole even if a newer one takes its place meanwhile.
    """

    def __init__(
        self,
        file: BinaryIO,
        first: int,
        end: int,
        headers: Mapping[str, str],
        *,
        head: bytes = b"",
        tail: bytes = b"",
        status: int = 200,
    ) -> None:
        self._file, self._first, self._left = file, first, end - first
        self._head, self._tail = head, tail
        self.status_code, self.background, self.body = status, None, b""
        length = len(head) + self._left + len(tail)
        self.init_headers({**headers, "content-length": str(length)})

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Send it (only its headers, if that is what was asked for)."""
        try:
            start = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            await send(start)
            if scope["method"] != "HEAD":
                await self._send_file(send)
            await send({"type": "http.response.body", "body": b""})
        finally:
            self._file.close()

    async def _send_file(self, send: Send) -> None:
        self._file.seek(self._first)
        await send({"type": "http.response.body", "body": self._head, "more_body": True})
        while self._left > 0:
            piece = await to_thread.run_sync(self._file.read, min(_PIECE, self._left))
            if not piece:
                break
            self._left -= len(piece)
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": self._tail, "more_body": True})


def not_modified(headers: Mapping[str, str], tag: str, changed: datetime) -> bool:
    """Whether the asker holds this very representation already.

    Args:
        headers: of the request.
        tag: the entity tag, quoted.
        changed: when the list last changed, naive UTC.
    """
    shown = headers.get("if-none-match")
    if shown is not None:
        # Proxies that compress make strong tags weak: the comparison is weak, as the RFC asks for.
        return any(part.strip().removeprefix("W/") in {tag, "*"} for part in shown.split(","))
    since = headers.get("if-modified-since")
    if since is None:
        return False
    try:
        moment = parsedate_to_datetime(since)
    except ValueError:
        return False
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return changed.replace(microsecond=0, tzinfo=UTC) <= moment


def byte_range(headers: Mapping[str, str], tag: str, size: int) -> tuple[int, int] | None:
    """The one range that is asked for, as (first byte, byte after the last); None: send all.

    Several ranges, ranges of another version (If-Range) and nonsense get all of it, which is always right.

    Raises:
        ValueError: the range lies past the end.
    """
    found = _RANGE.fullmatch(headers.get("range", ""))
    if not found or headers.get("if-range", tag) != tag or found.group(1) == found.group(2) == "":
        return None
    first, last = found.groups()
    if first == "":
        start, end = max(size - int(last), 0), size
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None
    if start >= end:
        raise ValueError(f"bytes */{size}")
    return start, end
